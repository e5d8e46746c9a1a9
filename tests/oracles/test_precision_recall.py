"""Oracle: scikit-learn's average precision, weighted too, to 1e-12."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from muscle.metrics import average_precision


@pytest.mark.oracle
@pytest.mark.parametrize("seed", range(8))
def test_average_precision_with_ties_and_weights_is_scikit_learns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(10, 300))
    truth = rng.integers(0, 2, n).astype(float)
    output = np.round(rng.normal(size=n) + truth, int(rng.integers(0, 3)))  # rounded: many ties
    weights = np.concatenate([np.ones((1, n)), rng.integers(0, 4, (3, n)).astype(float)])
    expected = [average_precision_score(truth, output, sample_weight=w) for w in weights]
    np.testing.assert_allclose(average_precision(truth, output, weights), expected, rtol=0, atol=1e-12)
    unknown, anything = np.append(truth, np.nan), np.append(output, 9.0)
    assert average_precision(unknown, anything)[0] == pytest.approx(expected[0], abs=1e-12)
