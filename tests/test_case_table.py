"""The long-form table: every score of a cell comes out of its rows again. Oracle: the scores of the predictions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from muscle.case_table import write_cases
from muscle.metrics import score
from muscle.predictions import Predictions

NAMES = [f"s/{i}" for i in range(6)]


def cell(task: str, kind: str, **more: Any) -> dict[str, Any]:
    """What the table takes of a cell."""
    return {"recipe": "r", "title": "R", "backbone": "resnet18", "task": task, "kind": kind, "seed": 3,
            "metrics": {}, "predictions": f"{task}.npz"} | more  # fmt: skip


def rows(tmp_path: Path, p: Predictions, about: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of one cell."""
    p.save(tmp_path / about["predictions"])
    (tmp_path / "results.json").write_text(json.dumps({"version": 1, "cells": [about]}))
    found: list[dict[str, Any]] = pq.read_table(write_cases(tmp_path)).to_pylist()
    return found


def test_labels_class_by_class(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth = np.array([[0, 1], [1, 0], [0, 1], [1, 0], [np.nan, np.nan], [1, 0]], np.float32)
    output = rng.random((6, 2)).astype(np.float32)
    p = Predictions(
        task="t", kind="labels", classes=("well", "ill"), exclusive=True, ids=NAMES, patients=list("aabbcd"),
        truth=truth, output=output, columns={"sex": list("FFMMFM"), "view": ["AP"] * 6},
    )  # fmt: skip
    found = rows(tmp_path, p, cell("t", "labels", threshold={"rule": "youden", "value": 0.25}))
    ill = [r for r in found if r["class"] == "ill"]
    assert len(found) == 12 and [r["id"] for r in ill] == NAMES and {r["threshold"] for r in ill} == {0.25}
    assert {r["threshold"] for r in found if r["class"] == "well"} == {None}
    known = [r for r in ill if r["truth"] is not None]
    assert roc_auc_score([r["truth"] for r in known], [r["output"] for r in known]) == pytest.approx(
        score(p)["auc"]
    )
    assert (ill[2]["sex"], ill[2]["view"], ill[2]["patient"], ill[2]["source"]) == ("M", "AP", "b", "")
    assert {(r["recipe"], r["backbone"], r["seed"]) for r in found} == {("r", "resnet18", 3)}
    assert {r["dice"] for r in found} == {None}


@pytest.mark.parametrize("classes", [("lung",), ("lung", "heart")])
def test_masks_average_to_the_scores(classes: tuple[str, ...], tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    truth, output = (rng.integers(0, len(classes) + 1, (6, 8, 8)).astype(np.uint8) for _ in range(2))
    output[0] = 0
    p = Predictions(
        task="m", kind="mask", classes=classes, exclusive=True, ids=NAMES, patients=NAMES, truth=truth, output=output,
    )  # fmt: skip
    found = rows(tmp_path, p, cell("m", "mask"))
    expected = score(p)
    for name in ("dice", "hd95", "asd"):
        assert np.mean([r[name] for r in found]) == pytest.approx(expected[name])
        for c in classes if len(classes) > 1 else ():  # each class its own, not the mean of all
            mine = [r[name] for r in found if r["class"] == c]
            assert len(mine) == 6 and np.mean(mine) == pytest.approx(expected[f"{name}:{c}"])


def test_findings_that_are_not_exclusive_have_a_threshold_each(tmp_path: Path) -> None:
    truth = np.array([[1, 0], [0, np.nan]], np.float32)
    p = Predictions(
        task="t", kind="labels", classes=("mass", "node"), exclusive=False, ids=NAMES[:2], patients=NAMES[:2],
        truth=truth, output=np.full((2, 2), 0.5, np.float32),
    )  # fmt: skip
    found = rows(tmp_path, p, cell("t", "labels", threshold={"rule": "youden", "value": [0.2, None]}))
    assert [(r["class"], r["truth"], r["threshold"]) for r in found] == [
        ("mass", 1, 0.2), ("node", 0, None), ("mass", 0, 0.2), ("node", None, None),
    ]  # fmt: skip


def test_a_cell_whose_predictions_were_not_kept_has_no_rows(tmp_path: Path) -> None:
    about = cell("t", "labels")
    del about["predictions"]
    (tmp_path / "results.json").write_text(json.dumps({"version": 1, "cells": [about]}))
    assert pq.read_table(write_cases(tmp_path)).num_rows == 0


def test_values_have_no_class(tmp_path: Path) -> None:
    p = Predictions(
        task="age", kind="value", classes=(), exclusive=False, ids=NAMES[:2], patients=NAMES[:2],
        truth=np.array([[120], [np.nan]], np.float32), output=np.array([[118], [90]], np.float32),
    )  # fmt: skip
    found = rows(tmp_path, p, cell("age", "value"))
    assert [(r["class"], r["truth"], r["output"]) for r in found] == [("", 120, 118), ("", None, 90)]


def test_the_surest_box_takes_the_truth_that_it_fits_best(tmp_path: Path) -> None:
    """Two truths side by side: the surer fits both, first the left; the other fits the left alone and is too late."""
    truth = np.array([[0, 0, 10, 10], [3, 0, 13, 10]], np.float32)
    said = np.array(
        [[0, 0, 9, 10], [1, 0, 11, 10]], np.float32
    )  # IoU with the left .9, .82; the right .46, .67
    ones = np.ones(2, np.int64)
    counts = []
    for certain in ([0.9, 0.8], [0.8, 0.9]):
        p = Predictions(
            task="b", kind="boxes", classes=("tooth",), exclusive=True, ids=NAMES[:1], patients=NAMES[:1],
            truth=[(truth, ones)], output=[(said, np.array(certain, np.float32), ones)],
        )  # fmt: skip
        (row,) = rows(tmp_path, p, cell("b", "boxes"))
        counts.append(row["true_positive"])
    assert counts == [2, 1]


def test_boxes_are_counted(tmp_path: Path) -> None:
    """By hand: a hit, a second box on the same one, one far off, one unsure, one missed; an image of nothing."""
    box = np.array([[0, 0, 10, 10], [20, 20, 30, 30]], np.float32)
    said = np.array([[0, 0, 10, 7], [0, 0, 10, 8], [50, 50, 60, 60], [20, 20, 30, 30]], np.float32)
    certain = np.array([0.9, 0.8, 0.7, 0.4], np.float32)
    none = np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
    p = Predictions(
        task="b", kind="boxes", classes=("fracture",), exclusive=True, ids=NAMES[:2], patients=NAMES[:2],
        truth=[(box, np.ones(2, np.int64)), none],
        output=[(said, certain, np.ones(4, np.int64)), (none[0], np.zeros(0, np.float32), none[1])],
    )  # fmt: skip
    found = rows(tmp_path, p, cell("b", "boxes"))
    counts = [tuple(r[k] for k in ("true_positive", "false_positive", "false_negative")) for r in found]
    assert counts == [(1, 2, 1), (0, 0, 0)]
