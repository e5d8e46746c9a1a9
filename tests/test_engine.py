"""The engine's own promises; equalities between runs are tested in relations."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from filelock import FileLock
from torch import Tensor

from muscle import engine
from muscle.continual.regularizers.l2sp import L2SP
from muscle.data.corpus import Corpus
from muscle.data.normalization import PerImage, PerSource, ZScore
from muscle.engine import run_stage
from muscle.errors import UsageError, UserError
from muscle.job import Job, Start, start_key
from muscle.learner import Learner
from muscle.optim import Optimizer
from muscle.progress import Progress
from muscle.recipe import Kaiming, Stage
from muscle.schedules import Sequential
from muscle.tasks.classification import Classification
from muscle.types import Turn


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return tiny.corpus(tmp_path_factory.getbasetemp() / "tiny")


def stage(**changes: object) -> Stage:
    """Two label tasks, an epoch each."""
    base = Stage(name="s", tasks=(Classification(batch_size=8),), schedule=Sequential(epochs_per_task=1))
    return base.with_(**changes)


def job(corpus: Corpus, given: Stage | None = None, seed: int = 0, **changes: object) -> Job:
    recipe = tiny.small("scratch")
    options = {
        "backbone": recipe.backbone,
        "normalization": recipe.normalization,
        "precision": "float32",
    } | changes
    start = Start(Kaiming(), 0, key=start_key(recipe.backbone, Kaiming(), 0))
    return Job.plan(given or stage(), start, corpus, corpus.internal_tasks, seed=seed, **options)  # type: ignore[arg-type]


def test_levels_of_a_source_enter_the_key_where_they_decide(corpus: Corpus) -> None:
    """A film outside the rows moves the mean of its store, and with it what a network by source is fed."""
    moved = Corpus(corpus.file, tuple(replace(store, mean=store.mean + 1) for store in corpus.stores))
    by_source, fixed = PerSource(), ZScore()
    assert job(corpus, normalization=by_source).key != job(moved, normalization=by_source).key
    assert job(corpus, normalization=fixed).key == job(moved, normalization=fixed).key


def test_the_plan_assigns_roles_and_finds_rows(corpus: Corpus) -> None:
    planned = job(corpus)
    assert list(planned.tasks) == ["pneumonia", "germ"] == list(planned.targets)
    assert planned.tasks["germ"].data == "germ"
    assert {n: len(r) for n, r in planned.rows.items()} == {
        n: len(corpus.tasks[n].train) for n in planned.tasks
    }
    assert planned.steps == {"pneumonia": 2, "germ": 1}


def test_too_few_images(corpus: Corpus) -> None:
    poor = dict(corpus.internal_tasks)
    rows = poor["germ"]
    poor["germ"] = type(rows)(rows.target, rows.train.take(np.array([0])), rows.valid, rows.test)
    recipe = tiny.small("scratch")
    with pytest.raises(UserError, match="germ has 1 training images; at least 2"):
        Job.plan(
            stage(), Start(Kaiming(), 0), corpus, poor, recipe.backbone, recipe.normalization, 0, "float32"
        )


def test_the_best_epoch_is_chosen_by_one_task(corpus: Corpus) -> None:
    with pytest.raises(
        UsageError, match="select best chooses by one task, here are pneumonia, germ; use last"
    ):
        job(corpus, stage(select="best"))


def test_what_decides_the_weights_is_in_the_key(corpus: Corpus) -> None:
    """And what does not is not: the machine has no place in a job."""
    base = job(corpus)
    assert base.key == job(corpus).key
    fewer = dict(corpus.internal_tasks)
    rows = fewer["germ"]
    fewer["germ"] = type(rows)(
        rows.target, rows.train.take(np.arange(len(rows.train) - 1)), rows.valid, rows.test
    )
    recipe = tiny.small("scratch")
    others = [
        job(corpus, seed=1),
        job(corpus, stage(name="t")),
        job(corpus, stage(optimizer=Optimizer(rate=2e-3))),
        job(corpus, stage(regularizers=(L2SP(),))),
        job(corpus, stage(batch_norm="frozen")),
        job(corpus, stage(tasks=(Classification(batch_size=4),))),
        job(corpus, normalization=PerImage()),
        job(corpus, precision="bf16"),
        job(corpus, continued_heads=True),
        Job.plan(
            stage(),
            Start(Kaiming(), 0, key="x"),
            corpus,
            corpus.internal_tasks,
            recipe.backbone,
            recipe.normalization,
            0,
            "float32",
        ),
        Job.plan(stage(), base.start, corpus, fewer, recipe.backbone, recipe.normalization, 0, "float32"),
    ]
    assert len({base.key, *(other.key for other in others)}) == len(others) + 1


def test_validation_rows_count_where_they_select(corpus: Corpus) -> None:
    rows = corpus.internal_tasks["germ"]
    other = {"germ": type(rows)(rows.target, rows.train, rows.valid.take(np.arange(1)), rows.test)}
    recipe = tiny.small("scratch")
    for select, equal in (("last", True), ("best", False)):
        given = stage(tasks=(Classification(batch_size=8, data="germ"),), select=select)
        keys = {
            Job.plan(
                given, Start(Kaiming(), 0), corpus, known, recipe.backbone, recipe.normalization, 0, "float32"
            ).key
            for known in ({"germ": rows}, other)
        }
        assert (len(keys) == 1) == equal


def test_the_seed_counts_in_a_start_only_where_the_init_draws(tmp_path: Path) -> None:
    backbone = tiny.small("scratch").backbone
    assert start_key(backbone, Kaiming(), 0) != start_key(backbone, Kaiming(), 1)
    built = [Start(Kaiming(), seed).load(backbone).net.state_dict()["conv1.weight"] for seed in (0, 0, 1)]
    assert torch.equal(built[0], built[1]) and not torch.equal(built[0], built[2])


def test_the_log_has_a_line_a_look_and_a_line_of_losses(corpus: Corpus, tmp_path: Path) -> None:
    made = run_stage(job(corpus), corpus, tiny.MACHINE, tmp_path)
    lines = [json.loads(line) for line in made.log_file.read_text().splitlines()]
    steps = [line for line in lines if "step" in line]
    assert [(line["task"], line["step"]) for line in steps] == [("pneumonia", 2), ("germ", 3)]
    for line in steps:
        losses = [value for name, value in line.items() if name.startswith("loss:")]
        assert losses and all(np.isfinite(losses)) and line["rate"] == pytest.approx(1e-3)
    looks = [line for line in lines if "shared" in line]
    assert [line["turn"] for line in looks] == [-1, 0, 1]
    assert looks == made.about["matrix"]


def test_heads_that_never_trained_are_masked_in_the_matrix(corpus: Corpus, tmp_path: Path) -> None:
    matrix = run_stage(job(corpus), corpus, tiny.MACHINE, tmp_path).about["matrix"]
    for entry, trained in zip(matrix, ([], ["pneumonia"], ["pneumonia", "germ"]), strict=True):
        for field in ("shared", "recomputed"):
            assert [name for name, value in entry[field].items() if value is not None] == trained
        assert [name for name, n in entry["n"].items() if n] == trained and entry["kernel_norm"] > 0


def test_a_loss_that_is_not_finite_ends_the_stage_with_the_place(corpus: Corpus, tmp_path: Path) -> None:
    hot = stage(optimizer=Optimizer(name="sgd", rate=1e30), schedule=Sequential(epochs_per_task=4))
    with pytest.raises(
        UserError, match=r"task pneumonia, step \d+ of 12: .*is not finite.*lower optimizer.rate"
    ) as told:
        run_stage(job(corpus, hot), corpus, tiny.MACHINE, tmp_path)
    assert "\n" not in str(told.value)
    assert not list(tmp_path.glob("*/stage.json"))


def test_a_step_without_room_ends_in_a_line_of_what_to_set(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the second turn, after the first was saved: the same job goes on from there where there is room."""
    whole = run_stage(job(corpus), corpus, tiny.MACHINE, tmp_path / "whole")
    losses, calls = Learner.losses, []

    def full(self: Learner, *given: Any) -> dict[str, Tensor]:
        calls.append(given[0])
        if len(set(calls)) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")
        return losses(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "losses", full)
        with pytest.raises(
            UserError, match="out of memory at batch_size .*finished is kept: try --recompute"
        ):
            run_stage(job(corpus), corpus, tiny.MACHINE, tmp_path / "broken")
    again = run_stage(job(corpus), corpus, tiny.MACHINE, tmp_path / "broken")
    assert again.sha256 == whole.sha256


