"""The percentile bootstrap: as the MUSCLE paper has its intervals.

A resample is a row of weights on the cases (how often each was drawn), so no score is computed twice over
(see ``metrics``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from muscle.metrics import Scorer

_CHUNK = 2_000_000  # weights held at once: 16 MB


def percentiles(
    scores: Scorer, of: NDArray[np.int64], trials: int, seed: int, level: float
) -> dict[str, tuple[float, float]]:
    """Low and high of every score that some resample defines; ``of`` [N] is the cluster of each case.

    Draws as many clusters as there are, with replacement, ``trials`` times; the cases of one cluster come
    together. A trial in which a score is not defined (no positive drawn) is left out of its interval.
    """
    clusters = int(of.max()) + 1
    rng = np.random.default_rng(seed)
    trial: dict[str, list[NDArray[np.float64]]] = {}
    step = max(1, _CHUNK // len(of))
    for start in range(0, trials, step):
        drawn = draws(rng, min(step, trials - start), clusters)
        for name, values in scores.values(drawn[:, of]).items():
            trial.setdefault(name, []).append(values)
    result = {}
    for name, chunks in trial.items():
        tried = np.concatenate(chunks)
        tried = tried[~np.isnan(tried)]
        if len(tried):
            low, high = np.quantile(tried, [(1 - level) / 2, (1 + level) / 2])
            result[name] = (float(low), float(high))
    return result


def draws(rng: np.random.Generator, trials: int, clusters: int) -> NDArray[np.float64]:
    """How often each cluster is drawn in each trial: [trials, clusters], rows sum to ``clusters``."""
    drawn = rng.integers(0, clusters, (trials, clusters)) + np.arange(trials)[:, None] * clusters
    return (
        np.bincount(drawn.ravel(), minlength=trials * clusters).reshape(trials, clusters).astype(np.float64)
    )
