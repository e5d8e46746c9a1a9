"""Frozen features in a report: the table of probes, AUC against the share of labels, and pictures of the features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, nan
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from muscle.report.figures import COLOURS, Picture, colours, new_figure, render, short, styled
from muscle.report.reading import read_embedding
from muscle.report.scores import DOUBT
from muscle.report.tables import Cell, Results, Table, number, word

FROZEN = (
    "AUC in percent on the test part; nothing is fine-tuned. Columns: share of the labelled patients that k-NN (20 "
    "neighbours, cosine) or the linear probe (logistic regression, its penalty chosen on the whole validation part) "
    "learned from; smaller draws lie within larger ones, every start has the same ones, and each holds every class at "
    "least once. Mean over draws, beneath it their 95 % intervals, averaged: they speak of the test cases, not of the "
    "draws. Labels only: masks and boxes are not probed. Random init is the network without any training."
)
EFFICIENCY = (
    "AUC on the test part against the share of labelled patients, on a logarithmic axis. Line: mean over draws; band: "
    "from the lowest to the highest draw. Axes do not begin at zero."
)
EMBEDDING = (
    "Each dot is a film, of any part of the data; near dots have like features (50 principal components, then t-SNE "
    "with a fixed seed). Distances between groups mean little."
)
ENDS = ("value", "low", "high")
MOST_NAMES = 9  # colours that can be told apart; smaller groups share the last


@dataclass(frozen=True, slots=True)
class Line:
    """The probes of one kind of one start on one target: ``shares`` to its draws."""

    task: str
    backbone: str
    start: str
    title: str
    probe: str
    shares: dict[float, list[Results]]
    labels_seen: bool

    def values(self, share: float) -> list[float]:
        """AUC of each draw that defines it."""
        found = [e["metrics"].get("auc") for e in self.shares.get(share, [])]
        return [float(f["value"]) for f in found if f]


def lines(results: Results) -> list[Line]:
    """By task and backbone, then probe, then start, each in the order in which it first occurs."""
    keys = ("task", "backbone", "probe", "start")
    orders = [list(dict.fromkeys(e[k] for e in results["probes"])) for k in keys]
    found: dict[tuple[int, ...], list[Results]] = {}
    for e in results["probes"]:
        place = tuple(o.index(e[k]) for o, k in zip(orders, keys, strict=True))
        found.setdefault(place, []).append(e)
    made = []
    for _, some in sorted(found.items()):
        shares: dict[float, list[Results]] = {}
        for e in sorted(some, key=lambda e: (e["share"], e["draw"])):
            shares.setdefault(e["share"], []).append(e)
        first = some[0]
        seen = any(e.get("labels_seen") for e in some)
        made.append(
            Line(first["task"], first["backbone"], first["start"], first["title"],
                 first["probe"], shares, seen)
        )  # fmt: skip
    return made


def frozen(results: Results) -> Table:
    """A row for each target, probe and start, a column for each share; above each target how many patients that is."""
    every = lines(results)
    shares = sorted({share for line in every for share in line.shares})
    rows = []
    for task, backbone in dict.fromkeys((line.task, line.backbone) for line in every):
        mine = [line for line in every if (line.task, line.backbone) == (task, backbone)]
        where = word(f"{task}, {backbone}" if backbone else task)
        counts = [_patients(mine, share) for share in shares]
        rows.append((where, word("labelled patients"), word(""), *counts))
        for line in mine:
            cells = [_cell(line, share) for share in shares]
            rows.append((where, word(line.probe), word(line.title), *cells))
    head = ("Task", "Probe", "Start", *(f"{100 * share:g} %" for share in shares))
    return Table(head, tuple(rows), words=3)


def scores(results: Results) -> Table:
    """The long form: a row for each start, target, probe, share, draw and score."""
    names = ("start", "backbone", "task", "probe", "share", "draw", "patients")
    rows = [
        tuple(Cell(str(e[k]), numbers=(e[k],)) for k in names)
        + (
            word(metric),
            *(Cell(str(f[k]), numbers=("" if f[k] is None else f[k],)) for k in ENDS),
            number(f["n"]),
            word(f.get("method")),
            word(f.get("why")),
        )
        for e in results["probes"]
        for metric, f in e["metrics"].items()
    ]
    return Table((*names, "score", *ENDS, "n", "method", "unreliable"), tuple(rows), words=4)


def _patients(mine: Sequence[Line], share: float) -> Cell:
    counts = [int(e["patients"]) for line in mine for e in line.shares.get(share, [])]
    if not counts:
        return Cell("–")
    low, high = min(counts), max(counts)
    return Cell(f"{low:,}" if low == high else f"{low:,}–{high:,}", numbers=(low, low, high))


def _cell(line: Line, share: float) -> Cell:
    draws = [e["metrics"]["auc"] for e in line.shares.get(share, []) if "auc" in e["metrics"]]
    if not draws:
        if line.labels_seen and share < 1:
            return Cell("labels seen", numbers=("labels seen", "", ""))
        return Cell("–" if share in line.shares else "not run")
    ends = [[nan if f[k] is None else f[k] for f in draws] for k in ENDS]
    value, low, high = (sum(end) / len(draws) for end in ends)
    note = f"{100 * low:.2f}–{100 * high:.2f}" if isfinite(low + high) else "unknown"
    if not all(f.get("reliable", True) for f in draws):
        note += f" {DOUBT}"
    return Cell(f"{100 * value:.2f}", note, (value, low, high))


@styled
def efficiency(mine: Sequence[Line], title: str) -> Picture | None:
    """A panel for each probe: AUC against the share, a line and a band for each start. None where no AUC is defined."""
    probes = list(dict.fromkeys(line.probe for line in mine if any(map(line.values, line.shares))))
    if not probes:
        return None
    look = colours([line.start for line in mine])
    figure, axes = new_figure(4.6 * len(probes), 3.3, 1, len(probes))
    points = 0
    for axis, probe in zip(axes, probes, strict=True):
        for line in (line for line in mine if line.probe == probe):
            drawn = [(100 * s, values) for s in line.shares if (values := line.values(s))]
            if not drawn:
                continue
            x = [share for share, _ in drawn]
            points += sum(len(values) for _, values in drawn)
            colour, dash = look[line.start]
            axis.fill_between(
                x,
                [min(v) for _, v in drawn],
                [max(v) for _, v in drawn],
                color=colour,
                alpha=0.15,
                linewidth=0,
            )
            axis.plot(
                x, [float(np.mean(v)) for _, v in drawn], color=colour, linestyle=dash, linewidth=1.4,
                marker="o", markersize=3, label=short(line.title),
            )  # fmt: skip
        shares = sorted({100 * s for line in mine for s in line.shares})
        axis.set_xscale("log")
        axis.set_xticks(shares, [f"{share:g}" for share in shares])
        axis.minorticks_off()
        axis.set(xlabel="% of the labelled patients", ylabel="AUC")
        axis.set_title(probe)
    ends = [axis.get_ylim() for axis in axes]
    for axis in axes:
        axis.set_ylim(min(low for low, _ in ends), max(high for _, high in ends))
    axes[0].legend(loc="best", handlelength=2.4)
    return render(figure, f"AUC against the share of labels, {title}", points)


@styled
def embedding_picture(path: Path, title: str) -> Picture:
    """The films of ``embeddings/*.npz`` twice: coloured by body part, and by source.

    Raises:
        UserError: no such file, or not as `muscle probe` writes it.
    """
    xy, groups = read_embedding(path)
    figure, axes = new_figure(9.2, 4.0, 1, 2)
    figure.set_dpi(200)  # of the dots: thousands of them as outlines would weigh megabytes
    for axis, (name, values) in zip(axes, groups.items(), strict=True):
        _scatter(axis, xy, values)
        axis.set_title(f"by {name}")
        axis.set(xticks=[], yticks=[])
        axis.grid(False)
        axis.legend(loc="upper left", bbox_to_anchor=(0, -0.02), ncols=3, markerscale=2.5, handletextpad=0.2)
    return render(figure, f"features of {title}, by body part and by source", len(xy), film=False)


def _scatter(axis: Any, xy: NDArray[np.float32], values: NDArray[Any]) -> None:
    names, of, count = np.unique(values, return_inverse=True, return_counts=True)
    order = np.argsort(-count, kind="stable")
    shown = order[:MOST_NAMES] if len(order) <= MOST_NAMES else order[: MOST_NAMES - 1]
    for i, k in enumerate(shown):
        mine = of == k
        label = short(str(names[k]) or "not named", 24)
        axis.scatter(*xy[mine].T, s=4, color=COLOURS[i], linewidths=0, label=label, rasterized=True)
    if len(rest := np.flatnonzero(~np.isin(of, shown))):
        axis.scatter(*xy[rest].T, s=4, color=COLOURS[-1], linewidths=0, label="others", rasterized=True)
