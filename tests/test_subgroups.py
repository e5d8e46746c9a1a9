"""Scores of groups. Oracles: the intervals of the cases alone, and groups made worse on purpose."""

from __future__ import annotations

import numpy as np
import pytest

from muscle.predictions import Predictions
from muscle.statistics.intervals import intervals
from muscle.subgroups import age_band, as_rows, subgroups, worst


def cases(n: int = 120) -> Predictions:
    """One finding; noise in the lateral views, and sex M of 10 cases alone, all wrong."""
    rng = np.random.default_rng(0)
    truth = (np.arange(n) % 2).astype(np.float32)[:, None]
    view = ["PA" if i % 4 < 2 else "L" for i in range(n)]
    noise = np.where(np.array(view) == "L", 2.0, 0.6)[:, None]
    output = 1 / (1 + np.exp(-(truth - 0.5 + noise * rng.normal(size=(n, 1)))))
    sex = ["M" if i < 10 else "F" for i in range(n)]
    output[:10] = 1 - truth[:10]
    ages = [("17", "18", "64.5", "90", "", "old")[i // 2 % 6] for i in range(n)]
    return Predictions(
        task="t", kind="labels", classes=("finding",), exclusive=False, ids=[str(i) for i in range(n)],
        patients=[str(i // 2) for i in range(n)], truth=truth, output=output.astype(np.float32),
        columns={"view": view, "sex": sex, "age": ages, "source": ["one"] * n},
    )  # fmt: skip


def test_each_group_is_scored_as_if_alone() -> None:
    p = cases()
    found = {(g.column, g.value): g for g in subgroups(p)}
    assert {v for c, v in found if c == "age"} == {
        "0-17",
        "18-39",
        "40-64",
        "65+",
    }  # unknown ages in no group
    assert not any(c == "source" for c, _ in found)  # one value compares with nothing
    alone = p.take(np.array([v == "L" for v in p.columns["view"]]))
    group = found["view", "L"]
    assert group.score == intervals(alone)["auc"] and (group.n, group.patients) == (60, 30)
    assert sum(g.n for (c, _), g in found.items() if c == "sex") == len(p)


def test_the_worst_is_named_and_few_patients_do_not_stand() -> None:
    """Men are all wrong, but five of them say nothing of men."""
    found = subgroups(cases())
    assert worst(found)["view"] == "L" and worst(found).get("sex") == "F"
    (men,) = [g for g in as_rows(found) if g["value"] == "M"]
    assert men["why"] == "few patients (5, needed 20)" and men["score"]["value"] == 0


def test_a_group_of_one_class_has_no_score() -> None:
    p = cases()
    columns = {"view": ["A" if t else "B" for t in p.arrays[0][:, 0]]}
    one = Predictions(**{**{f: getattr(p, f) for f in p.__dataclass_fields__}, "columns": columns})
    found = subgroups(one)
    assert [(g.score, g.why) for g in found] == [(None, "one class")] * 2 and worst(found) == {}


@pytest.mark.parametrize(
    ("age", "band"),
    [
        ("0", "0-17"),
        ("17.9", "0-17"),
        ("18", "18-39"),
        ("40", "40-64"),
        ("65", "65+"),
        ("-1", ""),
        ("nan", ""),
    ],
)
def test_bands_of_age(age: str, band: str) -> None:
    assert age_band(age) == band
