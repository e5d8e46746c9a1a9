"""Scores in closed form, and scikit-learn's for the thresholded ones. (AUC, Dice and AP: tests/oracles.)"""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, recall_score, roc_auc_score

from muscle.metrics import auc, iou, match, roc, score
from muscle.predictions import BoxOutput, BoxTruth, Predictions


def labels(truth: object, output: object, classes: tuple[str, ...], exclusive: bool = True) -> Predictions:
    truth, output = np.asarray(truth, np.float32), np.asarray(output, np.float32)
    ids = [str(i) for i in range(len(truth))]
    return Predictions(task="t", kind="labels", classes=classes, exclusive=exclusive, ids=ids, patients=ids,
                       truth=truth, output=output)  # fmt: skip


def boxes(truth: BoxTruth, output: BoxOutput, classes: tuple[str, ...] = ("a", "b")) -> Predictions:
    ids = [str(i) for i in range(len(truth))]
    return Predictions(task="t", kind="boxes", classes=classes, exclusive=True, ids=ids, patients=ids,
                       truth=truth, output=output)  # fmt: skip


def test_two_classes_by_hand() -> None:
    # sick: .9 .6 .2 (one missed at .5); well: .5 (an alarm: .5 counts as positive) .1
    sick = np.array([0.9, 0.6, 0.2, 0.5, 0.1])
    truth = np.array([1, 1, 1, 0, 0])
    found = score(labels(np.stack([1 - truth, truth], 1), np.stack([1 - sick, sick], 1), ("well", "sick")))
    expected = {"accuracy": 3 / 5, "sensitivity": 2 / 3, "specificity": 1 / 2, "auc": 5 / 6}
    assert found == pytest.approx(expected)
    assert found == score(labels(truth[:, None], sick[:, None], ("sick",), exclusive=False))
    stricter = score(labels(truth[:, None], sick[:, None], ("sick",), exclusive=False), threshold=0.55)
    assert stricter["specificity"] == 1.0


def test_three_exclusive_classes_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    truth, output = rng.integers(0, 3, 60), rng.dirichlet([1, 1, 1], 60)
    found = score(labels(np.eye(3)[truth], output, ("a", "b", "c")))
    output = output.astype(np.float32)
    said = output.argmax(1)
    assert found["accuracy"] == pytest.approx(accuracy_score(truth, said))
    assert found["sensitivity"] == pytest.approx(recall_score(truth, said, average="macro"))
    areas = [roc_auc_score(truth == c, output[:, c]) for c in range(3)]
    assert [found[f"auc:{c}"] for c in "abc"] == pytest.approx(areas)
    assert found["auc"] == pytest.approx(np.mean(areas))


def test_unknown_truth_counts_nowhere() -> None:
    truth = np.array([[1, np.nan], [0, 1], [np.nan, 0], [1, 0]])
    output = np.array([[0.9, 0.1], [0.2, 0.8], [0.9, 0.9], [0.4, 0.3]])
    found = score(labels(truth, output, ("a", "b"), exclusive=False))
    assert found["accuracy"] == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert found["sensitivity"] == pytest.approx((1 / 2 + 1) / 2)
    assert found["specificity"] == pytest.approx((1 + 1 / 2) / 2)
    assert (found["auc:a"], found["auc:b"]) == (1.0, 0.5)


def test_what_is_not_defined_is_absent() -> None:
    only_sick = score(labels([[0, 1], [0, 1]], [[0.2, 0.8], [0.6, 0.4]], ("well", "sick")))
    assert only_sick == {"accuracy": 0.5, "sensitivity": 0.5}
    found = score(labels([[1, 0], [1, 1]], [[0.2, 0.8], [0.6, 0.4]], ("always", "some"), exclusive=False))
    assert "auc:always" not in found and found["auc"] == found["auc:some"] == 0.0
    assert score(labels(np.zeros((0, 2)), np.zeros((0, 2)), ("a", "b"))) == {}
    nothing = (np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    said = (np.array([[0, 0, 1, 1]], np.float32), np.array([0.5], np.float32), np.array([1]))
    assert score(boxes([nothing], [said])) == {}


def test_auc_does_not_change_under_a_rising_map_and_turns_over() -> None:
    rng = np.random.default_rng(0)
    truth, output = rng.integers(0, 2, 50), rng.normal(size=50)
    assert auc(truth, np.exp(3 * output)) == pytest.approx(auc(truth, output))
    assert auc(truth, -output) == pytest.approx(1 - auc(truth, output))
    assert auc(truth, np.zeros(50)) == 0.5
    across, up = roc(truth, output)
    assert np.trapezoid(up, across) == pytest.approx(auc(truth, output)[0])
    assert len(roc(np.ones(3), np.zeros(3))[0]) == 0


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
    found = score(boxes([truth], [said]))
    assert found == pytest.approx({"ap50": expected, "ap50:a": expected, "map": expected})


def test_kinds_without_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="no scores for value"):
        score(Predictions(task="age", kind="value", classes=(), exclusive=True, ids=["a"], patients=["a"],
                          truth=np.zeros(1), output=np.zeros(1)))  # fmt: skip
