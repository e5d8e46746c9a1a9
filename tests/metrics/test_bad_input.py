"""What cannot be scored is said in one line; what is not defined is absent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from muscle.calibration import temperature
from muscle.errors import UserError
from muscle.metrics import LOWER_IS_BETTER, froc_curves, operating_point, score, scorer
from muscle.predictions import Predictions


def given(kind: str, truth: Any, output: Any, classes: tuple[str, ...] = ("a",)) -> Predictions:
    ids = [f"chest/{i}.png" for i in range(len(truth))]
    return Predictions(task="pneumonia", kind=kind, classes=classes, exclusive=False, ids=ids, patients=ids,  # type: ignore[arg-type]
                       truth=truth, output=output)  # fmt: skip


def bad(kind: str, count: int) -> Predictions:
    """Six cases, the last ``count`` of them with a NaN or an infinity in the output."""
    spoilt = np.where(np.arange(6) < 6 - count, 0.5, np.where(np.arange(6) % 2, np.nan, np.inf)).astype(
        np.float32
    )
    if kind != "boxes":
        return given(kind, np.ones((6, 1), np.float32), spoilt[:, None])
    box, label = np.array([[0, 0, 1, 1]], np.float32), np.array([1])
    by_score = [(box, spoilt[i : i + 1], label) for i in range(5)]
    last = (box * spoilt[5], np.array([0.5], np.float32), label)  # its corners, not its score
    return given(kind, [(box, label)] * 6, [*by_score, last])


@pytest.mark.parametrize("kind", ["labels", "value", "boxes"])
def test_outputs_that_are_no_numbers_are_refused_by_name(kind: str) -> None:
    for ask in (score, scorer, *([froc_curves] if kind == "boxes" else [])):
        with pytest.raises(UserError) as caught:
            ask(bad(kind, 2))  # type: ignore[operator]
        assert str(caught.value) == (
            "pneumonia: predictions that are not finite numbers for 2 of 6 cases (chest/4.png, chest/5.png); "
            "the model has diverged: train it again at a lower rate"
        )
    with pytest.raises(UserError, match=r"5 of 6 cases \(chest/1.png, chest/2.png, chest/3.png and 2 more\)"):
        score(bad(kind, 5))


def test_nor_is_anything_fitted_on_them() -> None:
    for ask in (temperature, lambda p: operating_point(p, "youden")):
        with pytest.raises(UserError, match="pneumonia: predictions that are not finite"):
            ask(bad("labels", 1))


def test_they_can_be_kept_and_looked_at(tmp_path: Any) -> None:
    bad("labels", 1).save(tmp_path / "x.npz")
    assert np.isnan(Predictions.load(tmp_path / "x.npz").output).sum() == 1  # type: ignore[call-overload]


def test_truth_alone_may_be_unknown() -> None:
    unknown = np.full((3, 1), np.nan, np.float32)
    for kind in ("labels", "value"):
        assert score(given(kind, unknown, np.full((3, 1), 0.5, np.float32))) == {}


def test_kinds_and_shapes_without_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="no scores for points"):
        score(given("points", np.zeros((1, 2)), np.zeros((1, 2))))
    with pytest.raises(ValueError, match=r"truth \(3,\); values are \[N, 1\]"):
        given("value", np.zeros(3), np.zeros(3))


def test_every_score_keeps_its_bounds_and_says_which_way_is_better() -> None:
    """A perfect and a hopeless set of each kind: the perfect one is at the better bound."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, (20, 1)).astype(np.float32)
    mask = rng.integers(0, 2, (4, 9, 9)).astype(np.uint8)
    box, label, sure = np.array([[0, 0, 9, 9]], np.float32), np.array([1]), np.ones(1, np.float32)
    sets = {
        "labels": (truth, truth, 1 - truth),
        "mask": (mask, mask, 0 * mask),
        "boxes": ([(box, label)] * 3, [(box, sure, label)] * 3, [(box + 50, sure, label)] * 3),
        "value": (truth, truth, truth + 7),
    }
    for kind, (true, right, wrong) in sets.items():
        best, worst = score(given(kind, true, right)), score(given(kind, true, wrong))
        of = scorer(given(kind, true, right))
        assert set(best) == set(of.cases)
        for name in best:
            low, high = of.bounds.get(name, (0, 1))
            lower_wins = name.partition(":")[0] in LOWER_IS_BETTER
            assert low <= worst[name] <= high and low <= best[name] <= high
            assert best[name] == (low if lower_wins else high), name
            assert (worst[name] > best[name]) if lower_wins else (worst[name] < best[name])
