"""The plan: it counts what the run then uses, says when the disk will not do, and leaves nothing behind."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import command
import numpy as np
import pytest
import tiny
from torch import Tensor

from muscle import paths, plan, trial
from muscle.data.audit import write_left_out
from muscle.data.data_file import DataFile
from muscle.data.seen import write_seen
from muscle.data.splits import PatientSplit
from muscle.datasets.yolo import Yolo
from muscle.errors import UserError
from muscle.parts import override
from muscle.recipe import Recipe, Weights
from muscle.recipes import recipe as shipped
from muscle.results import Results
from muscle.types import Batch
from muscle.weights import save_backbone

OTHER = PatientSplit(valid=0.25, test=0.25, seed=1)


def made(recipe: Recipe, file: DataFile, place: Path) -> Mapping[str, object]:
    """The plan of a recipe whose outputs would lie under ``place``."""
    return plan.plan(recipe, file, place / "runs" / "a", place / "store", tiny.MACHINE)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Films between junk."""
    root = tmp_path_factory.mktemp("plan") / "films"
    command.films(root, 12)
    command.junk(root)
    return root


@pytest.fixture(scope="module")
def annotated(tmp_path_factory: pytest.TempPathFactory) -> DataFile:
    """The tiny corpus; the films of one source stand in another too, split otherwise; a third source is external."""
    where = tmp_path_factory.mktemp("plan")
    given = tiny.sources(where / "tiny")
    again = given["chest"].with_(split=OTHER, rename={"pneumonia": "again", "germ": "germ2"})
    Yolo.write_example(where / "elsewhere", 30, 50)
    outside = Yolo(root=str(where / "elsewhere"), target="bones", external=True)
    sources = {"bones": given["bones"], "again": again, "chest": given["chest"], "outside": outside}
    return DataFile(sources=sources, split=tiny.SPLIT)


def test_of_a_folder_the_counts_are_those_of_the_run(films: Path, tmp_path: Path) -> None:
    """Oracle: the corpus that a run decodes."""
    file = DataFile.of([str(films)])
    recipe = tiny.small("md-moco").with_(finetune=None)
    found = made(recipe, file, tmp_path)
    corpus = tiny.prepared(tmp_path, file)
    assert found["images"] == len(corpus.all_rows) == 12
    assert found["pool"] == len(corpus.pool) == 12
    assert found["unreadable"] == "3 of 15 tried"
    assert found["fits"] == "yes"


def test_weights_that_have_seen_test_films_are_refused_as_the_run_refuses_them(
    annotated: DataFile, tmp_path: Path
) -> None:
    """Oracle: the line of the run, as far as there are stores; nothing is decoded for it."""
    weights, store = tmp_path / "w", tmp_path / "store"
    scratch = tiny.small("scratch")
    recipe = scratch.with_(init=Weights(file=str(weights / "backbone.safetensors")))
    weights.mkdir()
    save_backbone(scratch.backbone.build(), weights / "backbone.safetensors", {})
    allowed = annotated.with_(allow_leaks=True)

    def said(recipe: Recipe, file: DataFile) -> str:
        return plan._seen_before(recipe, file, file.read(), store)

    assert said(scratch, annotated) == "none" == said(recipe.with_(finetune=None), annotated)
    assert said(recipe, annotated).startswith("not known: nothing beside the weights")
    corpus = tiny.prepared(tmp_path / "elsewhere", annotated)
    rows = corpus.all_rows
    write_seen(weights, rows.take(np.array([source == "bones" for source in rows.sources])))
    assert made(recipe, annotated, tmp_path)["test films seen by the weights"] == (
        "not checked: no store yet of bones, again, chest, outside"
    )
    assert not store.exists()
    stores = {made_store.name: made_store.path for made_store in corpus.stores}
    shutil.copytree(stores["bones"], store / stores["bones"].name)
    with pytest.raises(UserError) as planned:
        made(recipe, annotated, tmp_path)
    with pytest.raises(UserError) as run:
        Results(tmp_path / "out", "", True, tiny.MACHINE).put_start(recipe, corpus)
    assert str(planned.value) == str(run.value) and "(weights), rule pixels" in str(run.value)
    assert said(recipe, allowed) == "not checked: no store yet of again, chest, outside"
    for path in stores.values():
        shutil.copytree(path, store / path.name, dirs_exist_ok=True)
    bones = [s for s, source in zip(rows.splits, rows.sources, strict=True) if source == "bones"]
    found = f"{len(bones) - bones.count('train')}, and they are allowed"
    tested = len(rows) - rows.splits.count("train")
    mine = "by person with 30 of the 30 of the weights"
    assert said(recipe, allowed) == f"{found}, compared by pixels, and 12 of {tested} {mine}"
    write_left_out(tmp_path / "out.txt", [i for i in rows.ids if i.startswith("bones/")])
    assert said(recipe, annotated.with_(exclude=(str(tmp_path / "out.txt"),))) == (
        "none, compared by pixels alone, for no person is named in the same keys on both sides"
    )


