"""Where several models disagree most about a film: the boxes of the paper's Fig. 3."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

REGIONS = 2  # a film, as in the paper
MARGIN = 3  # pixels round what differs
LEAST = 9  # pixels that a region has


def disagreement(masks: NDArray[np.integer]) -> list[tuple[int, int, int, int]]:
    """The largest regions in which masks [K, H, W] of K models are not all alike, as x0, y0, x1, y1 in pixel corners.

    At most ``REGIONS``, largest first by pixels that differ. Outlines that differ by a pixel are dropped (an opening
    by 3 x 3) wherever something thicker is left, for else they join everything into one box.
    """
    differs = (masks != masks[0]).any(0)
    thick = ndimage.binary_opening(differs, np.ones((3, 3), bool))
    numbered, count = ndimage.label(thick if thick.any() else differs, np.ones((3, 3), bool))
    sizes = np.bincount(numbered.ravel(), minlength=count + 1)[1:]
    height, width = differs.shape
    found = []
    places = ndimage.find_objects(numbered)
    for i in np.argsort(-sizes, kind="stable")[:REGIONS]:
        if sizes[i] < LEAST:
            break
        rows, columns = places[i]
        found.append(
            (max(0, columns.start - MARGIN), max(0, rows.start - MARGIN),
             min(width, columns.stop + MARGIN), min(height, rows.stop + MARGIN))
        )  # fmt: skip
    return found
