"""Operating points: the output from which a case counts as positive, chosen on the validation part."""

from __future__ import annotations

import numpy as np

from muscle.errors import UsageError
from muscle.metrics.labels import Threshold, judged
from muscle.metrics.weighing import Floats
from muscle.predictions import Predictions


def operating_point(p: Predictions, rule: str) -> Threshold:
    """The threshold that a rule chooses; give it *validation* predictions, and name the rule beside the scores.

    ``youden``: greatest sensitivity + specificity - 1 (Youden 1950). ``sensitivity:0.9``: greatest specificity
    among thresholds of at least that sensitivity. Candidates are the outputs that occur; of equally good ones the
    lowest is taken, which misses least. Unknown (NaN) truth is left out.

    Returns:
        One number; of several classes that are not exclusive one a class. NaN where validation has no positive or
        no negative: ``score`` then leaves that class out of what a threshold decides.

    Raises:
        UsageError: an unknown rule, or a sensitivity outside (0, 1].
        ValueError: more than two exclusive classes, which the largest probability decides; or no labels.
        UserError: outputs that are not finite.
    """
    least = _least_sensitivity(rule)
    if p.kind != "labels" or (p.exclusive and len(p.classes) > 2):
        what = f"{len(p.classes)} exclusive classes" if p.kind == "labels" else p.kind
        raise ValueError(f"{p.task}: no threshold decides {what}")
    p.refuse_nan()
    truth, output = judged(p)
    found = tuple(_chosen(t, o, least) for t, o in zip(truth.T, output.T, strict=True))
    return found[0] if len(found) == 1 else found


def _least_sensitivity(rule: str) -> float | None:
    """The share that a rule ``sensitivity:SHARE`` asks for, None of ``youden``."""
    if rule == "youden":
        return None
    name, _, given = rule.partition(":")
    try:
        share = float(given)
    except ValueError:
        share = 0.0
    if name != "sensitivity" or not 0 < share <= 1:
        raise UsageError(
            f"operating point {rule!r}; allowed: youden, or sensitivity:SHARE with a share above 0 and at most 1 "
            "(sensitivity:0.9)"
        )
    return share


def _chosen(truth: Floats, output: Floats, least: float | None) -> float:
    positive, negative = np.sort(output[truth == 1]), np.sort(output[truth == 0])
    if not len(positive) or not len(negative):
        return float("nan")
    candidates = np.unique(np.concatenate([positive, negative]))
    missed, cleared = np.searchsorted(positive, candidates), np.searchsorted(negative, candidates)
    sensitivity, specificity = (len(positive) - missed) / len(positive), cleared / len(negative)
    if least is None:
        # in whole cases, so that equal sums are equal
        merit = cleared * len(positive) - missed * len(negative)
    else:
        merit = np.where(sensitivity >= least, specificity, -1.0)
    return float(candidates[merit.argmax()])
