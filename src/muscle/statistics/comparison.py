"""Whether one model is better than another on the same cases, and how sure that is. NumPy only.

Cases and training seeds are two sources of variance. One training a side: the answer is about these two trainings
on other cases of the same kind. Several trainings a side: it is also about other seeds, with the same training data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from muscle.errors import UserError
from muscle.metrics import LOWER_IS_BETTER, THRESHOLD, Threshold
from muscle.predictions import Predictions
from muscle.statistics.influence import STEPS, Cluster, Influence, average, influences
from muscle.statistics.intervals import LEVEL, Interval, interval
from muscle.statistics.quantiles import student_p, student_quantile
from muscle.statistics.trust import distrust, few_differ

Runs = Predictions | Sequence[Predictions]


@dataclass(frozen=True, slots=True)
class Seeds:
    """The mean score of several trainings: ``mean``'s interval is over cases; ``sd`` over seeds, NaN for one."""

    mean: Interval
    sd: float
    seeds: int


@dataclass(frozen=True, slots=True)
class Difference:
    """Score of A minus score of B on the same cases.

    Attributes:
        low, high: 95 % interval; the whole possible range where nothing is known, NaN where there is none.
        p: two-sided, of no difference; 1 where nothing is known.
        n: cases that enter. ``clusters``: patients (or images) that they come from.
        method: of the test. ``covers``: what may vary: other cases, or other cases and other seeds.
        reliable: whether there is enough to say anything; ``why`` not.
        better: 1 where a higher score is better, -1 where a lower one is.
    """

    score: str
    value: float
    low: float
    high: float
    p: float
    n: int
    clusters: int
    method: str
    covers: str
    reliable: bool
    why: str
    better: int


def over_seeds(
    runs: Sequence[Predictions], cluster: Cluster = "patient", threshold: Threshold = THRESHOLD
) -> dict[str, Seeds]:
    """Mean over trainings that differ in their seed alone, judged on the same cases.

    The interval is that of the *mean* score over cases that might have been drawn, the seeds as they are; ``sd``
    says how far one training lies from another. Scores that some run does not define are left out.

    Raises:
        ValueError: no run.
        UserError: runs of different cases, or predictions that are not numbers.
    """
    aligned = _aligned(runs)
    found = [influences(run, cluster, threshold) for run in aligned] if len(aligned[0]) else [{}]
    names = [name for name in found[0] if all(name in f for f in found)]
    return {
        name: Seeds(
            interval(name, average([f[name] for f in found]), cluster),
            _sd([f[name].value for f in found]),
            len(found),
        )
        for name in names
    }


def compare(
    a: Runs,
    b: Runs,
    score: str,
    cluster: Cluster = "patient",
    threshold: Threshold = THRESHOLD,
    paired: bool = False,
) -> Difference:
    """Paired difference of one score, A minus B, on the same cases; each side one training or several seeds.

    The variance over cases comes from how each patient moves the *difference* (AUC: DeLong's components summed by
    patient, else the jackknife), so that what is hard for both models cancels; of several seeds the mean is compared,
    and the variance of each mean over its seeds is added, with Welch's degrees of freedom. A measured spread over seeds
    already holds a part of that over cases, so several seeds err on the careful side.

    Args:
        paired: the first of A and the first of B learned from the same labels, and so on: the spread is that of their
            differences, since a lucky draw is lucky for both.

    Raises:
        ValueError: no run on a side; of ``paired``, not as many on both.
        UserError: different cases or truth, a score that the cases do not define, predictions that are not numbers.
    """
    sides = [_aligned([side] if isinstance(side, Predictions) else side) for side in (a, b)]
    first = sides[0][0]
    sides[1] = [same_cases(first, run) for run in sides[1]]
    found = [[influences(run, cluster, threshold) if len(run) else {} for run in side] for side in sides]
    if missing := [name for side in found for f in side for name in ([score] if score not in f else [])]:
        raise UserError(
            f"{first.task}: the cases do not define {missing[0]}; defined: {', '.join(found[0][0]) or 'nothing'}"
        )
    return difference(score, [f[score] for f in found[0]], [f[score] for f in found[1]], cluster, paired)


