"""Oracle: every threshold that occurs, tried one by one with the scores that it gives."""

from __future__ import annotations

import numpy as np
import pytest

from muscle.errors import UsageError, UserError
from muscle.metrics import operating_point, score
from muscle.predictions import Predictions


def labels(truth: np.ndarray, output: np.ndarray, classes: str, exclusive: bool = False) -> Predictions:
    ids = [str(i) for i in range(len(truth))]
    return Predictions(task="t", kind="labels", classes=tuple(classes), exclusive=exclusive, ids=ids, patients=ids,
                       truth=truth.astype(np.float32), output=output.astype(np.float32))  # fmt: skip


def tried(truth: np.ndarray, output: np.ndarray) -> list[tuple[float, float, float]]:
    """(threshold, sensitivity, specificity) of each output, ascending."""
    p = labels(truth[:, None], output[:, None], "a")
    found = []
    for cut in sorted({float(v) for v in np.asarray(p.output)[:, 0]}):
        scores = score(p, cut)
        found.append((cut, scores["sensitivity"], scores["specificity"]))
    return found


@pytest.mark.oracle
@pytest.mark.parametrize("seed", range(10))
def test_the_rules_against_every_threshold(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = np.r_[0, 1, rng.integers(0, 2, 38)].astype(float)
    output = np.round(1 / (1 + np.exp(-rng.normal(size=40) - truth)), 1 + seed % 3)
    p = labels(truth[:, None], output[:, None], "a")
    every = tried(truth, output)
    best = max(sen + spe for _, sen, spe in every)
    assert operating_point(p, "youden") == next(c for c, sen, spe in every if abs(sen + spe - best) < 1e-9)
    for least in (0.5, 0.8, 0.95, 1.0):
        enough = [(c, spe) for c, sen, spe in every if sen >= least]
        top = max(spe for _, spe in enough)
        assert operating_point(p, f"sensitivity:{least}") == next(c for c, spe in enough if spe == top)
    two = labels(np.stack([1 - truth, truth], 1), np.stack([1 - output, output], 1), "ab", exclusive=True)
    assert operating_point(two, "youden") == operating_point(p, "youden")


@pytest.mark.oracle
def test_several_classes_have_one_each_and_unknown_truth_is_left_out() -> None:
    rng = np.random.default_rng(0)
    truth, output = rng.integers(0, 2, (30, 2)).astype(float), rng.random((30, 2))
    each = tuple(operating_point(labels(truth[:, [i]], output[:, [i]], "x"), "youden") for i in (0, 1))
    p = labels(truth, output, "ab")
    assert operating_point(p, "youden") == each and score(p, each)
    truth[5:, 0] = np.nan
    known = operating_point(labels(truth[:5, [0]], output[:5, [0]], "x"), "youden")
    assert operating_point(labels(truth, output, "ab"), "youden") == (known, each[1])
    truth[:, 0] = 1  # no negative: no threshold, and no score that needs one
    chosen = operating_point(labels(truth, output, "ab"), "youden")
    assert isinstance(chosen, tuple) and np.isnan(chosen[0]) and chosen[1] == each[1]
    assert np.isnan(operating_point(labels(truth[:, [0]], output[:, [0]], "x"), "youden"))


@pytest.mark.parametrize("rule", ["best", "sensitivity", "sensitivity:0", "sensitivity:1.1", "sensitivity:x", "",
                                  "youden:0.9", "sensitivity:nan"])  # fmt: skip
def test_unknown_rules_are_refused_with_those_that_there_are(rule: str) -> None:
    with pytest.raises(UsageError, match="allowed: youden, or sensitivity:SHARE"):
        operating_point(labels(np.eye(2), np.eye(2), "ab"), rule)


def test_what_no_threshold_decides() -> None:
    with pytest.raises(ValueError, match="t: no threshold decides 3 exclusive classes"):
        operating_point(labels(np.eye(3), np.eye(3), "abc", exclusive=True), "youden")
    with pytest.raises(UserError, match="t: predictions that are not finite"):
        operating_point(labels(np.eye(2), np.full((2, 2), np.nan), "ab"), "youden")
