"""From what a user names to one recipe."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import tiny

from muscle.errors import UsageError
from muscle.starts import start_recipe


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