def difference(
    score: str,
    a: Sequence[Influence],
    b: Sequence[Influence],
    cluster: Cluster = "patient",
    paired: bool = False,
) -> Difference:
    """``compare`` for the influences of one score: one of each training of A and of B, on the same clusters."""
    kind = score.partition(":")[0]
    means = [average(a), average(b)]
    value = means[0].value - means[1].value
    sides = [[i.value for i in side] for side in (a, b)]
    if paired:
        sides = [[x - y for x, y in zip(*sides, strict=True)]]
    seeded = [(_sd(side) ** 2 / len(side), len(side) - 1) for side in sides if len(side) > 1]
    about: dict[str, Any] = {
        "score": score, "value": value, "n": means[0].n, "clusters": means[0].clusters,
        "method": "paired DeLong" if kind == "auc" else f"paired {'bootstrap' if kind in STEPS else 'jackknife'}",
        "covers": "other cases and other seeds" if len(seeded) == len(sides) else "other cases",
        "better": -1 if kind in LOWER_IS_BETTER else 1,
    }  # fmt: skip
    why = next((w for w in (distrust(score, m, cluster) for m in means) if w), "")
    one, two = (m.by_cluster for m in means)
    cases = float(((one - two) ** 2).sum()) if one is not None and two is not None else np.nan
    variance = cases + sum(v for v, _ in seeded)
    if value == 0 and variance == 0:
        return Difference(**about, low=0.0, high=0.0, p=1.0, reliable=not why, why=why)
    if not variance > 0:
        width = means[0].bounds[1] - means[0].bounds[0]
        far = width if np.isfinite(width) else np.nan
        why = why or f"no {cluster} differs from another in the difference"
        return Difference(**about, low=-far, high=far, p=1.0, reliable=False, why=why)
    if kind not in STEPS and one is not None and two is not None and not why:
        why = few_differ(one - two, cluster)
    parts = [(cases, max(1.0, min(m.df for m in means))), *seeded]
    df = max(1, int(variance**2 / sum(v**2 / d for v, d in parts)))
    half = student_quantile(LEVEL, df) * variance**0.5
    low, high = value - half, value + half
    return Difference(
        **about, low=low, high=high, p=student_p(value / variance**0.5, df), reliable=not why, why=why
    )


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's (1979) p-values, in the given order: a table with any p <= .05 is wrong in at most 5 % of tables.

    Raises:
        ValueError: something that is not in 0 to 1.
    """
    if wrong := [p for p in ps if not 0 <= p <= 1]:
        raise ValueError(f"p={wrong[0]}; allowed: 0 to 1")
    adjusted, largest = [0.0] * len(ps), 0.0
    for rank, i in enumerate(np.argsort(ps, kind="stable")):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[i]))
        adjusted[i] = largest
    return adjusted


def verdict(found: Difference, a: str, b: str, on: str, p: float | None = None) -> str:
    """One of three fixed sentences; ``p`` stands for the difference's own where a table was corrected (``holm``)."""
    if not found.reliable:
        return "too few cases to say"
    if (found.p if p is None else p) > 1 - LEVEL:
        return f"the data do not tell {a} from {b} on {on}"
    winner, loser = (a, b) if found.value * found.better > 0 else (b, a)
    return f"{winner} is better than {loser} on {on}"


def same_cases(of: Predictions, other: Predictions) -> Predictions:
    """``other`` in the order of ``of``.

    Raises:
        UserError: other cases, patients or truth, or a case that occurs twice.
    """
    for p in (of, other):
        if len(set(p.ids)) < len(p):
            twice = next(name for i, name in enumerate(p.ids) if name in p.ids[:i])
            raise UserError(f"{p.task}: case {twice} occurs twice; models are compared case by case")
    if (of.task, of.kind, of.classes) != (other.task, other.kind, other.classes):
        raise UserError(f"{of.task} and {other.task}: other tasks or classes; compare models on one task")
    if set(of.ids) != set(other.ids):
        mine, theirs = (sorted(set(x.ids) - set(y.ids)) for x, y in ((of, other), (other, of)))
        only = [f"{len(names)} only in the {which} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
                for which, names in (("first", mine), ("second", theirs)) if names]  # fmt: skip
        raise UserError(
            f"{of.task}: the models were judged on other cases, {'; '.join(only)}; evaluate both again"
        )
    place = {name: i for i, name in enumerate(other.ids)}
    moved = other.take(np.array([place[name] for name in of.ids], np.int64))
    pairs = zip(of.truth, moved.truth, strict=True)
    for name, who, whom, (t, u) in zip(of.ids, of.patients, moved.patients, pairs, strict=True):
        same = all(np.array_equal(x, y, equal_nan=x.dtype.kind == "f") for x, y in _arrays(t, u))
        if who != whom or not same:
            raise UserError(
                f"{of.task}: truth or patient of case {name} differs between the models; evaluate both again"
            )
    return moved


def _arrays(one: Any, two: Any) -> list[tuple[Any, Any]]:
    """Truth of one case beside another's, array by array."""
    return list(zip(one, two, strict=True)) if isinstance(one, tuple) else [(one, two)]


def _aligned(runs: Sequence[Predictions]) -> list[Predictions]:
    if not runs:
        raise ValueError("no run; give the predictions of one or more seeds")
    for run in runs:
        run.refuse_nan()
    return [same_cases(runs[0], run) for run in runs]


def _sd(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
