"""Boxes by hand. (COCO's average precision and a slow FROC: tests/oracles.)"""

from __future__ import annotations

import numpy as np
import pytest

from muscle.metrics import froc_curves, iou, match, score, scorer
from muscle.predictions import BoxOutput, BoxTruth, Predictions


def boxes(truth: BoxTruth, output: BoxOutput, classes: tuple[str, ...] = ("a", "b")) -> Predictions:
    ids = [str(i) for i in range(len(truth))]
    return Predictions(task="t", kind="boxes", classes=classes, exclusive=True, ids=ids, patients=ids,
                       truth=truth, output=output)  # fmt: skip


def test_overlap_and_greedy_matching_by_hand() -> None:
    assert iou([[0, 0, 2, 2]], [[1, 0, 3, 2], [5, 5, 6, 6]]).tolist() == [[pytest.approx(1 / 3), 0.0]]
    truth = [[0, 0, 10, 10], [0, 0, 10, 8]]
    found = [[0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10]]
    # the first takes its equal; the second the other at IoU .8, so up to that threshold; the third nothing
    assert match(truth, found).sum(1).tolist() == [2] * 7 + [1] * 3


def test_average_precision_by_hand() -> None:
    truth = (np.array([[0, 0, 10, 10], [20, 20, 30, 30]], np.float32), np.array([1, 1]))
    hit, alarm, second = [0, 0, 10, 10], [50, 50, 60, 60], [20, 20, 30, 30]
    said = (
        np.array([alarm, hit, second], np.float32),
        np.array([0.6, 0.9, 0.3], np.float32),
        np.array([1, 1, 1]),
    )
    # precision 1 up to recall 1/2 (51 points), 2/3 up to 1 (50 points); class b has no box and is not in the mean
    expected = (51 + 50 * 2 / 3) / 101
    # FROC: 1/2 before any alarm and up to just under one; at one alarm an image all are found
    froc = (3 * 0.5 + 4 * 1.0) / 7
    found = score(boxes([truth], [said]))
    assert found == pytest.approx(
        {"ap50": expected, "ap50:a": expected, "map": expected, "froc": froc, "froc:a": froc}
    )
    alarms, hits = froc_curves(boxes([truth], [said]))["a"]
    assert (alarms.tolist(), hits.tolist()) == ([0, 0, 1, 1], [0, 0.5, 0.5, 1])


def test_a_second_hit_is_no_false_alarm() -> None:
    truth = (np.array([[0, 0, 10, 10]], np.float32), np.array([1]))
    twice = np.array([[0, 0, 10, 10], [0, 0, 10, 9]], np.float32)
    alarms, hits = froc_curves(boxes([truth], [(twice, np.array([0.9, 0.8], np.float32), np.array([1, 1]))]))[
        "a"
    ]
    assert (alarms.tolist(), hits.tolist()) == ([0, 0, 0], [0, 1, 1])


def test_classes_without_boxes_and_images_without_detections() -> None:
    nothing = (np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    no_detection = (nothing[0], np.zeros(0, np.float32), nothing[1])
    said = (np.array([[0, 0, 1, 1]], np.float32), np.array([0.5], np.float32), np.array([1]))
    assert score(boxes([nothing], [said])) == {} == froc_curves(boxes([nothing], [said]))
    there = (np.array([[0, 0, 1, 1]], np.float32), np.array([1]))
    found = score(boxes([there], [no_detection]))
    assert found == {"ap50": 0, "map": 0, "froc": 0, "ap50:a": 0, "froc:a": 0}
    assert score(boxes([], [])) == {}


def test_a_weight_of_zero_leaves_an_image_out() -> None:
    """As the jackknife does: false alarms are then an image of those that are left."""
    rng = np.random.default_rng(0)
    images = []
    for _ in range(6):
        corner = rng.integers(0, 20, (2, 2)).astype(np.float32)
        there = np.concatenate([corner, corner + 10], 1)
        said = np.concatenate([there + rng.integers(-3, 4, there.shape), rng.integers(30, 60, (1, 4))])
        said[-1, 2:] = said[-1, :2] + 5
        images.append(
            (
                (there, np.array([1, 2])),
                (said.astype(np.float32), rng.random(3, np.float32), rng.integers(1, 3, 3)),
            )
        )
    truth, output = map(list, zip(*images, strict=True))
    weighed = scorer(boxes(truth, output)).values(1 - np.eye(6))
    for left in range(6):
        rest = score(boxes(truth[:left] + truth[left + 1 :], output[:left] + output[left + 1 :]))
        assert rest == pytest.approx({n: v[left] for n, v in weighed.items() if not np.isnan(v[left])})
        assert 0 < rest["froc"] < 1


@pytest.mark.parametrize(("rank", "ap"), [(100, 1 / 100), (101, 0.0)])
def test_only_the_hundred_best_detections_of_an_image_count(rank: int, ap: float) -> None:
    """COCO's maxDets; one true box, and the hit is the detection of that rank."""
    there = (np.array([[0, 0, 10, 10]], np.float32), np.array([1]))
    said = np.tile(np.array([50, 50, 60, 60], np.float32), (150, 1))
    said[rank - 1] = there[0]
    output = (said, np.linspace(0.9, 0.1, 150, dtype=np.float32), np.ones(150, np.int64))
    assert score(boxes([there], [output]))["ap50"] == pytest.approx(ap)
