"""What holds the backbone: at weight 0 it is not there, to the bit; and a kill changes nothing of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny
from kills import EAGER, Killed, Killer

from muscle import engine
from muscle.checkpoint import Checkpoint
from muscle.continual.regularizers import Regularizer
from muscle.continual.regularizers.ewc import EWC
from muscle.continual.regularizers.l2sp import L2SP
from muscle.continual.regularizers.lwf import LwF
from muscle.continual.regularizers.replay import Replay
from muscle.data.corpus import Corpus
from muscle.monitor import Monitor
from muscle.optim import Optimizer
from muscle.recipe import Recipe
from muscle.schedules import Sequential
from muscle.tasks import Task
from muscle.tasks.classification import Classification

LABELS = (Classification(batch_size=8),)
HELD: dict[str, Regularizer] = {
    "ewc": EWC(films=4), "lwf": LwF(), "replay": Replay(films=6, every=2),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _unscored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks at boundaries have their own tests, and cost more than these few steps."""
    monkeypatch.setattr(Monitor, "task", lambda *_: (None, 0))
    monkeypatch.setattr(Monitor, "task_recomputed", lambda *_: None)
    monkeypatch.setattr(Monitor, "frozen", lambda *_: None)
    monkeypatch.setattr(engine, "LOG_STEPS", 1)


def method(*held: Regularizer, tasks: tuple[Task, ...] = LABELS, **changes: object) -> Recipe:
    """Two label tasks in two blocks of an epoch each, and again: four turns, six steps; no pre-training."""
    muscle = tiny.small("muscle", rounds=2)
    alone = muscle.with_(stages=muscle.stages[-1:])
    return tiny.continual(alone, tasks=tasks, regularizers=held, **changes)


def run(given: Recipe, corpus: Corpus, root: Path) -> Checkpoint:
    return tiny.pipeline(given, corpus, root).pretrain()[-1]


def files(made: Checkpoint) -> dict[str, str]:
    """Backbone by its tensors; heads and log by their files."""
    others = {n: sha for n, sha in made.about["files"].items() if n != "backbone.safetensors"}
    return others | {"backbone": tiny.bits(made)}


@pytest.fixture(scope="module")
def free(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Without a regularizer."""
    with pytest.MonkeyPatch.context() as patch:
        _unscored.__wrapped__(patch)  # type: ignore[attr-defined]
        return files(run(method(), corpus, tmp_path_factory.mktemp("free")))


@pytest.mark.parametrize("kind", ["ewc", "lwf", "replay"])
def test_weight_zero_is_no_regularizer_and_any_other_is_one(
    kind: str, free: dict[str, str], corpus: Corpus, tmp_path: Path
) -> None:
    """Weights, heads and log; with decay too, for none of these takes decay away. L2-SP's is in test_methods."""
    part = HELD[kind]
    off = run(method(part.with_(weight=0.0)), corpus, tmp_path)
    assert files(off) == free and off.about["replayed"] == 0
    on = run(method(part), corpus, tmp_path)
    assert files(on)["backbone"] != free["backbone"]


@pytest.mark.parametrize("kind", ["ewc", "lwf", "replay", pytest.param("all", marks=pytest.mark.slow)])
def test_a_kill_in_any_turn_changes_nothing(kind: str, corpus: Corpus, tmp_path: Path) -> None:
    """In a turn's middle, and where a later turn begins, when all that holds is what was learned before."""
    held = (HELD[kind],) if kind in HELD else (EWC(films=4), LwF(), Replay(films=6), L2SP())
    given = method(*held)
    whole = run(given, corpus, tmp_path / "whole")
    total = whole.about["steps"]
    assert total == 6
    for kill in (2, 4, 5):
        with pytest.raises(Killed):
            tiny.pipeline(given, corpus, tmp_path / "cut", Killer("continual", kill), EAGER).pretrain()
    again = tiny.pipeline(given, corpus, tmp_path / "cut", machine=EAGER).pretrain()[-1]
    assert again.about["files"] == whole.about["files"]
    assert again.about["replayed"] == whole.about["replayed"]
    assert (whole.about["replayed"] > 0) == (kind in ("replay", "all"))


@pytest.mark.parametrize("kind", ["ewc", "lwf", "replay"])
def test_it_holds_labels_masks_and_boxes(kind: str, corpus: Corpus, tmp_path: Path) -> None:
    """All tasks of the tiny corpus, boxes among them; the losses are finite and say their name."""
    part = HELD[kind]
    tasks = tiny.small("muscle").stages[-1].tasks
    made = run(method(part, tasks=tasks, schedule=Sequential(epochs_per_task=1)), corpus, tmp_path)
    lines = [json.loads(line) for line in made.log_file.read_text().splitlines()]
    name = {"ewc": "loss:penalty", "lwf": "loss:distillation", "replay": "loss:replay"}[kind]
    found = [line[name] for line in lines if name in line]
    assert found and any(value > 0 for value in found)
    assert made.about["replayed"] == (len(found) if kind == "replay" else 0)


def test_the_films_of_an_earlier_task_are_those_that_are_replayed(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In blocks: none in the first task's turns, later its memory alone, in every step."""
    seen: list[tuple[str, str | None, tuple[str, ...]]] = []
    losses = engine.Learner.losses

    def heard(self: engine.Learner, task: str, *rest: object) -> object:
        again = rest[-1]
        seen.append((task, again[0], again[1].ids) if isinstance(again, tuple) else (task, None, ()))
        return losses(self, task, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(engine.Learner, "losses", heard)
    run(method(Replay(films=6), schedule=Sequential(epochs_per_task=2)), corpus, tmp_path)
    assert {(task, again) for task, again, _ in seen} == {("pneumonia", None), ("germ", "pneumonia")}
    films = {film for _, _, ids in seen for film in ids}
    assert len(films) == 6 and films <= set(corpus.internal_tasks["pneumonia"].train.ids)


def test_joint_training_trains_all_tasks_as_long_as_muscle(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which task each step trains, and on which films: every film as often as in turns; a kill changes nothing."""
    seen: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
    losses = engine.Learner.losses
    now = ""

    def heard(self: engine.Learner, task: str, batch: engine.Batch, *rest: object) -> object:
        seen.setdefault(now, []).append((task, batch.ids))
        return losses(self, task, batch, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(engine.Learner, "losses", heard)
    joint = tiny.small("joint", rounds=2)
    joint = tiny.continual(
        joint.with_(stages=joint.stages[-1:]), tasks=LABELS, optimizer=Optimizer(rate=1e-3)
    )
    now = "turns"
    turns = run(method(), corpus, tmp_path / "turns")
    now = "mixed"
    mixed = run(joint, corpus, tmp_path / "mixed")
    assert sorted(seen["mixed"]) == sorted(seen["turns"]) and seen["mixed"] != seen["turns"]
    assert mixed.about["steps"] == turns.about["steps"]
    assert [e["task"] for e in mixed.about["matrix"]] == ["", *["pneumonia + germ"] * 2]
    logged = [json.loads(line) for line in mixed.log_file.read_text().splitlines()]
    assert [line["task"] for line in logged if "step" in line] == [task for task, _ in seen["mixed"]]
    now = "cut"
    for kill in (2, 3, 5, 6):
        with pytest.raises(Killed):
            tiny.pipeline(joint, corpus, tmp_path / "cut", Killer("continual", kill), EAGER).pretrain()
    again = tiny.pipeline(joint, corpus, tmp_path / "cut", machine=EAGER).pretrain()[-1]
    assert again.about["files"] == mixed.about["files"]
