"""Scores of a cell: every one with its interval, none where there is nothing to score."""

from __future__ import annotations

import numpy as np

from muscle.evaluate import scores
from muscle.metrics import score
from muscle.predictions import Predictions


def predictions(n: int) -> Predictions:
    """``n`` cases of one finding."""
    rng = np.random.default_rng(0)
    truth = (np.arange(n) % 2).astype(np.float32)[:, None]
    output = np.clip(0.5 * truth + rng.random((n, 1)).astype(np.float32) * 0.5, 0, 1)
    names = [str(i) for i in range(n)]
    pictures = np.zeros((0, 4, 4), np.uint8)
    return Predictions(
        task="t", kind="labels", classes=("finding",), exclusive=False, ids=names, patients=names, truth=truth,
        output=output, pictures=pictures,
    )  # fmt: skip


def test_every_score_has_its_interval() -> None:
    """Oracle: the scores themselves, computed without intervals."""
    found = scores(predictions(20))
    expected = score(predictions(20))
    assert {name: m["value"] for name, m in found.items()} == expected and "auc" in found
    assert all(m["low"] <= m["value"] <= m["high"] and m["n"] for m in found.values())


def test_no_case_no_score() -> None:
    assert scores(predictions(0)) == {}
