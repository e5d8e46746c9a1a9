"""How each score depends on each patient: what every interval and test is computed from.

The score without one patient's films, for each in turn (the jackknife). That needs nothing of a score but its values
under weights (see ``metrics``), so each new score has its interval at once. The AUC takes DeLong's way, which is exact.
Scores that move in steps (average precision: 101 recall points) defeat the jackknife; they take the bootstrap's spread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from muscle.metrics import THRESHOLD, Scorer, Threshold, auc, scorer
from muscle.metrics.labels import judged
from muscle.predictions import Predictions
from muscle.statistics.bootstrap import draws
from muscle.statistics.delong import area
from muscle.types import IGNORE

Cluster = Literal["patient", "image"]
Floats = NDArray[np.float64]
GROUPS = 200  # left out in turn, at most: of more patients several together, drawn by a fixed seed
STEPS = frozenset({"ap50", "map", "froc", "ece"})  # scores that take the bootstrap's spread
# Of an average precision: it is cut to 101 recall points, which resamples of one test set show in part only; so the
# variance of a number that is rounded to one of them is added.
ROUNDING = {"ap50": 1 / 101**2 / 12, "map": 1 / 101**2 / 12}
NOISE = 1e-6  # of a score: the rounding of float32 outputs, which is no difference between patients
RESAMPLES = 200  # drawn by a fixed seed, so that two models on the same cases meet the same ones


@dataclass(frozen=True, slots=True)
class Influence:
    """A score of N cases in G clusters.

    Attributes:
        by_cluster: what each cluster (or group of them, or resample) adds to the error of the score; the squares sum
            to its variance. ``None`` where the score stands on one cluster, and nothing shows how others differ.
        variance: that sum; of an AUC drawn a little towards a model (``delong.PRIOR``).
        df: degrees of freedom of the variance.
        effective: as many clusters of equal size weigh as much as these of unequal size; of an AUC those of the
            rarer class.
        n: cases that enter: of a sensitivity those with the finding, of a specificity those without.
        clusters: clusters that they come from.
        bounds: least and greatest value that the score can take.
    """

    value: float
    by_cluster: Floats | None
    variance: float
    df: float
    effective: float
    n: int
    clusters: int
    bounds: tuple[float, float] = (0.0, 1.0)


def clusters_of(p: Predictions, cluster: Cluster) -> NDArray[np.int64]:
    """Number of the cluster of each case, [N], from 0.

    Raises:
        ValueError: an unknown cluster.
    """
    if cluster not in ("patient", "image"):
        raise ValueError(f"cluster={cluster!r}; allowed: patient, image")
    if cluster == "image":
        return np.arange(len(p))
    return np.unique(p.patients, return_inverse=True)[1].astype(np.int64)


def influences(
    p: Predictions, cluster: Cluster = "patient", threshold: Threshold = THRESHOLD
) -> dict[str, Influence]:
    """Every score that the cases define."""
    of, scores = clusters_of(p, cluster), scorer(p, threshold)
    found = of_scorer(scores, of, entering(p))
    for name in [n for n in found if n.partition(":")[0] == "auc"]:
        found[name] = _area(p, name, found[name], of)
    return found


def entering(p: Predictions) -> dict[str, NDArray[np.bool_]]:
    """On which cases a score stands: its name, or that before any `:`, -> [N]; "" for all others, if not every case.

    An average precision of boxes stands on the images with boxes (of its class); the others only add false alarms. A
    distance stands on the cases that have the class in truth or prediction.
    """
    if p.kind == "boxes":
        there = {
            c: np.array([(label == i).any() for _, label in p.boxes[0]]) for i, c in enumerate(p.classes, 1)
        }
        every = np.array([len(label) > 0 for _, label in p.boxes[0]], bool)
        each = {f"{name}:{c}": found for name in ("ap50", "froc") for c, found in there.items()}
        return dict.fromkeys(("ap50", "map", "froc"), every) | each
    if p.kind == "mask":
        truth, output = p.arrays
        counted = truth != IGNORE
        measured = {
            c: (((truth == i) | (output == i)) & counted).any(axis=(1, 2)) for i, c in enumerate(p.classes, 1)
        }
        of_class = {"": np.any([*measured.values()], axis=0)} | {
            f":{c}": found for c, found in measured.items()
        }
        far = {f"{name}{c}": found for name in ("hd95", "asd") for c, found in of_class.items()}
        far |= {
            f"{name}_mm{c}": found & p.spaced for name in ("hd95", "asd") for c, found in of_class.items()
        }
        return {"": counted.any(axis=(1, 2)), "one_empty": of_class[""]} | far
    labels, _ = judged(p)
    known: NDArray[np.bool_] = np.asarray(~np.isnan(labels))
    each = (
        {f"average_precision:{c}": known[:, i] for i, c in enumerate(p.classes)}
        if known.shape[1] == len(p.classes)
        else {}
    )
    return {"": known.any(1), "sensitivity": (labels == 1).any(1), "specificity": (labels == 0).any(1)} | each


def of_scorer(
    scores: Scorer, of: NDArray[np.int64], enters: dict[str, NDArray[np.bool_]] | None = None
) -> dict[str, Influence]:
    """Every defined score of N cases; ``of`` [N] is the cluster of each, ``enters`` the cases of some scores."""
    whole = scores.values(np.ones((1, len(of))))
    values = {name: float(v[0]) for name, v in whole.items() if np.isfinite(v[0])}
    steps = {name for name in values if name.partition(":")[0] in STEPS}
    moves = (_left_out(scores, of, values) if len(steps) < len(values) else {}) | (
        {name: move for name, move in _resampled(scores, of, values).items() if name in steps}
        if steps
        else {}
    )
    result = {}
    for name, value in values.items():
        kind = name.partition(":")[0]
        stands = enters or {}
        who = stands.get(name, stands.get(kind, stands.get("")))
        sizes = np.bincount(of if who is None else of[who])
        n = int(sizes.sum()) if kind in stands and kind not in STEPS else scores.cases[name]
        clusters = int((sizes > 0).sum())
        effective = float(sizes.sum() ** 2 / (sizes**2).sum()) if len(sizes) else 0.0
        moved = moves.get(name)
        bounds = scores.bounds.get(name, (0.0, 1.0))
        if clusters < 2 or moved is None or not np.isfinite(moved).all():
            result[name] = Influence(value, None, np.nan, 0.0, effective, n, clusters, bounds)
            continue
        if np.abs(moved).max() <= NOISE * max(abs(value), NOISE):
            moved = np.zeros_like(moved)
        df, variance = min(effective, len(moved)) - 1, float((moved**2).sum()) + ROUNDING.get(kind, 0.0)
        result[name] = Influence(value, moved, variance, df, effective, n, clusters, bounds)
    return result


def _left_out(scores: Scorer, of: NDArray[np.int64], values: dict[str, float]) -> dict[str, Floats]:
    """The jackknife: by how much each score falls without each group of clusters."""
    group = _groups(of)
    count = int(group.max()) + 1
    if count < 2:
        return {}
    left = scores.values((group != np.arange(count)[:, None]).astype(np.float64))
    return {name: (value - left[name]) * np.sqrt((count - 1) / count) for name, value in values.items()}


def _resampled(scores: Scorer, of: NDArray[np.int64], values: dict[str, float]) -> dict[str, Floats]:
    """By how much each score of a bootstrap resample of clusters differs from their mean; 0 where it has none."""
    clusters = int(of.max()) + 1
    if clusters < 2:
        return {}
    tried = scores.values(draws(np.random.default_rng(0), RESAMPLES, clusters)[:, of])
    moves = {}
    for name in values:
        some = np.isfinite(tried[name])
        if some.sum() > 1:
            off = np.where(some, tried[name] - tried[name][some].mean(), 0.0)
            moves[name] = off * np.sqrt(clusters / (clusters - 1) / (some.sum() - 1))
    return moves


def _groups(of: NDArray[np.int64]) -> NDArray[np.int64]:
    """The clusters themselves, or, of too many, ``GROUPS`` groups of nearly equal numbers of clusters."""
    clusters = int(of.max()) + 1
    if clusters <= GROUPS:
        return of
    return np.random.default_rng(0).permutation(clusters)[of] % GROUPS


def _area(p: Predictions, name: str, known: Influence, of: NDArray[np.int64]) -> Influence:
    """An AUC, or the mean over the classes that have one, from DeLong's components."""
    truth, output = judged(p)
    columns = [p.classes.index(name.partition(":")[2])] if ":" in name else range(truth.shape[1])
    defined = [c for c in columns if (truth[:, c] == 1).any() and (truth[:, c] == 0).any()]
    each = [of_area(truth[:, c], output[:, c], of) for c in defined]
    found = replace(average(each), value=known.value)
    return found if ":" in name else replace(found, n=known.n, clusters=known.clusters)


