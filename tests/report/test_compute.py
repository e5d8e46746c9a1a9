"""The table at equal compute. Oracle: images counted by hand; intervals and differences as in the other tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from muscle.predictions import Predictions
from muscle.report.compute import longer, table, without
from muscle.statistics.comparison import compare

TUNING = 40  # images of a fine-tuning


def labels(strength: float, seed: int, n: int = 80) -> Predictions:
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % 2
    sick = 1 / (1 + np.exp(-rng.normal(size=n) - strength * (2 * truth - 1)))
    ids = [str(i) for i in range(n)]
    return Predictions(
        task="germ", kind="labels", classes=("finding",), exclusive=False, ids=ids, patients=ids,
        truth=truth[:, None].astype(np.float32), output=sick[:, None].astype(np.float32),
    )  # fmt: skip


class Run:
    """Cells of one task: recipe -> images of its pre-training, of how many tasks, and further ones of fine-tuning."""

    def __init__(
        self, recipes: dict[str, tuple[int, int, int]], seeds: int = 1, backbone: str = "r18"
    ) -> None:
        self.kept: dict[str, Predictions] = {}
        self.cells: list[dict[str, Any]] = []
        for i, (recipe, (before, tasks, more)) in enumerate(recipes.items()):
            for seed in range(seeds):
                name = f"{recipe}-{backbone}-{seed}"
                self.kept[name] = labels(0.5 + 0.1 * i, len(self.kept))
                ends = {"value": 0.7, "low": 0.6, "high": 0.8, "n": 80}
                self.cells.append({
                    "recipe": recipe, "title": recipe.upper(), "backbone": backbone, "task": "germ",
                    "kind": "labels", "classes": ["finding"], "seed": seed, "metrics": {"auc": ends},
                    "predictions": name, "more_images": more, "minutes": 1.0, "minutes_total": 4.0 + 3 * seed,
                    "train_images": 10,
                    "tried": ["a", "b"],
                    "images_seen": {"pre-training": before, "tasks": tasks, "fine-tuning": TUNING + more},
                })  # fmt: skip

    def rows(self) -> dict[str, list[str]]:
        made = table({"cells": self.cells}, self.kept.__getitem__)
        return {row[2].text: [c.text for c in row] for row in made.rows}


RIVALS = {"scratch": (0, 3, 0), "moco": (600, 3, 0), "muscle": (900, 3, 0),
          "scratch-same": (0, 3, 300), "moco-same": (600, 3, 100)}  # fmt: skip


def test_rows_that_took_as_many_images_stand_beside_the_longest_pre_training() -> None:
    run = Run(RIVALS, seeds=2)
    rows = run.rows()
    assert list(rows) == ["MUSCLE", "SCRATCH-SAME", "MOCO-SAME"]
    # minutes: one of fine-tuning, and a third of the 3 or 6 of what three tasks share
    assert {name: row[6:] for name, row in rows.items()} == {
        "MUSCLE": ["300", "40", "340", "2.5", "2"],
        "SCRATCH-SAME": ["0", "340", "340", "2.5", "2"],
        "MOCO-SAME": ["200", "140", "340", "2.5", "2"],
    }
    sides = [[run.kept[f"{name}-r18-{seed}"] for seed in (0, 1)] for name in ("moco-same", "muscle")]
    assert rows["MOCO-SAME"][5] == f"{100 * compare(*sides, 'auc').value:+.2f}"
    assert rows["MUSCLE"][:6] == ["germ", "r18", "MUSCLE", "AUC", "70.00", "baseline"]


def test_equal_pre_trainings_stand_both() -> None:
    rows = Run(RIVALS | {"muscle-ewc": (900, 3, 0)}).rows()
    assert list(rows) == ["MUSCLE", "SCRATCH-SAME", "MOCO-SAME", "MUSCLE-EWC"]


def test_each_backbone_and_task_has_its_own_longest() -> None:
    run, other = Run(RIVALS), Run({"moco": (90, 3, 0), "scratch-same": (0, 3, 30)}, backbone="r50")
    run.cells += other.cells
    run.kept |= other.kept
    made = table({"cells": run.cells}, run.kept.__getitem__)
    shown = [(row[1].text, row[2].text) for row in made.rows]
    assert shown[3:] == [("r50", "MOCO"), ("r50", "SCRATCH-SAME")] and len(shown) == 5


def test_a_recipe_that_leaves_a_task_out_bears_its_pre_training_alone_and_is_no_row_here() -> None:
    """Of one task a share is the whole: more images than all others, and none was made equal to it."""
    rows = Run(RIVALS | {"muscle-without-germ": (900, 1, 0)}).rows()
    assert list(rows) == ["MUSCLE", "SCRATCH-SAME", "MOCO-SAME"]


def test_without_the_row_that_they_are_made_equal_to_there_is_no_table() -> None:
    """It could not be computed: the next longest took fewer images."""
    left = {name: given for name, given in RIVALS.items() if name != "muscle"}
    assert Run(left).rows() == {}
    assert Run({"scratch-same": (0, 3, 300)}).rows() == {}


@pytest.mark.parametrize(("over", "shown"), [(15, 3), (40, 3), (45, 0)])
def test_as_many_images_is_up_to_an_epoch_in_whole_batches(over: int, shown: int) -> None:
    """Of 10 films at two rates 20 images; in batches that the films do not fill, less than twice as many."""
    assert len(Run(RIVALS | {"scratch-same": (0, 3, 300 + over)}).rows()) == shown


def test_results_that_do_not_count_tasks_are_of_one() -> None:
    run = Run({"muscle": (300, 1, 0), "scratch-same": (0, 1, 300)})
    for cell in run.cells:
        del cell["images_seen"]["tasks"]
    assert run.rows()["MUSCLE"][6:9] == ["300", "40", "340"]
    assert table({"cells": run.cells}, run.kept.__getitem__).words == 4


def test_longer_fine_tunings_are_told_from_others_and_left_out_elsewhere() -> None:
    cells = Run(RIVALS).cells
    assert [c["recipe"] for c in cells if longer(c)] == ["scratch-same", "moco-same"]
    kept = without({"cells": cells, "title": "x"})
    assert [c["recipe"] for c in kept["cells"]] == ["scratch", "moco", "muscle"] and kept["title"] == "x"
    assert not longer({}) and table({"cells": kept["cells"]}, pytest.fail).rows == ()
