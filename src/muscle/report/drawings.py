"""How each table and figure of a report is made from the results and the files they name, or why it cannot be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from muscle.data.store import Store
from muscle.paths import sha256_file
from muscle.predictions import Predictions
from muscle.report import figures, probes, scores, tables
from muscle.report.captions import MATRIX, TRANSFER
from muscle.report.curves import read_log, training_curves
from muscle.report.figures import Picture
from muscle.report.scores import Beside, Group
from muscle.report.tables import Results, Table

SHEET = 16  # films on a contact sheet

EXTRA_SCORES = (
    ("average", "Mean over tasks of the score at the end, recomputed:", ".3f"),
    (
        "forward_transfer",
        "Forward transfer (frozen features just before a task's first turn, less at the start):",
        "+.3f",
    ),
)


class Absent(Exception):
    """The data do not allow this table or figure; the message says why."""


def matrix_caption(entry: Results) -> str:
    """What stands under a forgetting matrix: how to read it, and what it sums up to."""
    ends = []
    for suffix, of in (("", "recomputed"), ("_shared", "shared")):
        values = [entry.get(f"{name}{suffix}") for name in ("backward_transfer", "forgetting")]
        if all(isinstance(value, int | float) for value in values):
            ends.append(
                f"with {of} statistics backward transfer {values[0]:+.3f}, forgetting {values[1]:+.3f}"
            )
    more = [
        f"{said} {value:{form}}."
        for name, said, form in EXTRA_SCORES
        if isinstance(value := entry.get(name), int | float)
    ]
    if entry.get("replayed"):
        more.append(f"Replayed: {entry['replayed']} batches beside {entry['steps']} steps.")
    if not ends:
        return " ".join([MATRIX, *more, "Backward transfer and forgetting are not defined here."])
    return " ".join([f"{MATRIX} {TRANSFER} Here, {'; '.join(ends)}.", *more])


def dense(results: Results, columns: dict[str, list[str]], beside: Callable[[], Beside | None]) -> Table:
    """Table 3 in form, of some of the tasks."""
    return scores.dense(results, columns, beside())


def filled(make: Callable[[], Table], otherwise: str) -> Table:
    """The table; ``Absent`` with a reason where it would have no rows."""
    table = make()
    if not table.rows:
        raise Absent(otherwise)
    return table


def sheet(out: Path, source: Results) -> Picture:
    """Films of one source as they lie in its store, evenly spaced over the rows."""
    if not source.get("store"):
        raise Absent("the results do not say where the store of these films lies")
    path = out / source["store"]
    if not path.exists():
        raise Absent(f"the store {source['store']} is no longer there, so no films can be shown")
    store = Store.open(path)
    if len(store) == 0:
        raise Absent("the store has no films")
    rows = np.unique(np.linspace(0, len(store) - 1, min(SHEET, len(store))).round().astype(int))
    return figures.contact_sheet(source["name"], [np.asarray(store.images[row]) for row in rows])


def _predictions(
    group: Group, load: Callable[[str], Predictions], seeds: int | None = None
) -> list[Predictions]:
    return [load(cell["predictions"]) for cell in group.cells[:seeds] if cell.get("predictions")]


def roc(groups: list[Group], look: Any, load: Callable[[str], Predictions]) -> Picture:
    """ROC curves, one a model, with the AUC and its interval in the legend."""
    lines = []
    for g in groups:
        seeds = _predictions(g, load)
        if seeds:
            lines.append((g.recipe, {name: _with_auc(g, name) for name in seeds[0].classes}, seeds))
    said = ", ".join(filter(None, [groups[0].backbone, "AUC (95 % CI)"]))
    picture = figures.roc_curves(lines, look, said) if lines else None
    if picture is None:
        raise Absent("no predictions were kept, or the test part holds one class only")
    return picture


def line_plot(groups: list[Group], look: Any, load: Callable[[str], Predictions], draw: Any) -> Picture:
    """What ``draw`` makes of every model's predictions at all seeds: reliability, FROC."""
    lines = [(g.recipe, g.title, seeds) for g in groups if (seeds := _predictions(g, load))]
    picture: Picture | None = draw(lines, look) if lines else None
    if picture is None:
        raise Absent("no predictions were kept, or the test part has nothing to find")
    return picture


def _with_auc(group: Group, name: str) -> str:
    found = group.mean(f"auc:{name}") or group.mean("auc")
    return f"{group.title}  {found[0]:.3f} ({found[1]:.3f}-{found[2]:.3f})" if found else group.title


def efficiency(mine: list[probes.Line], title: str) -> Picture:
    """AUC against the share of labels."""
    picture = probes.efficiency(mine, title)
    if picture is None:
        raise Absent("no AUC is defined: the test part holds one class only")
    return picture


def films(groups: list[Group], load: Callable[[str], Predictions], draw: Any) -> Picture:
    """What ``draw`` makes of test films and every model's predictions at its first seed: overlays, boxes."""
    columns = [(g.title, p) for g in groups for p in _predictions(g, load, seeds=1)]
    picture: Picture | None = draw(columns) if columns else None
    if picture is None:
        raise Absent("no test films were kept with the predictions")
    return picture


def forest(groups: list[Group], look: Any) -> Picture:
    """Each seed's main score with its interval, a panel a task."""
    panels: dict[str, list[Any]] = {}
    for g in groups:
        metric = scores.MAIN[g.kind]
        found = [c["metrics"][metric] for c in g.cells if metric in c["metrics"]]
        where = f"{g.task}, {g.backbone}" if g.backbone else g.task
        ends = [[m["value"] if m[k] is None else m[k] for k in ("low", "high")] for m in found]
        seeds = [(m["value"], low, high) for m, (low, high) in zip(found, ends, strict=True)]
        panels.setdefault(f"{where}: {tables.SHORT[metric]}", []).append((g.recipe, g.title, seeds))
    return figures.forest(list(panels.items()), look)


def curves(path: Path, title: str, sha256: str = "") -> Picture:
    """Losses and scores of one stage as it was logged; ``sha256``: of the log, where the results name it."""
    if sha256 and path.is_file() and sha256_file(path) != sha256:
        raise Absent(f"{path.name} has changed since it was written; the command of the run writes it again")
    picture = training_curves(read_log(path), title)
    if picture is None:
        raise Absent("the log holds no numbers")
    return picture
