"""Scores of labels: decisions at a threshold, areas under curves, and whether probabilities mean what they say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from muscle.metrics.weighing import Floats, Scorer, Values, mean, ratio
from muscle.predictions import Predictions

THRESHOLD = (
    0.5  # probability from which a case counts as positive; the paper does not give its own (METHODS 7.17)
)
BINS = 15  # of equal width, for calibration (Guo et al. 2017)
Threshold = float | tuple[float, ...]


def auc(truth: ArrayLike, output: ArrayLike, weights: Floats | None = None) -> Floats:
    """Area under the ROC curve as the Mann-Whitney statistic: P(positive above negative) + P(equal) / 2.

    ``truth`` [N] 1 / 0 / NaN (left out), ``output`` [N] any real, ``weights`` [T, N], default ones -> [T]
    float64, NaN where one class has no weight.
    """
    return _roc_area(_ranked(truth, output, weights))


def average_precision(truth: ArrayLike, output: ArrayLike, weights: Floats | None = None) -> Floats:
    """Area under the precision-recall curve as a sum over its steps: precision times the recall gained there.

    No interpolation, equal outputs are one step (as scikit-learn has it). ``truth`` [N] 1 / 0 / NaN (left out),
    ``output`` [N] any real, ``weights`` [T, N], default ones -> [T] float64, NaN where one class has no weight.
    """
    return _precision_area(_ranked(truth, output, weights))


@dataclass(frozen=True, slots=True)
class _Ranked:
    """Weights of P positives, ascending by output, and of the negatives about them.

    Attributes:
        positive: [T, P].
        below, upto: [T, P], of negatives with a lesser output, and with a lesser or equal one.
        negative: [T], of all negatives.
        first: [P], the first positive with the same output.
    """

    positive: Floats
    below: Floats
    upto: Floats
    negative: Floats
    first: NDArray[np.int64]


def _ranked(truth: ArrayLike, output: ArrayLike, weights: Floats | None) -> _Ranked:
    true, said = np.asarray(truth, np.float64), np.asarray(output, np.float64)
    weights = np.ones((1, len(true))) if weights is None else weights
    order = np.argsort(said, kind="stable")
    positives, negatives = order[true[order] == 1], order[true[order] == 0]
    sums = np.zeros((len(weights), len(negatives) + 1))
    np.cumsum(weights[:, negatives], axis=1, out=sums[:, 1:])
    below, upto = (np.searchsorted(said[negatives], said[positives], side) for side in ("left", "right"))
    first = np.searchsorted(said[positives], said[positives])
    return _Ranked(weights[:, positives], sums[:, below], sums[:, upto], sums[:, -1], first)


def _roc_area(of: _Ranked) -> Floats:
    wins = (of.positive * (of.below + of.upto)).sum(1) / 2
    return ratio(wins, of.positive.sum(1) * of.negative)


def _precision_area(of: _Ranked) -> Floats:
    total = of.positive.sum(1, keepdims=True)
    hits = total - (np.cumsum(of.positive, axis=1) - of.positive)[:, of.first]
    precision = ratio(hits, hits + of.negative[:, None] - of.below)
    area = ratio((of.positive * np.nan_to_num(precision)).sum(1), total[:, 0])
    return np.where(of.negative > 0, area, np.nan)  # of positives alone it is 1, whatever was said


def roc(truth: ArrayLike, output: ArrayLike) -> tuple[Floats, Floats]:
    """The ROC curve: (1 - specificity, sensitivity), one point for each distinct output, from (0, 0) to (1, 1).

    ``truth`` [N] 1 / 0 / NaN (left out), ``output`` [N]. Empty arrays where one class is missing.
    """
    true, said = np.asarray(truth, np.float64), np.asarray(output, np.float64)
    known = np.flatnonzero(~np.isnan(true))
    order = known[np.argsort(-said[known], kind="stable")]
    hits, alarms = np.cumsum(true[order] == 1), np.cumsum(true[order] == 0)
    if len(order) == 0 or hits[-1] == 0 or alarms[-1] == 0:
        return np.zeros(0), np.zeros(0)
    last = np.flatnonzero(np.concatenate([said[order][1:] != said[order][:-1], [True]]))
    return np.r_[0.0, alarms[last] / alarms[-1]], np.r_[0.0, hits[last] / hits[-1]]


def reliability(truth: ArrayLike, output: ArrayLike) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """The points of a reliability plot: mean probability, share of positives, and cases, of each bin that has any.

    ``truth`` [N] 1 / 0 / NaN (left out), ``output`` [N] probabilities; the bins are those of ``ece``.
    """
    true, said = np.asarray(truth, np.float64), np.asarray(output, np.float64)
    true, said = true[~np.isnan(true)], said[~np.isnan(true)]
    place = _bin(said)
    cases = np.bincount(place, minlength=BINS)
    some = cases > 0
    sums = [np.bincount(place, summed, minlength=BINS)[some] for summed in (said, true)]
    return sums[0] / cases[some], sums[1] / cases[some], cases[some]


def _bin(said: Floats) -> NDArray[np.int64]:
    """The bin of each probability, from 0; one on an edge falls below it."""
    return np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], said)


def _gaps(right: Floats, said: Floats) -> Floats:
    """[N, BINS]: probability less what came true, in the column of the case's bin; 0 where that is unknown (NaN)."""
    gaps: Floats = (_bin(said)[:, None] == np.arange(BINS)) * np.nan_to_num(said - right)[:, None]
    return gaps


