"""Intervals of what lies in 0 to 1: proportions, and means of shares such as Dice."""

from __future__ import annotations

import math


def wilson(value: float, size: float, t: float) -> tuple[float, float]:
    """Wilson's score interval of a proportion of ``size`` > 0 independent cases; ``t`` is the quantile.

    Clustered cases enter by their effective number: as many independent ones as have the same variance (Korn and
    Graubard 1998 for surveys), which need not be whole.
    """
    square = t * t / size
    middle = (value + square / 2) / (1 + square)
    half = math.sqrt(value * (1 - value) * square + square * square / 4) / (1 + square)
    return max(0.0, middle - half), min(1.0, middle + half)


def logit(value: float, error: float, t: float) -> tuple[float, float]:
    """Symmetric about the log-odds of 0 < ``value`` < 1 with standard error ``error``; so it never leaves 0 to 1."""
    middle, half = math.log(value / (1 - value)), t * error / (value * (1 - value))
    return _share(middle - half), _share(middle + half)


def all_alike(value: float, size: float, level: float) -> tuple[float, float]:
    """Clopper-Pearson's interval where none (0) or all (1) of ``size`` independent cases are successes.

    The only ones that need no beta quantile. ``size`` need not be whole.
    """
    bound = ((1 - level) / 2) ** (1 / size)
    return (bound, 1.0) if value >= 0.5 else (0.0, 1 - bound)


def _share(odds: float) -> float:
    """The share whose log-odds these are."""
    return 1 / (1 + math.exp(-odds)) if odds > -700 else 0.0
