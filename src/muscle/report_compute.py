"""The second table of a comparison: every row at equal total compute, pre-training counted."""

from __future__ import annotations

from muscle.report_scores import MAIN, Group, grouped, score_name
from muscle.report_tables import Cell, Results, Table, number, word

TITLE = "At equal total compute"
CAPTION = (
    "All rows of a task took as many images in all, in pre-training (a task's share of it: it is done once for all) "
    "and fine-tuning; of several rates each counts. In the tables above, fine-tuning alone is equal. Main score of "
    "each task in percent, mean over seeds, with the 95 % interval of each seed, averaged. Minutes: pre-training "
    "counted whole, as measured by whoever was first to compute a stage."
)


def longer(cell: Results) -> bool:
    """Whether a cell was fine-tuned for longer, to make total compute equal (``equal_compute``)."""
    return bool(cell.get("more_images"))


def without(results: Results) -> Results:
    """The results less the rows of this table, which must not stand beside shorter fine-tunings."""
    return results | {"cells": [cell for cell in results["cells"] if not longer(cell)]}


def table(results: Results) -> Table:
    """Task, backbone, start, main score, thousands of images, minutes; the rows that took as many images."""
    rows = []
    groups = grouped(results)
    for task, backbone in dict.fromkeys((g.task, g.backbone) for g in groups):
        mine = [g for g in groups if (g.task, g.backbone) == (task, backbone)]
        if not any(longer(g.cells[0]) for g in mine):
            continue
        most = max(_pretrained(g) for g in mine)
        rows += [_row(g) for g in mine if longer(g.cells[0]) or _pretrained(g) == most]
    head = ("Task", "Backbone", "Start", "Score", "", "Pre-training, 1,000 images", "Fine-tuning, 1,000 images",
            "Minutes", "Seeds")  # fmt: skip
    return Table(head, tuple(rows), words=4)


def _pretrained(group: Group) -> int:
    return int(group.cells[0]["images_seen"]["pre-training"])


def _row(group: Group) -> tuple[Cell, ...]:
    score = MAIN[group.kind]
    found = group.mean(score)
    cell = Cell("–", numbers=("", "", ""))
    if found:
        value, low, high, _ = found
        cell = Cell(f"{100 * value:.2f}", f"{100 * low:.2f}–{100 * high:.2f}", (value, low, high))
    seen = group.cells[0]["images_seen"]
    minutes = sum(c["minutes_total"] for c in group.cells) / len(group.cells)
    return (
        word(group.task), word(group.backbone), word(group.title), word(score_name(score)), cell,
        number(seen["pre-training"] / 1000, 1), number(seen["fine-tuning"] / 1000, 1), number(minutes, 1),
        number(len(group.cells)),
    )  # fmt: skip
