"""From what a user names to recipes: a second run of one folder name, and rivals on a run's own network and pixels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from muscle.backbones.resnet import ResNet
from muscle.errors import UsageError
from muscle.recipes import recipe
from muscle.starts import compared, start_recipe
from muscle.weights import save_backbone


def run_folder(folder: Path, backbone: str = "resnet18", size: tuple[int, int] = (64, 48)) -> Path:
    """What ``pretrain`` leaves, of random weights."""
    made = recipe("md-moco", "demo", backbone).with_(size=size)
    folder.mkdir(parents=True)
    save_backbone(ResNet.parse({"name": backbone}).build(), folder / "backbone.safetensors", {})
    about = {"recipe": made.dump(), "size": list(size), "fit": "pad",
             "normalization": made.normalization.dump(), "decode": made.decode.dump()}  # fmt: skip
    (folder / "backbone.json").write_text(json.dumps(about))
    return folder


def test_rivals_take_over_network_and_pixels_of_the_run(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "mine", "resnet50")
    asked = compared(["scratch", run], ["md-moco"], None, 2, "demo", (), ())
    assert [r.name for r in asked] == ["scratch", "mine", "md-moco"]
    for r in asked:
        assert (r.backbone, r.size, r.fit) == (ResNet(name="resnet50"), (64, 48), "pad")
        assert r.seeds == (0, 1)


def test_runs_that_differ_do_not_compare(tmp_path: Path) -> None:
    runs = [run_folder(tmp_path / "a"), run_folder(tmp_path / "b", size=(48, 64))]
    with pytest.raises(UsageError, match="starts of different size do not compare"):
        compared(runs, (), None, 1, "demo", (), ())


def test_a_backbone_other_than_the_runs_is_refused(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "mine", "resnet18")
    with pytest.raises(UsageError, match="holds a resnet18; leave --backbone out"):
        start_recipe(run, "demo", "resnet50")


def test_folders_of_one_name_become_rows_of_their_own(tmp_path: Path) -> None:
    runs = [run_folder(tmp_path / place / "mine") for place in ("a", "b", "c")]
    asked = compared(runs, (), None, 1, "demo", (), ())
    assert [r.name for r in asked] == ["mine", "mine-2", "mine-3"]
