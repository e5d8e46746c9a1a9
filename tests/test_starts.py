"""From what a user names to one recipe."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
import tiny

from muscle.errors import UsageError, UserError
from muscle.recipe import Weights
from muscle.seal import sealed
from muscle.starts import load_recipe, start_recipe


def test_why_nothing_can_start_there(tmp_path: Path) -> None:
    (tmp_path / "pneu").mkdir()
    (tmp_path / "pneu" / "results.json").touch()
    for name, why in {
        "pneum": "did you mean pneu?",
        "pneu": "a run that fine-tuned",
        ".": "holds no backbone",
    }.items():
        with pytest.raises(UsageError, match=f"{re.escape(why)}.*; allowed: scratch, imagenet"):
            start_recipe(tmp_path / name, "demo")


def test_a_backbone_other_than_the_runs_is_refused(tmp_path: Path) -> None:
    run = tiny.run_folder(tmp_path / "mine", "resnet18")
    with pytest.raises(UsageError, match="holds a resnet18; leave --backbone out"):
        start_recipe(run, "demo", "resnet50")


def test_weights_other_than_those_of_the_run_are_refused(tmp_path: Path) -> None:
    """A byte of the backbone changed, whose SHA-256 stands in ``backbone.json``; of a run without one all is taken."""
    run = tiny.run_folder(tmp_path / "mine", "resnet18")
    about, weights = run / "backbone.json", run / "backbone.safetensors"
    sound = weights.read_bytes()
    about.write_text(sealed(json.loads(about.read_text()) | {"sha256": hashlib.sha256(sound).hexdigest()}))
    assert start_recipe(run, "demo").init == Weights(file=str(weights))
    weights.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    told = f"{re.escape(str(weights))}: other weights than its backbone.json tells of"
    with pytest.raises(UserError, match=told):
        start_recipe(run, "demo")
    with pytest.raises(UserError, match=told):
        load_recipe("md-moco", "demo", init=weights)
