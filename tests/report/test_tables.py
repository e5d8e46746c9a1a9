"""Rows, Markdown and CSV. Oracle: the values put in, and the csv module reading them back."""

from __future__ import annotations

import csv
import io

import pytest

from muscle.report.tables import (
    Cell,
    Table,
    forgetting,
    missing,
    models,
    number,
    plain,
    provenance,
    sources,
    stages,
    word,
)


def test_markdown_keeps_signs_as_text_and_csv_keeps_numbers() -> None:
    rows = (
        (
            Cell("a|b *x* <b>\nc", numbers=("a|b",)),
            Cell("81.00", "70.00–90.00", (0.81, 0.7, 0.9), strong=True),
        ),
    )
    table = Table(("Name", "AUC"), rows, (("", 1), ("lungs", 1)), words=1)
    assert table.markdown().splitlines() == [
        "| Name | lungs: AUC |",
        "| --- | --: |",
        r"| a\|b \*x\* &lt;b> c | **81.00 (70.00–90.00)** |",
    ]
    assert list(csv.reader(io.StringIO(table.csv()))) == [
        ["Name", "lungs: AUC", "lungs: AUC low", "lungs: AUC high"],
        ["a|b", "0.81", "0.7", "0.9"],
    ]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("R&amp;D", r"R&amp;amp;D"),
        ("a ~~b~~", r"a \~\~b\~\~"),
        ("5 $ or 6 $", "5 &#36; or 6 &#36;"),
        ("[x](y)", r"\[x](y)"),
        ("`a`", r"\`a\`"),
        (r"a\|b", r"a\\\|b"),
    ],
)
def test_no_name_is_markup_in_markdown(name: str, shown: str) -> None:
    """Entities, lines through words and formulas, as GitHub reads them; a pipe behind a backslash ends no field."""
    assert plain(name) == shown


def test_a_score_that_is_not_there_leaves_its_three_fields_empty() -> None:
    rows = ((word("a"), Cell("1", "0–1", (1.0, 0.0, 1.0))), (word("b"), Cell("–")))
    lines = list(csv.reader(io.StringIO(Table(("n", "v"), rows).csv())))
    assert lines[2] == ["b", "", "", ""]


def test_numbers_and_words() -> None:
    assert (number(1234.5, 1).text, number(None).text, number(True).text) == ("1,234.5", "–", "–")
    assert (word(["a", "b"]).text, word(None).text, word("").text) == ("a, b", "–", "–")


def test_table_1_sums_what_it_lists() -> None:
    one = {
        "name": "a",
        "train": 8,
        "valid": 1,
        "test": 1,
        "total": 10,
        "quarantined": [["x", "why"], ["y", "why"]],
    }
    table = sources({"sources": [one, one | {"name": "b", "quarantined": 3}]})
    assert [cell.text for cell in table.rows[-1]] == ["All", "", "", "", "", "", "16", "2", "2", "20", "5"]
    assert len(sources({"sources": [one]}).rows) == 1
    (bare,) = sources({"sources": [{"name": "a"}]}).rows  # of a version that did not count: nothing, not one
    assert [cell.text for cell in bare] == ["a", *["–"] * 5, *["0"] * 5]


def test_what_a_run_says_of_itself_is_words_and_not_python() -> None:
    given = {
        "wall_s": 61.25,
        "versions": {"torch": "2.15", "threads": 2},
        "data": ["a", 0.1234567, ["b"]],
        "leak_of": 3,
    }
    table = provenance({"provenance": given})
    assert (table.head, table.words) == (("what", "value"), 2)
    assert [[c.text for c in row] for row in table.rows] == [
        ["wall s", "61.25"],
        ["versions", "torch 2.15, threads 2"],
        ["data", "a, 0.123457, b"],
        ["leak of", "3"],
    ]


def test_cells_without_scores_say_why() -> None:
    cell = {"title": "MUSCLE", "backbone": "r18", "task": "germ", "seed": 0, "status": "not run", "why": ""}
    table = missing({"missing": [cell, {"task": "germ", "status": "NaN predictions", "why": "it diverged"}]})
    assert table.head == ("Start", "Backbone", "Task", "Seed", "Status", "Why") and table.words == 6
    assert [[c.text for c in row] for row in table.rows] == [
        ["MUSCLE", "r18", "germ", "0", "not run", "–"],
        ["–", "–", "germ", "–", "NaN predictions", "it diverged"],
    ]


