"""Intervals. Oracles: resampling and leaving out written as loops; closed forms; relations that must hold."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy import stats

from muscle.errors import UserError
from muscle.metrics import Scorer, score
from muscle.predictions import Predictions
from muscle.statistics.bootstrap import draws
from muscle.statistics.influence import Influence, average, influences, of_scorer
from muscle.statistics.intervals import describe, interval, intervals


def labels(truth: np.ndarray, output: np.ndarray, patients: list[str] | None = None) -> Predictions:
    ids = [str(i) for i in range(len(truth))]
    return Predictions(task="t", kind="labels", classes=("sick",), exclusive=False, ids=ids, patients=patients or ids,
                       truth=truth[:, None].astype(np.float32), output=output[:, None].astype(np.float32))  # fmt: skip


def noisy(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, n)
    return truth, 1 / (1 + np.exp(-rng.normal(size=n) - truth + 0.5))


def masks(n: int, patients: list[str] | None = None, seed: int = 0) -> Predictions:
    """Squares, shifted by a little."""
    rng = np.random.default_rng(seed)
    truth, output = np.zeros((2, n, 20, 20), np.uint8)
    for i in range(n):
        y, x, dy, dx = *rng.integers(2, 8, 2), *rng.integers(-2, 3, 2)
        truth[i, y : y + 9, x : x + 9] = 1
        output[i, y + dy : y + dy + 9, x + dx : x + dx + 9] = 1
    ids = [str(i) for i in range(n)]
    return Predictions(task="m", kind="mask", classes=("lung",), exclusive=True, ids=ids, patients=patients or ids,
                       truth=truth, output=output)  # fmt: skip


def test_values_are_the_plain_scores_and_lie_inside() -> None:
    truth, output = noisy(80)
    p = labels(truth, output)
    for method in ("default", "percentile", "paper"):
        found = intervals(p, method)  # type: ignore[arg-type]
        assert {name: i.value for name, i in found.items()} == score(p)
        assert all(0 <= i.low <= i.value <= i.high <= 1 and i.clusters == i.n for i in found.values())
        counts = {"sensitivity": truth.sum(), "specificity": (1 - truth).sum()}
        assert {name: i.n for name, i in found.items()} == dict.fromkeys(found, 80) | counts
    assert intervals(p) == intervals(p, seed=1)  # no chance in it
    assert intervals(p, "percentile") != intervals(p, "percentile", seed=1)


def test_percentiles_are_those_of_a_loop_over_resamples() -> None:
    truth, output = noisy(30)
    patients = [f"p{i // 3}" for i in range(30)]
    found = intervals(labels(truth, output, patients), "percentile", trials=400)
    rng = np.random.default_rng(99)
    tried = []
    for _ in range(400):
        drawn = np.concatenate([np.arange(3) + 3 * c for c in rng.integers(0, 10, 10)])
        tried.append(score(labels(truth[drawn], output[drawn]))["auc"])
    low, high = np.quantile(tried, [0.025, 0.975])
    assert (found["auc"].low, found["auc"].high) == pytest.approx((low, high), abs=0.03)


def test_percentiles_are_what_they_were_to_the_last_digit() -> None:
    """Figures of the first version, whose resamples these must stay."""
    found = intervals(labels(*noisy(40), [f"p{i // 2}" for i in range(40)]), "percentile", trials=50)
    assert [found["auc"].low, found["auc"].high] == pytest.approx(
        [0.7991018170426065, 0.9795626959247649], abs=1e-15
    )


def test_accuracy_is_wilsons_and_of_patients_by_its_effective_size() -> None:
    right = np.r_[np.ones(70), np.zeros(10)]
    found = intervals(labels(np.ones(80), right))["accuracy"]
    t, size = stats.t.ppf(0.975, 79), 79  # the variance has n - 1 beneath
    middle, half = 7 / 8 + t**2 / 2 / size, t * np.sqrt(7 / 8 / 8 / size + t**2 / 4 / size**2)
    ends = [(middle + sign * half) / (1 + t**2 / size) for sign in (-1, 1)]
    assert [found.low, found.high] == pytest.approx(ends, abs=1e-9) and found.method == "Wilson"
    four = intervals(labels(np.ones(320), np.repeat(right, 4), [f"p{i // 4}" for i in range(320)]))[
        "accuracy"
    ]
    assert [four.low, four.high] == pytest.approx([found.low, found.high])  # copies teach nothing
    assert (four.n, four.clusters) == (320, 80)


def test_dice_is_students_interval_of_the_mean_on_the_logit_scale() -> None:
    p = masks(40)
    each = [score(masks_of(p, [i]))["dice"] for i in range(40)]
    found = intervals(p)["dice"]
    value, error = np.mean(each), stats.sem(each)
    half = stats.t.ppf(0.975, 39) * error / (value * (1 - value))
    odds = np.log(value / (1 - value))
    ends = [1 / (1 + np.exp(-odds + half)), 1 / (1 + np.exp(-odds - half))]
    assert [found.low, found.high] == pytest.approx(ends, abs=1e-9) and found.method == "logit jackknife"


def masks_of(p: Predictions, cases: list[int]) -> Predictions:
    truth, output = p.arrays
    ids = [p.ids[i] for i in cases]
    return Predictions(task="m", kind="mask", classes=("lung",), exclusive=True, ids=ids, patients=ids,
                       truth=truth[cases], output=output[cases])  # fmt: skip


def test_miou_is_left_out_patient_by_patient() -> None:
    p = masks(24, [f"p{i // 2}" for i in range(24)])
    found = influences(p)["miou"]
    whole = score(p)["miou"]
    without = [
        score(masks_of(p, [i for i in range(24) if p.patients[i] != f"p{g}"]))["miou"] for g in range(12)
    ]
    assert found.variance == pytest.approx(sum((whole - w) ** 2 for w in without) * 11 / 12)
    assert (found.clusters, found.effective, found.df) == (12, 12.0, 11.0)


@pytest.mark.parametrize("ordered", [False, True])
def test_many_patients_are_left_out_in_groups(ordered: bool) -> None:
    """In order of their values too, in which groups of every 200th patient would hardly differ."""
    x = np.random.default_rng(0).normal(5, 1, 5000)
    x = np.sort(x) if ordered else x
    mean = Scorer(lambda w: {"mae": w @ x / w.sum(1)}, {"mae": 5000}, {"mae": (0.0, np.inf)})
    found = of_scorer(mean, np.arange(5000))["mae"]
    assert found.by_cluster is not None and len(found.by_cluster) == 200
    assert found.variance == pytest.approx(x.var() / 5000, rel=0.25) and found.df == 199


def test_scores_that_move_in_steps_take_the_bootstraps_spread_and_their_rounding() -> None:
    """Oracle: the variance of the resampled scores, as of a sample of so few clusters, and of a rounded number."""
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, 9)
    of = np.repeat(np.arange(5), [1, 2, 2, 2, 2])
    weighed = Scorer(lambda w: dict.fromkeys(("ap50", "froc"), w @ x / w.sum(1)), {"ap50": 9, "froc": 9})
    found = of_scorer(weighed, of)
    tried = draws(np.random.default_rng(0), 200, 5)[:, of]
    spread = (tried @ x / tried.sum(1)).var(ddof=1) * 5 / 4
    assert found["froc"].variance == pytest.approx(spread)
    assert found["ap50"].variance == pytest.approx(spread + 1 / 101**2 / 12)


def test_a_score_of_one_class_stands_on_the_cases_that_have_it() -> None:
    """Three of twelve masks have the second class, two of ten images a box of it: what is sure of it rests on these."""
    truth = np.zeros((12, 8, 8), np.uint8)
    truth[:, 1:4, 1:4] = 1
    truth[:3, 5:7, 5:7] = 2
    ids = [str(i) for i in range(12)]
    p = Predictions(task="m", kind="mask", classes=("a", "b"), exclusive=True, ids=ids, patients=ids, truth=truth,
                    output=np.roll(truth, 1, axis=1))  # fmt: skip
    found = influences(p)
    assert [(found[n].n, found[n].clusters) for n in ("dice:b", "hd95:a", "hd95:b", "asd:b", "hd95")] == [
        (12, 12), (12, 12), (3, 3), (3, 3), (12, 12)
    ]  # fmt: skip
    box = np.array([[0, 0, 10, 10], [20, 20, 30, 30]], np.float32)
    both = [(box, np.array([1, 2 if i < 2 else 1])) for i in range(10)]
    said = [(b, np.full(2, 0.5 + i / 20, np.float32), label) for i, (b, label) in enumerate(both)]
    boxed = Predictions(task="b", kind="boxes", classes=("a", "b"), exclusive=True, ids=ids[:10], patients=ids[:10],
                        truth=both, output=said)  # fmt: skip
    sure = influences(boxed)
    assert [sure[n].clusters for n in ("ap50", "ap50:a", "ap50:b", "froc:b")] == [10, 10, 2, 2]


def test_the_mean_of_several_trainings_is_as_sure_as_the_least_sure() -> None:
    one = Influence(0.5, np.array([0.1, -0.1]), 0.02, 5.0, 8.0, 20, 10)
    other = Influence(0.7, np.array([0.1, 0.1]), 0.04, 9.0, 6.0, 20, 10)
    mean = average([one, other])
    assert (mean.value, mean.df, mean.effective) == (0.6, 5.0, 6.0)
    assert mean.by_cluster is not None and mean.by_cluster.tolist() == [0.1, 0.0]
    assert mean.variance == pytest.approx(0.1**2 * (0.02 + 0.04) / 0.04)  # drawn as much as the two are


def test_films_of_one_person_do_not_count_as_many() -> None:
    truth, output = noisy(40)
    once = intervals(labels(truth, output))
    patients = [f"p{i // 4}" for i in range(160)]
    four = labels(np.repeat(truth, 4), np.repeat(output, 4), patients)
    by_patient, by_image = intervals(four), intervals(four, cluster="image")
    for name, near in (
        ("auc", 0.005),
        ("sensitivity", 1e-9),
    ):  # the AUC is drawn to a model of 80 cases, not 40
        assert by_patient[name].low == pytest.approx(once[name].low, abs=near)  # copies teach nothing
        assert by_patient[name].high == pytest.approx(once[name].high, abs=near)
        width = by_patient[name].high - by_patient[name].low
        assert by_image[name].high - by_image[name].low < 0.65 * width
    paper = intervals(four, "paper")
    assert paper == intervals(four, "percentile", "image", trials=100)


def test_what_nothing_is_known_of_is_stamped_and_never_a_narrow_number() -> None:
    one = intervals(labels(*noisy(10), ["one"] * 10))
    for method in ("default", "percentile"):
        found = intervals(labels(*noisy(10), ["one"] * 10), method)["auc"]  # type: ignore[arg-type]
        assert (found.low, found.high, found.reliable) == (0.0, 1.0, False)
        assert found.why == "one patient: nothing shows how others differ"
    assert one["sensitivity"].why.startswith("one patient")
    sick = intervals(
        labels(np.r_[np.ones(3), np.zeros(30)], noisy(33)[1], ["sick"] * 3 + [str(i) for i in range(30)])
    )
    assert (sick["auc"].low, sick["auc"].high) == (0.0, 1.0) and "stands on one patient" in sick["auc"].why
    assert (sick["sensitivity"].low, sick["sensitivity"].high, sick["sensitivity"].reliable) == (
        0.0,
        1.0,
        False,
    )
    two = intervals(labels(np.array([0, 1]), np.array([0.2, 0.8])))
    assert not any(i.reliable for i in two.values())
    assert all(
        two[n].low <= 0.16 and two[n].high == 1 for n in ("accuracy", "sensitivity", "specificity", "auc")
    )
    only = intervals(labels(np.ones(50), np.full(50, 0.9)))
    assert set(only) == {"accuracy", "sensitivity", "brier", "ece"}  # no negatives: no specificity, no AUC
    assert only["accuracy"].low == pytest.approx(0.025 ** (1 / 50)) and only["accuracy"].high == 1
    assert intervals(labels(np.zeros(0), np.zeros(0))) == {}


def test_an_error_without_an_upper_bound_has_students_interval_of_its_logarithm() -> None:
    """The mean error in months: its standard error is that of a mean, and no end is below 0."""
    rng = np.random.default_rng(1)
    truth = rng.normal(100, 20, 30)
    output = truth + rng.normal(0, 8, 30)
    ids = [str(i) for i in range(30)]
    p = Predictions(task="age", kind="value", classes=(), exclusive=False, ids=ids, patients=ids,
                    truth=truth[:, None].astype(np.float32), output=output[:, None].astype(np.float32))  # fmt: skip
    found = intervals(p)["mae"]
    off = np.abs(p.arrays[0] - p.arrays[1])[:, 0].astype(float)
    times = np.exp(stats.t.ppf(0.975, 29) * stats.sem(off) / off.mean())
    assert (found.value, found.low, found.high) == pytest.approx(
        (off.mean(), off.mean() / times, off.mean() * times)
    )
    assert found.method == "log jackknife" and found.reliable


@pytest.mark.parametrize("bounds", [(-np.inf, np.inf), (1.0, np.inf)])
def test_a_score_that_is_no_multiple_of_anything_has_a_symmetric_one(bounds: tuple[float, float]) -> None:
    x = np.random.default_rng(0).normal(5, 1, 40)
    mean = Scorer(lambda w: {"s": w @ x / w.sum(1)}, {"s": 40}, {"s": bounds})
    found = interval("s", of_scorer(mean, np.arange(40))["s"])
    half = stats.t.ppf(0.975, 39) * stats.sem(x)
    assert (found.low, found.high, found.method) == (
        pytest.approx(x.mean() - half),
        pytest.approx(x.mean() + half),
        "jackknife",
    )


def test_of_one_patient_an_unbounded_score_has_no_interval() -> None:

    mean = Scorer(lambda w: {"mae": w.sum(1) / w.sum(1) * 3}, {"mae": 4}, {"mae": (0.0, np.inf)})
    found = interval("mae", of_scorer(mean, np.zeros(4, np.int64))["mae"])
    assert found.value == 3 and np.isnan([found.low, found.high]).all() and not found.reliable


def test_the_stamp_follows_what_the_score_stands_on() -> None:
    truth = np.r_[np.ones(8), np.zeros(192)]
    found = intervals(labels(truth, np.clip(noisy(200)[1] + 0.3 * truth, 0, 1)))
    assert found["specificity"].reliable and found["accuracy"].reliable
    assert found["sensitivity"].why == "too few patients (8, needed 20)"
    assert found["auc"].why == "too few patients of the rarer class (8, needed 9)"
    assert intervals(labels(*noisy(200)))["auc"].reliable
    assert found["auc"].method == "logit-DeLong" and found["brier"].method == "logit jackknife"


def test_a_spread_made_by_few_is_stamped() -> None:
    x = np.r_[np.full(97, 0.95), np.zeros(3)] + np.linspace(0, 0.01, 100)
    dice = Scorer(lambda w: {"dice": w @ x / w.sum(1)}, {"dice": 100})

    assert (
        interval("dice", of_scorer(dice, np.arange(100))["dice"]).why
        == "3 patients make all the spread, needed 6"
    )


def test_predictions_that_are_not_numbers_are_refused() -> None:
    truth, output = noisy(10)
    output[[3, 7]] = np.nan
    with pytest.raises(UserError, match=r"^t: .* 2 of 10 cases \(3, 7\)"):
        intervals(labels(truth, output))


def test_wrong_settings_are_refused() -> None:
    p = labels(*noisy(5))
    with pytest.raises(ValueError, match="trials=0"):
        intervals(p, trials=0)
    assert intervals(p, "percentile", trials=1)["accuracy"].value == intervals(p)["accuracy"].value
    with pytest.raises(ValueError, match="allowed: patient, image"):
        intervals(p, cluster="study")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="allowed: default, percentile, paper"):
        intervals(p, "bca")  # type: ignore[arg-type]


def test_the_method_in_words() -> None:
    assert (
        "patients" in describe() and "DeLong" in describe() and "single images" in describe(cluster="image")
    )
    assert "1000 resamples of patients" in describe("percentile")
    assert "100 resamples of single images" in describe("paper")


def test_intervals_of_a_hundred_images_with_boxes_are_quick() -> None:
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
    default, tried = intervals(p)["ap50"], intervals(p, "percentile")["ap50"]
    assert time.perf_counter() - start < 10
    assert default.low < default.value < default.high and default.n == 100
    widths = [i.high - i.low for i in (default, tried)]
    assert widths[0] == pytest.approx(widths[1], rel=0.3)  # both from resamples


def test_only_cases_of_known_truth_count() -> None:
    """Films whose truth is unknown are of patients who say nothing."""
    truth, output = noisy(60)
    unknown = labels(np.r_[truth, np.full(40, np.nan)], np.r_[output, np.full(40, 0.5)])
    for name, found in intervals(unknown).items():
        alone = intervals(labels(truth, output))[name]
        assert (found.n, found.clusters) == (alone.n, alone.clusters)
        assert (found.low, found.high) == pytest.approx(
            (alone.low, alone.high),
            abs=0.02 if name == "ece" else 0.002,  # resampled with other numbers
        ), name


def test_whatever_the_cases_the_interval_holds_its_score_and_its_counts_fit() -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        n, several = int(rng.integers(1, 40)), int(rng.integers(1, 5))
        truth = (rng.random((n, several)) < rng.random()).astype(np.float32)
        truth[rng.random((n, several)) < 0.2] = np.nan
        ids = [str(i) for i in range(n)]
        people = [f"p{i}" for i in rng.integers(0, max(1, n // 3), n)]
        p = Predictions(task="t", kind="labels", classes=tuple("abcd"[:several]), exclusive=False, ids=ids,
                        patients=people, truth=truth, output=rng.random((n, several)).astype(np.float32))  # fmt: skip
        found = intervals(p)
        assert {name: i.value for name, i in found.items()} == score(p)
        for i in found.values():
            assert -1e-9 <= i.low <= i.value + 1e-9 and i.value - 1e-9 <= i.high <= 1 + 1e-9
            assert 1 <= i.clusters <= i.n <= n and i.reliable == (i.why == "")


def test_rows_that_are_scored_nowhere_change_nothing() -> None:
    """Of exclusive classes a row with any unknown truth is unknown, however well the others are answered."""
    rng = np.random.default_rng(0)
    truth = np.eye(3)[rng.integers(0, 3, 30)].astype(np.float32)
    output = rng.dirichlet(np.ones(3), 30).astype(np.float32)
    half = np.tile(np.array([[np.nan, 1, 0], [np.nan, 0, 1]], np.float32), (150, 1))

    def made(t: np.ndarray, o: np.ndarray) -> Predictions:
        ids = [f"{i}" for i in range(len(t))]
        return Predictions(task="t", kind="labels", classes=("x", "y", "z"), exclusive=True, ids=ids, patients=ids,
                           truth=t, output=o)  # fmt: skip

    alone = intervals(made(truth, output))
    more = intervals(made(np.r_[truth, half], np.r_[output, np.nan_to_num(half)]))
    for name in ("auc", "auc:y", "accuracy", "sensitivity"):
        assert more[name].n == alone[name].n and more[name].value == pytest.approx(alone[name].value)
        assert (more[name].low, more[name].high) == pytest.approx(
            (alone[name].low, alone[name].high), abs=0.01
        )


def test_rounding_is_no_difference_between_patients() -> None:
    truth, output = np.zeros((37, 8, 8), np.uint8), np.zeros((37, 8, 8), np.uint8)
    truth[:, 2, :7], output[:, 2, :3] = 1, 1
    ids = [f"{i}" for i in range(37)]
    same = Predictions(task="m", kind="mask", classes=("lung",), exclusive=True, ids=ids, patients=ids, truth=truth,
                       output=output)  # fmt: skip
    found = intervals(same)
    assert found["dice"].value == pytest.approx(0.6)
    assert not found["dice"].reliable and found["dice"].why == "no patient differs from another"
