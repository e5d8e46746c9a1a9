"""Errors of numbers. Oracle: scikit-learn's, weighted."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, root_mean_squared_error

from muscle.metrics import LOWER_IS_BETTER, score, scorer
from muscle.predictions import Predictions


def ages(truth: list[float], output: list[float]) -> Predictions:
    ids = [str(i) for i in range(len(truth))]
    pair = [np.array(column, np.float32).reshape(-1, 1) for column in (truth, output)]
    return Predictions(task="age", kind="value", classes=(), exclusive=True, ids=ids, patients=ids, truth=pair[0],
                       output=pair[1])  # fmt: skip


def test_by_hand() -> None:
    p = ages([120, 100, np.nan], [123, 96, 50])
    assert score(p) == pytest.approx({"mae": 3.5, "rmse": 12.5**0.5})
    of = scorer(p)
    assert of.cases == {"mae": 2, "rmse": 2} and of.bounds == {"mae": (0, np.inf), "rmse": (0, np.inf)}
    assert {"mae", "rmse"} <= LOWER_IS_BETTER
    assert score(ages([], [])) == score(ages([np.nan], [3])) == {}


@pytest.mark.oracle
def test_weighted_errors_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    p = ages(list(rng.normal(120, 40, 30)), list(rng.normal(120, 40, 30)))
    weights = rng.integers(0, 4, (5, 30)).astype(float)
    found = scorer(p).values(weights)
    truth, output = (a.astype(float) for a in p.arrays)
    for t, w in enumerate(weights):
        assert found["mae"][t] == pytest.approx(mean_absolute_error(truth, output, sample_weight=w), abs=1e-9)
        assert found["rmse"][t] == pytest.approx(
            root_mean_squared_error(truth, output, sample_weight=w), abs=1e-9
        )
