"""The table of subgroups. Oracle: means over seeds by hand, and the words that keep a group from being judged."""

from __future__ import annotations

from typing import Any

from muscle.report.subgroups import table


def group(
    column: str, value: str, ends: tuple[Any, Any, Any] | None, why: str = "", n: int = 30
) -> dict[str, Any]:
    score = dict(zip(("value", "low", "high"), ends, strict=True)) if ends else None
    return {"column": column, "value": value, "n": n, "patients": n - 5, "score": score, "why": why}


def cell(seed: int, *groups: dict[str, Any], recipe: str = "x", **more: Any) -> dict[str, Any]:
    return {"recipe": recipe, "title": recipe.upper(), "backbone": "r18", "task": "germ", "kind": "labels",
            "classes": ["a", "b"], "seed": seed, "metrics": {}, "subgroups": list(groups), **more}  # fmt: skip


def rows(*cells: dict[str, Any]) -> dict[tuple[str, ...], list[str]]:
    made = table({"cells": list(cells)})
    assert made.head[-4:] == ("", "Cases", "Patients", "Worst") and made.words == 6
    found = {
        tuple(c.text for c in row[:5]): [f"{c.text} {c.note}".strip() for c in row[5:]] for row in made.rows
    }
    assert len(found) == len(made.rows)
    return found


def test_a_group_has_the_mean_over_seeds_of_its_own_scores() -> None:
    found = rows(
        cell(0, group("sex", "F", (0.9, 0.8, 0.96), n=50), group("sex", "M", (0.5, 0.4, 0.6), n=40)),
        cell(1, group("sex", "F", (0.7, 0.5, 0.9), n=50), group("sex", "M", (0.6, 0.5, 0.7), n=40)),
        cell(0, group("sex", "F", (0.2, 0.1, 0.3)), recipe="y"),
    )
    assert found == {
        ("germ", "r18", "X", "sex", "F"): ["AUC", "80.00 65.00–93.00", "50", "45", "–"],
        ("germ", "r18", "X", "sex", "M"): ["AUC", "55.00 45.00–65.00", "40", "35", "–"],
        ("germ", "r18", "Y", "sex", "F"): ["AUC", "20.00 10.00–30.00", "30", "25", "–"],
    }


def test_a_value_of_two_columns_is_two_groups() -> None:
    found = rows(cell(0, group("view", "L", (0.9, 0.8, 1.0)), group("scanner", "L", (0.5, 0.4, 0.6))))
    assert {key[3]: said[1] for key, said in found.items()} == {
        "view": "90.00 80.00–100.00",
        "scanner": "50.00 40.00–60.00",
    }


def test_what_is_not_to_be_judged_says_why_at_every_seed() -> None:
    """A doubt of one seed is one of the row; an end that is not known is none; a group of one class has no score."""
    found = rows(
        cell(
            0,
            group("sex", "F", (0.9, 0.8, 1.0)),
            group("sex", "M", None, "one class"),
            group("age", "65+", (0.9, None, None), "one patient"),
            group("age", "0-17", None, "one class"),
        ),
        cell(
            1,
            group("sex", "F", (0.9, 0.8, 1.0), "too near 1"),
            group("sex", "M", None, "one class"),
            group("age", "65+", (0.9, 0.8, 1.0), ""),
            group("age", "0-17", (0.6, 0.5, 0.7), ""),
        ),
    )
    assert {key[4]: said[1] for key, said in found.items()} == {
        "F": "90.00 80.00–100.00 † too near 1",
        "M": "– one class",
        "65+": "90.00 unknown † one patient",
        "0-17": "60.00 50.00–70.00 † one class",
    }


def test_the_worst_of_some_seed_is_marked_in_its_own_column() -> None:
    both = (
        group("sex", "F", (0.9, 0.8, 1.0)),
        group("sex", "M", (0.8, 0.7, 0.9)),
        group("view", "M", (0.1, 0, 1)),
    )
    found = rows(cell(0, *both, worst={"sex": "M"}), cell(1, *both, worst={}), cell(0, *both, recipe="y"))
    marked = [key for key, said in found.items() if said[-1] == "worst"]
    assert marked == [("germ", "r18", "X", "sex", "M")]


def test_cells_of_earlier_versions_have_no_groups() -> None:
    old = cell(0)
    del old["subgroups"]
    assert table({"cells": [old]}).rows == ()
