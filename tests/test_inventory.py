"""The inventory: everything there is, with its size; damage is named, not fatal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from muscle.inventory import inventory


def write(file: Path, text: str) -> None:
    """A file and its folders."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_all_there_is(tmp_path: Path) -> None:
    runs, stores = tmp_path / "runs", tmp_path / "store"
    write(
        runs / "a" / "results.json", json.dumps({"title": "T", "cells": [{"recipe": "x"}, {"recipe": "x"}]})
    )
    about = {"recipe": {"name": "md-moco"}, "images": 7, "sha256": "f" * 64}
    for name in "ab":  # the first was pre-trained and fine-tuned in one folder
        write(runs / name / "backbone.json", json.dumps(about))
    write(
        runs / "checkpoints" / "k1" / "stage.json",
        json.dumps({"stage": {"name": "pretrain"}, "steps": 3, "minutes": 2}),
    )
    model = {"title": "MUSCLE", "task": "germ", "seed": 2}
    write(runs / "checkpoints" / "k1" / "model.json", json.dumps(model))
    write(runs / "checkpoints" / "k2.running" / "snapshot.pt", "x" * 5)
    write(runs / "checkpoints" / "k3.running" / "lock", "")  # it was refused before its first save
    write(stores / "s" / "manifest.json", json.dumps({"rows": 4, "size": [8, 6]}))
    write(stores / "t.partial" / "images.npy", "x")
    found = inventory(runs, stores)
    assert [(e["kind"], Path(e["where"]).name, e["what"]) for e in found] == [
        ("run", "a", "T: 2 cells of x"),
        ("backbone", "a", "md-moco on 7 images, ffffffffffff"),
        ("backbone", "b", "md-moco on 7 images, ffffffffffff"),
        ("checkpoint", "k1", "pretrain, 3 steps, 2.0 min; for muscle validate: MUSCLE on germ, seed 2"),
        ("unfinished", "k2.running", "a stage to resume"),
        ("unfinished", "k3.running", "a stage of which nothing is saved yet"),
        ("store", "s", "4 images at 8x6"),
        ("unfinished", "t.partial", "a store to finish"),
    ]
    assert found[4]["bytes"] == 5


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", "3"])
def test_damage_is_named_and_the_rest_is_listed(tmp_path: Path, content: str) -> None:
    for place in (
        "runs/a/results.json",
        "runs/b/backbone.json",
        "runs/checkpoints/k/stage.json",
        "store/s/manifest.json",
    ):
        write(tmp_path / place, content)
    found = inventory(tmp_path / "runs", tmp_path / "store")
    assert len(found) == 4 and all(entry["what"].startswith("damaged: ") for entry in found)


def test_checkpoints_lie_where_the_variable_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "far" / "k.running" / "snapshot.pt", "x")
    monkeypatch.setenv("MUSCLE_CHECKPOINTS", str(tmp_path / "far"))
    assert [entry["kind"] for entry in inventory(tmp_path / "runs", tmp_path / "store")] == ["unfinished"]


def test_nothing(tmp_path: Path) -> None:
    assert inventory(tmp_path / "runs", tmp_path / "store") == []
