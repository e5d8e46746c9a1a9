"""The linear probe. Oracles: scikit-learn's own pipeline and grid, and the gradient of the loss by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from muscle.features import knn_outputs
from muscle.linear_probe import GRID, UNSELECTED, linear_probe


def parts(classes: int = 2, seed: int = 0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Features of 60, 40 and 30 films at unlike scales, one column constant; labels as one column a class."""
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(classes, 8))
    features, labels = [], []
    for n in (60, 40, 30):
        y = np.arange(n) % classes
        x = 0.7 * centers[y] + rng.normal(size=(n, 8))
        x = np.concatenate([x * np.logspace(-2, 2, 8) + 5, np.ones((n, 1))], axis=1)
        features.append(x.astype(np.float32))
        labels.append(np.eye(classes, dtype=np.float32)[y])
    return features, labels


@pytest.mark.oracle
@pytest.mark.parametrize("classes", [2, 3])
def test_it_is_scikit_learns_regression_with_the_penalty_of_the_best_validation_auc(classes: int) -> None:
    (train, valid, test), (y, v, _) = parts(classes)
    found = linear_probe(train, y, valid, v, test, exclusive=True)
    tried = {}
    for c in GRID:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=10_000))
        model.fit(train.astype(np.float64), y.argmax(1))
        p = model.predict_proba(valid.astype(np.float64))
        auc = [roc_auc_score(v[:, k], p[:, k]) for k in ([1] if classes == 2 else range(classes))]
        tried[c] = float(np.mean(auc)), model.predict_proba(test.astype(np.float64))
    best = max(tried, key=lambda c: (round(tried[c][0], 9), -c))
    assert found.c == best and found.valid == pytest.approx(tried[best][0])
    assert len({round(auc, 6) for auc, _ in tried.values()}) > 1  # the choice was one
    np.testing.assert_allclose(found.output, tried[best][1], atol=1e-4)


def test_the_fit_is_where_the_gradient_vanishes() -> None:
    """Of sum of losses times C plus half the squared weights, by hand, from the probabilities of the training films."""
    (train, _, _), (y, _, _) = parts()
    none = np.zeros((0, train.shape[1]), np.float32), np.zeros((0, 2), np.float32)
    found = linear_probe(train, y, *none, train, exclusive=True)
    assert found.c == UNSELECTED and found.valid is None
    x = train.astype(np.float64)
    z = (x - x.mean(0))[:, :8] / x.std(0)[:8]
    p = found.output[:, 1].astype(np.float64)
    weights = np.linalg.lstsq(np.c_[z, np.ones(60)], np.log(p / (1 - p)), rcond=None)[0]
    gradient = UNSELECTED * z.T @ (p - y[:, 1]) + weights[:8]
    assert np.abs(gradient).max() < 1e-3 < np.abs(weights[:8]).max()
    assert abs((p - y[:, 1]).sum()) < 1e-2  # the intercept is not penalized


def test_findings_on_their_own_use_the_rows_that_know_them() -> None:
    (train, valid, test), (y, v, _) = parts()
    y[::3, 0] = np.nan
    y[:, 1] = 1 - y[:, 1]
    found = linear_probe(train, y, valid, v, test, exclusive=False)
    known = np.isfinite(y[:, 0])
    alone = linear_probe(train[known], y[known, :1], valid, v[:, :1], test, exclusive=False)
    assert found.output.shape == (30, 2)
    assert np.corrcoef(found.output[:, 0], alone.output[:, 0])[0, 1] > 0.9
    assert np.corrcoef(found.output[:, 0], found.output[:, 1])[0, 1] > 0.5  # turned round, these agree


def test_one_class_alone_is_certain_and_a_class_never_seen_has_nothing() -> None:
    (train, valid, test), (_, v, _) = parts()
    healthy = np.tile(np.array([1, 0], np.float32), (60, 1))
    assert linear_probe(train, healthy, valid, v, test, True).output.tolist() == [[1.0, 0.0]] * 30
    never = np.zeros((60, 1), np.float32)
    assert linear_probe(train, never, valid, v[:, :1], test, False).output.tolist() == [[0.0]] * 30


@pytest.mark.oracle
def test_neighbours_vote_as_in_a_loop() -> None:
    (train, _, test), (y, _, _) = parts(3)
    y[::5, 1] = np.nan
    found = knn_outputs(train, y, test, 7)
    for i, film in enumerate(test.astype(np.float64)):
        alike = [float(film @ t / np.linalg.norm(film) / np.linalg.norm(t)) for t in train.astype(np.float64)]
        near = sorted(range(60), key=lambda j: -alike[j])[:7]
        for c in range(3):
            votes = [(np.exp(alike[j] / 0.07), y[j, c]) for j in near if np.isfinite(y[j, c])]
            wanted = sum(w * label for w, label in votes) / sum(w for w, _ in votes) if votes else 0.0
            assert found[i, c] == pytest.approx(wanted, abs=2e-3)
