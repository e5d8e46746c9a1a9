"""How far a score can be trusted: 95 % intervals over patients. NumPy only.

The default method of each score is the one whose coverage was measured to hold (docs/statistics.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from muscle.metrics import THRESHOLD, Threshold, scorer
from muscle.predictions import Predictions
from muscle.statistics import proportions
from muscle.statistics.bootstrap import percentiles
from muscle.statistics.influence import STEPS, Cluster, Influence, clusters_of, influences
from muscle.statistics.quantiles import student_quantile
from muscle.statistics.trust import distrust

Method = Literal["default", "percentile", "paper"]

LEVEL = 0.95  # probability that an interval is meant to cover
TRIALS = 1000  # of the percentile bootstrap
PAPER_TRIALS = 100  # "bootstrapping with 100 independent trials on testing sets"
PROPORTIONS = frozenset({"accuracy", "sensitivity", "specificity"})


@dataclass(frozen=True, slots=True)
class Interval:
    """A score and its 95 % interval.

    Attributes:
        n: cases that enter: of a sensitivity those with the finding.
        clusters: patients (or images) that they come from.
        method: how the interval was made, in a word or two.
        reliable: whether it covers as it should, by the measured coverage of its like; ``why`` it does not.
            Scores in 0 to 1 of which nothing is known have 0 to 1, others NaN.
    """

    value: float
    low: float
    high: float
    n: int
    clusters: int
    method: str
    reliable: bool
    why: str


def intervals(
    p: Predictions,
    method: Method = "default",
    cluster: Cluster = "patient",
    threshold: Threshold = THRESHOLD,
    trials: int = TRIALS,
    seed: int = 0,
) -> dict[str, Interval]:
    """Every score that the cases define, with its 95 % interval.

    ``default``: by score. Proportions: Wilson's interval at the effective number of cases. AUC: DeLong's variance
    summed by patient, on the logit scale. Other scores in 0 to 1: jackknife over patients, on the logit scale.
    Others: jackknife. All with Student's t for as many patients as there effectively are. ``percentile``:
    bootstrap with ``trials`` and ``seed``. ``paper``: 100 trials over images, whoever they are of; usually too narrow.

    The interval speaks of the cases that might have been drawn, not of other training seeds
    (``comparison.over_seeds``).

    Raises:
        ValueError: no trials, or an unknown method or cluster.
        UserError: predictions that are not numbers.
    """
    if method not in ("default", "percentile", "paper"):
        raise ValueError(f"method={method!r}; allowed: default, percentile, paper")
    if trials < 1:
        raise ValueError(f"trials={trials}; allowed: at least 1")
    if method == "paper":
        trials, cluster = PAPER_TRIALS, "image"
    of = clusters_of(p, cluster)
    if len(p) == 0:
        return {}
    p.refuse_nan()
    found = influences(p, cluster, threshold)
    if method == "default":
        return {name: interval(name, i, cluster) for name, i in found.items()}
    drawn = percentiles(scorer(p, threshold), of, trials, seed, LEVEL)
    return {name: _resampled(name, i, drawn, cluster) for name, i in found.items()}


def interval(name: str, found: Influence, cluster: Cluster = "patient") -> Interval:
    """The default interval of one score."""
    low, high, method = _bounds(name.partition(":")[0], found)
    why = distrust(name, found, cluster)
    return Interval(found.value, low, high, found.n, found.clusters, method, not why, why)


def _bounds(kind: str, found: Influence) -> tuple[float, float, str]:
    """Low, high, and the method in words."""
    least, most = found.bounds
    bounded = np.isfinite(most - least)
    if found.by_cluster is None:
        return *((least, most) if bounded else (np.nan, np.nan)), "none"
    t = student_quantile(LEVEL, max(1, int(found.df)))
    error = found.variance**0.5
    if not bounded:
        if least == 0 and found.value > 0:
            times = float(np.exp(min(t * error / found.value, 700.0)))
            return found.value / times, found.value * times, "log jackknife"
        return found.value - t * error, found.value + t * error, "jackknife"
    span = most - least
    value, error = (found.value - least) / span, error / span
    if value <= 0 or value >= 1:
        low, high, method = *proportions.all_alike(value, found.effective, LEVEL), "Clopper-Pearson"
    elif error == 0:
        low, high, method = *proportions.wilson(value, found.effective, t), "Wilson"
    elif kind in PROPORTIONS:
        low, high, method = *proportions.wilson(value, value * (1 - value) / error**2, t), "Wilson"
    else:
        low, high = proportions.logit(value, error, t)
        method = "logit-DeLong" if kind == "auc" else f"logit {'bootstrap' if kind in STEPS else 'jackknife'}"
    return least + span * low, least + span * high, method


def _resampled(
    name: str, found: Influence, drawn: dict[str, tuple[float, float]], cluster: Cluster
) -> Interval:
    """A percentile interval; it is stamped where the default one would be."""
    low, high = drawn.get(name, found.bounds)
    if found.clusters < 2:
        low, high, _ = _bounds(name, found)
    why = distrust(name, found, cluster)
    return Interval(
        found.value, low, high, found.n, found.clusters, "percentile bootstrap", not why, why
    )  # fmt: skip


def describe(method: Method = "default", cluster: Cluster = "patient", trials: int = TRIALS) -> str:
    """The method of the intervals in words, for reports."""
    whom = (
        "patients (all films of one person count as one draw)"
        if cluster == "patient" and method != "paper"
        else "single images"
    )
    if method == "default":
        return (
            "95 % intervals over "
            + whom
            + ": AUC logit-DeLong, proportions Wilson (Clopper-Pearson where all cases agree), other scores jackknife; "
            "chosen by measured coverage"
        )
    return f"95 % percentile bootstrap, {PAPER_TRIALS if method == 'paper' else trials} resamples of {whom}"
