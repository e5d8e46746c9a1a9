"""Scores of masks: overlap by pixels, and distances between outlines."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from muscle.metrics.weighing import Floats, Scorer, Values, mean, ratio
from muscle.predictions import Predictions
from muscle.types import IGNORE

Bools = NDArray[np.bool_]


def mask_scorer(p: Predictions, distances: bool = True) -> Scorer:
    """The scores of masks; each ``name`` a mean over the classes (not the background) that occur in the truth.

    ``dice`` and ``dice:<class>``: Dice of each case, averaged over cases; a case without the class and without a
    prediction of it has Dice 1. ``miou``: intersection over union of the background and of each class that
    occurs, pixels pooled over all cases. The paper says neither how cases are averaged nor what is in its mean;
    its numbers fit Dice of the lungs and the mean of lungs and background (95.37 -> IoU .9115 and, with
    background .973, mIoU .9422: METHODS 7.18), and pooling is what PaddleSeg, its framework, does.

    ``hd95`` and ``asd``, each also with ``:<class>``: 95 % Hausdorff distance and average symmetric surface
    distance of each case (``surface_distances``), averaged over the cases that have the class in truth or
    prediction. A case that has it in one of the two alone counts with the diagonal of the image, the worst there
    can be (Metrics Reloaded, Maier-Hein et al. 2024); ``one_empty`` is the share of such cases. Both are in
    pixels of the store: neither the spacing of the film nor how far the store was scaled is in the predictions,
    so there are no millimetres.

    Pixels with truth 255 count nowhere, nor do cases of nothing else.
    """
    truth, output = p.arrays
    both, there, said = (np.zeros((len(p), len(p.classes) + 1)) for _ in range(3))  # pixels [N, 1 + C]
    apart = np.full((2, len(p), len(p.classes)), np.nan if not distances else 0.0)  # hd95 and asd
    diagonal = math.hypot(*truth.shape[1:])
    for i, (t, o) in enumerate(zip(truth, output, strict=True)):
        counted = t != IGNORE
        for c in range(len(p.classes) + 1):
            is_there, is_said = (t == c) & counted, (o == c) & counted
            shared = is_there & is_said
            both[i, c], there[i, c], said[i, c] = map(np.count_nonzero, (shared, is_there, is_said))
            if not distances:
                continue
            if c and there[i, c] and said[i, c]:
                apart[:, i, c - 1] = surface_distances(t == c, o == c, None if counted.all() else counted)
            elif c:
                apart[:, i, c - 1] = diagonal
    size = (there + said)[:, 1:]
    dice = np.where(size > 0, 2 * both[:, 1:] / np.maximum(size, 1), 1.0)
    union = there + said - both
    counts = (truth != IGNORE).any(axis=(1, 2))  # [N]: cases of which anything is known
    measured = size > 0
    one_empty = (there[:, 1:] > 0) != (said[:, 1:] > 0)

    def values(weights: Floats) -> Values:
        present = weights @ there > 0  # [T, 1 + C]
        entering = weights @ measured
        each = {
            "dice": ratio(weights @ (dice * counts[:, None]), weights @ counts[:, None]),
            "hd95": ratio(weights @ (apart[0] * measured), entering),
            "asd": ratio(weights @ (apart[1] * measured), entering),
        }
        each = {name: np.where(present[:, 1:], found, np.nan) for name, found in each.items()}
        alone = np.where(present[:, 1:], ratio(weights @ one_empty, entering), np.nan)
        overlap = np.where(present, ratio(weights @ both, weights @ union), np.nan)
        result = {"dice": mean(each["dice"]), "miou": mean(overlap), "hd95": mean(each["hd95"]),
                  "asd": mean(each["asd"]), "one_empty": mean(alone)}  # fmt: skip
        return result | {
            f"{n}:{c}": found[:, i] for n, found in each.items() for i, c in enumerate(p.classes)
        }

    far = ("hd95", "asd")
    cases = dict.fromkeys(("dice", "miou", *(f"dice:{c}" for c in p.classes)), int(counts.sum()))
    cases |= dict.fromkeys((*far, "one_empty"), int(measured.any(1).sum()))
    cases |= {f"{n}:{c}": int(measured[:, i].sum()) for n in far for i, c in enumerate(p.classes)}
    bounds = {name: (0.0, diagonal) for name in cases if name.partition(":")[0] in far}
    return Scorer(values, cases, bounds)


def surface_distances(truth: Bools, output: Bools, counted: Bools | None = None) -> tuple[float, float]:
    """(hd95, asd) of two masks [H, W] that both have a pixel that counts, in pixels.

    The surface is the pixels of a mask with one of their four neighbours outside it; beyond the image is outside.
    From each pixel of one surface the distance to the nearest of the other is taken. ``hd95``: the greater of the
    two directions' 95th percentiles (linear between ranks). ``asd``: the mean over all pixels of both surfaces.
    As in MONAI and in Metrics Reloaded; others pool both directions before they take the percentile.

    Where ``counted`` is False the prediction is taken for the truth, and no distance is measured from there.
    """
    rows, columns = (np.flatnonzero((truth | output).any(axis)) for axis in (1, 0))
    window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    truth, output = truth[window], output[window]
    counted = None if counted is None else counted[window]
    edges = _edge(truth if counted is None else np.where(counted, truth, output)), _edge(output)
    directions = []
    for edge, goal in (edges, edges[::-1]):
        start = edge if counted is None else edge & counted
        # OpenCV, for SciPy's k-d tree crashes in a process that flushes denormal numbers, as training does.
        apart = cv2.distanceTransform((~goal).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[start]
        directions.append(
            np.sqrt(np.rint(apart.astype(np.float64) ** 2))
        )  # of whole numbers: exact up to 1,000 pixels
    hd95 = max((float(np.percentile(d, 95)) for d in directions if len(d)), default=0.0)
    every: NDArray[Any] = np.concatenate(directions)
    return hd95, float(every.mean()) if len(every) else 0.0


def _edge(mask: Bools) -> Bools:
    """The pixels of a mask [H, W] with a 4-neighbour outside."""
    framed = np.pad(mask, 1)
    return mask & ~(framed[:-2, 1:-1] & framed[2:, 1:-1] & framed[1:-1, :-2] & framed[1:-1, 2:])
