"""Scores by sex, age, view, body part, source and scanner, as the cells of a run hold them."""

from __future__ import annotations

from math import isfinite

from muscle.report.scores import DOUBT, MAIN, Group, grouped, score_name
from muscle.report.tables import Cell, Results, Table, number, word
from muscle.subgroups import FEW

TITLE = "Subgroups"
CAPTION = (
    "Main score of each task in percent by what is known of the cases, mean over seeds, with each seed's 95 % "
    "interval, averaged; cases of which it is not known are in no group. "
    f"{DOUBT}: not to be judged, with why, as are groups of fewer than {FEW} patients. "
    "Worst: the lowest score of its column, of groups that can be judged, in some seed."
)


def table(results: Results) -> Table:
    """Task, backbone, start, column, group, score, cases, patients, whether it is the worst."""
    rows = []
    for group in grouped(results):
        for column, value in dict.fromkeys(
            (row["column"], row["value"]) for cell in group.cells for row in cell.get("subgroups", ())
        ):
            rows.append(_row(group, column, value))
    head = ("Task", "Backbone", "Start", "By", "Group", "Score", "", "Cases", "Patients", "Worst")
    return Table(head, tuple(rows), words=6)


def _row(group: Group, column: str, value: str) -> tuple[Cell, ...]:
    found = [
        row
        for cell in group.cells
        for row in cell.get("subgroups", ())
        if (row["column"], row["value"]) == (column, value)
    ]
    scored = [row["score"] for row in found if row["score"]]
    why = next((row["why"] for row in found if row["why"]), "")
    score = Cell("–", why, ("", "", ""))
    if scored:
        ends = [[float("nan") if s[k] is None else s[k] for s in scored] for k in ("value", "low", "high")]
        middle, low, high = (sum(end) / len(scored) for end in ends)
        note = f"{100 * low:.2f}–{100 * high:.2f}" if isfinite(low + high) else "unknown"
        score = Cell(f"{100 * middle:.2f}", f"{note} {DOUBT} {why}" if why else note, (middle, low, high))
    worst = any(cell.get("worst", {}).get(column) == value for cell in group.cells)
    return (
        word(group.task), word(group.backbone), word(group.title), word(column), word(value),
        word(score_name(MAIN[group.kind])), score, number(found[0]["n"]), number(found[0]["patients"]),
        word("worst" if worst else ""),
    )  # fmt: skip