def test_two_processes_do_not_compute_one_stage(corpus: Corpus, tmp_path: Path) -> None:
    planned = job(corpus)
    folder = tmp_path / f"{planned.key[:16]}.running"
    folder.mkdir()
    with FileLock(folder / "lock"), pytest.raises(UserError, match="another process"):
        run_stage(planned, corpus, tiny.MACHINE, tmp_path)


def test_the_best_epoch_by_validation_is_what_is_kept(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = iter([0.5, 0.9, 0.9, 0.7])  # of two equal ones the first
    kept: list[torch.Tensor] = []

    def look(self: object, backbone: torch.nn.Module, *_: object) -> tuple[float, int]:
        kept.append(backbone.state_dict()["net.conv1.weight"].clone())
        return next(values), 7

    monkeypatch.setattr(engine.Monitor, "task", look)
    one = stage(
        tasks=(Classification(batch_size=8, data="germ"),),
        select="best",
        schedule=Sequential(epochs_per_task=4),
    )
    made = run_stage(job(corpus, one), corpus, tiny.MACHINE, tmp_path)
    assert made.about["best"] == {"valid": 0.9, "turn": 1}
    assert torch.equal(made.backbone_state()["conv1.weight"], kept[1])


def test_frozen_batch_norm_keeps_its_statistics(corpus: Corpus, tmp_path: Path) -> None:
    made = {
        mode: run_stage(job(corpus, stage(batch_norm=mode)), corpus, tiny.MACHINE, tmp_path).backbone_state()
        for mode in ("frozen", "trained")
    }
    assert torch.equal(made["frozen"]["bn1.running_mean"], torch.zeros(64))
    assert not torch.equal(made["trained"]["bn1.running_mean"], torch.zeros(64))
    assert not torch.equal(made["frozen"]["bn1.weight"], torch.ones(64))  # scale and offset go on learning


def test_penalties_add_up(corpus: Corpus) -> None:
    planned = job(corpus, stage(regularizers=(L2SP(), L2SP(reading="literal"))))
    backbone = planned.backbone.build()
    learner = Learner(
        backbone, planned.stage, planned.tasks, planned.targets, {n: len(r) for n, r in planned.rows.items()}
    )
    learner.begin_training()
    learner.begin_turn(Turn(index=0, round=0, task="germ", epoch=0, steps=1))
    rows = planned.rows["germ"]
    losses = learner.losses(
        "germ", rows.batch(np.arange(4), planned.normalization, planned.targets["germ"]), torch.float32
    )
    head = learner.module("germ").head
    apart = sum(
        part.build(backbone, {}).penalty(backbone, head).item() for part in planned.stage.regularizers
    )
    assert losses["penalty"].item() == pytest.approx(apart, rel=1e-5)
    assert losses["penalty"].dtype == torch.float32


def test_progress_counts_every_step_of_the_stage_once(corpus: Corpus, tmp_path: Path) -> None:
    class Heard(Progress):
        def __init__(self) -> None:
            self.counts: list[tuple[str, int, int]] = []

        def count(self, what: str, done: int, total: int, unit: str) -> None:
            self.counts.append((what, done, total))

    heard = Heard()
    run_stage(job(corpus), corpus, tiny.MACHINE, tmp_path, heard)
    assert heard.counts == [("s", 2, 3), ("s", 3, 3)]


def test_bfloat16_trains_float32_weights(corpus: Corpus, tmp_path: Path) -> None:
    made = run_stage(job(corpus, precision="bf16"), corpus, tiny.MACHINE, tmp_path)
    assert all(
        v.dtype == torch.float32 and v.isfinite().all()
        for v in made.backbone_state().values()
        if v.is_floating_point()
    )
