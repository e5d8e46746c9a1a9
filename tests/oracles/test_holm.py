"""Holm's correction. Oracle: by hand, and its definition as a stepwise test."""

from __future__ import annotations

import numpy as np
import pytest

from muscle.statistics.comparison import holm

pytestmark = pytest.mark.oracle


def test_holm_by_hand() -> None:
    # ranked .005 .01 .03 .04, times 4 3 2 1: .02 .03 .06 .04, never falling
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.5]) == [1.0, 1.0] and holm([]) == [] and holm([0.2]) == [0.2]


def test_holm_rejects_what_the_stepwise_test_rejects() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        ps = rng.beta(0.3, 3, 6)
        rejected = set()
        for step, i in enumerate(np.argsort(ps)):
            if ps[i] > 0.05 / (6 - step):
                break
            rejected.add(int(i))
        assert {i for i, p in enumerate(holm(list(ps))) if p <= 0.05} == rejected


def test_what_is_no_p_is_refused() -> None:
    with pytest.raises(ValueError, match="allowed: 0 to 1"):
        holm([0.1, float("nan")])
