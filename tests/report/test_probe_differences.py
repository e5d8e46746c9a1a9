"""Frozen features against one start. Oracles: scikit-learn's AUC of the kept predictions, Holm by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from muscle.predictions import Predictions
from muscle.report.probe_differences import baseline_of, table
from muscle.statistics.comparison import compare, holm

N = 120
TRUTH = np.random.default_rng(0).integers(0, 2, N)
SIGNAL = {"scratch": 0.5, "md-moco": 2.0, "twin": 0.5}


def predictions(start: str, draw: int) -> Predictions:
    """Of the same cases; ``twin`` says what ``scratch`` says."""
    rng = np.random.default_rng([draw, 0 if start == "twin" else [*SIGNAL].index(start)])
    output = 1 / (1 + np.exp(-SIGNAL[start] * (TRUTH - 0.5) - rng.normal(size=N)))
    return Predictions(task="t", kind="labels", classes=("a", "b"), exclusive=True, ids=[f"c{i}" for i in range(N)],
                       patients=[f"p{i}" for i in range(N)], truth=np.eye(2, dtype=np.float32)[TRUTH],
                       output=np.stack([1 - output, output], 1).astype(np.float32))  # fmt: skip


def entry(start: str, share: float, draw: int, **more: object) -> dict[str, Any]:
    return {"start": start, "title": start.title(), "backbone": "resnet18", "task": "t", "probe": "linear",
            "share": share, "draw": draw, "patients": 9, "predictions": f"{start} {draw}",
            "metrics": {"auc": {"value": 0.5}}} | more  # fmt: skip


def load(name: str) -> Predictions:
    start, draw = name.split()
    return predictions(start, int(draw))


RESULTS = {
    "probes": [
        entry(s, share, d) for s in SIGNAL for share, draws in ((0.1, 3), (1.0, 1)) for d in range(draws)
    ]
}


def test_each_cell_is_the_paired_difference_of_the_mean_over_the_draws() -> None:
    made = table(RESULTS, "scratch", load)
    assert made.head == ("Task", "Probe", "Start", "10 %", "100 %")
    assert [row[2].text for row in made.rows] == ["Md-Moco", "Twin"]
    for column, draws in ((3, 3), (4, 1)):
        aucs = [
            [roc_auc_score(TRUTH, predictions(s, d).output[:, 1]) for d in range(draws)]
            for s in ("md-moco", "scratch")
        ]
        value, low, high = made.rows[0][column].numbers
        assert value == pytest.approx(np.mean(aucs[0]) - np.mean(aucs[1]), abs=1e-9)
        assert isinstance(low, float) and isinstance(high, float) and low < value < high
        assert made.rows[1][column].numbers == (0.0, 0.0, 0.0)  # who says the same differs by nothing


def test_p_is_corrected_over_the_whole_table() -> None:
    """Oracle: Holm of the four tests, recomputed from the predictions."""
    made = table(RESULTS, "scratch", load)

    def runs(start: str, n: int) -> list[Predictions]:
        return [predictions(start, draw) for draw in range(n)]

    ps = [
        compare(runs(start, n), runs("scratch", n), "auc", paired=True).p
        for start in ("md-moco", "twin") for n in (3, 1)
    ]  # fmt: skip
    shown = [cell.note.partition("p ")[2] for row in made.rows for cell in row[3:]]
    wanted = ["<.001" if p < 0.001 else "1" if p > 0.9995 else f"{p:.3f}".lstrip("0") for p in holm(ps)]
    assert shown == wanted and wanted[2:] == ["1", "1"]


def test_what_cannot_be_compared_has_no_number() -> None:
    """No AUC; other draws; other cases."""
    other = {"probes": [
        entry("scratch", 0.1, 0), entry("scratch", 1.0, 0),
        entry("md-moco", 0.1, 1), entry("md-moco", 1.0, 0, metrics={}),
    ]}  # fmt: skip
    (row,) = table(other, "scratch", load).rows
    assert [cell.text for cell in row[3:]] == ["–", "–"]
    elsewhere = {"probes": [entry("scratch", 1.0, 0), entry("twin", 1.0, 0)]}

    def halves(name: str) -> Predictions:
        whole = load(name)
        return whole.take(np.arange(N // 2)) if name.startswith("twin") else whole

    (row,) = table(elsewhere, "scratch", halves).rows
    assert row[3].text == "–"


def test_the_untrained_network_is_the_baseline_unless_another_is_asked_for() -> None:
    assert baseline_of(RESULTS) == "scratch"
    assert baseline_of(RESULTS, "md-moco") == "md-moco"
    assert baseline_of(RESULTS, "of the cells alone") == "scratch"
    assert baseline_of({"probes": RESULTS["probes"][4:]}) == "md-moco"
