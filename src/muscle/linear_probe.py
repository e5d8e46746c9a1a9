"""Logistic regression on frozen features: what a linear reading of them is worth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from muscle.features import mean_auc

Floats = NDArray[np.float32]

# Inverse penalty of scikit-learn: the sum of the cases' losses weighs C against |w|^2 / 2 (grid: our choice).
GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
UNSELECTED = 1e-2  # where no validation case tells the rates apart


@dataclass(frozen=True)
class LinearProbe:
    """``c`` as chosen on validation; ``valid`` that AUC, None where undefined; ``output`` [M, C] probabilities."""

    c: float
    valid: float | None
    output: Floats


def linear_probe(
    train: Floats, labels: Floats, valid: Floats, truth: Floats, test: Floats, exclusive: bool
) -> LinearProbe:
    """Logistic regression on standardized features, the penalty chosen on validation.

    Features are standardized by mean and deviation of the training rows alone. Of the penalties in ``GRID`` the one
    with the highest validation AUC is taken, of equal ones the strongest; the fit is on the training rows alone.

    Args:
        train: [N, D] features; labels: [N, C] 1 / 0 / NaN.
        valid: [V, D] features; truth: [V, C] 1 / 0 / NaN.
        test: [M, D] features.
        exclusive: classes exclude each other: one multinomial fit on the rows whose label is known; else one fit a
            class, on the rows that know it.
    """
    center, scale = train.mean(0, dtype=np.float64), train.std(0, dtype=np.float64)
    scale[scale < 1e-12] = 1.0  # a constant feature says nothing, and would be divided by nothing
    x, v, t = ((part - center) / scale for part in (train, valid, test))
    best: LinearProbe | None = None
    for c in GRID if len(valid) else (UNSELECTED,):
        both = _outputs(x, labels, np.concatenate([v, t]), c, exclusive)
        score = mean_auc(truth, both[: len(v)], exclusive) if len(valid) else None
        if score is None and c != UNSELECTED:
            continue
        if best is None or (score is not None and score > (best.valid or 0.0)):
            best = LinearProbe(c, score, both[len(v) :])
    assert best is not None  # UNSELECTED is in the grid
    return best


def _outputs(
    x: NDArray[np.float64], labels: Floats, z: NDArray[np.float64], c: float, exclusive: bool
) -> Floats:
    """Probabilities [M, C] of ``z``."""
    found = np.zeros((len(z), labels.shape[1]), np.float32)
    if exclusive:
        known = np.isfinite(labels).all(1)
        classes, probabilities = _fitted(x[known], labels[known].argmax(1), z, c)
        found[:, classes] = probabilities
        return found
    for k in range(labels.shape[1]):
        known = np.isfinite(labels[:, k])
        classes, probabilities = _fitted(x[known], labels[known, k].astype(np.int64), z, c)
        found[:, k] = probabilities[:, classes == 1].sum(1)
    return found


def _fitted(
    x: NDArray[np.float64], y: NDArray[np.int64], z: NDArray[np.float64], c: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The classes that occur, and the probability of each [M, classes]; of one class alone it is certain."""
    from sklearn.linear_model import LogisticRegression  # takes a second to import

    classes = np.unique(y)
    if len(classes) < 2:
        return classes, np.ones((len(z), len(classes)))
    model = LogisticRegression(C=c, max_iter=10_000).fit(x, y)
    return model.classes_, model.predict_proba(z)
