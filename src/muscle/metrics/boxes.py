"""Scores of boxes: COCO's average precision, and FROC."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from muscle.metrics.weighing import Floats, Scorer, Values, mean, ratio
from muscle.predictions import Predictions

IOUS = np.linspace(0.5, 0.95, 10)  # COCO's IoU thresholds
RECALLS = np.linspace(0.0, 1.0, 101)  # COCO's recall points
MAX_DETECTIONS = 100  # per image and class, as in COCO
FALSE_ALARMS = np.array([1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8])  # an image, as in LUNA16


def iou(a: ArrayLike, b: ArrayLike) -> Floats:
    """Intersection over union of boxes (x0, y0, x1, y1): [n, 4], [m, 4] -> [n, m] float64; 0 where both are empty."""
    a, b = np.asarray(a, np.float64).reshape(-1, 1, 4), np.asarray(b, np.float64).reshape(1, -1, 4)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.clip(sides, 0, None).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - shared
    return np.nan_to_num(ratio(shared, union))


def match(truth: ArrayLike, found: ArrayLike) -> NDArray[np.bool_]:
    """Which detections of one image and class are right, at each of ``IOUS``.

    Greedy as in COCO: in the given order, best score first, each detection takes the free true box that it
    overlaps most, if by at least the threshold (of equal ones the last). ``truth`` [m, 4], ``found`` [d, 4] ->
    [10, d] bool.
    """
    return _match(iou(found, truth))


def _match(overlap: Floats) -> NDArray[np.bool_]:
    overlap = overlap[:, ::-1]  # reversed, so that argmax takes the last of equal ones
    right = np.zeros((len(IOUS), len(overlap)), bool)
    free = np.ones((len(IOUS), overlap.shape[1]), bool)
    for d in np.flatnonzero(overlap.max(1, initial=0.0) >= IOUS[0]):
        open_to = np.where(free, overlap[d], -1.0)
        best = open_to.argmax(1)
        taken = np.flatnonzero(open_to.max(1) >= IOUS)
        right[taken, d] = True
        free[taken, best[taken]] = False
    return right


@dataclass(frozen=True, slots=True)
class _Detections:
    """What was found of one class, best first: D detections on N images.

    Attributes:
        image: [D] int64.
        score: [D] float64.
        right: [10, D] bool, at each of ``IOUS``.
        alarm: [D] bool: overlaps no true box by IoU .5.
        boxes: [N] float64: true boxes of each image.
    """

    image: NDArray[np.int64]
    score: Floats
    right: NDArray[np.bool_]
    alarm: NDArray[np.bool_]
    boxes: Floats


def _detections(p: Predictions, c: int) -> _Detections:
    """Those of class ``c``, from 1, matched image by image."""
    truth, output = p.boxes
    images, scores = [np.zeros(0, np.int64)], [np.zeros(0)]
    rights, alarms = [np.zeros((len(IOUS), 0), bool)], [np.zeros(0, bool)]
    for i, ((xyxy, label), (boxes, confidence, said)) in enumerate(zip(truth, output, strict=True)):
        mine = np.flatnonzero(said == c)
        mine = mine[np.argsort(-np.asarray(confidence, np.float64)[mine], kind="stable")][:MAX_DETECTIONS]
        overlap = iou(boxes[mine], xyxy[label == c])
        images.append(np.full(len(mine), i))
        scores.append(np.asarray(confidence, np.float64)[mine])
        rights.append(_match(overlap))
        alarms.append(overlap.max(1, initial=0.0) < IOUS[0])
    score = np.concatenate(scores)
    order = np.argsort(-score, kind="stable")
    there = np.array([float((label == c).sum()) for _, label in truth])
    return _Detections(np.concatenate(images)[order], score[order], np.concatenate(rights, axis=1)[:, order],
                       np.concatenate(alarms)[order], there)  # fmt: skip


def _average_precision(weights: Floats, of: _Detections) -> Floats:
    """Average precision of one class at each of ``IOUS``: [T, 10] float64, NaN where no true box has weight.

    Precision can only peak at a right detection, so only those are looked at.
    """
    total = weights @ of.boxes
    result = np.full((len(weights), len(IOUS)), np.nan)
    at = [np.flatnonzero(r) for r in of.right]
    for t in np.flatnonzero(total > 0):  # one by one: all detections times all trials would not fit in memory
        drawn = weights[t, of.image]
        said = np.cumsum(drawn)
        for k, hit in enumerate(at):
            hits = np.cumsum(drawn[hit])
            precision = np.nan_to_num(ratio(hits, said[hit]))
            precision = np.maximum.accumulate(precision[::-1])[::-1]
            reached = np.searchsorted(hits / total[t], RECALLS, side="left")
            result[t, k] = precision[reached[reached < len(hit)]].sum() / len(RECALLS)
    return result


def _froc(weights: Floats, of: _Detections) -> tuple[Floats, Floats]:
    """False alarms an image and sensitivity at IoU .5, of one row of weights [N], from (0, 0) to the lowest score."""
    drawn = weights[of.image]
    last = np.flatnonzero(np.append(of.score[1:] != of.score[:-1], True)[: len(of.score)])
    alarms = np.cumsum(drawn * of.alarm)[last] / weights.sum()
    hits = np.cumsum(drawn * of.right[0])[last] / (weights @ of.boxes)
    return np.r_[0.0, alarms], np.r_[0.0, hits]


def froc_curves(p: Predictions) -> dict[str, tuple[Floats, Floats]]:
    """Of each class that has boxes: (false alarms an image, sensitivity), a point a distinct score from (0, 0) on.

    The curve whose mean height is ``froc`` in ``box_scorer``.

    Raises:
        UserError: outputs that are not finite.
    """
    p.refuse_nan()
    found = {name: _detections(p, c) for c, name in enumerate(p.classes, 1)}
    return {name: _froc(np.ones(len(p)), of) for name, of in found.items() if of.boxes.sum()}


def box_scorer(p: Predictions) -> Scorer:
    """The scores of boxes; each a mean over the classes that have boxes.

    ``ap50`` and ``ap50:<class>``: average precision at IoU .5; ``map``: mean over IoU .5 to .95; both by COCO's
    101 recall points, greedy matching in the order of the scores, at most 100 detections an image and class. The
    paper's "mAP" is ``ap50`` here (METHODS 7.9).

    ``froc`` and ``froc:<class>``: mean sensitivity at 1/8, 1/4, 1/2, 1, 2, 4 and 8 false alarms an image, linear
    between the points of the curve and level beyond its end (Setio et al. 2017, LUNA16). A detection that overlaps
    a box which a better one has found is neither a hit nor a false alarm there.
    Differs: a hit overlaps by IoU .5 and is matched as for ``ap50``; LUNA16 asks for its centre within the nodule.
    """
    classes = [_detections(p, c) for c in range(1, len(p.classes) + 1)]

    def values(weights: Floats) -> Values:
        areas = np.stack([_average_precision(weights, c) for c in classes], axis=1)  # [T, C, 10]
        heights = np.full(areas.shape[:2], np.nan)
        for i, c in enumerate(classes):
            for t in np.flatnonzero(weights @ c.boxes > 0):
                heights[t, i] = np.interp(FALSE_ALARMS, *_froc(weights[t], c)).mean()
        found = {"ap50": mean(areas[..., 0]), "map": mean(areas.mean(-1)), "froc": mean(heights)}
        for i, name in enumerate(p.classes):
            found |= {f"ap50:{name}": areas[:, i, 0], f"froc:{name}": heights[:, i]}
        return found

    each = [f"{name}:{c}" for name in ("ap50", "froc") for c in p.classes]
    return Scorer(values, dict.fromkeys(("ap50", "map", "froc", *each), len(p)))
