"""Oracles: scikit-learn's Brier score and calibration curve; SciPy's minimum of the likelihood; a known temperature."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit, softmax
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from muscle.calibration import calibrated, temperature
from muscle.metrics import reliability, score, scorer
from muscle.predictions import Predictions


def labels(truth: np.ndarray, output: np.ndarray, exclusive: bool) -> Predictions:
    ids = [str(i) for i in range(len(truth))]
    return Predictions(task="t", kind="labels", classes=tuple("abcd"[: truth.shape[1]]), exclusive=exclusive, ids=ids,
                       patients=ids, truth=truth.astype(np.float32), output=output.astype(np.float32))  # fmt: skip


def ece_by_hand(right: np.ndarray, said: np.ndarray, weight: np.ndarray) -> float:
    total = 0.0
    for b in range(15):
        inside = (said > b / 15) & (said <= (b + 1) / 15)
        total += abs(float((weight * (said - right))[inside].sum()))
    return total / float(weight.sum())


@pytest.mark.oracle
@pytest.mark.parametrize("seed", range(4))
def test_brier_and_ece_of_one_class(seed: int) -> None:
    rng = np.random.default_rng(seed)
    said = rng.uniform(0.001, 1, 200).astype(np.float32)
    truth = (rng.random(200) < said**2).astype(float)
    p = labels(np.stack([1 - truth, truth], 1), np.stack([1 - said, said], 1), exclusive=True)
    weights = np.stack([np.ones(200), rng.integers(0, 4, 200)]).astype(float)
    found = scorer(p).values(weights)
    exact = said.astype(float)
    for t, w in enumerate(weights):
        assert found["brier"][t] == pytest.approx(brier_score_loss(truth, exact, sample_weight=w), abs=1e-12)
        assert found["ece"][t] == pytest.approx(ece_by_hand(truth, exact, w), abs=1e-12)
    share, mean = calibration_curve(truth, exact, n_bins=15)
    points = reliability(truth, exact)
    np.testing.assert_allclose(points[:2], (mean, share), rtol=0, atol=1e-12)
    assert found["ece"][0] == pytest.approx(np.average(np.abs(share - mean), weights=points[2]), abs=1e-12)


@pytest.mark.oracle
def test_brier_and_ece_of_three_exclusive_classes() -> None:
    rng = np.random.default_rng(0)
    said = rng.dirichlet([1, 1, 1], 150).astype(np.float32)
    place = rng.integers(0, 3, 150)
    found = score(labels(np.eye(3)[place], said, exclusive=True))
    exact = said.astype(float)
    normal = exact / exact.sum(1, keepdims=True)
    expected = brier_score_loss(place, normal, labels=[0, 1, 2], scale_by_half=True)
    assert found["brier"] == pytest.approx(expected, abs=1e-6)
    right = exact.argmax(1) == place
    assert found["ece"] == pytest.approx(ece_by_hand(right, exact.max(1), np.ones(150)), abs=1e-12)


def problem(exclusive: bool, seed: int = 0, n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Truth drawn from the logits' own probabilities, and the logits; [n, 3]."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (n, 3))
    if exclusive:
        return np.eye(3)[[rng.choice(3, p=row) for row in softmax(logits, axis=1)]], logits
    return (rng.random((n, 3)) < expit(logits)).astype(float), logits


@pytest.mark.oracle
@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("sharper", [0.5, 1.0, 3.0])
def test_temperature_is_scipys_minimum(exclusive: bool, sharper: float) -> None:
    truth, logits = problem(exclusive)
    squash = (lambda z: softmax(z, axis=1)) if exclusive else expit
    known = truth.copy()
    if not exclusive:
        known[::7, 1] = np.nan
    p = labels(known, squash(logits * sharper), exclusive)

    def loss(t: float) -> float:
        said = squash(logits * sharper / t)
        if exclusive:
            return float(log_loss(truth, said, normalize=False))
        each = -np.where(truth == 1, np.log(said), np.log1p(-said))
        return float(each[~np.isnan(known)].sum())

    best = minimize_scalar(loss, bounds=(0.1, 10), method="bounded", options={"xatol": 1e-9}).x
    assert temperature(p) == pytest.approx(best, rel=1e-4)  # the probabilities are float32
    np.testing.assert_allclose(calibrated(p, best).output, squash(logits * sharper / best), atol=2e-5)


@pytest.mark.oracle
@pytest.mark.parametrize("exclusive", [True, False])
def test_a_known_temperature_is_found_again(exclusive: bool) -> None:
    truth, logits = problem(exclusive, seed=1, n=20_000)
    output = softmax(logits * 2, axis=1) if exclusive else expit(logits * 2)
    p = labels(truth, output, exclusive)
    found = temperature(p)
    assert found == pytest.approx(2, rel=0.05)
    assert temperature(calibrated(p, found)) == pytest.approx(1, abs=1e-3)
    better = score(calibrated(p, found))
    assert better["ece"] < 0.02 < score(p)["ece"] and better["brier"] < score(p)["brier"]
    assert better["accuracy"] == score(p)["accuracy"]


@pytest.mark.oracle
def test_two_exclusive_classes_are_one_by_sigmoid() -> None:
    truth, logits = problem(False)
    said = expit(2.5 * logits[:, 0])
    one = labels(truth[:, :1], said[:, None], exclusive=False)
    two = replace(one, classes=("a", "b"), exclusive=True, truth=np.stack([1 - truth[:, 0], truth[:, 0]], 1),
                  output=np.stack([1 - said, said], 1))  # fmt: skip
    assert temperature(two) == pytest.approx(temperature(one), rel=1e-4)
