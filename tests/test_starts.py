"""From what a user names to recipes: a second run of one folder name, and rivals on a run's own network and pixels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny

from muscle.backbones.resnet import ResNet
from muscle.data.data_file import DataFile
from muscle.errors import UsageError
from muscle.parts import from_yaml
from muscle.recipe import Recipe, assign_roles
from muscle.recipes import recipe
from muscle.schedules import Sequential
from muscle.starts import compared, left_out, start_recipe
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


def test_a_change_goes_to_every_recipe_that_has_a_place_for_it() -> None:
    """Scratch has no stages; what has a place nowhere is a mistake."""
    change = "stages.0.schedule.epochs_per_task=3"
    scratch, moco = compared(["scratch"], ["md-moco"], None, 1, "demo", (), (change, "size=[64,48]"))
    assert not scratch.stages and moco.stages[0].schedule == Sequential(epochs_per_task=3)
    assert scratch.size == moco.size == (64, 48)
    with pytest.raises(UsageError, match="no '0'"):
        compared(["scratch"], (), None, 1, "demo", (), (change,))


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


def test_leave_one_task_out_is_a_recipe_more_for_each_task_that_its_stages_learn(tmp_path: Path) -> None:
    """In the stage the other tasks, under their usual keys; in fine-tuning it alone; one title for all."""
    file = DataFile(sources=dict(tiny.sources(tmp_path)), split=tiny.SPLIT)
    corpus = tiny.corpus(tmp_path)
    scratch, muscle = (tiny.small(name) for name in ("scratch", "muscle"))
    found = left_out([scratch, muscle], file)
    assert [r.name for r in found] == [f"muscle-without-{t}" for t in ("pneumonia", "germ", "bones")]
    assert {r.title for r in found} == {"MUSCLE without own task"}
    for variant, own in zip(found, ("pneumonia", "germ", "bones"), strict=True):
        variant.check()
        assert variant.stages[0] == muscle.stages[0] and variant.seeds == muscle.seeds
        stage = assign_roles(variant.stages[1].tasks, corpus.targets)
        full = assign_roles(muscle.stages[1].tasks, corpus.targets)
        assert stage == {name: task for name, task in full.items() if name != own}
        assert variant.finetune is not None and muscle.finetune is not None
        tuned = assign_roles(variant.finetune.tasks, corpus.targets)
        assert tuned == {own: assign_roles(muscle.finetune.tasks, corpus.targets)[own]}
        again = Recipe.parse(from_yaml(variant.yaml()))
        assert again == variant


def test_what_fine_tuning_leaves_out_or_is_external_has_no_row_of_its_own(tmp_path: Path) -> None:
    sources = tiny.sources(tmp_path)
    file = DataFile(sources=sources | {"bones": sources["bones"].with_(external=True)}, split=tiny.SPLIT)
    muscle = tiny.small("muscle")
    assert [r.name for r in left_out([muscle], file)] == ["muscle-without-pneumonia", "muscle-without-germ"]
    assert muscle.finetune is not None
    germ = muscle.finetune.tasks[0].with_(data="germ")
    few = muscle.with_(finetune=muscle.finetune.with_(tasks=(germ,)))
    assert [r.name for r in left_out([few], file)] == ["muscle-without-germ"]


def test_leave_one_task_out_needs_a_stage_of_several_tasks(tmp_path: Path) -> None:
    file = DataFile(sources={"bones": tiny.sources(tmp_path)["bones"]}, split=tiny.SPLIT)
    for given, name in ((file, "muscle"), (file, "md-moco")):
        with pytest.raises(UsageError, match="leave-one-task-out: no recipe here learns two annotated tasks"):
            left_out([tiny.small(name)], given)


def test_a_task_to_leave_out_must_exist(tmp_path: Path) -> None:
    task = tiny.small("muscle").stages[1].tasks[0].without("mumps").without("germ")
    assert task.data == "annotated-without:germ,mumps" and task.left_out == {"germ", "mumps"}
    targets = tiny.corpus(tmp_path).targets
    with pytest.raises(UsageError, match="annotated-without:mumps: known targets: pneumonia, germ, bones"):
        assign_roles((task,), targets)