def test_keys_are_shown_as_their_folders_and_whole_in_the_csv() -> None:
    """64 letters without a gap are wider than a page of paper."""
    key = "0123456789abcdef" * 4
    cell = {"task": "t", "backbone": "b", "title": "T", "seed": 0, "key": key}
    for table in (models({"cells": [cell]}), stages({"stages": [{"recipe": "r", "name": "s", "key": key}]})):
        assert f"| {key[:16]} |" in table.markdown() and f",{key}," in table.csv()


def test_a_stage_with_one_key_is_one_row_of_several_recipes() -> None:
    given = [{"recipe": r, "name": "pretrain", "key": "k", "minutes": 2.0} for r in ("a", "b", "a")]
    (row,) = stages({"stages": given}).rows
    assert [cell.text for cell in row] == ["pretrain", "a, b", "k", "2.0"]
    assert stages({"stages": given}).words == 3  # minutes are a number


def test_a_fine_tuned_model_is_a_row() -> None:
    cell = {"task": "t", "backbone": "b", "title": "T", "seed": 0, "key": "k", "train_images": 1200, "best_epoch": 3,
            "valid": 0.91239, "backbone_rate": 3e-4, "minutes": 1.26}  # fmt: skip
    table = models({"cells": [cell]})
    assert table.words == 5
    assert [c.text for c in table.rows[0]] == [
        "t",
        "b",
        "T",
        "0",
        "k",
        "1,200",
        "3",
        "0.9124",
        "0.0003",
        "1.3",
    ]


def test_the_matrix_shows_both_statistics_and_masks_untrained_heads() -> None:
    turns = [
        {"turn": 0, "round": 0, "task": "x", "shared": {"x": 0.5, "y": None}, "recomputed": {"x": 0.6, "y": None},
         "n": {"x": 64}},
        {"turn": 1, "round": 0, "task": "y", "shared": {"x": 0.4, "y": 0.9}, "recomputed": {"x": 0.6, "y": 0.9},
         "n": {"x": 64, "y": 10}},
    ]  # fmt: skip
    table = forgetting({"tasks": ["x", "y"], "metric": {"x": "auc", "y": "dice"}, "turns": turns})
    assert table.groups == (("", 3), ("x (AUC, n 64)", 2), ("y (Dice, n 10)", 2))
    assert [[c.text for c in row] for row in table.rows] == [
        ["1", "1", "x", "0.500", "0.600", "·", "·"],
        ["2", "1", "y", "0.400", "0.600", "0.900", "0.900"],
    ]
    assert [[c.mark for c in row[3:]] for row in table.rows] == [
        ["own", "own", "masked", "masked"],
        ["", "", "own", "own"],
    ]
    assert [c.tint for c in table.rows[1][3:]] == [pytest.approx(0), pytest.approx(1), 0.5, 0.5]
    assert table.csv().splitlines()[1].endswith(",,")


def test_a_head_that_was_never_trained_and_counts_that_differ() -> None:
    """The task was lost before its turn: dots, no number of films, and no shade of nothing."""
    turns = [
        {"turn": 0, "round": 0, "task": "x", "shared": {"x": 0.5}, "recomputed": {"x": 0.6}, "n": {"x": 64}},
        {"turn": 1, "round": 1, "task": "x", "shared": {"x": 0.53}, "recomputed": {"x": 0.6}, "n": {"x": 60}},
    ]
    table = forgetting({"tasks": ["x", "y"], "metric": {"x": "auc"}, "turns": turns})
    assert [title for title, _ in table.groups] == ["", "x (AUC, n 60–64)", "y (score)"]
    assert [c.text for c in table.rows[1]] == ["2", "2", "x", "0.530", "0.600", "·", "·"]
    assert [c.tint for c in table.rows[1][3:]] == [0.3, 1.0, None, None]


def test_training_that_was_no_unbroken_run_is_told_with_its_place() -> None:
    stage = {
        "recipe": "muscle",
        "name": "pretrain",
        "mixed": ["threads 2, now 1", "torch 2, now 3"],
        "skipped": [],
    }
    cell = {"recipe": "muscle", "task": "germ", "seed": 1, "mixed": [], "skipped": 2}
    table = provenance({"provenance": {}, "stages": [stage, stage | {"mixed": []}], "cells": [cell]})
    assert [[c.text for c in row] for row in table.rows] == [
        ["resumed under other conditions", "muscle pretrain: threads 2, now 1, torch 2, now 3"],
        ["steps left out, not finite", "muscle germ seed 1: 2"],
    ]
