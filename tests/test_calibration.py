"""Temperatures at the ends and of bad input. (Where it lies between: tests/oracles/test_calibration.py.)"""

from __future__ import annotations

import numpy as np
import pytest

from muscle.calibration import RANGE, calibrated, temperature
from muscle.errors import UserError
from muscle.predictions import Predictions


def labels(truth: object, output: object, exclusive: bool = False) -> Predictions:
    truth, output = np.asarray(truth, np.float32), np.asarray(output, np.float32)
    ids = [str(i) for i in range(len(truth))]
    return Predictions(task="t", kind="labels", classes=tuple("abc"[: truth.shape[1]]), exclusive=exclusive, ids=ids,
                       patients=ids, truth=truth, output=output)  # fmt: skip


def test_cases_that_are_all_right_or_all_wrong_lead_to_the_ends() -> None:
    right = labels([[1], [0]], [[0.8], [0.3]])
    assert temperature(right) == pytest.approx(RANGE[0], rel=1e-9)
    assert temperature(labels([[0], [1]], [[0.8], [0.3]])) == pytest.approx(RANGE[1], rel=1e-9)


def test_probabilities_of_0_and_1_stay_finite() -> None:
    for exclusive in (False, True):
        p = labels([[1, 0], [0, 1], [1, 0], [0, 1]], [[1, 0], [0, 1], [0, 1], [0.5, 0.5]], exclusive)
        t = temperature(p)
        made = calibrated(p, t).arrays[1]
        assert np.isfinite(made).all() and made.dtype == np.float32 and made.min() >= 0 and made.max() <= 1
        assert made[0, 0] > made[3, 0] == pytest.approx(0.5) and made[1, 0] < 0.5
        if exclusive:
            np.testing.assert_allclose(made.sum(1), 1, atol=1e-6)


def test_at_1_nothing_changes_and_unknown_truth_is_left_out() -> None:
    rng = np.random.default_rng(0)
    output = rng.dirichlet([1, 1, 1], 20)
    p = labels(np.eye(3)[rng.integers(0, 3, 20)], output, exclusive=True)
    np.testing.assert_allclose(calibrated(p, 1.0).arrays[1], p.arrays[1], atol=1e-6)
    more = labels(
        np.concatenate([p.arrays[0], [[np.nan, 1, np.nan]]]), np.concatenate([output, [[1, 0, 0]]]), True
    )
    assert temperature(more) == temperature(p)


def test_bad_input_is_named() -> None:
    with pytest.raises(UserError, match="t: no case with a known truth, so no temperature"):
        temperature(labels([[np.nan]], [[0.5]]))
    with pytest.raises(ValueError, match="temperature 0; allowed: above 0"):
        calibrated(labels([[1]], [[0.5]]), 0)
    mask = Predictions(task="m", kind="mask", classes=("a",), exclusive=True, ids=["1"], patients=["1"],
                       truth=np.zeros((1, 2, 2), np.uint8), output=np.zeros((1, 2, 2), np.uint8))  # fmt: skip
    with pytest.raises(ValueError, match="m: temperature scaling is of labels, not of mask"):
        temperature(mask)
