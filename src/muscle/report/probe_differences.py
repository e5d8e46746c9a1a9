"""Frozen features against those of one start, on the same draws of labels: paired, corrected over the table."""

from __future__ import annotations

from dataclasses import dataclass

from muscle.errors import UserError
from muscle.report.differences import BASELINE, Load, in_points, shown_p
from muscle.report.probes import Line, lines
from muscle.report.tables import Cell, Results, Table, word
from muscle.statistics.comparison import Difference, compare, holm

CAPTION = (
    "AUC of each start less that of {baseline}, in points, on the same test cases and draws of labels; beneath it "
    "the 95 % interval and Holm's p over the whole table. p at most .05: the start with the higher AUC is better; "
    "above: the data do not tell the two apart. Several draws: their mean, and the answer is about other draws too."
)


@dataclass(frozen=True, slots=True)
class _Judged:
    line: Line
    share: float
    found: Difference | None  # None: one side has no AUC, or was judged on other cases


def baseline_of(results: Results, wanted: str | None = None) -> str:
    """The start that all are compared with: the one wanted, else the untrained network where it is, else the first."""
    starts: list[str] = list(dict.fromkeys(e["start"] for e in results["probes"]))
    return next(start for start in (wanted, BASELINE, *starts) if start in starts)


def table(results: Results, baseline: str, load: Load) -> Table:
    """A row for each target, probe and start but the baseline, a column for each share of the labels."""
    every = lines(results)
    shares = sorted({share for line in every for share in line.shares})
    against = {(x.task, x.backbone, x.probe): x for x in every if x.start == baseline}
    judged = [
        _Judged(line, share, _difference(line, against[line.task, line.backbone, line.probe], share, load))
        for line in every
        if line.start != baseline and (line.task, line.backbone, line.probe) in against
        for share in shares
    ]
    tested = [one.found for one in judged if one.found is not None]
    adjusted = iter(holm([found.p for found in tested]))
    cells: dict[tuple[str, ...], list[Cell]] = {}
    for one in judged:
        line = one.line
        where = (f"{line.task}, {line.backbone}" if line.backbone else line.task, line.probe, line.title)
        p = next(adjusted) if one.found is not None else 1.0
        cells.setdefault(where, []).append(_cell(one.found, p))
    head = ("Task", "Probe", "Start", *(f"{100 * share:g} %" for share in shares))
    return Table(head, tuple((*map(word, where), *row) for where, row in cells.items()), words=3)


def _difference(line: Line, other: Line, share: float, load: Load) -> Difference | None:
    sides = [{e["draw"]: e for e in x.shares.get(share, []) if "auc" in e["metrics"]} for x in (line, other)]
    draws = sorted(sides[0].keys() & sides[1].keys())
    if not draws:
        return None
    try:
        a, b = ([load(side[draw]["predictions"]) for draw in draws] for side in sides)
        return compare(a, b, "auc", paired=True)
    except UserError:
        return None


def _cell(found: Difference | None, p: float) -> Cell:
    if found is None:
        return Cell("–", numbers=("", "", ""))
    if not found.reliable:
        return Cell("no verdict", found.why, ("", "", ""), mark="said")
    note = f"{in_points(found)},\np {shown_p(p)}"
    return Cell(f"{100 * found.value:+.2f}", note, (found.value, found.low, found.high))
