"""Boxes by hand. (COCO's average precision and a slow FROC: tests/oracles.)"""

from __future__ import annotations

import numpy as np
import pytest

from muscle.metrics import froc_curves, iou, match, score
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