def of_area(truth: Floats, output: Floats, of: NDArray[np.int64]) -> Influence:
    """The AUC of one class that has positives and negatives: [N], [N], and the cluster of each case."""
    known = ~np.isnan(truth)
    n, clusters = int(known.sum()), len(np.unique(of[known]))
    found = area(truth, output, of, int(of.max()) + 1)
    if found is None:
        return Influence(float(auc(truth, output)[0]), None, np.nan, 0.0, 1.0, n, clusters)
    return Influence(found.value, found.by_cluster, found.variance, found.df, found.effective, n, clusters)


def average(found: Sequence[Influence]) -> Influence:
    """The mean of one score over trainings that were judged on the same cases."""
    value = float(np.mean([i.value for i in found]))
    spread = [i.by_cluster for i in found if i.by_cluster is not None]
    if len(spread) < len(found):
        return replace(found[0], value=value, by_cluster=None, variance=np.nan)
    by_cluster = np.mean(spread, axis=0)
    measured = sum(float((s**2).sum()) for s in spread)
    drawn = sum(i.variance for i in found) / measured if measured > 0 else 0.0
    variance = float((by_cluster**2).sum()) * drawn
    return replace(
        found[0], value=value, by_cluster=by_cluster, variance=variance, df=min(i.df for i in found),
        effective=min(i.effective for i in found),
    )  # fmt: skip
