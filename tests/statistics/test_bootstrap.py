"""The percentile bootstrap. Oracle: of three patients there are 27 draws, and all of them can be written down."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from muscle.metrics import Scorer
from muscle.statistics import bootstrap
from muscle.statistics.bootstrap import percentiles

OF = np.array([0, 0, 1, 2, 2, 2])  # the patient of each case
X = np.array([0.0, 1.0, 4.0, 4.0, 2.0, 9.0])
LEVEL = 0.64  # its ends are far from the steps of the distributions below


def scores(weights: np.ndarray) -> dict[str, np.ndarray]:
    """A mean; a score that is defined only where the second patient is drawn; and one that never is."""
    with np.errstate(divide="ignore"):
        by_second = np.where(weights[:, 2] > 0, weights @ X / weights[:, 2], np.nan)
    return {
        "mean": weights @ X / weights.sum(1),
        "ratio": by_second,
        "never": np.full(len(weights), np.nan),
    }


SCORER = Scorer(scores, {"mean": 6, "ratio": 6, "never": 6})


def test_ends_are_the_quantiles_of_all_draws_that_define_the_score() -> None:
    every = [np.bincount(drawn, minlength=3)[OF] for drawn in itertools.product(range(3), repeat=3)]
    found = percentiles(SCORER, OF, 4000, 0, LEVEL)
    assert found.keys() == {"mean", "ratio"}
    for name, ends in found.items():
        values = scores(np.array(every, float))[name]
        expected = np.quantile(values[~np.isnan(values)], [0.18, 0.82], method="inverted_cdf")
        assert ends == pytest.approx(tuple(expected), abs=1e-12)


def test_every_trial_counts_however_few_are_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = percentiles(SCORER, OF, 101, 0, LEVEL)
    for held in (1, 60):  # fewer weights than one trial has; ten trials
        monkeypatch.setattr(bootstrap, "_CHUNK", held)
        assert percentiles(SCORER, OF, 101, 0, LEVEL) == at_once
