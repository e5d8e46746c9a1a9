"""Reliability and FROC. Oracles: the points of the metrics, counted; cases by hand."""

from __future__ import annotations

import base64

import numpy as np

from muscle.predictions import Predictions
from muscle.report.figures import Picture, colours
from muscle.report.quality import _decisions, froc_plot, reliability_plot

LOOK = colours(["a", "b"])


def labels(truth: list[list[float]], said: list[list[float]], exclusive: bool = True) -> Predictions:
    ids = [str(i) for i in range(len(truth))]
    return Predictions(
        task="t", kind="labels", classes=tuple("xyz")[: len(truth[0])], exclusive=exclusive, ids=ids, patients=ids,
        truth=np.array(truth, np.float32), output=np.array(said, np.float32),
    )  # fmt: skip


def boxes(scores: tuple[float, ...], truths: int = 1) -> Predictions:
    box = np.array([[2, 2, 10, 10]], np.float32)
    found = (np.repeat(box, len(scores), 0) + 20 * np.arange(len(scores))[:, None]).astype(np.float32)
    output = [(found, np.array(scores, np.float32), np.ones(len(scores), np.int64))]
    return Predictions(task="t", kind="boxes", classes=("x",), exclusive=True, ids=["0"], patients=["0"],
                       truth=[(box[:truths], np.ones(truths, np.int64))], output=output)  # fmt: skip


def svg(picture: Picture | None) -> str:
    assert picture is not None
    return base64.b64decode(picture.uri.partition(",")[2]).decode()


def test_what_is_decided_is_as_in_ece() -> None:
    two = labels([[1, 0], [0, 1]], [[0.8, 0.2], [0.4, 0.6]])
    assert [side.tolist() for side in _decisions(two)] == [[0, 1], np.float32([0.2, 0.6]).tolist()]
    three = labels([[1, 0, 0], [0, 1, 0]], [[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])
    assert [side.tolist() for side in _decisions(three)] == [[1, 0], np.float32([0.5, 0.7]).tolist()]
    apart = labels([[1, 1, 0], [0, 1, 0]], [[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]], exclusive=False)
    assert _decisions(apart)[0].tolist() == [1, 1, 0, 0, 1, 0]


def test_a_bin_that_has_cases_is_a_point_and_seeds_are_taken_together() -> None:
    one = labels([[1, 0], [0, 1]], [[0.99, 0.01], [0.01, 0.99]])
    other = labels([[1, 0], [0, 1]], [[0.5, 0.5], [0.5, 0.5]])
    picture = reliability_plot([("a", "A", [one]), ("b", "B", [one, other])], LOOK)
    assert picture is not None and picture.points == 2 + 3
    nobody = labels([[np.nan, np.nan]], [[0.5, 0.5]])
    assert reliability_plot([("a", "A", [nobody])], LOOK) is None


def test_froc_has_a_point_a_score_and_needs_a_box() -> None:
    picture = froc_plot([("a", "A", [boxes((0.9, 0.5)), boxes((0.9,))]), ("b", "B", [boxes(())])], LOOK)
    assert picture is not None and picture.points == 3 + 2 + 1
    assert "<svg" in svg(picture)
    assert froc_plot([("a", "A", [boxes((0.9,), truths=0)])], LOOK) is None
