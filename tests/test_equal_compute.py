"""Rows at equal total compute; the oracle is the paper's own arithmetic: pre-training shared by the tasks, counted."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny

from muscle.api import compare
from muscle.backbones.resnet import ResNet
from muscle.data.data_file import DataFile
from muscle.equal_compute import equal_compute
from muscle.errors import UsageError
from muscle.pipeline import Pipeline
from muscle.recipe import Recipe


def seen(recipe: Recipe, where: Path) -> tuple[int, dict[str, tuple[int, int]]]:
    """Images of the stages; and by task those of its fine-tuning, and of one epoch of it."""
    pipeline = Pipeline(recipe, tiny.corpus(where), tiny.MACHINE, where / "checkpoints")
    found = {}
    for task in pipeline.tasks():
        jobs = pipeline.finetune_jobs(task, 0)
        epoch = sum(steps * jobs[0].tasks[task].batch_size for steps in jobs[0].steps.values())
        found[task] = (sum(job.images_seen for job in jobs), epoch * len(jobs))
    return sum(job.images_seen for job in pipeline.stage_jobs()), found


def test_each_cheaper_start_takes_as_many_images_as_the_longest(tmp_path: Path) -> None:
    """Up to one epoch a rate, since epochs are whole; the longest itself gets no second row."""
    file = DataFile(sources=dict(tiny.sources(tmp_path)), split=tiny.SPLIT)
    recipes = [tiny.small(name) for name in ("scratch", "md-moco", "muscle")]
    made = equal_compute(recipes, file, tmp_path / "stores", tiny.MACHINE)
    assert [r.name for r in made] == ["scratch-same-compute", "md-moco-same-compute"]
    most, target = seen(recipes[2], tmp_path)
    for recipe in made:
        recipe.check()
        before, found = seen(recipe, tmp_path)
        for task, (images, epoch) in found.items():
            lacking = (most - before) / len(found)
            assert 0 <= images - (target[task][0] + lacking) < epoch + 1, (recipe.name, task)


def test_rivals_have_the_same_backbone_and_are_fine_tuned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is lacking to the longest of them is shared by the tasks that have a test part."""
    file = DataFile(sources=dict(tiny.sources(tmp_path)), split=tiny.SPLIT)
    scratch, moco, muscle = (tiny.small(name) for name in ("scratch", "md-moco", "muscle"))
    others = [muscle.with_(backbone=ResNet(name="resnet50")), muscle.with_(name="alone", finetune=None)]

    def lacking(*recipes: Recipe) -> dict[str, int]:
        made = equal_compute(recipes, file, tmp_path / "stores", tiny.MACHINE)
        return {r.name: r.finetune.more_images for r in made if r.finetune is not None}

    before, tasks = seen(moco, tmp_path)
    assert lacking(scratch, moco, *others) == {"scratch-same-compute": round(before / len(tasks))}
    monkeypatch.setattr(Pipeline, "tested", lambda self: list(self.tasks())[:1])
    assert lacking(scratch, moco) == {"scratch-same-compute": before}


def test_nothing_to_make_equal_is_said(tmp_path: Path) -> None:
    file = DataFile(sources=dict(tiny.sources(tmp_path)), split=tiny.SPLIT)
    with pytest.raises(UsageError, match="all recipes here pre-train on as many images"):
        equal_compute([tiny.small("scratch")], file, tmp_path / "stores", tiny.MACHINE)


def test_longer_fine_tunings_stand_in_a_table_of_their_own(tmp_path: Path) -> None:
    """In the tables of equal fine-tuning they would be no rivals."""
    file = DataFile(sources=dict(tiny.sources(tmp_path)), split=tiny.SPLIT)
    recipes = []
    for name in ("scratch", "md-moco"):
        recipes.append(str(tmp_path / f"{name}.yaml"))
        Path(recipes[-1]).write_text(tiny.small(name).yaml())
    made = compare(
        file, recipes=recipes, tasks=["classification:germ"], out=tmp_path / "run", store=tmp_path / "stores",
        machine=tiny.MACHINE, equal_compute=True,
    )  # fmt: skip
    second = (made.out / "tables" / "equal-compute.md").read_text().splitlines()
    rows = [line.split(" | ")[2] for line in second if line.startswith("| germ")]
    assert rows == ["MD-MoCo", "Scratch, same compute"]
    assert "same compute" not in made.table() and "Scratch" in made.table()
    for cell in made.cells:
        assert (cell["more_images"] > 0) == cell["recipe"].endswith("-same-compute")