def judged(p: Predictions) -> tuple[Floats, Floats]:
    """Truth and output [N, K] float64 of the classes that are scored one by one.

    Of two exclusive classes the last alone; else all. Of exclusive classes a row with any unknown truth is
    unknown as a whole, as it is for the loss.
    """
    truth, output = (np.asarray(a, np.float64) for a in p.arrays)
    if p.exclusive:
        truth = np.where(np.isnan(truth).any(1, keepdims=True), np.nan, truth)
    return (truth[:, -1:], output[:, -1:]) if p.exclusive and len(p.classes) == 2 else (truth, output)


def label_scorer(p: Predictions, threshold: Threshold = THRESHOLD) -> Scorer:
    """The scores of labels.

    ``accuracy sensitivity specificity auc average_precision brier ece``. Two exclusive classes, or one class
    alone: of the last class, positive from ``threshold`` on. More classes: means over the classes that define the
    score, one against the rest. Exclusive ones are then decided by the largest probability, others by
    ``threshold`` (one number, or one a class; NaN: the class is not decided). Accuracy of exclusive ones is the
    share of right decisions. ``auc:<class>`` and ``average_precision:<class>`` where there are several. Unknown
    (NaN) truth enters nowhere.

    ``brier``: mean squared distance of probability and truth; of exclusive classes the sum over the classes,
    halved, which for two of them is the same number. ``ece``: expected calibration error over 15 bins of equal
    width of the class's probability; of more than two exclusive classes of the largest probability, against
    whether that class is right.

    Raises:
        ValueError: thresholds in another number than there are classes to decide.
    """
    truth, output = judged(p)
    known, positive, negative = ~np.isnan(truth), truth == 1, truth == 0
    one_of_many = p.exclusive and len(p.classes) > 2
    cut = _thresholds(p, threshold, truth.shape[1])
    if one_of_many:
        decided, open_to = np.eye(len(p.classes), dtype=bool)[output.argmax(1)], known
    else:
        decided, open_to = output >= cut, known & ~np.isnan(cut)
    right = (decided & positive).any(1)
    squares = np.where(known, (output - truth) ** 2, 0.0)
    row = np.asarray(known.all(1))
    if one_of_many:
        gaps = [_gaps(np.where(row, right, np.nan), output.max(1))]
    else:
        gaps = [_gaps(t, o) for t, o in zip(truth.T, output.T, strict=True)]

    def values(weights: Floats) -> Values:
        sensitivity = ratio(weights @ (decided & positive & open_to), weights @ (positive & open_to))
        specificity = ratio(weights @ (~decided & negative & open_to), weights @ (negative & open_to))
        if one_of_many:
            accuracy = ratio(weights @ right, weights @ row)
            brier = ratio(weights @ squares.sum(1) / 2, weights @ row)
        else:
            accuracy = mean(ratio(weights @ ((decided == positive) & open_to), weights @ open_to))
            brier = mean(ratio(weights @ squares, weights @ known))
        ranked = [_ranked(t, o, weights) for t, o in zip(truth.T, output.T, strict=True)]
        areas = {
            "auc": np.stack([_roc_area(r) for r in ranked], axis=1),
            "average_precision": np.stack([_precision_area(r) for r in ranked], axis=1),
        }
        entering = weights @ (row[:, None] if one_of_many else known)
        errors = ratio(np.stack([np.abs(weights @ g).sum(1) for g in gaps], axis=1), entering)
        found = {"accuracy": accuracy, "sensitivity": mean(sensitivity), "specificity": mean(specificity)}
        found |= {name: mean(each) for name, each in areas.items()} | {"brier": brier, "ece": mean(errors)}
        if truth.shape[1] > 1:
            found |= {f"{n}:{c}": each[:, i] for n, each in areas.items() for i, c in enumerate(p.classes)}
        return found

    names = ("accuracy", "sensitivity", "specificity", "auc", "average_precision", "brier", "ece")
    cases = dict.fromkeys(names, int(known.any(1).sum()))
    if truth.shape[1] > 1:
        each = list(zip(p.classes, known.sum(0), strict=True))
        cases |= {f"{name}:{c}": int(n) for name in ("auc", "average_precision") for c, n in each}
    return Scorer(values, cases)


def _thresholds(p: Predictions, threshold: Threshold, columns: int) -> Floats:
    """One threshold a column."""
    given = np.atleast_1d(np.asarray(threshold, np.float64))
    if given.shape not in ((1,), (columns,)) or (len(given) > 1 and p.exclusive):
        raise ValueError(
            f"{p.task}: {given.size} thresholds; allowed: one"
            + ("" if p.exclusive or columns == 1 else f", or one for each of {columns} classes")
        )
    return np.broadcast_to(given, (columns,))
