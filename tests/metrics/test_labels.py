"""Labels in closed form, and by scikit-learn at a threshold. (AUC, precision, calibration: tests/oracles.)"""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, recall_score, roc_auc_score

from muscle.metrics import auc, average_precision, reliability, roc, score, scorer
from muscle.predictions import Predictions


def labels(truth: object, output: object, classes: tuple[str, ...], exclusive: bool = True) -> Predictions:
    truth, output = np.asarray(truth, np.float32), np.asarray(output, np.float32)
    ids = [str(i) for i in range(len(truth))]
    return Predictions(task="t", kind="labels", classes=classes, exclusive=exclusive, ids=ids, patients=ids,
                       truth=truth, output=output)  # fmt: skip


def test_two_classes_by_hand() -> None:
    # sick: .9 .6 .2 (one missed at .5); well: .5 (an alarm: .5 counts as positive) .1
    sick = np.array([0.9, 0.6, 0.2, 0.5, 0.1])
    truth = np.array([1, 1, 1, 0, 0])
    found = score(labels(np.stack([1 - truth, truth], 1), np.stack([1 - sick, sick], 1), ("well", "sick")))
    # recall 1/3 and 2/3 at precision 1, then 3/4 at .2; each output falls in a bin of its own
    expected = {"accuracy": 3 / 5, "sensitivity": 2 / 3, "specificity": 1 / 2, "auc": 5 / 6,
                "average_precision": 2 / 3 + 3 / 4 / 3, "brier": (0.01 + 0.16 + 0.64 + 0.25 + 0.01) / 5,
                "ece": (0.1 + 0.4 + 0.8 + 0.5 + 0.1) / 5}  # fmt: skip
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
    expected = {"accuracy": 0.5, "sensitivity": 0.5, "brier": (0.04 + 0.36) / 2, "ece": 0.4}
    assert only_sick == pytest.approx(expected)  # .8 and .4, and both came true
    found = score(labels([[1, 0], [1, 1]], [[0.2, 0.8], [0.6, 0.4]], ("always", "some"), exclusive=False))
    assert "auc:always" not in found and found["auc"] == found["auc:some"] == 0.0
    assert "average_precision:always" not in found
    assert found["average_precision"] == found["average_precision:some"] == 0.5
    assert score(labels(np.zeros((0, 2)), np.zeros((0, 2)), ("a", "b"))) == {}


def test_auc_does_not_change_under_a_rising_map_and_turns_over() -> None:
    rng = np.random.default_rng(0)
    truth, output = rng.integers(0, 2, 50), rng.normal(size=50)
    assert auc(truth, np.exp(3 * output)) == pytest.approx(auc(truth, output))
    assert auc(truth, -output) == pytest.approx(1 - auc(truth, output))
    assert auc(truth, np.zeros(50)) == 0.5
    across, up = roc(truth, output)
    assert np.trapezoid(up, across) == pytest.approx(auc(truth, output)[0])
    assert len(roc(np.ones(3), np.zeros(3))[0]) == 0


def test_an_unknown_row_of_exclusive_classes_is_unknown_as_a_whole() -> None:
    """The same scores as without the row, though one of its cells is known; two classes and three."""
    nan = np.nan
    for classes, row in (("ab", [nan, 1]), ("abc", [nan, 1, nan])):
        rng = np.random.default_rng(0)
        truth = np.eye(len(classes))[rng.integers(0, len(classes), 12)]
        output = rng.dirichlet(np.ones(len(classes)), 13)
        with_it = labels(np.concatenate([truth, [row]]), output, tuple(classes))
        assert score(with_it) == pytest.approx(score(labels(truth, output[:12], tuple(classes))))
        assert set(scorer(with_it).cases.values()) == {12}


def test_weights_mean_repeated_cases() -> None:
    """Oracle: the plain scores of cases that stand there as often as their weight says; of all three forms."""
    rng = np.random.default_rng(0)
    several = (rng.random((30, 3)) < 0.4).astype(float)
    several[rng.random((30, 3)) < 0.2] = np.nan
    one = np.eye(3)[rng.integers(0, 3, 30)]
    some = np.round(rng.dirichlet([1, 1, 1], 30), 1)
    for truth, output, exclusive in (
        (several, some, False),
        (one, some, True),
        (several[:, :1], some[:, :1], False),
    ):
        names = tuple("abc"[: truth.shape[1]])
        drawn = rng.integers(0, 30, (4, 30))
        weights = np.stack([np.bincount(d, minlength=30) for d in drawn]).astype(float)
        weighed = scorer(labels(truth, output, names, exclusive)).values(weights)
        for t, d in enumerate(drawn):
            plain = score(labels(truth[d], output[d], names, exclusive))
            assert plain == pytest.approx(
                {n: v[t] for n, v in weighed.items() if not np.isnan(v[t])}, abs=1e-12
            )


def test_a_threshold_a_class() -> None:
    """Oracle: each class alone at its own threshold; a class without one (NaN) is not in the mean."""
    rng = np.random.default_rng(0)
    truth, output = rng.integers(0, 2, (40, 2)), rng.random((40, 2))
    alone = [score(labels(truth[:, i : i + 1], output[:, i : i + 1], ("x",), False), cut)
             for i, cut in enumerate((0.3, 0.7))]  # fmt: skip
    both = labels(truth, output, ("a", "b"), exclusive=False)
    for name in ("accuracy", "sensitivity", "specificity", "auc"):
        assert score(both, (0.3, 0.7))[name] == pytest.approx((alone[0][name] + alone[1][name]) / 2)
    second = score(both, (float("nan"), 0.7))
    assert all(second[n] == pytest.approx(alone[1][n]) for n in ("accuracy", "sensitivity", "specificity"))
    assert second["auc"] == score(both)["auc"]
    neither = score(both, float("nan"))
    assert "accuracy" not in neither and "sensitivity" not in neither and "auc" in neither
    with pytest.raises(ValueError, match="t: 3 thresholds; allowed: one, or one for each of 2 classes"):
        score(both, (0.1, 0.2, 0.3))
    with pytest.raises(ValueError, match="t: 3 thresholds; allowed: one$"):
        score(labels(np.eye(3), np.eye(3), ("a", "b", "c")), (0.1, 0.2, 0.3))


def test_two_cases() -> None:
    found = score(labels([[1], [0]], [[0.9], [0.2]], ("sick",), exclusive=False))
    assert found["auc"] == found["accuracy"] == found["average_precision"] == 1.0
    assert score(labels([[1], [np.nan]], [[0.9], [0.2]], ("sick",), exclusive=False)).keys() == {
        "accuracy", "sensitivity", "brier", "ece"}  # fmt: skip


def test_average_precision_of_one_class_alone_is_not_defined() -> None:
    for truth in ([1, 1], [0, 0], [np.nan, np.nan], []):
        assert np.isnan(average_precision(truth, np.linspace(0, 1, len(truth))))[0]


def test_points_of_a_reliability_plot_by_hand() -> None:
    truth, output = [1, 0, 1, np.nan, 1, 0], [0.01, 0.05, 0.99, 0.5, 0.95, 0.0]
    said, came_true, cases = reliability(truth, output)  # bins up to 1/15, and from 14/15
    assert cases.tolist() == [3, 2]
    assert said == pytest.approx([0.02, 0.97]) and came_true == pytest.approx([1 / 3, 1])
    assert all(len(part) == 0 for part in reliability([np.nan], [0.5]))
