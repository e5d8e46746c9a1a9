"""``benchmarks/audit.py`` in small: planted copies are found, and real ones as the issue of the audit asks.

Oracles: which film each copy was made of; Clopper-Pearson intervals as R's ``binom.test`` prints them.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import copies
import cv2
import numpy as np
import pytest

from muscle.data import duplicates


@pytest.fixture(scope="module")
def benchmark() -> Any:
    file = Path(__file__).parents[1] / "benchmarks" / "audit.py"
    spec = importlib.util.spec_from_file_location("benchmark_audit", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_intervals(benchmark: Any) -> None:
    assert benchmark.interval(0, 10) == pytest.approx([0, 0.3084971], abs=1e-6)
    assert benchmark.interval(19, 20) == pytest.approx([0.7512672, 0.9987349], abs=1e-6)
    assert benchmark.interval(20, 20) == pytest.approx([0.8315665, 1], abs=1e-6)


def test_planted_copies_are_found_in_a_store_of_many(
    benchmark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duplicates, "candidates", duplicates.candidates)  # put back what is counted
    base = np.stack([cv2.resize(copies.cloud(i), (96, 96), interpolation=cv2.INTER_AREA) for i in range(60)])
    images, most = benchmark.drawn(base, 1400, 0)
    benchmark.store(tmp_path / "store", images)
    found = benchmark.measured(tmp_path / "store", most)
    assert found["planted"] == 14 and found["planted found"] >= 13
    assert found["other pairs"] == 0 and found["films"] == 1400


@pytest.mark.real
@pytest.mark.slow
def test_planted_copies_of_real_films_are_found(benchmark: Any, real_data: Path, tmp_path: Path) -> None:
    found = benchmark.planted(real_data, 40, tmp_path)["measurement"]
    for way, least in (
        ("re-encoded", 39),
        ("resized", 39),
        ("inverted", 39),
        ("mirrored", 38),
        ("turned", 38),
        ("cropped 5 %", 38),
    ):
        assert found["recall"][way]["found"] >= least, way
    assert found["pairs of others"]["chest films of two patients"]["taken for one picture"] == 0
