"""The speed table: both sides measured in one run, the ratio between its ends."""

from __future__ import annotations

import json
from pathlib import Path

import command
import pytest


@pytest.mark.slow
def test_the_table(tmp_path: Path) -> None:
    ended = command.muscle("bench", "--seconds", "1", "--threads", "1", "--to", tmp_path / "b.json")
    assert "MoCo, ResNet-18, 160x256, batch 32" in ended.done()
    rows = json.loads((tmp_path / "b.json").read_text())
    assert [row["step"].split(",")[0] for row in rows] == ["MoCo", "prepare"]
    assert all(0 < row["low"] <= row["ratio"] <= row["high"] and row["threads"] == 1 for row in rows)
