"""Tables 2 and 3. Oracle: means by hand, and the rule by which a number may be bold."""

from __future__ import annotations

from typing import Any

import pytest

from muscle.report.scores import (
    Beside,
    classification,
    dense_pages,
    few_labels,
    grouped,
    positives,
    random_init,
    scores,
)
from muscle.report.scores import dense as dense_table
from muscle.report.tables import Cell, Table


def cell(
    recipe: str, seed: int = 0, task: str = "pne", kind: str = "labels", **metrics: Any
) -> dict[str, Any]:
    found = {
        m.replace("__", ":"): dict(zip(("value", "low", "high", "n"), v, strict=True))
        for m, v in metrics.items()
    }
    return {"recipe": recipe, "title": recipe.upper(), "backbone": "r18", "task": task, "kind": kind,
            "classes": ["a", "b"], "seed": seed, "metrics": found}  # fmt: skip


def dense(results: dict[str, Any]) -> list[Table]:
    return [dense_table(results, page) for page in dense_pages(results)]


def test_scores_and_intervals_are_means_over_seeds() -> None:
    cells = [cell("x", 1, auc=(0.9, 0.8, 1.0, 50)), cell("x", 0, auc=(0.7, 0.5, 0.9, 50))]
    (group,) = grouped({"cells": cells})
    assert [c["seed"] for c in group.cells] == [0, 1]
    (row,) = classification({"cells": cells}).rows
    assert row[6].numbers == pytest.approx((0.8, 0.65, 0.95))
    assert [c.text for c in row] == ["pne", "r18", "X", "–", "–", "–", "80.00", "2", "50"]
    assert row[6].note == "65.00–95.00"


def test_bold_only_where_the_interval_stands_above_all_others() -> None:
    low, near, high = (0.6, 0.5, 0.7, 9), (0.72, 0.68, 0.76, 9), (0.8, 0.71, 0.9, 9)

    def bold(*values: tuple[float, float, float, int]) -> list[bool]:
        table = classification({"cells": [cell(f"r{i}", auc=v) for i, v in enumerate(values)]})
        return [row[6].strong for row in table.rows]

    assert bold(low, high) == [False, True]
    assert bold(high, low) == [True, False]  # the baseline may win
    assert bold(low, near, high) == [False, False, False]
    assert bold(high) == [False]
    assert bold(high, high) == [False, False]


@pytest.mark.parametrize("doubted", [0, 1])
def test_no_order_is_claimed_where_an_interval_is_not_to_be_believed(doubted: int) -> None:
    cells = [cell("a", auc=(0.6, 0.5, 0.7, 9)), cell("b", auc=(0.8, 0.71, 0.9, 9))]
    cells[doubted]["metrics"]["auc"]["reliable"] = False
    assert [row[6].strong for row in classification({"cells": cells}).rows] == [False, False]


def test_tasks_of_table_3_stand_side_by_side_until_the_page_is_full() -> None:
    few = [
        cell(
            "x",
            task="lungs",
            kind="mask",
            dice=(0.9, 0.8, 1, 7),
            miou=(0.8, 0.7, 0.9, 7),
            dice__a=(0.9, 0.8, 1, 7),
        ),
        cell("x", task="tb", kind="boxes", ap50=(0.3, 0.1, 0.5, 8), ap50__b=(0.4, 0.1, 0.6, 8)),
        cell("y", task="tb", kind="boxes", ap50=(0.2, 0.1, 0.5, 8)),
    ]
    (table,) = dense({"cells": few})
    assert table.groups == (("", 2), ("lungs (7 cases, 1 seed)", 4), ("tb (8 cases, 1 seed)", 3))
    assert table.head[2:] == ("Dice", "mIoU", "Dice a", "Dice b", "mAP", "AP50 a", "AP50 b")
    assert [c.text for c in table.rows[1]] == ["r18", "Y", *["not run"] * 4, "20.00", "–", "–"]
    more = dense({"cells": [*few, cell("x", task="teeth", kind="boxes", ap50=(0.3, 0.1, 0.5, 8))]})
    assert [len(t.head) for t in more] == [9, 5]
    assert dense({"cells": []}) == []


def test_every_score_has_a_row_and_random_init_its_own_table() -> None:
    cells = [cell("x", auc=(0.9, 0.8, 1.0, 50), accuracy=(0.7, 0.6, 0.8, 50))]
    assert [[c.text for c in row[5:]] for row in scores({"cells": cells}).rows] == [
        ["0", "auc", "0.9000", "0.8000", "1.0000", "50", "–", "–"],
        ["0", "accuracy", "0.7000", "0.6000", "0.8000", "50", "–", "–"],
    ]
    assert random_init({"cells": cells}).rows == ()
    cells[0]["random_init"] = {"knn": 0.75, "linear": {"value": 0.8, "low": 0, "high": 1, "n": 3}}
    assert [row[-1].text for row in random_init({"cells": cells}).rows] == ["0.7500", "0.8000"]


