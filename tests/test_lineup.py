"""Which recipes stand in one comparison: rivals on a run's own network and pixels, rows of one name apart."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny

from muscle.backbones.resnet import ResNet
from muscle.errors import UsageError
from muscle.lineup import compared
from muscle.schedules import Sequential


def test_rivals_take_over_network_and_pixels_of_the_run(tmp_path: Path) -> None:
    run = tiny.run_folder(tmp_path / "mine", "resnet50")
    asked = compared(["scratch", run], ["md-moco"], None, 2, "demo", (), ())
    assert [r.name for r in asked] == ["scratch", "mine", "md-moco"]
    for r in asked:
        assert (r.backbone, r.size, r.fit) == (ResNet(name="resnet50"), (64, 48), "pad")
        assert r.seeds == (0, 1)


def test_a_change_goes_to_every_recipe_that_has_a_place_for_it() -> None:
    """Scratch has no stages; what has a place nowhere is a mistake."""
    change = "stages.0.schedule.epochs_per_task=3"
    scratch, moco = compared(["scratch"], ["md-moco"], None, 1, "demo", (), (change, "size=[64,48]"))
    assert not scratch.stages and moco.stages[0].schedule == Sequential(epochs_per_task=3)
    assert scratch.size == moco.size == (64, 48)
    with pytest.raises(UsageError, match="no '0'"):
        compared(["scratch"], (), None, 1, "demo", (), (change,))


def test_runs_that_differ_do_not_compare(tmp_path: Path) -> None:
    runs = [tiny.run_folder(tmp_path / "a"), tiny.run_folder(tmp_path / "b", size=(48, 64))]
    with pytest.raises(UsageError, match="starts of different size do not compare"):
        compared(runs, (), None, 1, "demo", (), ())


def test_folders_of_one_name_become_rows_of_their_own(tmp_path: Path) -> None:
    runs = [tiny.run_folder(tmp_path / place / "mine") for place in ("a", "b", "c")]
    asked = compared(runs, (), None, 1, "demo", (), ())
    assert [r.name for r in asked] == ["mine", "mine-2", "mine-3"]
