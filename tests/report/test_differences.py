"""Differences. Oracles: ``compare`` on the same predictions, Holm's steps by hand, the words asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from muscle.errors import UserError
from muscle.predictions import Predictions
from muscle.report.differences import BASELINE, Pair, baseline_of, beside, pairs, table
from muscle.report.scores import grouped
from muscle.statistics.comparison import compare

STRENGTH = {BASELINE: 0.4, "md-moco": 0.6, "muscle-naive": 0.7, "muscle": 0.9}


def labels(strength: float, seed: int, n: int = 80, task: str = "pne") -> Predictions:
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % 2
    sick = 1 / (1 + np.exp(-rng.normal(size=n) - strength * (2 * truth - 1)))
    ids = [f"{task}/{i}" for i in range(n)]
    return Predictions(
        task=task, kind="labels", classes=("no", "yes"), exclusive=True, ids=ids, patients=ids,
        truth=np.stack([1 - truth, truth], 1).astype(np.float32),
        output=np.stack([1 - sick, sick], 1).astype(np.float32),
    )  # fmt: skip


class Run:
    """Cells and their predictions, in memory."""

    def __init__(self, tasks: tuple[str, ...] = ("pne",), seeds: int = 2, n: int = 80) -> None:
        self.kept: dict[str, Predictions] = {}
        self.cells: list[dict[str, Any]] = []
        for recipe, strength in STRENGTH.items():
            for task in tasks:
                for seed in range(seeds):
                    name = f"{recipe}-{task}-{seed}"
                    self.kept[name] = labels(strength, len(self.kept), n, task)
                    self.cells.append({"recipe": recipe, "title": recipe.upper(), "backbone": "r18", "task": task,
                                       "kind": "labels", "classes": ["no", "yes"], "seed": seed, "metrics": {},
                                       "predictions": name})  # fmt: skip

    def pairs(self, baseline: str = BASELINE) -> list[Pair]:
        return pairs({"cells": self.cells}, baseline, self.kept.__getitem__)

    def runs(self, recipe: str, task: str = "pne") -> list[Predictions]:
        return [p for name, p in self.kept.items() if name.startswith(f"{recipe}-{task}-")]


def test_each_difference_is_that_of_the_means_over_seeds_and_p_is_holms() -> None:
    run = Run()
    found = run.pairs()
    assert [p.names for p in found] == [
        ("MD-MOCO", "SCRATCH"), ("MUSCLE-NAIVE", "SCRATCH"), ("MUSCLE", "SCRATCH"), ("MUSCLE", "MD-MOCO"),
        ("MUSCLE", "MUSCLE-NAIVE"),
    ]  # fmt: skip
    for pair in found:
        a, b = (name.lower() for name in pair.names)
        assert pair.found == compare(run.runs(a), run.runs(b), "auc")
    raw = [p.found.p for p in found if p.found]
    by_hand, largest = {}, 0.0
    for rank, p in enumerate(sorted(raw)):
        largest = max(largest, min(1.0, p * (len(raw) - rank)))
        by_hand[p] = largest
    assert [p.p for p in found] == pytest.approx([by_hand[p] for p in raw])


def test_the_sentences_are_the_fixed_ones() -> None:
    said = [p.sentence for p in Run().pairs()]
    assert said[0] == "the data do not tell MD-MOCO from SCRATCH on pne"
    assert said[2] == "MUSCLE is better than SCRATCH on pne"
    (few,) = {p.sentence for p in Run(n=8).pairs()}
    assert few == "too few cases to say"
    shown = table(Run(n=8).pairs()).rows[0]
    assert [c.text for c in shown[5:9]] == ["too few cases to say", "–", "–", "–"]


def test_the_sentence_goes_by_holms_p() -> None:
    (pair, *_) = Run().pairs()
    assert pair.found is not None
    pair = replace(pair, found=replace(pair.found, p=0.04), p=0.2)
    assert pair.sentence == "the data do not tell MD-MOCO from SCRATCH on pne"


def test_a_claim_that_is_also_a_baselines_row_stands_once() -> None:
    found = [p.names for p in Run().pairs("md-moco")]
    assert len(found) == len(set(found)) == 4 and ("MUSCLE", "MD-MOCO") in found


def test_what_was_not_run_or_not_kept_is_no_number() -> None:
    run = Run(("pne", "germ"))
    run.cells = [c for c in run.cells if (c["recipe"], c["task"]) != ("muscle", "germ")]
    for cell in run.cells:
        if (cell["recipe"], cell["task"], cell["seed"]) == ("md-moco", "germ", 1):
            del cell["predictions"]
    run.kept["muscle-naive-germ-0"] = replace(
        run.kept["muscle-naive-germ-0"], output=np.full((80, 2), np.nan, np.float32)
    )
    found = {(p.task, *p.names): p for p in run.pairs()}
    assert found["germ", "MUSCLE", "SCRATCH"].sentence == "MUSCLE not run"
    assert found["germ", "MUSCLE", "MD-MOCO"].sentence == "MUSCLE not run"
    assert found["germ", "MD-MOCO", "SCRATCH"].sentence == "MD-MOCO: no predictions kept"
    assert "predictions cannot be used (germ: " in found["germ", "MUSCLE-NAIVE", "SCRATCH"].sentence
    shown = {row[3].text: row for row in table(list(found.values())).rows if row[0].text == "germ"}
    assert all(cell.numbers in (("",), ("0 / 2",), ("2 / 0",), ("2",)) for cell in shown["MUSCLE"][6:])


def test_recipes_of_one_title_that_share_no_task_are_one_row() -> None:
    """As those that each leave one task out: on the task of the other they are not "not run"."""
    run = Run(("pne", "germ"), seeds=1)
    for cell in run.cells:
        if cell["recipe"] in ("muscle", "muscle-naive"):
            cell["title"] = "WITHOUT"
    mine = {"muscle": "germ", "muscle-naive": "pne"}
    run.cells = [c for c in run.cells if mine.get(c["recipe"], c["task"]) == c["task"]]
    found = [(p.task, *p.names) for p in run.pairs() if "WITHOUT" in p.names]
    assert found == [
        ("pne", "WITHOUT", "SCRATCH"),
        ("germ", "WITHOUT", "SCRATCH"),
        ("germ", "WITHOUT", "MD-MOCO"),
    ]
    assert not any(p.why for p in run.pairs())
    both = Run(seeds=1)  # of one title on one task: two rows, and each is compared
    for cell in both.cells:
        cell["title"] = "WITHOUT" if cell["recipe"] in mine else cell["title"]
    names = [p.names for p in both.pairs()]
    assert ("WITHOUT (muscle)", "SCRATCH") in names and ("WITHOUT (muscle-naive)", "SCRATCH") in names
    assert ("WITHOUT (muscle)", "WITHOUT (muscle-naive)") in names  # not "WITHOUT is better than WITHOUT"


def test_models_that_saw_other_cases_are_not_compared() -> None:
    run = Run(seeds=1)
    for recipe in ("muscle", "md-moco"):
        moved = run.kept[f"{recipe}-pne-0"]
        run.kept[f"{recipe}-pne-0"] = replace(moved, ids=[*moved.ids[:-1], "pne/other"])
    found = {p.names: p for p in run.pairs()}
    assert found["MUSCLE", "SCRATCH"].sentence == "not compared: judged on other cases"
    assert found["MUSCLE", "MD-MOCO"].found is not None  # these two on the same ones
    assert found["MUSCLE-NAIVE", "SCRATCH"].found is not None


@pytest.mark.parametrize(
    ("status", "why", "said"),
    [
        ("n too small", "2 cases of 1 patients", "too few cases to say (2 cases of 1 patients)"),
        ("one class in test", "yes: no negative case", "one class in test (yes: no negative case)"),
        ("ok", "", "its cases define no AUC"),
    ],
)
def test_a_score_that_the_cases_do_not_define_says_why(status: str, why: str, said: str) -> None:
    run = Run(seeds=1)
    for name, p in run.kept.items():  # one class in the test part: no AUC
        run.kept[name] = replace(p, truth=np.tile(np.float32([0, 1]), (80, 1)))
    run.cells = [cell | {"status": status, "why": why} for cell in run.cells]
    assert {p.sentence.partition(": ")[2] for p in run.pairs()} == {said}
    field = beside(run.pairs(), BASELINE)
    shown = {g.recipe: field(g) for g in grouped({"cells": run.cells}) if g.recipe != BASELINE}
    assert {(cell.text, cell.mark) for cell in shown.values()} == {("not compared", "said")}
    assert shown["muscle"].note == f"MUSCLE: {said}"


def test_beside_each_row_stands_its_difference_from_the_baseline() -> None:
    run = Run()
    field = beside(run.pairs(), BASELINE)
    texts = {g.recipe: field(g) for g in grouped({"cells": run.cells})}
    assert texts[BASELINE].text == "baseline"
    found = compare(run.runs("muscle"), run.runs(BASELINE), "auc")
    (p,) = (pair.p for pair in run.pairs() if pair.names == ("MUSCLE", "SCRATCH"))
    assert texts["muscle"].text == f"{100 * found.value:+.2f}" and p < 0.001
    assert texts["muscle"].note == f"{100 * found.low:+.2f} to {100 * found.high:+.2f},\np <.001"
    assert texts["muscle"].numbers == (found.value, found.low, found.high)


@pytest.mark.parametrize(
    ("p", "shown"),
    [(0.0009, "<.001"), (0.001, ".001"), (0.0496, ".050"), (0.9994, ".999"), (0.9995, "1"), (1.0, "1")],
)
def test_p_is_three_digits_and_never_zero(p: float, shown: str) -> None:
    (pair, *_) = Run().pairs()
    assert pair.found is not None
    row = table([replace(pair, found=replace(pair.found, p=p, low=-np.inf), p=p)]).rows[0]
    assert [c.text for c in row[7:9]] == [shown, shown] and row[6].note == "unknown"


def test_the_baseline_is_scratch_or_the_first_or_the_one_wanted() -> None:
    results = {"cells": [{"recipe": "imagenet"}, {"recipe": "scratch"}]}
    assert baseline_of(results) == "scratch"
    assert baseline_of(results, "imagenet") == "imagenet"
    assert baseline_of({"cells": [{"recipe": "a"}]}) == "a"
    assert baseline_of({"cells": []}) == ""
    assert baseline_of({"cells": [{"recipe": "a"}], "probes": [{"start": "md-moco"}]}, "md-moco") == "a"
    assert baseline_of({"cells": [], "probes": [{"start": "md-moco"}]}, "md-moco") == ""
    with pytest.raises(
        UserError, match="--baseline nothing: no such recipe here; there are imagenet, scratch"
    ):
        baseline_of(results, "nothing")


def test_beside_a_score_that_cannot_be_compared_stands_why_and_no_number() -> None:
    run = Run(seeds=1)
    del next(c for c in run.cells if c["recipe"] == "md-moco")["predictions"]
    few = run.kept["muscle-naive-pne-0"]
    run.kept["muscle-naive-pne-0"] = few.take(np.arange(0))  # no case at all
    field = beside(run.pairs(), BASELINE)
    shown = {g.recipe: field(g) for g in grouped({"cells": run.cells})}
    assert {name: shown[name].text for name in ("md-moco", "muscle-naive")} == {
        "md-moco": "not compared",
        "muscle-naive": "not compared",
    }
    assert shown["md-moco"].numbers == ("", "", "")
    small = Run(n=8)
    field = beside(small.pairs(), BASELINE)
    (cell,) = {field(g) for g in grouped({"cells": small.cells}) if g.recipe != BASELINE}
    assert (cell.text, cell.numbers) == ("no verdict", ("", "", "")) and cell.note.startswith("too few")
