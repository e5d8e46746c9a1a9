"""Where several models disagree most about a film: the boxes of the paper's Fig. 3."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

REGIONS = 2  # a film, as in the paper
MARGIN = 3  # pixels round what differs
LEAST = 9  # pixels that a region has


def disagreement(masks: NDArray[np.integer]) -> list[tuple[int, int, int, int]]:
    """The largest regions in which masks [K, H, W] of K models differ most, as x0, y0, x1, y1 in pixel corners.

    At most ``REGIONS``, largest first. A pixel counts where the models outside the majority are more than half as many
    as they are anywhere: of two or three models wherever they differ, of many not where one strays. Outlines that
    differ by a pixel are dropped (an opening by 3 x 3) wherever something thicker is left, for else they join
    everything into one box.
    """
    votes = np.stack([(masks == value).sum(0) for value in np.unique(masks)])
    strays = len(masks) - votes.max(0)
    differs = strays > strays.max() / 2
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
