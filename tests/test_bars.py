"""The table of speed. Oracles: results written by hand, and the page against what is measured."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def bars() -> Any:
    file = Path(__file__).parents[1] / "benchmarks" / "bars.py"
    spec = importlib.util.spec_from_file_location("benchmark_bars", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_the_page_and_the_json_hold_what_is_measured(bars: Any) -> None:
    rows = [bar.row() for bar in bars.BARS]
    assert json.loads((bars.RESULTS / "bars.json").read_text()) == rows
    for file in bars.PAGES:
        text = file.read_text()
        assert "<!-- bars -->" in text and bars.page(text, rows) == text


def test_a_bar_is_passed_missed_or_not_measured(
    bars: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bars, "RESULTS", tmp_path)

    def row(value: float) -> dict[str, Any]:
        (tmp_path / "bench.json").write_text(
            json.dumps(
                {"rows": [{"step": "MoCo, x", "ratio": value, "low": 0.5, "high": 1.2}, {"step": "other"}]}
            )
        )
        bar = bars.Bar("M", bars._ratio("bench", "MoCo"), "bench", 0.95, cause="slow")
        found: dict[str, Any] = bar.row()
        return found

    assert row(0.95)["state"] == "pass" and row(0.95)["why"] == ""
    missed = row(0.9499)
    assert (missed["state"], missed["why"], missed["range"]) == ("miss", "slow", "0.50 to 1.20")
    assert (
        bars.table([missed]).splitlines()[2]
        == "| M | >= 0.95 | 0.95 (0.50 to 1.20) | **miss**: slow | bench |"
    )
    assert bars.Bar("T", lambda: (5.1, "s"), "scores", most=5.0).row()["state"] == "miss"
    assert bars.Bar("T", lambda: (5.0, "s"), "scores", most=5.0).row()["state"] == "pass"
    for begins, name in (("other", "bench"), ("none", "bench"), ("MoCo", "absent")):
        bar = bars.Bar("M", bars._ratio(name, begins), name, 0.95, cause="not here")
        assert (bar.row()["state"], bar.row()["measured"], bar.row()["why"]) == (
            "not measured",
            None,
            "not here",
        )


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_only_a_gpu_fills_the_rows_of_a_gpu(
    device: str, bars: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bars, "RESULTS", tmp_path)
    turns = {"ratio": 0.97, "low": 0.9, "high": 1.0}
    made = {"device": device, "floor": turns, "kernels": {"share": 0.96, "steps": 50}}
    (tmp_path / "gpu.json").write_text(json.dumps(made))
    found = (0.97, "0.90 to 1.00"), (0.96, "of 50 steps")
    assert (bars._gpu("floor")(), bars._gpu("kernels")()) == (found if device == "cuda" else (None, None))


def test_the_arithmetic_of_a_step_stands_beside_the_best_product(
    bars: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bars, "RESULTS", tmp_path)
    assert bars.peaks() == "Not measured.\n"
    step = {
        "step": "MoCo, x",
        "precision": "bfloat16",
        "floor": 20.0,
        "GFLOP": 12.0,
        "peak": 300.0,
        "of peak": 0.8,
    }
    (tmp_path / "bench.json").write_text(json.dumps({"rows": [step, {"step": "prepare", "floor": 5.0}]}))
    assert bars.peaks().splitlines()[2:] == ["| MoCo | bfloat16 | 12.0 | 240 | 300 | 0.80 |"]


def test_growth_is_told_with_what_the_nine_sets_would_take(
    bars: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand: 178,757 films at 10 a second, and 169,257 at 2."""
    monkeypatch.setattr(bars, "RESULTS", tmp_path)
    assert bars.growth() == "Not measured.\n"
    rate = {"images/s": 2.0, "low": 1.5, "high": 2.5}
    curves: dict[str, Any] = {
        name: [{"at": "800x500", **rate}] for name in ("batch", "size", "queue", "tasks")
    }
    curves["rows"] = [{"at": "1,000", "pool s": 0.123, "batch ms": 4.567}]
    about = {"size": [160, 256], "batch": 32, "batch of sizes": 8, "curves": curves}
    (tmp_path / "growth.json").write_text(json.dumps(about))
    (tmp_path / "bench.json").write_text(json.dumps({"rows": [{"step": "prepare, x", "ours": 10.0}]}))
    said = bars.growth()
    assert "| MoCo, batch 8, by size | 800x500: 2.0 (1.5 to 2.5) |" in said
    assert "| 1,000 | 0.12 | 4.57 |" in said
    assert "5.0 hours to decode" in said and "and 24 hours an epoch" in said


def test_each_measurement_is_read_as_it_was_written(
    bars: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bars, "RESULTS", tmp_path)
    assert bars._scores() is bars._ranks() is bars._growth("training")() is None
    seconds = {n: {"median": m, "least": m - 1, "most": m + 1} for n, m in (("two", 2.0), ("masks", 4.0))}
    (tmp_path / "scores.json").write_text(json.dumps({"cases": 10_000, "seconds": seconds}))
    assert bars._scores() == (4.0, "s, masks; 3.0 to 5.0")
    (tmp_path / "ranks.json").write_text(
        json.dumps({"rows": [
            {"batch": 32, "ratio": {"one message": {"median": 0.1, "low": 0.1, "high": 0.1}}},
            {"batch": 64, "ratio": {"one message": {"median": 0.8, "low": 0.7, "high": 0.9}, "DDP": {}}},
        ]})
    )  # fmt: skip
    assert bars._ranks() == (0.8, "0.70 to 0.90")
    training = [{"rows": 10, "peak MB": 400.0}, {"rows": 1000, "peak MB": 440.0}]
    (tmp_path / "memory.json").write_text(json.dumps({"training": training}))
    assert bars._growth("training")() == (pytest.approx(0.1), "from 10 to 1,000 rows")
