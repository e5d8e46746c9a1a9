"""Scores of predictions against the truth.

Every score is a function of *weights* on the cases: the plain score has weight 1 everywhere, a bootstrap resample
has each case as often as it was drawn. So there is one implementation of each score, and what is dear (sorting,
counting pixels, matching boxes) is done once for all resamples. Shapes: N cases, C classes, T rows of weights.

A score that the cases do not define (AUC without positives) is NaN inside and absent from every result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from muscle.predictions import Predictions
from muscle.types import IGNORE

THRESHOLD = (
    0.5  # probability from which a case counts as positive; the paper does not give its own (METHODS 7.17)
)
IOUS = np.linspace(0.5, 0.95, 10)  # COCO's IoU thresholds
RECALLS = np.linspace(0.0, 1.0, 101)  # COCO's recall points
MAX_DETECTIONS = 100  # per image and class, as in COCO

Floats = NDArray[np.float64]
Values = dict[str, Floats]
Threshold = float | tuple[float, ...]
LOWER_IS_BETTER: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Scorer:
    """Scores as functions of weights.

    Attributes:
        values: weights [T, N] float64 >= 0 -> name of the score -> [T] float64, NaN where not defined.
        cases: name of the score -> how many cases can enter it (labels: those whose truth is known).
        bounds: name of the score -> least and greatest value that it can take; a name that is missing: (0, 1).
    """

    values: Callable[[Floats], Values]
    cases: dict[str, int]
    bounds: dict[str, tuple[float, float]] = field(default_factory=dict)


def score(p: Predictions, threshold: Threshold = THRESHOLD) -> dict[str, float]:
    """The scores of a set of predictions, each in [0, 1].

    labels: ``accuracy sensitivity specificity auc``. Two exclusive classes, or one class alone: of the last
    class, positive from ``threshold`` on. More classes: means over the classes (one against the rest; exclusive
    ones are decided by the largest probability, others by ``threshold``; accuracy of exclusive ones is the share
    of right decisions), and ``auc:<class>``. Unknown (NaN) truth is left out.

    mask: ``dice`` and ``dice:<class>``: Dice of each case, averaged over cases, then over the classes (not the
    background) that occur in the truth; a case without the class and without a prediction of it has Dice 1.
    ``miou``: intersection over union of the background and of each class that occurs, pixels pooled over all
    cases, averaged. Pixels with truth 255 count nowhere, nor do cases of nothing else. The paper says neither how
    cases are averaged nor what is in its mean; its numbers fit Dice of the lungs and the mean of lungs and
    background (95.37 -> IoU .9115 and, with background .973, mIoU .9422: METHODS 7.18), and pooling is what
    PaddleSeg, its framework, does.

    boxes: ``ap50`` and ``ap50:<class>``: average precision at IoU .5; ``map``: mean over IoU .5 to .95; both by
    COCO's 101 recall points, greedy matching in the order of the scores, at most 100 detections an image and
    class, averaged over the classes that have boxes. The paper's "mAP" is ``ap50`` here (METHODS 7.9).

    Raises:
        ValueError: a kind that has no scores.
    """
    values = scorer(p, threshold).values(np.ones((1, len(p))))
    return {name: float(v[0]) for name, v in values.items() if np.isfinite(v[0])}


def scorer(p: Predictions, threshold: Threshold = THRESHOLD) -> Scorer:
    """The scores of ``score`` as functions of weights on the cases."""
    if p.kind == "labels":
        return _labels(p, threshold)
    if p.kind == "mask":
        return _mask(p)
    if p.kind == "boxes":
        return _boxes(p)
    raise ValueError(f"{p.task}: no scores for {p.kind}; there are some for labels, mask, boxes")


# --- labels ---------------------------------------------------------------------------------------------------


def auc(truth: ArrayLike, output: ArrayLike, weights: Floats | None = None) -> Floats:
    """Area under the ROC curve as the Mann-Whitney statistic: P(positive above negative) + P(equal) / 2.

    ``truth`` [N] 1 / 0 / NaN (left out), ``output`` [N] any real, ``weights`` [T, N], default ones -> [T]
    float64, NaN where one class has no weight.
    """
    true, said = np.asarray(truth, np.float64), np.asarray(output, np.float64)
    weights = np.ones((1, len(true))) if weights is None else weights
    known = np.flatnonzero(~np.isnan(true))
    order = known[np.argsort(said[known], kind="stable")]
    if len(order) == 0:
        return np.full(len(weights), np.nan)
    ordered = said[order]
    starts = np.flatnonzero(
        np.concatenate([[True], ordered[1:] != ordered[:-1]])
    )  # of each run of equal outputs
    drawn = weights[:, order]
    positive = np.add.reduceat(drawn * (true[order] == 1), starts, axis=1)
    negative = np.add.reduceat(drawn * (true[order] == 0), starts, axis=1)
    wins = (positive * (np.cumsum(negative, axis=1) - negative / 2)).sum(1)
    return _ratio(wins, positive.sum(1) * negative.sum(1))


def roc(truth: ArrayLike, output: ArrayLike) -> tuple[Floats, Floats]:
    """The ROC curve: (1 - specificity, sensitivity), one point for each distinct output, from (0, 0) to (1, 1).

    ``truth`` [N] 1 / 0 / NaN (left out), ``output`` [N]. Empty arrays where one class is missing.
    """
    true, said = np.asarray(truth, np.float64), np.asarray(output, np.float64)
    known = np.flatnonzero(~np.isnan(true))
    order = known[np.argsort(-said[known], kind="stable")]
    hits, alarms = np.cumsum(true[order] == 1), np.cumsum(true[order] == 0)
    if len(order) == 0 or hits[-1] == 0 or alarms[-1] == 0:
        return np.zeros(0), np.zeros(0)
    last = np.flatnonzero(np.concatenate([said[order][1:] != said[order][:-1], [True]]))
    return np.r_[0.0, alarms[last] / alarms[-1]], np.r_[0.0, hits[last] / hits[-1]]


def _labels(p: Predictions, threshold: Threshold) -> Scorer:
    truth, output = (np.asarray(a, np.float64) for a in p.arrays)
    several = len(p.classes) > 2 or (len(p.classes) == 2 and not p.exclusive)
    if p.exclusive and several:
        decided = np.eye(len(p.classes), dtype=bool)[output.argmax(1)]
    else:
        truth, output = (truth, output) if several else (truth[:, -1:], output[:, -1:])
        decided = output >= threshold
    known = ~np.isnan(truth)
    positive, negative = truth == 1, truth == 0

    def values(weights: Floats) -> Values:
        sensitivity = _ratio(weights @ (decided & positive), weights @ positive)
        specificity = _ratio(weights @ (~decided & negative), weights @ negative)
        if p.exclusive and several:
            accuracy = _ratio(weights @ (decided & positive).any(1), weights @ known.all(1))
        else:
            accuracy = _mean(_ratio(weights @ ((decided == positive) & known), weights @ known))
        areas = np.stack([auc(t, o, weights) for t, o in zip(truth.T, output.T, strict=True)], axis=1)
        found = {"accuracy": accuracy, "sensitivity": _mean(sensitivity), "specificity": _mean(specificity),
                 "auc": _mean(areas)}  # fmt: skip
        if several:
            found |= {f"auc:{name}": areas[:, i] for i, name in enumerate(p.classes)}
        return found

    cases = dict.fromkeys(("accuracy", "sensitivity", "specificity", "auc"), int(known.any(1).sum()))
    if several:
        cases |= {f"auc:{name}": int(n) for name, n in zip(p.classes, known.sum(0), strict=True)}
    return Scorer(values, cases)


# --- masks ----------------------------------------------------------------------------------------------------


def _mask(p: Predictions) -> Scorer:
    truth, output = p.arrays
    both, there, said = (np.zeros((len(p), len(p.classes) + 1)) for _ in range(3))  # pixels [N, 1 + C]
    for i, (t, o) in enumerate(zip(truth, output, strict=True)):
        counted = t != IGNORE
        for c in range(len(p.classes) + 1):
            is_there, is_said = (t == c) & counted, (o == c) & counted
            both[i, c], there[i, c], said[i, c] = (is_there & is_said).sum(), is_there.sum(), is_said.sum()
    size = (there + said)[:, 1:]
    dice = np.where(size > 0, 2 * both[:, 1:] / np.maximum(size, 1), 1.0)
    union = there + said - both
    counts = (truth != IGNORE).any(axis=(1, 2))  # [N]: cases of which anything is known

    def values(weights: Floats) -> Values:
        present = weights @ there > 0  # [T, 1 + C]
        each = np.where(
            present[:, 1:], _ratio(weights @ (dice * counts[:, None]), weights @ counts[:, None]), np.nan
        )
        overlap = np.where(present, _ratio(weights @ both, weights @ union), np.nan)
        found = {"dice": _mean(each), "miou": _mean(overlap)}
        return found | {f"dice:{name}": each[:, i] for i, name in enumerate(p.classes)}

    return Scorer(
        values, {n: int(counts.sum()) for n in ("dice", "miou", *(f"dice:{name}" for name in p.classes))}
    )


# --- boxes ----------------------------------------------------------------------------------------------------


def iou(a: ArrayLike, b: ArrayLike) -> Floats:
    """Intersection over union of boxes (x0, y0, x1, y1): [n, 4], [m, 4] -> [n, m] float64; 0 where both are empty."""
    a, b = np.asarray(a, np.float64).reshape(-1, 1, 4), np.asarray(b, np.float64).reshape(1, -1, 4)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.clip(sides, 0, None).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - shared
    return np.nan_to_num(_ratio(shared, union))


def match(truth: ArrayLike, found: ArrayLike) -> NDArray[np.bool_]:
    """Which detections of one image and class are right, at each of ``IOUS``.

    Greedy as in COCO: in the given order, best score first, each detection takes the free true box that it
    overlaps most, if by at least the threshold (of equal ones the last). ``truth`` [m, 4], ``found`` [d, 4] ->
    [10, d] bool.
    """
    overlap = iou(found, truth)[:, ::-1]  # reversed, so that argmax takes the last of equal ones
    right = np.zeros((len(IOUS), len(overlap)), bool)
    free = np.ones((len(IOUS), overlap.shape[1]), bool)
    for d in np.flatnonzero(overlap.max(1, initial=0.0) >= IOUS[0]):
        open_to = np.where(free, overlap[d], -1.0)
        best = open_to.argmax(1)
        taken = np.flatnonzero(open_to.max(1) >= IOUS)
        right[taken, d] = True
        free[taken, best[taken]] = False
    return right


def _average_precision(
    weights: Floats, image: NDArray[np.int64], right: NDArray[np.bool_], boxes: Floats
) -> Floats:
    """Average precision of one class at each of ``IOUS``: [T, 10] float64, NaN where no true box has weight.

    ``weights`` [T, N]; of the D detections, best score first: ``image`` [D] and ``right`` [10, D]; ``boxes`` [N]
    true boxes an image. Precision can only peak at a right detection, so only those are looked at.
    """
    total = weights @ boxes
    result = np.full((len(weights), len(IOUS)), np.nan)
    at = [np.flatnonzero(r) for r in right]
    for t in np.flatnonzero(total > 0):  # one by one: all detections times all trials would not fit in memory
        drawn = weights[t, image]
        said = np.cumsum(drawn)
        for k, hit in enumerate(at):
            hits = np.cumsum(drawn[hit])
            precision = np.nan_to_num(_ratio(hits, said[hit]))
            precision = np.maximum.accumulate(precision[::-1])[::-1]
            reached = np.searchsorted(hits / total[t], RECALLS, side="left")
            result[t, k] = precision[reached[reached < len(hit)]].sum() / len(RECALLS)
    return result


def _boxes(p: Predictions) -> Scorer:
    truth, output = p.boxes
    classes = []
    for c in range(1, len(p.classes) + 1):
        images, scores, rights = [np.zeros(0, np.int64)], [np.zeros(0)], [np.zeros((len(IOUS), 0), bool)]
        for i, ((xyxy, label), (boxes, confidence, said)) in enumerate(zip(truth, output, strict=True)):
            mine = np.flatnonzero(said == c)
            mine = mine[np.argsort(-np.asarray(confidence, np.float64)[mine], kind="stable")][:MAX_DETECTIONS]
            images.append(np.full(len(mine), i))
            scores.append(np.asarray(confidence, np.float64)[mine])
            rights.append(match(xyxy[label == c], boxes[mine]))
        order = np.argsort(-np.concatenate(scores), kind="stable")
        there = np.array([float((label == c).sum()) for _, label in truth])
        classes.append((np.concatenate(images)[order], np.concatenate(rights, axis=1)[:, order], there))

    def values(weights: Floats) -> Values:
        areas = np.stack([_average_precision(weights, *c) for c in classes], axis=1)  # [T, C, 10]
        found = {"ap50": _mean(areas[..., 0]), "map": _mean(areas.mean(-1))}
        return found | {f"ap50:{name}": areas[:, i, 0] for i, name in enumerate(p.classes)}

    return Scorer(values, {n: len(p) for n in ("ap50", "map", *(f"ap50:{name}" for name in p.classes))})


# --- means that know what is not defined ----------------------------------------------------------------------


def _ratio(above: Floats, below: Floats) -> Floats:
    """The one by the other, NaN where the other is 0."""
    result: Floats = np.full(np.broadcast_shapes(above.shape, below.shape), np.nan)
    np.divide(above, below, out=result, where=below > 0)
    return result


def _mean(values: Floats) -> Floats:
    """Mean over the last axis of what is defined, NaN where nothing is."""
    defined = ~np.isnan(values)
    return _ratio(np.where(defined, values, 0.0).sum(-1), defined.sum(-1))
