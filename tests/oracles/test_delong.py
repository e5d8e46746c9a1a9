"""The AUC's variance. Oracle: DeLong's kernel as a double loop over pairs, and its sums written out."""

from __future__ import annotations

import numpy as np
import pytest

from muscle.statistics.delong import area, binormal, components

pytestmark = pytest.mark.oracle


def drawn(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """With ties."""
    rng = np.random.default_rng(seed)
    truth = (rng.random(n) < 0.4).astype(float)
    return truth, np.round(rng.normal(size=n) + truth, 1)


def slow(truth: np.ndarray, output: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    positive, negative = output[truth == 1], output[truth == 0]
    kernel = np.zeros((len(positive), len(negative)))
    for i, x in enumerate(positive):
        for j, y in enumerate(negative):
            kernel[i, j] = 1.0 if x > y else 0.5 if x == y else 0.0
    return float(kernel.mean()), kernel.mean(1), kernel.mean(0)


@pytest.mark.parametrize("seed", range(5))
def test_components_and_variance_are_those_of_the_double_loop(seed: int) -> None:
    truth, output = drawn(60, seed)
    value, above, below = slow(truth, output)
    found = components(output[truth == 1], output[truth == 0])
    np.testing.assert_allclose(found[0], above, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found[1], below, rtol=0, atol=1e-12)
    one = area(truth, output, np.arange(60), 60)
    assert one is not None and one.value == pytest.approx(value, abs=1e-12)
    delong = np.var(above, ddof=1) / len(above) + np.var(below, ddof=1) / len(below)
    assert float((one.by_cluster**2).sum()) == pytest.approx(delong, rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_the_difference_of_two_aucs_has_delongs_covariance(seed: int) -> None:
    truth, output = drawn(60, seed)
    other = output + np.random.default_rng(seed + 9).normal(size=60)
    parts = [slow(truth, o)[1:] for o in (output, other)]
    covariance = sum(np.cov(parts[0][k], parts[1][k], ddof=1) / len(parts[0][k]) for k in (0, 1))
    expected = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    one, two = (area(truth, o, np.arange(60), 60) for o in (output, other))
    assert one is not None and two is not None
    assert float(((one.by_cluster - two.by_cluster) ** 2).sum()) == pytest.approx(expected, rel=1e-12)


def test_by_patient_the_components_are_summed_without_that_patient() -> None:
    truth, output = drawn(90, 3)
    of = np.arange(90) // 3
    value, above, below = slow(truth, output)
    expected = np.zeros(30)
    for kind, place in ((1, above), (0, below)):
        whose, n = of[truth == kind], (truth == kind).sum()
        there = len(set(whose))
        for g in set(whose):
            mine = place[whose == g]
            expected[g] += (mine - value).sum() / (n - len(mine)) * np.sqrt((there - 1) / there)
    found = area(truth, output, of, 30)
    assert found is not None
    np.testing.assert_allclose(found.by_cluster, expected, rtol=0, atol=1e-12)


def test_hanley_and_mcneils_variance_is_that_of_exponential_outputs() -> None:
    rng = np.random.default_rng(0)
    shift = 0.8 / 0.2  # of scales: P(positive > negative) = scale / (1 + scale) = .8
    values = [
        slow(np.r_[np.ones(20), np.zeros(20)], np.r_[rng.exponential(shift, 20), rng.exponential(1, 20)])[0]
        for _ in range(4000)
    ]
    assert np.var(values) == pytest.approx(binormal(0.8, 20, 20), rel=0.08)


def test_one_positive_patient_shows_no_spread() -> None:
    truth, output = np.r_[np.ones(3), np.zeros(5)], np.arange(8.0)
    assert area(truth, output, np.array([0, 0, 0, 1, 2, 3, 4, 5]), 6) is None
    assert area(np.ones(4), np.arange(4.0), np.arange(4), 4) is None
