"""The demonstration: synthetic data that say so, and a failure where MUSCLE does not beat chance."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny

from muscle import demo
from muscle.data.data_file import DataFile
from muscle.errors import UserError


def test_the_phantoms_are_three_tasks_over_two_body_parts(tmp_path: Path) -> None:
    file = DataFile.load(demo.write_phantoms(tmp_path / "p", 24, 24))
    targets = [t for _, found in file.read().values() for t in found]
    assert sorted((t.name, t.kind) for t in targets) == [
        ("fracture", "boxes"),
        ("lungs", "mask"),
        ("pneumonia", "labels"),
    ]
    parts = {s.body_part for samples, _ in file.read().values() for s in samples}
    assert len(parts) == 2 and file.synthetic


def test_the_phantoms_are_written_once_and_over_nothing(tmp_path: Path) -> None:
    first = demo.write_phantoms(tmp_path / "p", 12, 12)
    before = first.stat().st_mtime_ns
    assert demo.write_phantoms(tmp_path / "p", 12, 12).stat().st_mtime_ns == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.doc").touch()
    with pytest.raises(UserError, match="not empty"):
        demo.write_phantoms(tmp_path / "mine", 12, 12)
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.doc"]


GOOD = {"auc": 0.9, "dice": 0.8, "ap50": 0.4}


@pytest.mark.parametrize(
    ("change", "fails"),
    [
        ({}, ""),
        ({"auc": 0.7}, "auc"),
        ({"dice": 0.1}, "dice"),
        ({"ap50": 0.0}, "ap50"),
        ({"auc": None}, "auc"),
    ],
)
def test_it_fails_where_muscle_does_not_beat_chance(
    change: dict[str, float | None], fails: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A score that is not defined is none that beats chance; a baseline may be as bad as it is."""
    cells: list[dict[str, Any]] = []
    for recipe, values in (("scratch", dict.fromkeys(GOOD, 0.0)), ("muscle", GOOD | change)):
        for name, value in values.items():
            metrics = {} if value is None else {name: {"value": value}}
            cells.append({"recipe": recipe, "task": name, "minutes": 1.0, "metrics": metrics})
    results = SimpleNamespace(data={"stages": [], "cells": cells})
    monkeypatch.setattr(demo, "write_phantoms", lambda *_: tmp_path)
    monkeypatch.setattr(demo.DataFile, "load", lambda _: None)
    monkeypatch.setattr(demo, "run_grid", lambda *_: results)
    monkeypatch.setattr(demo, "report", lambda out: out / "report.html")
    if fails:
        with pytest.raises(UserError, match=f"{fails}, expected above"):
            demo.demo(tmp_path, tiny.MACHINE)
    else:
        assert demo.demo(tmp_path, tiny.MACHINE).cells == cells
