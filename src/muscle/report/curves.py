"""Training curves: what a stage logged, drawn over its steps."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from muscle.errors import UserError
from muscle.report.figures import COLOURS, DASHES, Picture, new_figure, render, short, styled

POINTS = 300  # of one curve; longer logs are averaged in so many bins
MOST_PANELS = 12
_PLACE = ("step", "epoch", "turn", "round", "task", "stage", "time")
_TITLES = {
    "loss": "loss", "rate": "learning rate", "knn": "k-NN AUC, validation", "probe": "dense probe AUC, validation",
    "effective_rank": "effective rank", "top1": "top-1 against negatives", "embedding_sd": "embedding sd",
    "feature_sd": "feature sd", "kernel_norm": "kernel norm", "valid": "validation score",
}  # fmt: skip

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]


def read_log(path: Path) -> list[dict[str, Any]]:
    """The records of a JSON-lines log; a last line that a kill has cut is left out.

    Raises:
        UserError: no such file, a line that is not JSON, or nothing in it.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise UserError(f"{path}: cannot be read ({reason}); run the recipe again to write it") from None
    records = []
    for i, line in enumerate(lines):
        try:
            record = json.loads(line)
        except ValueError:
            if i == len(lines) - 1:
                break
            raise UserError(f"{path} line {i + 1}: not JSON; run the recipe again to write it") from None
        if isinstance(record, dict):
            records.append(record)
    if not records:
        raise UserError(f"{path}: an empty log; run the recipe again to write it")
    return records


def panels(records: Sequence[dict[str, Any]]) -> dict[str, dict[str, Curve]]:
    """Panel -> line -> (steps, values) from a log.

    ``loss:a`` and ``loss:b`` are lines ``a`` and ``b`` of the panel ``loss``; where several tasks train in turns,
    a line is a task and its losses are summed. ``top1`` and ``top1_same_source`` share a panel. Steps that begin
    anew at each turn are laid end to end; a record without one (the scores at a boundary) belongs to the last.
    """
    tasks = _tasks(records)
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    offset, last = 0.0, 0.0
    for record in records:
        step = record.get("step")
        if _is_number(step):
            if step + offset < last:
                offset = last + 1
            last = step + offset
        total: list[float] = []
        for key, value in record.items():
            if key in _PLACE or not _is_number(value):
                continue
            panel, _, line = key.partition(":")
            if panel.startswith("top1"):
                panel, line = "top1", panel.removeprefix("top1").strip("_").replace("_", " ") or "all"
            if panel == "loss" and len(tasks) > 1:
                total.append(float(value))
                continue
            found.setdefault(panel, {}).setdefault(line, []).append((last, float(value)))
        if total:
            found.setdefault("loss", {}).setdefault(str(record.get("task")), []).append((last, sum(total)))
    order = [*(p for p in _TITLES if p in found), *(p for p in found if p not in _TITLES)]
    return {p: {line: _binned(points) for line, points in found[p].items()} for p in order[:MOST_PANELS]}


def _tasks(records: Sequence[dict[str, Any]]) -> list[str]:
    """The tasks that trained, in order."""
    trained = (r for r in records if any(key.startswith("loss") for key in r))
    return list(dict.fromkeys(str(r.get("task", "")) for r in trained))


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _binned(points: list[tuple[float, float]]) -> Curve:
    steps, values = np.array(points, np.float64).T
    if len(steps) <= POINTS:
        return steps, values
    parts = np.array_split(np.arange(len(steps)), POINTS)
    return np.array([steps[p].mean() for p in parts]), np.array([values[p].mean() for p in parts])


@styled
def training_curves(records: Sequence[dict[str, Any]], title: str) -> Picture | None:
    """A panel for each logged quantity, a line for each loss, task or target. None where nothing was logged."""
    drawn = panels(records)
    if not drawn:
        return None
    columns = min(3, len(drawn))
    rows = -(-len(drawn) // columns)
    figure, axes = new_figure(10.8 if columns == 3 else 3.6 * columns, 2.35 * rows, rows, columns)
    points, turns = 0, len(_tasks(records)) > 1
    for axis, (panel, lines) in zip(axes, drawn.items(), strict=False):
        for i, (line, (steps, values)) in enumerate(lines.items()):
            points += len(steps)
            (drawn_line,) = axis.plot(steps, values, linewidth=1.1, label=short(line or panel, 28))
            drawn_line.set_color(COLOURS[i % len(COLOURS)])
            drawn_line.set_linestyle(DASHES[i % len(DASHES)])
            if len(steps) < 40:
                drawn_line.set_marker(".")
            if turns and panel == "loss":  # no line across the turns of others
                drawn_line.set(linestyle="", marker=".", markersize=2.5)
        axis.set_title(short(_TITLES.get(panel, panel.replace("_", " "))))
        axis.set_xlabel("step")
        axis.locator_params(axis="x", nbins=5)
        values = np.concatenate([v for _, v in lines.values()])
        if panel == "loss" and values.min() > 0 and values.max() > 100 * values.min():
            axis.set_yscale("log")
            axis.yaxis.set_major_formatter("{x:g}")
        if len(lines) > 1 or any(lines):
            axis.legend(loc="best", handlelength=2.2)
    for axis in axes[len(drawn) :]:
        axis.set_axis_off()
    return render(figure, f"training curves, {title}", points)
