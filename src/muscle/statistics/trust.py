"""When an interval must not be believed: one rule, from the measured coverage in docs/statistics.md."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from muscle.statistics.influence import STEPS, Influence

CLUSTERS = 20  # effective ones; with fewer, coverage leaves 93 to 97 % for some value of every score
RARER = 9  # effective clusters of the rarer class, for an AUC
LOST = {"auc": 1.0}  # (1 - score) x effective clusters, at least: what went wrong in all
LOST_STEPS = 3.5  # of average precisions, where the clusters are those with boxes
LOST_OTHERS = 2.0
MOVERS = 6  # effective clusters that make the variance: rare failures hide in small samples
DIFFER = 4  # effective clusters in which two models differ
RATES = frozenset({"accuracy", "sensitivity", "specificity"})  # Wilson's interval needs neither of the last


def distrust(score: str, found: Influence, cluster: str = "patient") -> str:
    """Why the 95 % interval of ``score`` may not hold the true value 93 to 97 times in 100; empty: it does."""
    kind, rarer = score.partition(":")[0], ""
    if found.clusters < 2:
        return f"one {cluster}: nothing shows how others differ"
    if found.by_cluster is None:
        return f"the score stands on one {cluster}: nothing shows how others differ"
    if found.variance == 0 and found.value not in found.bounds:
        return f"no {cluster} differs from another"
    if kind == "auc":
        rarer = " of the rarer class"
    needed = RARER if kind == "auc" else CLUSTERS
    if found.effective < needed:
        return f"too few {cluster}s{rarer} ({int(found.effective)}, needed {needed})"
    if kind in RATES:
        return ""
    if found.bounds == (0.0, 1.0):
        lost = min(found.value, 1 - found.value) * found.effective
        if lost < LOST.get(kind, LOST_STEPS if kind in STEPS else LOST_OTHERS):
            return f"too near {round(found.value)} for {found.effective:.0f} {cluster}s{rarer}"
    if kind != "auc" and kind not in STEPS and movers(found.by_cluster) < MOVERS:
        return f"{int(movers(found.by_cluster))} {cluster}s make all the spread, needed {MOVERS}"
    return ""


def few_differ(moves: NDArray[np.float64], cluster: str = "patient") -> str:
    """Why the test of a difference may not be wrong 3 to 7 times in 100; ``moves`` as ``Influence.by_cluster``."""
    found = movers(moves)
    return (
        f"the models differ in too few {cluster}s ({int(found)}, needed {DIFFER})" if found < DIFFER else ""
    )


def movers(moves: NDArray[np.float64]) -> float:
    """As many clusters, all of the same weight, would make a sum of squares as uneven as that of ``moves``."""
    fourth = float((moves**4).sum())
    return float((moves**2).sum() ** 2 / fourth) if fourth > 0 else 0.0
