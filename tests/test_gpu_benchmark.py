"""``benchmarks/gpu.py``: what a trace says. Oracle: intervals on a line, by hand."""

from __future__ import annotations

import importlib.util
from pathlib import Path

FILE = Path(__file__).parents[1] / "benchmarks" / "gpu.py"


def test_kernels_that_overlap_count_once() -> None:
    spec = importlib.util.spec_from_file_location("benchmark_gpu", FILE)
    assert spec and spec.loader
    gpu = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(gpu)
    assert gpu.covered([(0, 2, "a"), (1, 3, "b"), (2, 1, "within b"), (10, 1, "c")]) == 5
    assert gpu.covered([]) == 0
