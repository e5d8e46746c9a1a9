"""Differences of models and seeds. Oracles: Student's paired test, closed forms, and relations that must hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from muscle.errors import UserError
from muscle.metrics import score
from muscle.predictions import Predictions
from muscle.statistics.comparison import Difference, compare, over_seeds, verdict


def labels(truth: np.ndarray, output: np.ndarray, patients: list[str] | None = None) -> Predictions:
    ids = [f"i{i}" for i in range(len(truth))]
    return Predictions(task="t", kind="labels", classes=("sick",), exclusive=False, ids=ids, patients=patients or ids,
                       truth=truth[:, None].astype(np.float32), output=output[:, None].astype(np.float32))  # fmt: skip


def model(n: int, signal: float, seed: int, patients: list[str] | None = None) -> Predictions:
    """Truth is that of every seed; what is hard is shared."""
    rng, own = np.random.default_rng(0), np.random.default_rng(seed)
    truth = rng.integers(0, 2, n)
    return labels(
        truth,
        1 / (1 + np.exp(-signal * (truth - 0.5) - rng.normal(size=n) - 0.5 * own.normal(size=n))),
        patients,
    )


def test_accuracy_is_students_paired_test() -> None:
    a, b = model(150, 3, 1), model(150, 1, 2)
    right = [((p.output >= 0.5) == (p.truth == 1))[:, 0].astype(float) for p in (a, b)]
    expected = stats.ttest_rel(*right)
    found = compare(a, b, "accuracy")
    assert found.value == pytest.approx(right[0].mean() - right[1].mean())
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    ends = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high))
    back = compare(b, a, "accuracy")
    assert (back.value, back.p, back.low) == pytest.approx((-found.value, found.p, -found.high))


def test_pairing_narrows_and_the_order_of_cases_does_not_matter() -> None:
    a, b = model(120, 2, 1), model(120, 1.5, 2)
    turned = replace(
        b, ids=b.ids[::-1], patients=b.patients[::-1], truth=b.truth[::-1], output=b.output[::-1]
    )
    found = compare(a, b, "auc")
    assert compare(a, turned, "auc") == found
    assert found.value == pytest.approx(score(a)["auc"] - score(b)["auc"]) and found.method == "paired DeLong"
    unpaired = sum(over_seeds([p])["auc"].mean.high - over_seeds([p])["auc"].mean.low for p in (a, b))
    assert found.high - found.low < 0.8 * unpaired
    assert found.reliable and found.covers == "other cases" and (found.n, found.clusters) == (120, 120)


def test_films_of_one_person_do_not_sharpen_the_test() -> None:
    a, b = model(60, 3, 1), model(60, 1.5, 2)
    copies = [
        labels(np.repeat(p.truth[:, 0], 3), np.repeat(p.output[:, 0], 3), [f"p{i // 3}" for i in range(180)])
        for p in (a, b)
    ]
    for name in ("auc", "specificity"):
        assert compare(*copies, name).p == pytest.approx(compare(a, b, name).p)
        assert compare(*copies, name, cluster="image").p < 0.5 * compare(a, b, name).p


def test_identical_models_do_not_differ() -> None:
    p = model(200, 1.5, 1)
    for name in score(p):
        found = compare(p, p, name)
        assert (found.value, found.p, found.low, found.high) == (0, 1, 0, 0)
    assert verdict(compare(p, p, "auc"), "A", "B", "T") == "the data do not tell A from B on T"


def test_what_nothing_is_known_of_is_never_a_significant_number() -> None:
    a, b = model(12, 4, 1, ["one"] * 12), model(12, 1, 2, ["one"] * 12)
    for name in ("auc", "accuracy"):
        found = compare(a, b, name)
        assert (found.low, found.high, found.p, found.reliable) == (-1, 1, 1, False)
        assert verdict(found, "A", "B", "T") == "too few cases to say"
    two = [labels(np.array([1, 0]), np.array(o)) for o in ([0.9, 0.1], [0.1, 0.9])]
    assert verdict(compare(*two, "accuracy"), "A", "B", "T") == "too few cases to say"
    with pytest.raises(UserError, match="do not define auc; defined: accuracy, sensitivity"):
        compare(labels(np.ones(5), np.ones(5)), labels(np.ones(5), np.zeros(5)), "auc")
    with pytest.raises(UserError, match="defined: nothing"):
        compare(labels(np.ones(0), np.ones(0)), labels(np.ones(0), np.ones(0)), "auc")


def test_few_differing_cases_are_too_few() -> None:
    truth = np.arange(200) % 2
    output = np.where(truth == 1, 0.8, 0.2)
    other = output.copy()
    other[:2] = 1 - other[:2]
    found = compare(labels(truth, output), labels(truth, other), "accuracy")
    assert not found.reliable and found.why == "the models differ in too few patients (2, needed 4)"


def test_different_cases_are_named() -> None:
    a = model(10, 2, 1)
    with pytest.raises(UserError, match=r"1 only in the first \(i3\); 1 only in the second \(x\)"):
        compare(a, replace(a, ids=["x" if name == "i3" else name for name in a.ids]), "auc")
    with pytest.raises(UserError, match="case i0 occurs twice"):
        compare(a, replace(a, ids=["i0", "i0", *a.ids[2:]]), "auc")
    with pytest.raises(UserError, match="truth or patient of case i4 differs"):
        compare(a, replace(a, truth=np.where(np.arange(10)[:, None] == 4, 1 - a.truth, a.truth)), "auc")
    with pytest.raises(UserError, match="truth or patient of case i5 differs"):
        compare(a, replace(a, patients=["q" if name == "i5" else name for name in a.ids]), "auc")
    with pytest.raises(UserError, match="t and u: other tasks or classes"):
        compare(a, replace(a, task="u"), "auc")
    with pytest.raises(UserError, match="not finite"):
        compare(a, replace(a, output=np.full((10, 1), np.nan, np.float32)), "auc")


def test_boxes_are_compared_on_the_same_resamples() -> None:
    rng = np.random.default_rng(0)
    ids = [str(i) for i in range(40)]
    corner = rng.uniform(0, 100, (40, 1, 2))
    boxes = np.concatenate([corner, corner + 20], 2).astype(np.float32)
    truth = [(b, np.ones(1, np.int64)) for b in boxes]

    def found(shift: float) -> Predictions:
        output = [(b + rng.normal(0, shift, b.shape).astype(np.float32), rng.random(1).astype(np.float32),
                   np.ones(1, np.int64)) for b in boxes]  # fmt: skip
        return Predictions(task="b", kind="boxes", classes=("a",), exclusive=True, ids=ids, patients=ids,
                           truth=truth, output=output)  # fmt: skip

    near, far = found(0.5), found(6)
    result = compare(near, far, "ap50")
    assert result.method == "paired bootstrap" and result.value > 0 and result.p < 0.01
    assert compare(near, near, "ap50").p == 1


def test_seeds_are_a_second_source_of_variance() -> None:
    runs = [model(100, 2, seed) for seed in range(1, 6)]
    aucs = [score(run)["auc"] for run in runs]
    found = over_seeds(runs)["auc"]
    assert found.mean.value == pytest.approx(np.mean(aucs)) and found.seeds == 5
    assert found.sd == pytest.approx(np.std(aucs, ddof=1))
    alone = over_seeds(runs[:1])["auc"]
    assert np.isnan(alone.sd)
    same = over_seeds([runs[0]] * 3)["auc"]  # equal seeds add nothing to what one says of the cases
    assert same.sd == pytest.approx(0, abs=1e-12)
    assert (same.mean.low, same.mean.high) == pytest.approx((alone.mean.low, alone.mean.high))
    with pytest.raises(ValueError, match="no run"):
        over_seeds([])
    with pytest.raises(UserError, match="other cases"):
        over_seeds([runs[0], model(99, 2, 1)])


def test_the_variance_of_each_mean_over_its_seeds_is_added() -> None:
    a, b = [model(100, 2, s) for s in (1, 2, 3)], [model(100, 1.5, s) for s in (4, 5)]
    found = compare(a, b, "accuracy")
    right = [np.mean([((p.output >= 0.5) == (p.truth == 1))[:, 0] for p in side], axis=0) for side in (a, b)]
    of_cases = np.var(right[0] - right[1], ddof=1) / 100
    of_seeds = [np.var([score(p)["accuracy"] for p in side], ddof=1) / len(side) for side in (a, b)]
    total = of_cases + sum(of_seeds)
    df = int(total**2 / (of_cases**2 / 99 + of_seeds[0] ** 2 / 2 + of_seeds[1] ** 2 / 1))
    half = stats.t.ppf(0.975, df) * np.sqrt(total)
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half))
    assert found.covers == "other cases and other seeds"
    assert compare(a, b[0], "accuracy").covers == "other cases"


def test_runs_that_share_their_draws_spread_as_their_differences_do() -> None:
    """Oracle: the formula above with one spread, that of the differences, in place of two."""
    a, b = [model(100, 2, s) for s in (1, 2, 3)], [model(100, 1.5, s) for s in (4, 5, 6)]
    found = compare(a, b, "accuracy", paired=True)
    right = [np.mean([((p.output >= 0.5) == (p.truth == 1))[:, 0] for p in side], axis=0) for side in (a, b)]
    of_cases = np.var(right[0] - right[1], ddof=1) / 100
    apart = [score(x)["accuracy"] - score(y)["accuracy"] for x, y in zip(a, b, strict=True)]
    of_draws = np.var(apart, ddof=1) / 3
    total = of_cases + of_draws
    df = int(total**2 / (of_cases**2 / 99 + of_draws**2 / 2))
    half = stats.t.ppf(0.975, df) * np.sqrt(total)
    assert found.value == pytest.approx(np.mean(apart))
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half))
    assert found.covers == "other cases and other seeds"
    with pytest.raises(ValueError, match="shorter"):
        compare(a, b[:2], "accuracy", paired=True)


def test_three_sentences() -> None:
    base = Difference("auc", 0.1, 0.05, 0.15, 0.01, 99, 99, "paired DeLong", "other cases", True, "", 1)
    assert verdict(base, "A", "B", "T") == "A is better than B on T"
    assert verdict(replace(base, value=-0.1), "A", "B", "T") == "B is better than A on T"
    assert (
        verdict(replace(base, better=-1), "A", "B", "T") == "B is better than A on T"
    )  # an error: less is better
    assert verdict(base, "A", "B", "T", p=0.2) == "the data do not tell A from B on T"  # after Holm
    assert verdict(replace(base, p=0.06), "A", "B", "T") == "the data do not tell A from B on T"
    assert verdict(replace(base, reliable=False), "A", "B", "T") == "too few cases to say"


def test_equal_scores_of_models_that_err_on_other_cases_are_not_known_to_be_equal() -> None:
    """Each errs on 10 of 60 where the other is right: the difference is 0, its interval Student's and not 0 to 0."""
    truth = np.arange(60) % 2
    sides = []
    for wrong in (slice(0, 10), slice(20, 30)):
        said = truth.copy()
        said[wrong] = 1 - said[wrong]
        sides.append(labels(truth, 0.1 + 0.8 * said))
    found = compare(*sides, "accuracy")
    ends = stats.ttest_rel(*[((p.output >= 0.5) == (p.truth == 1))[:, 0].astype(float) for p in sides])
    expected = ends.confidence_interval(0.95)
    assert found.value == 0 and found.p == pytest.approx(1)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high)) and found.high > 0.1


def test_no_case_defines_no_score() -> None:
    none = labels(np.zeros(0), np.zeros(0))
    with pytest.raises(UserError, match="the cases do not define auc; defined: nothing"):
        compare(none, none, "auc")