def test_of_annotated_sources_the_counts_are_those_of_the_run(
    annotated: DataFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held-out persons, external sources and films that stand twice leave the plan as they leave the run."""
    monkeypatch.setattr(plan, "FILES", 1000)
    recipe = tiny.small("muscle")
    found = made(recipe, annotated, tmp_path)
    corpus = tiny.prepared(tmp_path, annotated)
    assert found["pool"] == len(corpus.pool)
    stages = found["stages"]
    assert isinstance(stages, list)
    for row in stages:
        tasks = corpus.tasks if row["stage"].startswith("finetune") else corpus.internal_tasks
        expected = corpus.pool if row["task"] == "moco" else tasks[row["task"]].train
        assert row["images"] == len(expected), row
    fine = {row["task"] for row in stages if row["stage"].startswith("finetune")}
    assert fine == {name for name, rows in corpus.tasks.items() if len(rows.test)} > set()
    assert {row["task"] for row in stages if row["stage"] == "continual"} == set(corpus.internal_tasks)
    assert len(corpus.pool) < len(corpus.all_rows) / 2


def test_films_that_the_data_file_excludes_are_not_counted(films: Path, tmp_path: Path) -> None:
    file = DataFile.of([str(films)])
    (samples, _), *_ = file.read().values()
    recipe = tiny.small("md-moco").with_(finetune=None)
    whole = made(recipe, file, tmp_path)
    write_left_out(tmp_path / "out.txt", [sample.id for sample in samples[:3]])
    fewer = made(recipe, file.with_(exclude=(str(tmp_path / "out.txt"),)), tmp_path)
    assert fewer["pool"] == whole["pool"] - 3  # type: ignore[operator]


def test_few_files_of_many_are_decoded(annotated: DataFile, tmp_path: Path) -> None:
    sizes = []

    class Watched(tiny.Progress):
        def count(self, what: str, done: int, total: int, unit: str) -> None:
            sizes.append(total)

    recipe = tiny.small("md-moco").with_(finetune=None)
    plan.plan(recipe, annotated, tmp_path, tmp_path, tiny.MACHINE, Watched())
    assert max(sizes) == plan.FILES // len(annotated.sources)


def test_nothing_is_left_behind(films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cwd").mkdir()
    (tmp_path / "tmp").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    assert command.muscle("pretrain", films, *command.PRETRAIN, "--plan").code == 0
    assert [p.name for p in sorted(tmp_path.rglob("*"))] == ["cwd", "tmp"]


@pytest.mark.parametrize("free", [0, 10**8])
def test_a_disk_that_will_not_do_is_exit_1(
    films: Path, tmp_path: Path, free: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ResNet-18 is 45 MB: eleven of it, for a checkpoint, what is taken home and three snapshots, are 0.5 GB."""
    monkeypatch.setattr(paths, "free_bytes", lambda _: free)
    ended = command.muscle("pretrain", films, *command.PRETRAIN, "--plan", "--out", tmp_path / "a" / "b")
    assert ended.code == 1 and "no: store and checkpoints need 0.5 GB" in ended.out


def test_two_places_on_one_disk_share_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "free_bytes", lambda _: 10 * 10**9)
    assert plan._room(tmp_path / "s", 6.0, tmp_path / "c", 3.0) == (10.0, [])
    assert len(plan._room(tmp_path / "s", 6.0, tmp_path / "c", 6.0)[1]) == 1


def test_the_places_given_are_those_asked(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []
    monkeypatch.setattr(paths, "free_bytes", lambda place: asked.append(Path(place)) or 10**12)
    words = ("--plan", "--out", tmp_path / "a" / "b", "--store", tmp_path / "store")
    command.muscle("pretrain", films, *command.PRETRAIN, *words).done()
    assert asked == [tmp_path / "store"]


def test_out_of_memory_is_a_reason(films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(trial.Learner, "losses", full)
    found = made(tiny.small("md-moco").with_(finetune=None), DataFile.of([str(films)]), tmp_path)
    assert "no: moco: out of memory at batch_size 8 (the machine's); what is finished is kept: try" in str(
        found["fits"]
    )


def test_a_batch_in_parts_is_timed_in_parts(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the run computes it, so that what fits there fits here; and with activations kept or not, as asked."""
    seen: list[tuple[int, bool]] = []
    losses = trial.Learner.losses

    def heard(self: trial.Learner, name: str, batch: Batch, *more: Any) -> dict[str, Tensor]:
        seen.append((len(batch), self.backbone.recompute))
        return losses(self, name, batch, *more)

    monkeypatch.setattr(trial.Learner, "losses", heard)
    recipe = override(tiny.small("md-moco").with_(finetune=None), ["stages.0.tasks.0.accumulate=2"])
    machine = tiny.MACHINE.with_(recompute=True)
    plan.plan(recipe, DataFile.of([str(films)]), tmp_path / "runs" / "a", tmp_path / "store", machine)
    assert seen == [(4, True)] * 2 * (trial.STEPS + 1)


def test_what_the_run_would_refuse(films: Path, tmp_path: Path) -> None:
    file = DataFile.of([str(films)])
    large = override(shipped("md-moco", "demo"), ["stages.0.tasks.0.queue=4096"])
    for recipe in (tiny.small("muscle"), large):
        with pytest.raises(UserError):
            made(recipe, file, tmp_path)


def test_what_looks_back_at_other_tasks_is_counted(
    annotated: DataFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage is timed task by task, where nothing is earlier: LwF is four thirds of a step more, replay one."""
    monkeypatch.setattr(trial.Trial, "seconds", lambda _: (3600.0, 0))
    hours = {}
    for name in ("muscle-no-memory", "muscle-lwf", "muscle-replay", "joint"):
        found = made(tiny.small(name).with_(finetune=None), annotated, tmp_path)
        rows = found["stages"]
        assert isinstance(rows, list)
        hours[name] = sum(row["hours"] for row in rows if row["stage"] == "continual")
    free = hours["muscle-no-memory"]
    assert hours["muscle-lwf"] == pytest.approx(free * 7 / 3, rel=1e-3)
    assert hours["muscle-replay"] == 2 * free and hours["joint"] == free
