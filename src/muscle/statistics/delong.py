"""The AUC's variance: DeLong's structural components, summed by patient.

DeLong et al. 1988: the AUC is a mean over pairs, so its variance comes from how each positive does against all
negatives and each negative against all positives. Obuchowski 1997 sums those components by patient, and so allows
for films of one person that go right or wrong together. The sort takes all the time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
# How many cases of the rarer class the binormal variance counts for beside the measured one. By measured coverage
# (docs/statistics.md): without it the interval of an AUC near 1 is too narrow, for it is the lucky samples that
# show both a high AUC and a small variance.
PRIOR = 1.0


@dataclass(frozen=True, slots=True)
class Area:
    """An AUC and how it depends on each patient.

    Attributes:
        by_cluster: [G] by how much the AUC would fall without each cluster, scaled so that the sum of squares is its
            variance; with one film a patient exactly DeLong's.
        variance: the sum of squares, drawn a little towards what the binormal model says.
        df: Welch's degrees of freedom over positives and negatives.
        effective: of the rarer class, as many clusters of equal size as weigh as much as those of unequal size.
    """

    value: float
    by_cluster: Floats
    variance: float
    df: float
    effective: float


def area(truth: Floats, output: Floats, of: NDArray[np.int64], clusters: int) -> Area | None:
    """The AUC of ``truth`` [N] 1 / 0 / NaN (left out) and ``output`` [N]; ``of`` [N] names the cluster of each case.

    ``None`` where either class comes from fewer than two clusters: then there is no spread to see.

    Differs: each cluster's sum is divided by the share of the cases that stay without it, as a jackknife has it
    (Obuchowski's variance is too small for few patients of unequal size), and the covariance of a patient's
    positives and negatives takes the geometric mean of their two factors.
    """
    positive, negative = truth == 1, truth == 0
    place = components(output[positive], output[negative])
    value = float(place[0].mean()) if positive.any() and negative.any() else np.nan
    sums, sizes, spread = [], [], []
    for who, own in zip((positive, negative), place, strict=True):
        count = np.bincount(of[who], minlength=clusters)
        there = int((count > 0).sum())
        if there < 2:
            return None
        share = count / who.sum()
        total = np.bincount(of[who], own - value, clusters) / who.sum()
        sums.append(total / (1 - share) * np.sqrt((there - 1) / there))
        sizes.append((int(who.sum()), 1 / float((share**2).sum())))
        spread.append(float((sums[-1] ** 2).sum()))
    by_cluster = sums[0] + sums[1]
    measured = float((by_cluster**2).sum())
    effective = min(size for _, size in sizes)
    between = [float(np.sqrt(films * size)) for films, size in sizes]
    variance = (effective * measured + PRIOR * binormal(value, *between)) / (effective + PRIOR)
    below = sum(s**2 / max(size - 1, 0.1) for s, (_, size) in zip(spread, sizes, strict=True))
    df = sum(spread) ** 2 / below if below > 0 else effective - 1
    return Area(value, by_cluster, variance if measured > 0 else 0.0, df, effective)


def components(positive: Floats, negative: Floats) -> tuple[Floats, Floats]:
    """Of each positive the share of negatives below it, of each negative the share of positives above it.

    Equal outputs count half. ``positive`` [m], ``negative`` [n] -> [m], [n].
    """
    ordered = np.sort(negative)
    below = (np.searchsorted(ordered, positive) + np.searchsorted(ordered, positive, "right")) / 2
    ordered = np.sort(positive)
    not_above = (np.searchsorted(ordered, negative) + np.searchsorted(ordered, negative, "right")) / 2
    return below / max(len(negative), 1), 1 - not_above / max(len(positive), 1)


def binormal(value: float, positives: float, negatives: float) -> float:
    """Variance of an AUC of outputs that are exponential in each class (Hanley and McNeil 1982).

    With Newcombe's (2006) mean of the two sizes, which makes it symmetric.
    """
    size = (positives + negatives) / 2 - 1
    excess = size * ((1 - value) / (2 - value) + value / (1 + value))
    return value * (1 - value) * (1 + excess) / (positives * negatives)
