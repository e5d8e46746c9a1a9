"""What every score is made of: functions of weights on the cases, and means that know what is not defined."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Values = dict[str, Floats]


@dataclass(frozen=True, slots=True)
class Scorer:
    """Scores as functions of weights.

    Attributes:
        values: weights [T, N] float64 >= 0 -> name of the score -> [T] float64, NaN where not defined.
        cases: name of the score -> how many cases can enter it (labels, values: those whose truth is known).
        bounds: name of the score -> least and greatest value that it can take; a name that is missing: (0, 1).
    """

    values: Callable[[Floats], Values]
    cases: dict[str, int]
    bounds: dict[str, tuple[float, float]] = field(default_factory=dict)


def ratio(above: Floats, below: Floats) -> Floats:
    """The one by the other, NaN where the other is 0."""
    result: Floats = np.full(np.broadcast_shapes(above.shape, below.shape), np.nan)
    np.divide(above, below, out=result, where=below > 0)
    return result


def mean(values: Floats) -> Floats:
    """Mean over the last axis of what is defined, NaN where nothing is."""
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0.0).sum(-1), defined.sum(-1))
