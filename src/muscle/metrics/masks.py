"""Scores of masks: overlap by pixels, and distances between outlines."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from muscle.metrics.weighing import Floats, Scorer, Values, mean, ratio
from muscle.predictions import Predictions
from muscle.types import IGNORE

Bools = NDArray[np.bool_]
FAR = ("hd95", "asd", "hd95_mm", "asd_mm")


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
    pixels of the store, whose sides may be of different length in a stretched film; ``hd95_mm`` and ``asd_mm`` are the
    same in millimetres, over the cases whose spacing is known.

    Pixels with truth 255 count nowhere, nor do cases of nothing else.
    """
    truth, output = p.arrays
    both, there, said = (np.zeros((len(p), len(p.classes) + 1)) for _ in range(3))  # pixels [N, 1 + C]
    apart = np.zeros((len(FAR), len(p), len(p.classes)))
    diagonal = math.hypot(*truth.shape[1:])
    spacing, known = p.spacing.astype(np.float64) if len(p.spacing) else np.zeros((len(p), 2)), p.spaced
    corners = np.hypot(*(np.array(truth.shape[1:]) * np.nan_to_num(spacing)).T)  # [N], millimetres
    for i, (t, o) in enumerate(zip(truth, output, strict=True)):
        counted = t != IGNORE
        for c in range(len(p.classes) + 1):
            is_there, is_said = (t == c) & counted, (o == c) & counted
            shared = is_there & is_said
            both[i, c], there[i, c], said[i, c] = map(np.count_nonzero, (shared, is_there, is_said))
            if not distances:
                continue
            if c and there[i, c] and said[i, c]:
                where = None if counted.all() else counted
                apart[:2, i, c - 1] = surface_distances(t == c, o == c, where)
                if known[i]:
                    apart[2:, i, c - 1] = surface_distances(
                        t == c, o == c, where, (spacing[i, 0], spacing[i, 1])
                    )
            elif c:
                apart[:2, i, c - 1], apart[2:, i, c - 1] = diagonal, corners[i]
    size = (there + said)[:, 1:]
    dice = np.where(size > 0, 2 * both[:, 1:] / np.maximum(size, 1), 1.0)
    union = there + said - both
    counts = (truth != IGNORE).any(axis=(1, 2))  # [N]: cases of which anything is known
    measured = size > 0
    enters = {"hd95": measured, "asd": measured} if distances else {}
    if distances and known.any():
        enters |= dict.fromkeys(("hd95_mm", "asd_mm"), measured & known[:, None])
    one_empty = (there[:, 1:] > 0) != (said[:, 1:] > 0)

    def values(weights: Floats) -> Values:
        present = weights @ there > 0  # [T, 1 + C]
        each = {"dice": ratio(weights @ (dice * counts[:, None]), weights @ counts[:, None])}
        for far, enter in zip(apart, enters, strict=False):
            each[enter] = ratio(weights @ (far * enters[enter]), weights @ enters[enter])
        each = {name: np.where(present[:, 1:], found, np.nan) for name, found in each.items()}
        alone = np.where(present[:, 1:], ratio(weights @ one_empty, weights @ measured), np.nan)
        overlap = np.where(present, ratio(weights @ both, weights @ union), np.nan)
        result = {name: mean(found) for name, found in each.items()}
        return (
            result
            | {"miou": mean(overlap), "one_empty": mean(alone)}
            | {f"{n}:{c}": found[:, i] for n, found in each.items() for i, c in enumerate(p.classes)}
        )

    cases = dict.fromkeys(("dice", "miou", *(f"dice:{c}" for c in p.classes)), int(counts.sum()))
    cases["one_empty"] = int(measured.any(1).sum())
    bounds: dict[str, tuple[float, float]] = {}
    for name, enter in enters.items():
        most = float(corners.max(initial=0.0)) if "mm" in name else diagonal
        cases[name] = int(enter.any(1).sum())
        cases |= {f"{name}:{c}": int(enter[:, i].sum()) for i, c in enumerate(p.classes)}
        bounds |= dict.fromkeys((name, *(f"{name}:{c}" for c in p.classes)), (0.0, most))
    return Scorer(values, cases, bounds)


def surface_distances(
    truth: Bools, output: Bools, counted: Bools | None = None, spacing: tuple[float, float] | None = None
) -> tuple[float, float]:
    """(hd95, asd) of two masks [H, W] that both have a pixel that counts, in pixels, or in units of ``spacing``.

    The surface is the pixels of a mask with one of their four neighbours outside it; beyond the image is outside.
    From each pixel of one surface the distance to the nearest of the other is taken. ``hd95``: the greater of the
    two directions' 95th percentiles (linear between ranks). ``asd``: the mean over all pixels of both surfaces.
    As in MONAI and in Metrics Reloaded; others pool both directions before they take the percentile.

    Where ``counted`` is False the prediction is taken for the truth, and no distance is measured from there.
    ``spacing``: length of a pixel down and across.
    """
    rows, columns = (np.flatnonzero((truth | output).any(axis)) for axis in (1, 0))
    window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    truth, output = truth[window], output[window]
    counted = None if counted is None else counted[window]
    edges = _edge(truth if counted is None else np.where(counted, truth, output)), _edge(output)
    directions = []
    for edge, goal in (edges, edges[::-1]):
        start = edge if counted is None else edge & counted
        if spacing is not None:
            directions.append(distance_transform_edt(~goal, sampling=spacing)[start])
            continue
        # OpenCV takes a tenth of SciPy's time, but knows square pixels alone
        apart = cv2.distanceTransform((~goal).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[start]
        directions.append(
            np.sqrt(np.rint(apart.astype(np.float64) ** 2))
        )  # of whole numbers: exact up to 1,000 pixels
    hd95 = max((_percentile(d, 0.95) for d in directions if len(d)), default=0.0)
    every: NDArray[Any] = np.concatenate(directions)
    return hd95, float(every.mean()) if len(every) else 0.0


def _percentile(values: Floats, share: float) -> float:
    """Linear between ranks, as ``np.percentile``, which takes several times as long for so few."""
    place = share * (len(values) - 1)
    low = int(place)
    high = min(low + 1, len(values) - 1)
    ranked = np.partition(values, (low, high))
    return float(ranked[low] + (ranked[high] - ranked[low]) * (place - low))


def _edge(mask: Bools) -> Bools:
    """The pixels of a mask [H, W] with a 4-neighbour outside."""
    framed = np.zeros((mask.shape[0] + 2, mask.shape[1] + 2), bool)  # np.pad takes ten times as long
    framed[1:-1, 1:-1] = mask
    return mask & ~(framed[:-2, 1:-1] & framed[2:, 1:-1] & framed[1:-1, :-2] & framed[1:-1, 2:])
