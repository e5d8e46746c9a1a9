"""Oracle: scikit-learn's AUC, ROC curve and weighted AUC, to 1e-12."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from muscle.metrics import auc, roc


@pytest.mark.oracle
@pytest.mark.parametrize("seed", range(8))
def test_auc_with_ties_and_weights_is_scikit_learns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(10, 300))
    truth = rng.integers(0, 2, n).astype(float)
    output = np.round(rng.normal(size=n) + truth, int(rng.integers(0, 3)))  # rounded: many ties
    weights = np.concatenate([np.ones((1, n)), rng.integers(0, 4, (3, n)).astype(float)])
    expected = [roc_auc_score(truth, output, sample_weight=w) for w in weights]
    np.testing.assert_allclose(auc(truth, output, weights), expected, rtol=0, atol=1e-12)


@pytest.mark.oracle
def test_roc_is_scikit_learns() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 2, 100)
    output = np.round(rng.normal(size=100) + truth, 1)
    across, up, _ = roc_curve(truth, output, drop_intermediate=False)
    np.testing.assert_allclose(roc(truth, output), (across, up), rtol=0, atol=1e-12)
