"""What a cell says of itself: its status, the classes that it cannot score, what validation chose for it."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

import numpy as np

from muscle.calibration import calibrated, temperature
from muscle.metrics import operating_point
from muscle.metrics.labels import judged
from muscle.predictions import Predictions
from muscle.statistics.intervals import Interval, intervals

RULE = "youden"
DECIDED = ("accuracy", "sensitivity", "specificity")  # what a threshold decides
SAME = 1e-4  # outputs that differ by less tell nobody apart
LEAST = (3, 2)  # cases, and patients: with fewer nothing shows how others would differ


def status(p: Predictions) -> tuple[str, str]:
    """``ok``, ``n too small``, ``one class in test`` or ``constant predictions``, and why.

    A cell that is not ``ok`` has the scores that its cases define all the same, each with its doubts.
    """
    cases, patients = len(p), len(set(p.patients))
    if cases < LEAST[0] or patients < LEAST[1]:
        return "n too small", f"{cases} cases of {patients} patients; at least {LEAST[0]} of {LEAST[1]}"
    absent = one_sided(p)
    if p.kind == "labels" and absent and len(absent) == judged(p)[0].shape[1]:
        return "one class in test", "; ".join(f"{name}: {what} case" for name, what in absent.items())
    if said := constant(p):
        return "constant predictions", said
    return "ok", ""


def constant(p: Predictions) -> str:
    """What a model says of every case alike, where the cases differ: it has learned to answer, not to look."""
    n = len(p)
    if n < 2:
        return ""
    if p.kind == "boxes":
        truth, output = p.boxes
        silent = not any(len(scores) for _, scores, _ in output) and any(len(label) for _, label in truth)
        return f"no box in any of {n} cases" if silent else ""
    truths, outputs = p.arrays
    if p.kind == "mask":
        flat = (outputs == outputs.flat[0]).all() and not (truths == truths.flat[0]).all()
        return f"every pixel of {n} cases is of one class" if flat else ""
    known = [column[np.isfinite(column)] for column in truths.T]
    same = np.ptp(outputs, axis=0).max() < SAME and any(len(column) and np.ptp(column) for column in known)
    shown = ", ".join(f"{value:.3f}" for value in outputs[0])
    return f"all {n} cases are given the same, {shown}" if same else ""


def one_sided(p: Predictions) -> dict[str, str]:
    """Of each class that the cases cannot score: ``no positive`` or ``no negative``; of masks and boxes the first."""
    if p.kind == "labels":
        truth, _ = judged(p)
        names = p.classes[-1:] if truth.shape[1] == 1 else p.classes
        there = {c: ((t == 1).any(), (t == 0).any()) for c, t in zip(names, truth.T, strict=True)}
        return {
            c: "no positive" if not yes else "no negative"
            for c, (yes, no) in there.items()
            if not (yes and no)
        }
    if p.kind == "mask":
        seen = set(np.unique(p.arrays[0]).tolist())
    elif p.kind == "boxes":
        seen = {int(label) for _, labels in p.boxes[0] for label in labels}
    else:
        return {}
    return {c: "no positive" for i, c in enumerate(p.classes, 1) if i not in seen}


def chosen_on(valid: Predictions) -> dict[str, Any]:
    """What is chosen on the validation part.

    ``threshold``: rule, value (one, or one a class; None where validation lacks a positive or a negative), the part
    it was chosen on and its cases; None where no threshold decides. ``temperature``: None likewise.

    Raises:
        UserError: predictions that are not numbers.
    """
    chosen: dict[str, Any] = {"threshold": None, "temperature": None}
    if valid.kind != "labels" or not len(valid):
        return chosen
    if not (valid.exclusive and len(valid.classes) > 2):
        point = np.atleast_1d(operating_point(valid, RULE)).tolist()
        values = [v if isfinite(v) else None for v in point]
        value = values[0] if len(values) == 1 else values
        chosen["threshold"] = {"rule": RULE, "value": value, "chosen on": "valid", "n": len(valid)}
    if len(one_sided(valid)) < judged(valid)[0].shape[1]:
        chosen["temperature"] = temperature(valid)
    return chosen


def with_choice(test: Predictions, chosen: Mapping[str, Any]) -> dict[str, Interval]:
    """The scores of the test part with what ``chosen_on`` gave, under names of their own.

    ``accuracy@youden``, ``sensitivity@youden``, ``specificity@youden``, ``ece@temperature``.

    Raises:
        UserError: predictions that are not numbers.
    """
    found: dict[str, Interval] = {}
    if about := chosen["threshold"]:
        values = about["value"] if isinstance(about["value"], list) else [about["value"]]
        if any(v is not None for v in values):
            point = tuple(float("nan") if v is None else float(v) for v in values)
            at = intervals(test, threshold=point if len(point) > 1 else point[0])
            found |= {f"{name}@{about['rule']}": at[name] for name in DECIDED if name in at}
    if chosen["temperature"] is not None:
        after = intervals(calibrated(test, chosen["temperature"]))
        found |= {"ece@temperature": after["ece"]} if "ece" in after else {}
    return found
