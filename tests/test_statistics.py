"""Intervals. Oracles: the resampling written as a loop; the normal approximation; relations that must hold."""

from __future__ import annotations

import time

import numpy as np
import pytest

from muscle.metrics import score
from muscle.predictions import Predictions
from muscle.statistics import describe, intervals, paper_intervals


def labels(truth: np.ndarray, output: np.ndarray, patients: list[str] | None = None) -> Predictions:
    ids = [str(i) for i in range(len(truth))]
    return Predictions(task="t", kind="labels", classes=("sick",), exclusive=False, ids=ids, patients=patients or ids,
                       truth=truth[:, None].astype(np.float32), output=output[:, None].astype(np.float32))  # fmt: skip


def noisy(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, n)
    return truth, 1 / (1 + np.exp(-rng.normal(size=n) - truth + 0.5))


def test_values_are_the_plain_scores_and_lie_inside() -> None:
    p = labels(*noisy(80))
    found = intervals(p)
    assert {name: i.value for name, i in found.items()} == score(p)
    assert all(0 <= i.low <= i.value <= i.high <= 1 and i.n == 80 for i in found.values())
    assert found == intervals(p) != intervals(p, seed=1)


def test_the_same_quantiles_as_a_loop_over_resamples() -> None:
    truth, output = noisy(30)
    patients = [f"p{i // 3}" for i in range(30)]
    found = intervals(labels(truth, output, patients), trials=400)
    rng = np.random.default_rng(99)
    tried = []
    for _ in range(400):
        drawn = np.concatenate([np.arange(3) + 3 * c for c in rng.integers(0, 10, 10)])
        tried.append(score(labels(truth[drawn], output[drawn]))["auc"])
    low, high = np.quantile(tried, [0.025, 0.975])
    assert (found["auc"].low, found["auc"].high) == pytest.approx((low, high), abs=0.03)


def test_accuracy_has_the_width_of_a_binomial() -> None:
    truth = np.zeros(400)
    found = intervals(labels(truth, np.r_[np.ones(100), np.zeros(300)]), trials=4000)["accuracy"]
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.sqrt(0.75 * 0.25 / 400), rel=0.06)


def test_equal_cases_have_no_width() -> None:
    found = intervals(labels(np.ones(20), np.full(20, 0.9)))
    assert set(found) == {"accuracy", "sensitivity", "brier", "ece"}  # no negatives: no specificity, no AUC
    assert all((i.low, i.value, i.high) == pytest.approx((i.value,) * 3) for i in found.values())
    assert found["accuracy"].value == found["sensitivity"].value == 1


def test_films_of_one_person_do_not_count_as_many() -> None:
    truth, output = noisy(40)
    once = intervals(labels(truth, output))["auc"]
    patients = [f"p{i // 4}" for i in range(160)]
    four = labels(np.repeat(truth, 4), np.repeat(output, 4), patients)
    by_patient, by_image = intervals(four)["auc"], intervals(four, cluster="image")["auc"]
    assert (by_patient.low, by_patient.high) == pytest.approx((once.low, once.high))  # copies teach nothing
    assert by_image.high - by_image.low < 0.65 * (by_patient.high - by_patient.low)
    assert by_patient.n == 160


def test_one_person_alone_says_nothing_of_others() -> None:
    found = intervals(labels(*noisy(10), ["one"] * 10))["auc"]
    assert (found.low, found.high) == (0.0, 1.0)


def test_the_papers_way_is_100_trials_over_images() -> None:
    p = labels(*noisy(50), ["a", "b"] * 25)
    assert paper_intervals(p) == intervals(p, trials=100, cluster="image")
    assert "patients" in describe() and "100 resamples of single images" in describe(100, "image")


def test_wrong_settings_are_refused() -> None:
    p = labels(*noisy(5))
    with pytest.raises(ValueError, match="trials=0"):
        intervals(p, trials=0)
    with pytest.raises(ValueError, match="allowed: patient, image"):
        intervals(p, cluster="study")  # type: ignore[arg-type]
    assert intervals(labels(np.zeros(0), np.zeros(0))) == {}


def test_a_thousand_resamples_of_a_hundred_images_with_boxes_are_quick() -> None:
    rng = np.random.default_rng(0)
    truth, output = [], []
    for _ in range(100):
        corner = rng.uniform(0, 400, (5, 2))
        boxes = np.concatenate([corner, corner + 50], 1).astype(np.float32)
        found = np.repeat(boxes, 20, 0) + rng.normal(0, 6, (100, 4)).astype(np.float32)
        truth.append((boxes, np.ones(5, np.int64)))
        output.append((found, rng.uniform(0, 1, 100).astype(np.float32), np.ones(100, np.int64)))
    ids = [str(i) for i in range(100)]
    p = Predictions(task="t", kind="boxes", classes=("a",), exclusive=True, ids=ids, patients=ids,
                    truth=truth, output=output)  # fmt: skip
    start = time.perf_counter()
    found = intervals(p)
    assert time.perf_counter() - start < 10
    assert found["ap50"].low < found["ap50"].value < found["ap50"].high and found["ap50"].n == 100
