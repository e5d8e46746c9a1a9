"""Saved predictions scored again, and held against what results say of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from muscle.evaluate import scored, scores
from muscle.judging import chosen_on
from muscle.predictions import Predictions
from muscle.statistics.intervals import describe

# Of floats, relative above 1: the bootstrap is seeded, but another CPU may sum in another order.
TOLERANCE = 1e-9
OF_CASES = ("task", "kind", "classes")  # what predictions say of themselves


def cell_again(out: Path, cell: Mapping[str, Any]) -> str:
    """Where a cell is not what its predictions give; empty where it is.

    Threshold and temperature are chosen again where the predictions of the validation part were kept. What older
    versions did not write is passed over.

    Raises:
        UserError: predictions that cannot be read or scored.
    """
    test = Predictions.load(out / cell["predictions"])
    chosen = {name: cell.get(name) for name in ("threshold", "temperature")}
    again: dict[str, Any] = {name: getattr(test, name) for name in OF_CASES}
    if "predictions_valid" in cell:
        again |= chosen_on(Predictions.load(out / cell["predictions_valid"]))
    if different := difference({k: cell[k] for k in again if k in cell}, again):
        return different
    again = scored(test, chosen)
    if cell.get("intervals") != describe():
        return difference(_points(cell["metrics"]), _points(again["metrics"]), "metrics")
    return difference({k: cell[k] for k in again if k in cell}, again)


def probe_again(out: Path, probe: Mapping[str, Any]) -> str:
    """Where the scores of a probe are not those of its predictions; empty where they are.

    Raises:
        UserError: predictions that cannot be read or scored.
    """
    test = Predictions.load(out / probe["predictions"])
    names = {name: getattr(test, name) for name in ("task", "classes")}
    if different := difference({k: probe[k] for k in names if k in probe}, names):
        return different
    again = scores(test)
    if probe.get("intervals") != describe():
        return difference(_points(probe["metrics"]), _points(again), "metrics")
    return difference(probe["metrics"], again, "metrics")


def of_other_method(entry: Mapping[str, Any]) -> bool:
    """Whether the intervals were made by another method than today's, so that values alone can be compared."""
    return bool(entry.get("intervals") != describe())


def _points(metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {name: {"value": m["value"], "n": m["n"]} for name, m in metrics.items()}


def difference(said: Any, again: Any, at: str = "") -> str:
    """The first place in which two pieces of plain data differ, with both values; of what only ``again`` has none.

    Floats may differ by ``TOLERANCE``.
    """
    return _difference(said, json.loads(json.dumps(again)), at)


def _difference(said: Any, again: Any, at: str) -> str:
    if isinstance(said, dict) and isinstance(again, dict):
        inner = f"{at}." if at else ""
        for key in [*said, *(key for key in again if at and key not in said)]:
            if key not in again or key not in said:
                return f"{inner}{key}: only {'said' if key in said else 'found again'}"
            if different := _difference(said[key], again[key], f"{inner}{key}"):
                return different
        return ""
    if isinstance(said, list) and isinstance(again, list) and len(said) == len(again):
        each = (
            _difference(one, other, f"{at}.{i}")
            for i, (one, other) in enumerate(zip(said, again, strict=True))
        )
        return next(filter(None, each), "")
    if isinstance(said, float) or isinstance(again, float):
        try:
            close = abs(said - again) <= TOLERANCE * max(1.0, abs(again))
        except TypeError:  # null or a text against a number
            close = False
        return "" if close else f"{at}: {said} said, {again} found"
    return "" if said == again and type(said) is type(again) else f"{at}: {said!r} said, {again!r} found"