def test_an_interval_that_is_not_to_be_believed_has_a_dagger() -> None:
    """Results of earlier versions say nothing of it, and have none."""
    cells = [cell("x", seed, auc=(0.9, 0.8, 1.0, 50), accuracy=(0.7, 0.6, 0.8, 50)) for seed in (0, 1)]
    cells[1]["metrics"]["auc"] |= {"reliable": False, "method": "logit-DeLong", "why": "too few"}
    (row,) = classification({"cells": cells}).rows
    assert (row[3].note, row[6].note) == ("60.00–80.00", "80.00–100.00 †")
    assert [c.text for c in scores({"cells": cells}).rows[2][-2:]] == ["logit-DeLong", "too few"]


def test_an_interval_that_is_not_known_is_no_number() -> None:
    cells = [cell("x", auc=(0.9, None, None, 5), sensitivity=(0.5, 0.2, 0.8, 3))]
    (row,) = classification({"cells": cells}).rows
    assert (row[6].text, row[6].note, row[6].strong) == ("90.00", "unknown", False)
    assert row[-1].text == "5"  # cases: not those of the sensitivity alone
    assert [c.text for c in scores({"cells": cells}).rows[0][8:10]] == ["–", "–"]


def test_where_no_score_is_defined_no_case_is_counted() -> None:
    cells = [cell("x"), cell("y", task="lungs", kind="mask")]
    (row,) = classification({"cells": cells}).rows
    assert [c.text for c in row[3:]] == ["–"] * 4 + ["1", "–"]
    assert classification({"cells": cells}).words == 3
    cells[1]["classes"] = ["lungs"]
    (page,) = dense({"cells": cells})
    assert (
        page.head == ("Backbone", "Pre-train", "Dice", "mIoU") and page.words == 2
    )  # of one class the mean is all
    assert page.groups[1][0] == "lungs (– cases, 1 seed)"


def test_recipes_of_one_title_that_share_no_task_are_one_row() -> None:
    """Each leaves one task out; where two of one title have the same task, rows stay apart."""
    apart = [
        cell("m-without-lungs", task="lungs", kind="mask", dice=(0.8, 0.7, 0.9, 9)),
        cell("m-without-teeth", task="teeth", kind="boxes", ap50=(0.3, 0.1, 0.5, 8)),
    ]
    alike = [c | {"title": "M without own task"} for c in apart]
    (page,) = dense({"cells": alike})
    assert [[row[i].text for i in (0, 1, 2, 6)] for row in page.rows] == [
        ["r18", "M without own task", "80.00", "30.00"]
    ]
    assert len(dense({"cells": apart})[0].rows) == 2
    (page,) = dense(
        {
            "cells": [
                *alike,
                cell("m2", task="lungs", kind="mask", dice=(0.5, 0.4, 0.6, 9))
                | {"title": "M without own task"},
            ]
        }
    )
    assert len(page.rows) == 3
    assert [row[1].text for row in page.rows] == [
        f"M without own task ({name})" for name in ("m-without-lungs", "m2", "m-without-teeth")
    ]


def test_differences_stand_beside_the_score_that_they_are_of() -> None:
    cells = [
        cell("x", auc=(0.9, 0.8, 1.0, 50)),
        cell("x", task="lungs", kind="mask", dice=(0.9, 0.8, 1, 7)),
        cell("y", task="lungs", kind="mask", dice=(0.8, 0.7, 0.9, 7)),
    ]
    beside = Beside("X", lambda g: Cell(f"{g.task} of {g.recipe}"))
    two = classification({"cells": cells}, beside)
    assert (two.head[7], two.rows[0][7].text) == ("AUC − X", "pne of x") and len(two.head) == len(two.rows[0])
    (page,) = dense_pages({"cells": cells})
    three = dense_table({"cells": cells}, page, beside)
    assert three.head[2:] == ("Dice", "mIoU", "Dice a", "Dice b", "Dice − X")
    assert three.groups[1][1] == 5
    assert [row[-1].text for row in three.rows] == ["lungs of x", "lungs of y"]


def test_rows_that_learned_from_few_labels_say_so() -> None:
    """Where all rows did, the share alone; where some did, whose it was; where none did, nothing."""
    some = [cell("a") | {"labels": 0.1}, cell("b") | {"labels": 0.1}]
    full = cell("c")
    assert few_labels(grouped({"cells": [full]})) == ""
    said = " Fine-tuned on a share of the annotated patients, drawn anew for each seed: 10 %"
    assert few_labels(grouped({"cells": some})) == f"{said}."
    assert few_labels(grouped({"cells": [*some, full]})) == f"{said} (A, B)."


def test_the_positive_class_of_two_is_named() -> None:
    """Once a task; a task of four classes, or of masks, has none."""
    two, other = (cell(name) | {"exclusive": True} for name in "xy")
    four = cell("x", task="four") | {"classes": ["a", "b", "c", "d"], "exclusive": True}
    masks = cell("x", task="lungs", kind="mask") | {"exclusive": True}
    both = cell("x", task="both") | {"exclusive": False}  # two findings, each present or not
    assert positives(grouped({"cells": [two, other, four, masks, both]})) == " Positive, of two: pne: b."
    assert positives(grouped({"cells": [four, masks, both, cell("x", task="older")]})) == ""
