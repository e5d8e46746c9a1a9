"""Oracle: Dice and IoU of masks small enough to count by hand, and the double loop over pixels."""

from __future__ import annotations

import numpy as np
import pytest

from muscle.metrics import score, scorer
from muscle.predictions import Predictions


def masks(truth: np.ndarray, output: np.ndarray, classes: tuple[str, ...] = ("lungs",)) -> Predictions:
    ids = [str(i) for i in range(len(truth))]
    return Predictions(task="t", kind="mask", classes=classes, exclusive=True, ids=ids, patients=ids,
                       truth=truth.astype(np.uint8), output=output.astype(np.uint8))  # fmt: skip


@pytest.mark.oracle
def test_two_cases_by_hand() -> None:
    # case 1: 2 true, 3 said, 2 shared -> Dice 4/5; case 2: 1 true, 1 said, 0 shared -> 0. Background: 6 and 5 of 7.
    truth = np.array([[[1, 1, 0, 0]], [[1, 0, 0, 0]]])
    output = np.array([[[1, 1, 1, 0]], [[0, 1, 0, 0]]])
    found = score(masks(truth, output))
    assert found["dice"] == pytest.approx(0.4) == found["dice:lungs"]
    # pooled: lungs 2 shared of 2 + 1 + 1 + 1 = 5; background 1 + 2 = 3 shared of 2 + 4 = 6
    assert found["miou"] == pytest.approx((2 / 5 + 3 / 6) / 2)


@pytest.mark.oracle
def test_ignored_pixels_and_empty_cases_by_hand() -> None:
    truth = np.array([[[255, 1, 0, 0]], [[0, 0, 0, 0]], [[0, 0, 0, 255]]])
    output = np.array([[[1, 1, 0, 0]], [[0, 0, 0, 0]], [[1, 0, 0, 1]]])
    # 1: 255 ignored, so perfect; 2: nothing there, nothing said: 1; 3: something said where nothing is: 0
    assert score(masks(truth, output))["dice"] == pytest.approx(2 / 3)


@pytest.mark.oracle
def test_a_case_of_ignored_pixels_alone_counts_nowhere() -> None:
    truth = np.array([[[1, 1, 0, 0]], [[255, 255, 255, 255]]])
    output = np.array([[[1, 0, 0, 0]], [[0, 0, 1, 0]]])
    assert score(masks(truth, output)) == score(masks(truth[:1], output[:1]))
    assert scorer(masks(truth, output)).cases["dice"] == 1
    assert score(masks(truth[1:], output[1:])) == {}


@pytest.mark.oracle
def test_classes_against_a_loop_over_pixels() -> None:
    rng = np.random.default_rng(0)
    truth, output = rng.choice([0, 1, 2, 255], (3, 6, 5)), rng.choice([0, 1, 2, 3], (3, 6, 5))
    found = score(masks(truth, output, ("a", "b", "never")))
    shared, union = [0] * 3, [0] * 3
    dice: dict[int, list[float]] = {1: [], 2: []}
    for t, o in zip(truth, output, strict=True):
        for c in range(3):
            both = sum(1 for x, y in zip(t.flat, o.flat, strict=True) if x != 255 and x == c and y == c)
            either = sum(1 for x, y in zip(t.flat, o.flat, strict=True) if x != 255 and c in (x, y))
            shared[c], union[c] = shared[c] + both, union[c] + either
            if c:
                dice[c].append(2 * both / (both + either))
    assert found["dice:a"] == pytest.approx(np.mean(dice[1]))
    assert found["dice"] == pytest.approx((np.mean(dice[1]) + np.mean(dice[2])) / 2)
    assert found["miou"] == pytest.approx(np.mean([s / u for s, u in zip(shared, union, strict=True)]))
    assert "dice:never" not in found
