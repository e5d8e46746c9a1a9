"""Errors of numbers: mean absolute and root mean square."""

from __future__ import annotations

import numpy as np

from muscle.metrics.weighing import Floats, Scorer, Values, ratio
from muscle.predictions import Predictions


def value_scorer(p: Predictions) -> Scorer:
    """``mae`` and ``rmse`` of outputs [N, 1], in the unit of the target; a case of unknown (NaN) truth is left out."""
    truth, output = (np.asarray(a, np.float64)[:, 0] for a in p.arrays)
    known = ~np.isnan(truth)
    error = np.where(known, output - truth, 0.0)

    def values(weights: Floats) -> Values:
        n = weights @ known
        return {"mae": ratio(weights @ np.abs(error), n), "rmse": np.sqrt(ratio(weights @ error**2, n))}

    names = ("mae", "rmse")
    return Scorer(values, dict.fromkeys(names, int(known.sum())), dict.fromkeys(names, (0.0, np.inf)))
