"""Draws of labelled patients. Oracles: set relations, counts by hand, the same call on shuffled rows."""

from __future__ import annotations

import numpy as np
import pytest

from muscle.data.label_draws import label_draw
from muscle.errors import UsageError

SHARES = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0)


def people(n: int, sick: float = 0.3, films: int = 3) -> tuple[list[str], np.ndarray]:
    """``n`` patients with up to ``films`` films each, of two classes that exclude each other."""
    rng = np.random.default_rng(0)
    patients, labels = [], []
    for i in range(n):
        ill = float(i < sick * n)
        for _ in range(1 + int(rng.integers(films))):
            patients.append(f"p{i:04}")
            labels.append([1 - ill, ill])
    return patients, np.array(labels, np.float32)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_draws_are_nested_and_of_whole_patients(seed: int) -> None:
    patients, labels = people(200)
    of = np.array(patients)
    before: set[int] = set()
    for share in SHARES:
        rows = label_draw(patients, labels, share, seed)
        drawn = set(rows.tolist())
        assert before <= drawn
        assert drawn == set(np.flatnonzero(np.isin(of, of[rows])).tolist())  # nobody in part
        assert len(set(of[rows])) == max(2, round(share * 200))
        before = drawn
    assert len(before) == len(patients)


def test_patients_are_drawn_in_proportion_and_every_class_is_there() -> None:
    patients, labels = people(400, sick=0.25, films=1)
    for seed in range(20):
        assert labels[label_draw(patients, labels, 0.5, seed), 1].sum() == pytest.approx(50, abs=1)
    patients, labels = people(400, sick=0.005, films=1)  # two of 400
    for seed in range(20):
        found = labels[label_draw(patients, labels, 0.01, seed)]
        assert found[:, 1].sum() >= 1 and len(found) == 4


def test_several_findings_and_unknown_ones() -> None:
    """Each value of each finding that occurs is in the smallest draw; what is unknown throughout cannot be."""
    labels = np.zeros((100, 4), np.float32)
    labels[:2, 0] = labels[50:52, 1] = 1
    labels[:, 2] = np.nan
    labels[:20, 3] = labels[30:, 3] = np.nan
    for seed in range(20):
        found = labels[label_draw([str(i) for i in range(100)], labels, 0.01, seed)]
        assert found[:, 0].max() == found[:, 1].max() == 1 and np.isfinite(found[:, 3]).any()
        assert len(found) <= 4


def test_a_patient_has_what_any_of_the_films_has() -> None:
    """The one who is ill on the first of two films is in every draw, with both."""
    patients = ["ill", "ill", *(f"p{i}" for i in range(30))]
    labels = np.zeros((32, 1), np.float32)
    labels[0] = 1
    for seed in range(10):
        assert {0, 1} <= set(label_draw(patients, labels, 0.05, seed).tolist())


def test_shares_are_rounded_to_the_nearest_number_of_patients() -> None:
    patients, labels = list("abcdefg"), np.ones((7, 1), np.float32)
    assert [len(label_draw(patients, labels, share, 0)) for share in (0.2, 0.25, 0.4, 0.95)] == [1, 2, 3, 7]
    assert label_draw([], labels[:0], 0.5, 0).tolist() == []


def test_a_patient_unlike_all_others_is_drawn_as_often_as_they() -> None:
    """Of a quarter of the patients: in about a quarter of the draws, neither in none nor in all."""
    labels = np.array([[1, 1], *[[1, 0], [0, 1], [0, 0]] * 13], np.float32)
    patients = [f"p{i}" for i in range(40)]
    often = sum(0 in label_draw(patients, labels, 0.25, seed) for seed in range(200))
    assert 30 < often < 75  # also where the first of a class must come


def test_seeds_differ_and_the_order_of_the_rows_does_not_count() -> None:
    patients, labels = people(100)
    draws = [frozenset(label_draw(patients, labels, 0.1, seed).tolist()) for seed in range(5)]
    assert len(set(draws)) == 5
    turn = np.random.default_rng(1).permutation(len(patients))
    again = label_draw([patients[i] for i in turn], labels[turn], 0.1, 0)
    assert frozenset(turn[again].tolist()) == draws[0]


@pytest.mark.parametrize("share", [0.0, -0.1, 1.01, float("nan")])
def test_a_share_that_is_none(share: float) -> None:
    with pytest.raises(UsageError, match="above 0 and at most 1"):
        label_draw(["a"], np.ones((1, 1), np.float32), share, 0)
