"""Scores by sex, age, view, body part, source and scanner: where a model is worst, where too few cases say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

import numpy as np

from muscle.predictions import Predictions
from muscle.statistics.intervals import Interval, intervals
from muscle.types import TargetKind

COLUMNS = ("sex", "age", "view", "body_part", "source", "scanner")
AGES = (18, 40, 65)  # first years of the bands after the first: 0-17, 18-39, 40-64, 65+
FEW = 20  # patients; a group of fewer is stamped
SCORE: dict[TargetKind, str] = {"labels": "auc", "mask": "dice", "boxes": "ap50"}


@dataclass(frozen=True, slots=True)
class Group:
    """The cases of one value of one column.

    Attributes:
        column, value: ``age`` has bands as values; cases of which the column is unknown are in no group.
        n, patients: cases, and persons that they are of.
        score: AUC, Dice or AP50; None where the group does not define it, such as one class alone.
        why: what keeps the group from being judged: "few patients", "one class", or the interval's own doubt; or "".
    """

    column: str
    value: str
    n: int
    patients: int
    score: Interval | None
    why: str


def age_band(age: str) -> str:
    """``"40-64"`` of ``"52"``; of what is not a number of years the empty text."""
    try:
        years = float(age)
    except ValueError:
        return ""
    if not 0 <= years < 130:
        return ""
    at = sum(years >= first for first in AGES)
    first = (0, *AGES)[at]
    return f"{first}-{AGES[at] - 1}" if at < len(AGES) else f"{first}+"


def subgroups(p: Predictions, columns: Sequence[str] = COLUMNS) -> list[Group]:
    """The groups of each column that has at least two values, by column and value.

    Args:
        p: whose ``columns`` are looked at; a column that they lack is passed over.
        columns: by name; ``age`` is taken in bands.

    Raises:
        UserError: predictions that are not numbers.
    """
    found: list[Group] = []
    for column in columns if p.kind in SCORE else ():
        values = np.array([age_band(v) if column == "age" else v for v in p.columns.get(column, ())])
        names = sorted(set(values.tolist()) - {""})
        if len(names) > 1:
            found += [_group(p.take(values == name), column, name) for name in names]
    return found


def _group(p: Predictions, column: str, value: str) -> Group:
    patients, score = len(set(p.patients)), intervals(p).get(SCORE[p.kind])
    why = score.why if score else "one class" if p.kind == "labels" else "nothing to find"
    if patients < FEW:
        why = f"few patients ({patients}, needed {FEW})"
    return Group(column, value, len(p), patients, score, why)


def worst(groups: Sequence[Group]) -> dict[str, str]:
    """Of each column the value with the worst score; groups of too few patients or without a score do not stand."""
    found: dict[str, Group] = {}
    for group in groups:
        if group.score is None or group.patients < FEW:
            continue
        other = found.get(group.column)
        if other is None or other.score is None or group.score.value < other.score.value:
            found[group.column] = group
    return {column: group.value for column, group in found.items()}


def as_rows(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """As ``results.json`` holds them; an end of an interval that is not known is None."""
    rows = []
    for group in groups:
        row = asdict(group)
        if group.score is not None:
            row["score"] = plain(group.score)
        rows.append(row)
    return rows


def plain(interval: Interval) -> dict[str, Any]:
    """The fields of an interval for JSON, which has no NaN: such an end is ``None``."""
    return {k: None if isinstance(v, float) and not isfinite(v) else v for k, v in asdict(interval).items()}
