"""How far a score can be trusted: percentile bootstrap over patients.

A resample is a row of weights on the cases (how often each was drawn), so no score is computed twice over
(see ``metrics``). NumPy only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from muscle.metrics import THRESHOLD, scorer
from muscle.predictions import Predictions

Cluster = Literal["patient", "image"]

LEVEL = 0.95  # probability that an interval is meant to cover
TRIALS = 1000
PAPER_TRIALS = 100  # "bootstrapping with 100 independent trials on testing sets"
_CHUNK = 2_000_000  # weights held at once: 16 MB


@dataclass(frozen=True, slots=True)
class Interval:
    """A score and its 95 % interval, all in [0, 1]; ``n`` is the number of cases that entered."""

    value: float
    low: float
    high: float
    n: int


def intervals(
    p: Predictions,
    trials: int = TRIALS,
    seed: int = 0,
    cluster: Cluster = "patient",
    threshold: float = THRESHOLD,
) -> dict[str, Interval]:
    """Every score that the cases define, with its 95 % percentile-bootstrap interval.

    Draws as many clusters as there are, with replacement, ``trials`` times; the cases of one cluster come
    together. A trial in which a score is not defined (no positive drawn) is left out of its interval. A single
    cluster says nothing about others, so its intervals are all of [0, 1]. The interval speaks of the cases that
    might have been drawn, not of other training seeds; for few cases or scores near 1 it is too narrow (measured
    coverage: METHODS 9).

    Raises:
        ValueError: no trials, or an unknown cluster.
    """
    if trials < 1:
        raise ValueError(f"trials={trials}; allowed: at least 1")
    if cluster not in ("patient", "image"):
        raise ValueError(f"cluster={cluster!r}; allowed: patient, image")
    if len(p) == 0:
        return {}
    scores = scorer(p, threshold)
    of = np.unique(p.patients, return_inverse=True)[1] if cluster == "patient" else np.arange(len(p))
    clusters = int(of.max()) + 1
    rng = np.random.default_rng(seed)
    trial: dict[str, list[NDArray[np.float64]]] = {}
    step = max(1, _CHUNK // len(p))
    for start in range(0, trials, step):
        drawn = _counts(rng, min(step, trials - start), clusters)
        for name, values in scores.values(drawn[:, of]).items():
            trial.setdefault(name, []).append(values)
    result = {}
    for name, values in scores.values(np.ones((1, len(p)))).items():
        value = float(values[0])
        if not np.isfinite(value):
            continue
        tried = np.concatenate(trial[name])
        tried = tried[~np.isnan(tried)]
        low, high = 0.0, 1.0
        if clusters > 1 and len(tried):
            low, high = (float(q) for q in np.quantile(tried, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
        result[name] = Interval(value, low, high, scores.cases[name])
    return result


def paper_intervals(p: Predictions, seed: int = 0, threshold: float = THRESHOLD) -> dict[str, Interval]:
    """Intervals as the MUSCLE paper has them: 100 trials over images, whoever they are of; usually too narrow."""
    return intervals(p, PAPER_TRIALS, seed, "image", threshold)


def describe(trials: int = TRIALS, cluster: Cluster = "patient") -> str:
    """The method of the intervals in words, for reports."""
    whom = (
        "patients (all films of one person are drawn together)" if cluster == "patient" else "single images"
    )
    return f"95 % percentile bootstrap, {trials} resamples of {whom}"


def _counts(rng: np.random.Generator, trials: int, clusters: int) -> NDArray[np.float64]:
    """How often each cluster is drawn in each trial: [trials, clusters], rows sum to ``clusters``."""
    drawn = rng.integers(0, clusters, (trials, clusters)) + np.arange(trials)[:, None] * clusters
    return (
        np.bincount(drawn.ravel(), minlength=trials * clusters).reshape(trials, clusters).astype(np.float64)
    )
