"""Degrees of freedom of the AUC's variance. Oracle: Welch's test of SciPy on the components of the two classes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from muscle.statistics.delong import area, components


def drawn(positives: int, negatives: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    truth = np.r_[np.ones(positives), np.zeros(negatives)]
    return truth, np.random.default_rng(seed).normal(size=len(truth)) + truth


@pytest.mark.parametrize(("positives", "negatives"), [(5, 60), (30, 30), (80, 3), (2, 40)])
def test_degrees_of_freedom_are_welchs(positives: int, negatives: int) -> None:
    truth, output = drawn(positives, negatives)
    found = area(truth, output, np.arange(len(truth)), len(truth))
    assert found is not None
    sides = components(output[truth == 1], output[truth == 0])
    assert found.df == pytest.approx(stats.ttest_ind(*sides, equal_var=False).df)
    assert found.effective == pytest.approx(min(positives, negatives))


def test_films_of_one_patient_are_one_and_two_patients_of_a_class_are_enough() -> None:
    """Each film three times over: the same degrees of freedom as once. One patient of a class shows no spread."""
    truth, output = drawn(9, 20)
    once = area(truth, output, np.arange(29), 29)
    thrice = area(np.tile(truth, 3), np.tile(output, 3), np.tile(np.arange(29), 3), 29)
    assert once is not None and thrice is not None
    assert thrice.df == pytest.approx(once.df) and thrice.effective == pytest.approx(9)
    truth, output = drawn(2, 20)
    assert area(truth, output, np.arange(22), 22) is not None
    assert area(truth, output, np.r_[0, 0, np.arange(2, 22)], 22) is None


def test_without_any_spread_they_are_those_of_the_rarer_class() -> None:
    truth = np.r_[np.ones(7), np.zeros(30)]
    found = area(truth, truth, np.arange(37), 37)
    assert found is not None and (found.value, found.variance, found.df) == (1.0, 0.0, pytest.approx(6))


def test_a_class_that_is_not_there_has_no_area() -> None:
    with np.errstate(all="raise"):
        assert area(np.ones(6), np.arange(6.0), np.arange(6), 6) is None
        assert area(np.zeros(6), np.arange(6.0), np.arange(6), 6) is None
