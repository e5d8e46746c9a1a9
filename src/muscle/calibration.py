"""Temperature scaling: one number, fitted on validation, that makes probabilities mean what they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from muscle.errors import UserError
from muscle.predictions import Predictions

Floats = NDArray[np.float64]

LEAST = float(np.finfo(np.float32).tiny)  # what a probability of 0 is taken for
MOST = 1 - 2.0**-24  # of a sigmoid: what 1 is taken for, half the gap of float32 below it
RANGE = (0.05, 20.0)  # temperatures that are looked at
_HALVINGS = 60


def temperature(p: Predictions) -> float:
    """The temperature that minimizes the negative log-likelihood of labels; give it *validation* predictions.

    Logits are divided by it (Guo et al. 2017): above 1 the model was too sure. One number for all classes, by
    softmax where they are exclusive, by sigmoid otherwise. Unknown (NaN) truth is left out. The likelihood is
    concave in 1 / T, so its slope is halved in on; where every case is on its right side there is no minimum, and
    the lower end of ``RANGE`` is the answer.

    Raises:
        ValueError: no labels.
        UserError: outputs that are not finite, or no case with a known truth.
    """
    logits, truth = _logits(p), np.asarray(p.arrays[0], np.float64)
    known = ~np.isnan(truth)
    exclusive = _by_softmax(p)
    if not (known.all(1) if exclusive else known).any():
        raise UserError(f"{p.task}: no case with a known truth, so no temperature; give labels to validation")
    if exclusive:
        truth, logits = truth[known.all(1)], logits[known.all(1)]
    else:
        truth, logits = truth[known][:, None], logits[known][:, None]

    def slope(sharper: float) -> float:
        """Of the negative log-likelihood along 1 / T."""
        return float(((_probabilities(logits * sharper, exclusive) - truth) * logits).sum())

    low, high = (np.log(1 / t) for t in reversed(RANGE))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if slope(np.exp(middle)) > 0 else (middle, high)
    return float(np.exp(-(low + high) / 2))


def calibrated(p: Predictions, t: float) -> Predictions:
    """The same predictions with probabilities at temperature ``t``.

    The decisions at .5 and by the largest probability stay. So does the order of the cases, up to rounding to
    float32, but for more than two exclusive classes.

    Raises:
        ValueError: a temperature that is not above 0, or no labels.
    """
    if not 0 < t < np.inf:
        raise ValueError(f"temperature {t}; allowed: above 0")
    output = _probabilities(_logits(p) / t, _by_softmax(p))
    return replace(p, output=output.astype(np.float32))


def _by_softmax(p: Predictions) -> bool:
    return p.exclusive and len(p.classes) > 1


def _logits(p: Predictions) -> Floats:
    """Logits [N, C] float64 of the probabilities; of a softmax up to a constant a row."""
    if p.kind != "labels":
        raise ValueError(f"{p.task}: temperature scaling is of labels, not of {p.kind}")
    p.refuse_nan()
    said = np.maximum(np.asarray(p.arrays[1], np.float64), LEAST)
    logits: Floats = np.log(said) if _by_softmax(p) else np.log(said) - np.log1p(-np.minimum(said, MOST))
    return logits


def _probabilities(logits: Floats, by_softmax: bool) -> Floats:
    found: Floats = softmax(logits, axis=1) if by_softmax else expit(logits)
    return found
