"""Leave-one-task-out: which recipes it adds, and what their stages then learn."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny

from muscle.data.data_file import DataFile
from muscle.errors import UsageError
from muscle.leave_one_out import left_out
from muscle.recipe import Recipe, assign_roles
from muscle.yaml_text import from_yaml


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


def test_a_stage_that_names_its_targets_loses_the_one_that_is_tested(tmp_path: Path) -> None:
    """Others keep their names and roles; a recipe that fine-tunes nothing has no row to leave out of."""
    file = DataFile(sources=dict(tiny.sources(tmp_path)), split=tiny.SPLIT)
    muscle = tiny.small("muscle")
    labels, boxes = (
        next(t for t in muscle.stages[1].tasks if t.needs == kind) for kind in ("labels", "boxes")
    )
    tasks = (labels.with_(data="pneumonia"), labels.with_(data="germ"), boxes)
    named = muscle.with_(stages=(muscle.stages[0], muscle.stages[1].with_(tasks=tasks)))
    kept = {
        r.name: [t.data for t in r.stages[1].tasks]
        for r in left_out([named, named.with_(finetune=None)], file)
    }
    assert kept == {
        "muscle-without-pneumonia": ["germ", "annotated"],
        "muscle-without-germ": ["pneumonia", "annotated"],
        "muscle-without-bones": ["pneumonia", "germ", "annotated-without:bones"],
    }


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
