"""``benchmarks/coverage.py`` in small: its drawn counts are scored as ``muscle.metrics`` scores, and intervals hold.

Oracles: the scores of pixels and boxes with the same counts; the nominal 95 % within Monte-Carlo error.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from muscle.metrics import score
from muscle.predictions import Predictions


@pytest.fixture(scope="module")
def benchmark() -> Any:
    file = Path(__file__).parents[1] / "benchmarks" / "coverage.py"
    spec = importlib.util.spec_from_file_location("benchmark_coverage", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["benchmark_coverage"] = module  # where dataclasses look for their annotations
    spec.loader.exec_module(module)
    return module


def whole(scores: Any, n: int) -> dict[str, float]:
    return {name: float(v[0]) for name, v in scores.values(np.ones((1, n))).items()}


def test_drawn_counts_are_scored_as_pixels_are(benchmark: Any) -> None:
    rng = np.random.default_rng(0)
    truth, output = (rng.random((2, 12, 6, 6)) < 0.3).astype(np.uint8)
    truth[:4] = 0
    output[0] = 0
    both, there, said = (
        np.stack([m(c).sum((1, 2)) for c in (0, 1)], 1).astype(float)
        for m in (lambda c: (truth == c) & (output == c), lambda c: truth == c, lambda c: output == c)
    )
    ids = [str(i) for i in range(12)]
    p = Predictions(task="m", kind="mask", classes=("a",), exclusive=True, ids=ids, patients=ids, truth=truth,
                    output=output)  # fmt: skip
    expected = score(p)
    found = whole(benchmark.overlaps(both, there, said, ("dice", "miou")), 12)
    assert found == pytest.approx({name: expected[name] for name in found})


def test_drawn_detections_are_scored_as_boxes_are(benchmark: Any) -> None:
    rng = np.random.default_rng(1)
    truth, output, image, right, confidence = [], [], [], [], []
    for i in range(30):
        boxes = [[0, 100 * k, 50, 100 * k + 50] for k in range(rng.integers(0, 3))]
        hit = [b for b in boxes if rng.random() < 0.8]
        said = [*hit, *([200, 0, 250, 50] for _ in range(rng.integers(0, 3)))]
        scores = rng.random(len(said))
        truth.append((np.array(boxes, np.float32).reshape(-1, 4), np.ones(len(boxes), np.int64)))
        output.append((np.array(said, np.float32).reshape(-1, 4), scores, np.ones(len(said), np.int64)))
        image += [i] * len(said)
        right += [k < len(hit) for k in range(len(said))]
        confidence += list(scores)
    ids = [str(i) for i in range(30)]
    p = Predictions(task="b", kind="boxes", classes=("a",), exclusive=True, ids=ids, patients=ids, truth=truth,
                    output=output)  # fmt: skip
    order = np.argsort(-np.array(confidence))
    boxes = np.array([len(label) for _, label in truth], float)
    found = benchmark.precision(np.array(image)[order], np.array(right)[order], boxes)
    assert whole(found, 30)["ap50"] == pytest.approx(score(p)["ap50"])


def test_decisions_are_scored_as_labels_are(benchmark: Any) -> None:
    rng = np.random.default_rng(2)
    sick, right = rng.random((2, 40)) < 0.6
    said = np.where(sick == right, 0.9, 0.1)
    ids = [str(i) for i in range(40)]
    p = Predictions(task="l", kind="labels", classes=("a",), exclusive=False, ids=ids, patients=ids,
                    truth=sick[:, None].astype(np.float32), output=said[:, None].astype(np.float32))  # fmt: skip
    expected = score(p)
    found = whole(benchmark.rates(right, sick), 40)
    assert found == pytest.approx({name: expected[name] for name in found})


@pytest.mark.parametrize("family", ["auc", "decisions", "mae"])
def test_the_default_interval_holds_by_patient_and_not_by_image(benchmark: Any, family: str) -> None:
    """400 test sets of 200 films: 93 to 97 of 100 give or take two standard errors of 1.1."""
    cell = benchmark.Cell(family, 200, 0.5, True, 0.8)
    for row in benchmark.measured((cell, 400)):
        assert 0.905 <= row["default"]["share"] <= 0.99, row
        assert row["image"]["share"] < 0.93 and row["wolf"]["share"] < 0.095


def test_the_page_is_rewritten_between_its_marks_only(benchmark: Any, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{benchmark.BEGIN}\nstale\n{benchmark.END}\nafter\n")
    rows = benchmark.measured((benchmark.Cell("decisions", 50, 0.5, True, 0.97), 8))
    benchmark.write_table(rows, page)
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "stale" not in text
    assert (
        "### accuracy" in text
        and "| 50 | 0.5 | clustered | 0.970 |" in text
        and "### What does not hold" in text
    )
