"""The second table of a comparison: every row at equal total compute, pre-training counted."""

from __future__ import annotations

from muscle.report.differences import Load, beside, pairs
from muscle.report.scores import MAIN, Beside, Group, grouped, score_cell, score_name
from muscle.report.tables import Cell, Results, Table, number, word

TITLE = "At equal total compute"
CAPTION = (
    "Compute is counted in images that training took. A pre-training is done once for all tasks of the comparison, so "
    "each task bears its share; fine-tuning counts every rate that was tried. All rows of a task took as many images "
    "in all, up to an epoch of fine-tuning; in the tables above, fine-tuning alone is equal. Main score of each task "
    "in percent, mean over seeds, with the 95 % interval of each seed, averaged; the paired difference from the row of "
    "the longest pre-training in points, with 95 % interval and Holm's p over this table. Minutes: pre-training "
    "counted whole, as measured by whoever was first to compute a stage."
)


def longer(cell: Results) -> bool:
    """Whether a cell was fine-tuned for longer, to make total compute equal (``equal_compute``)."""
    return bool(cell.get("more_images"))


def without(results: Results) -> Results:
    """The results less the rows of this table, which must not stand beside shorter fine-tunings."""
    return results | {"cells": [cell for cell in results["cells"] if not longer(cell)]}


def table(results: Results, load: Load) -> Table:
    """Task, backbone, start, main score, difference, images, minutes; the rows that took as many images."""
    shown: list[Group] = []
    groups = grouped(results)
    for task, backbone in dict.fromkeys((g.task, g.backbone) for g in groups):
        mine = [g for g in groups if (g.task, g.backbone) == (task, backbone)]
        goal = max((sum(_seen(g)) for g in mine if longer(g.cells[0])), default=None)
        if goal is not None:
            alike = _as_many(goal, [g for g in mine if not longer(g.cells[0])])
            shown += [g for g in mine if longer(g.cells[0]) or g in alike]
    baseline = next((g for g in shown if not longer(g.cells[0])), None)
    if baseline is None:
        return Table((), ())
    cells = results | {"cells": [cell for g in shown for cell in g.cells]}
    against = Beside(baseline.title, beside(pairs(cells, baseline.recipe, load), baseline.recipe))
    head = ("Task", "Backbone", "Start", "By", "Score", f"Score − {baseline.title}", "Pre-training, share",
            "Fine-tuning", "Images in all", "Minutes", "Seeds")  # fmt: skip
    return Table(head, tuple(_row(g, shown, against) for g in shown), words=4)


def _as_many(goal: float, groups: list[Group]) -> list[Group]:
    """Those of the longest pre-training, which took ``goal`` images too, up to an epoch; none where they are not there.

    The most images alone do not tell: a recipe that leaves a task out is fine-tuned on one task, so its share is the
    whole pre-training.
    """
    nearest = min(groups, key=lambda g: abs(sum(_seen(g)) - goal), default=None)
    if nearest is None:
        return []
    cell = nearest.cells[0]
    epoch = cell["train_images"] * len(
        cell["tried"]
    )  # at every rate; in whole batches, so up to twice as many
    if abs(sum(_seen(nearest)) - goal) > 2 * epoch:
        return []
    return [g for g in groups if _seen(g)[0] == _seen(nearest)[0]]


def _seen(group: Group) -> tuple[float, int]:
    """Images of the pre-training that this task bears, and of its fine-tuning."""
    seen = group.cells[0]["images_seen"]
    return seen["pre-training"] / seen.get("tasks", 1), seen["fine-tuning"]


def _row(group: Group, shown: list[Group], against: Beside) -> tuple[Cell, ...]:
    score = MAIN[group.kind]
    before, tuned = _seen(group)
    shared = [(c["minutes_total"] - c["minutes"]) / c["images_seen"].get("tasks", 1) for c in group.cells]
    minutes = sum(c["minutes"] for c in group.cells) + sum(shared)
    return (
        word(group.task), word(group.backbone), word(group.title), word(score_name(score)),
        score_cell(group, score, shown), against.of(group), number(before), number(tuned), number(before + tuned),
        number(minutes / len(group.cells), 1), number(len(group.cells)),
    )  # fmt: skip
