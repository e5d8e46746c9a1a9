"""Quantiles and intervals of proportions. Oracles: SciPy, and R's printed values."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.special import betainc

from muscle.statistics.proportions import all_alike, logit, wilson
from muscle.statistics.quantiles import incomplete_beta, student_p, student_quantile

pytestmark = pytest.mark.oracle


@pytest.mark.parametrize("df", [1, 2, 3, 7, 30, 400, 100_000])
def test_students_quantiles_are_scipys(df: int) -> None:
    for level in (0.5, 0.95, 0.999):
        expected = stats.t.ppf((1 + level) / 2, df)
        assert student_quantile(level, df) == pytest.approx(expected, rel=1e-10)
    for t in (0.0, 0.3, -2.0, 5.0, 40.0):
        assert student_p(t, df) == pytest.approx(2 * stats.t.sf(abs(t), df), rel=1e-9, abs=1e-300)


def test_the_incomplete_beta_function_is_scipys() -> None:
    rng = np.random.default_rng(0)
    for a, b, x in zip(*rng.uniform(0.3, 50, (2, 200)), rng.random(200), strict=True):
        assert incomplete_beta(a, b, x) == pytest.approx(betainc(a, b, x), rel=1e-10, abs=1e-280)
    assert incomplete_beta(2, 3, 0.0) == 0 and incomplete_beta(2, 3, 1.0) == 1


@pytest.mark.parametrize(("k", "n"), [(0, 10), (1, 10), (19, 20), (20, 20), (73, 200)])
def test_wilsons_interval_is_scipys(k: int, n: int) -> None:
    expected = stats.binomtest(k, n).proportion_ci(method="wilson")
    assert wilson(k / n, n, stats.norm.ppf(0.975)) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilsons_interval_stays_inside_also_where_numbers_are_rounded() -> None:
    for n in range(1, 100):
        assert wilson(0, n, 1.96)[0] >= 0 and wilson(1, n, 1.96)[1] <= 1


@pytest.mark.parametrize("n", [1, 2, 10, 500])
def test_all_or_none_has_clopper_and_pearsons_bound(n: int) -> None:
    for k in (0, n):
        for level in (0.9, 0.95):
            expected = stats.binomtest(k, n).proportion_ci(level, method="exact")
            assert all_alike(k / n, n, level) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_the_logit_interval_is_symmetric_in_log_odds_and_stays_inside() -> None:
    for share in (0.1, 0.9):
        low, high = logit(share, 0.04, 2.0)
        odds = [np.log(p / (1 - p)) for p in (low, share, high)]
        assert odds[1] - odds[0] == pytest.approx(odds[2] - odds[1]) == pytest.approx(2 * 0.04 / 0.09)
    assert all(0 <= end <= 1 for end in logit(0.999, 5.0, 12.7))
