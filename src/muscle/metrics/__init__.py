"""Scores of predictions against the truth, in NumPy; each one's formula and source: docs/metrics.md.

Every score is a function of *weights* on the cases: the plain score has weight 1 everywhere, a bootstrap resample
has each case as often as it was drawn. So there is one implementation of each score, and what is dear (sorting,
counting pixels, matching boxes) is done once for all resamples. Shapes: N cases, C classes, T rows of weights.

A score that the cases do not define (AUC without positives) is NaN inside and absent from every result.
"""

from __future__ import annotations

import numpy as np

from muscle.metrics.boxes import box_scorer, froc_curves, iou, match
from muscle.metrics.labels import THRESHOLD, Threshold, auc, average_precision, label_scorer, reliability, roc
from muscle.metrics.masks import mask_scorer, surface_distances
from muscle.metrics.thresholds import operating_point
from muscle.metrics.values import value_scorer
from muscle.metrics.weighing import Scorer
from muscle.predictions import Predictions

__all__ = [
    "LOWER_IS_BETTER",
    "THRESHOLD",
    "Scorer",
    "Threshold",
    "auc",
    "average_precision",
    "froc_curves",
    "iou",
    "match",
    "operating_point",
    "reliability",
    "roc",
    "score",
    "scorer",
    "surface_distances",
]

# Names before any `:<class>`.
LOWER_IS_BETTER = frozenset({"brier", "ece", "hd95", "asd", "hd95_mm", "asd_mm", "one_empty", "mae", "rmse"})


def score(p: Predictions, threshold: Threshold = THRESHOLD, distances: bool = True) -> dict[str, float]:
    """The scores of a set of predictions; those that the cases do not define are absent.

    labels: ``accuracy sensitivity specificity auc average_precision brier ece``, and of several classes
    ``auc:<class>``, ``average_precision:<class>`` (``label_scorer``). mask: ``dice miou hd95 asd one_empty``, where the
    spacing is known ``hd95_mm asd_mm``, and each but ``miou`` and ``one_empty`` with ``:<class>`` (``mask_scorer``).
    boxes: ``ap50 map froc``, ``ap50:<class>``, ``froc:<class>`` (``box_scorer``). value: ``mae rmse``
    (``value_scorer``).

    All are in [0, 1] but ``hd95`` and ``asd`` (pixels of the store, or ``_mm``), ``mae`` and ``rmse`` (the target's).

    Args:
        p: truth and output.
        threshold: labels: the output from which a case counts as positive, one or one a class.
        distances: False: without ``hd95`` and ``asd``, which cost more than all else.

    Raises:
        ValueError: a kind that has no scores, or as many thresholds as fit no class.
        UserError: outputs that are not finite.
    """
    values = scorer(p, threshold, distances).values(np.ones((1, len(p))))
    return {name: float(v[0]) for name, v in values.items() if np.isfinite(v[0])}


def scorer(p: Predictions, threshold: Threshold = THRESHOLD, distances: bool = True) -> Scorer:
    """The scores of ``score`` as functions of weights on the cases; raises what it raises."""
    p.refuse_nan()
    if p.kind == "labels":
        return label_scorer(p, threshold)
    if p.kind == "mask":
        return mask_scorer(p, distances)
    if p.kind == "boxes":
        return box_scorer(p)
    if p.kind == "value":
        return value_scorer(p)
    raise ValueError(f"{p.task}: no scores for {p.kind}; there are some for labels, mask, boxes, value")
