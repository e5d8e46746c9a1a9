"""What a run really calls and feeds: real parts, looked at from outside while a stage runs.

Each test notices one line left out of the engine, the job or the evaluation, which no part's own test can.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tiny
import torch
from torch import nn

from muscle import engine
from muscle.checkpoint import Checkpoint
from muscle.continual.regularizers.l2sp import L2SP
from muscle.data.corpus import Corpus
from muscle.data.held_out import TaskRows
from muscle.evaluate import scores
from muscle.job import Job, Start, start_key
from muscle.learner import Learner
from muscle.monitor import Monitor
from muscle.optim import CyclicCosine, Optimizer
from muscle.predictions import Predictions
from muscle.recipe import Kaiming, Stage
from muscle.schedules import Cyclic, Sequential
from muscle.statistics.intervals import intervals
from muscle.tasks import TaskModule
from muscle.tasks.classification import Classification
from muscle.tasks.moco import MoCo, _MoCo
from muscle.types import Batch, Turn

RATE = 1e-3
LABELS = (Classification(batch_size=8),)
GERM = (Classification(batch_size=4, data="germ"),)

Tensors = dict[str, torch.Tensor]


def job(corpus: Corpus, known: dict[str, TaskRows] | None = None, **changes: object) -> Job:
    """A stage of two label tasks, two turns each, with fields changed."""
    recipe = tiny.small("scratch")
    stage = Stage(
        name="s", tasks=LABELS, schedule=Sequential(epochs_per_task=2), optimizer=Optimizer(rate=RATE)
    )
    start = Start(Kaiming(), 0, key=start_key(recipe.backbone, Kaiming(), 0))
    return Job.plan(
        stage.with_(**changes), start, corpus, known or corpus.internal_tasks, recipe.backbone, recipe.normalization,
        0, "float32",
    )  # fmt: skip


def run(planned: Job, corpus: Corpus, root: Path) -> Checkpoint:
    return engine.run_stage(planned, corpus, tiny.MACHINE, root)


@pytest.fixture
def unscored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks at boundaries have their own tests, and cost more than these few steps."""
    monkeypatch.setattr(Monitor, "backbone", lambda *_: {})
    monkeypatch.setattr(Monitor, "contrast", lambda *_: {})
    monkeypatch.setattr(Monitor, "task", lambda *_: (None, 0))
    monkeypatch.setattr(Monitor, "task_recomputed", lambda *_: None)


def copied(module: nn.Module) -> Tensors:
    return {name: p.detach().clone() for name, p in module.named_parameters()}


def equal(a: Tensors, b: Tensors) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def before_each_turn(monkeypatch: pytest.MonkeyPatch, look: Callable[[engine._Run, Turn], None]) -> None:
    """Calls ``look`` where a turn's steps begin."""
    steps = engine._Run._steps

    def looked(self: engine._Run, turn: Turn) -> None:
        look(self, turn)
        steps(self, turn)

    monkeypatch.setattr(engine._Run, "_steps", looked)


@pytest.mark.usefixtures("unscored")
def test_the_key_encoder_follows_the_query_after_every_step(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: k = m k + (1 - m) q, worked out beside the run from the queries after each optimizer step."""
    momentum, queries, keys = 0.9, [], []
    step = torch.optim.AdamW.step
    running: list[engine._Run] = []
    before_each_turn(monkeypatch, lambda self, turn: running.append(self) if not running else None)

    def stepped(self: torch.optim.AdamW, *given: Any, **named: Any) -> Any:
        learner = running[0].learner
        keys.append(copied(learner.module("moco").scaffold["key_backbone"]))  # type: ignore[index]
        done = step(self, *given, **named)
        queries.append(copied(learner.backbone))
        return done

    monkeypatch.setattr(torch.optim.AdamW, "step", stepped)
    called: list[nn.Module] = []
    after = _MoCo.after_step

    def followed(self: _MoCo, backbone: Any) -> None:
        called.append(backbone)
        after(self, backbone)

    monkeypatch.setattr(_MoCo, "after_step", followed)
    planned = job(corpus, tasks=(MoCo(queue=8, batch_size=8, momentum=momentum, dim=8),))
    made = run(planned, corpus, tmp_path)
    assert len(called) == len(queries) == made.about["steps"] > 2
    assert all(backbone is running[0].learner.backbone for backbone in called)
    moving = keys[0]
    keys.append(copied(running[0].learner.module("moco").scaffold["key_backbone"]))  # type: ignore[index]
    for number, query in enumerate(queries):
        moving = {name: momentum * k + (1 - momentum) * query[name] for name, k in moving.items()}
        for name, k in keys[number + 1].items():
            torch.testing.assert_close(k, moving[name], rtol=1e-5, atol=1e-7)
    weight = "net.conv1.weight"
    assert not torch.equal(keys[0][weight], keys[-1][weight])
    assert not torch.equal(queries[-1][weight], keys[-1][weight])


@pytest.mark.parametrize("anchor", ["turn", "stage"])
@pytest.mark.usefixtures("unscored")
def test_the_anchor_stands_where_it_should_in_every_turn(
    anchor: str, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: the backbone's kernels at the moment a turn begins."""
    anchors: list[Tensors] = []
    backbones: list[Tensors] = []

    def look(self: engine._Run, turn: Turn) -> None:
        (held,) = self.learner.regularizers
        anchors.append({name.replace("/", "."): b.clone() for name, b in held.named_buffers()})
        backbones.append({n: v for n, v in copied(self.learner.backbone).items() if v.ndim > 1})

    before_each_turn(monkeypatch, look)
    run(job(corpus, regularizers=(L2SP.parse({"anchor": anchor}),)), corpus, tmp_path)
    assert len(anchors) == 4 and not any(equal(a, b) for a, b in zip(backbones, backbones[1:], strict=False))
    for number, found in enumerate(anchors):
        assert equal(found, backbones[number if anchor == "turn" else 0])


@pytest.mark.usefixtures("unscored")
def test_optimizer_state_is_empty_at_each_turn_under_reset_alone(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    before_each_turn(monkeypatch, lambda self, turn: sizes.append(len(self.optimizer.state)))
    made = {}
    for state in ("reset", "keep"):
        sizes.clear()
        made[state] = tiny.bits(run(job(corpus, optimizer_state=state), corpus, tmp_path))
        assert [bool(n) for n in sizes] == [state == "keep" and turn > 0 for turn in range(4)]
    assert made["reset"] != made["keep"]


@pytest.mark.usefixtures("unscored")
def test_each_epoch_shows_all_films_in_another_order(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight films in batches of four leave none over; what a batch holds is what the losses were given."""
    rows = corpus.internal_tasks["germ"]
    eight = {"germ": TaskRows(rows.target, rows.train.take(np.arange(8)), rows.valid, rows.test)}
    shown: list[str] = []
    losses = Learner.losses

    def heard(self: Learner, task: str, batch: Batch, *rest: Any) -> Tensors:
        shown.extend(batch.ids)
        return losses(self, task, batch, *rest)

    monkeypatch.setattr(Learner, "losses", heard)
    run(job(corpus, eight, tasks=GERM), corpus, tmp_path)
    first, second = shown[:8], shown[8:]
    assert sorted(first) == sorted(second) == sorted(eight["germ"].train.ids)
    assert first != second and {*first[:4]} != {*second[:4]}


def test_the_head_of_the_best_epoch_is_kept_with_its_backbone(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = iter([0.9, 0.5, 0.3])  # the first epoch is the best
    heads: list[Tensors] = []
    backbones: list[Tensors] = []

    def look(self: Monitor, backbone: nn.Module, module: TaskModule, *_: object) -> tuple[float, int]:
        heads.append(copied(module.head))
        backbones.append(copied(backbone))
        return next(values), 7

    monkeypatch.setattr(Monitor, "task", look)
    planned = job(corpus, tasks=GERM, select="best", schedule=Sequential(epochs_per_task=3))
    made = run(planned, corpus, tmp_path)
    head = made.head_state("germ")
    assert made.about["best"] == {"valid": 0.9, "turn": 0} and head is not None
    assert equal({name: head[name] for name in heads[0]}, heads[0]) and not equal(heads[0], heads[-1])
    kept = made.backbone_state()
    assert torch.equal(kept["conv1.weight"], backbones[0]["net.conv1.weight"])
    assert not torch.equal(kept["conv1.weight"], backbones[-1]["net.conv1.weight"])


@pytest.mark.parametrize("period", ["turn", "round", "stage"])
@pytest.mark.usefixtures("unscored")
def test_the_rates_follow_eq1_over_their_period(
    period: str, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: half a cosine over the steps of one period, whichever tasks they belong to, worked out by hand."""
    monkeypatch.setattr(engine, "LOG_STEPS", 1)
    curve = CyclicCosine.parse({"floor": 0.1, "shape": "half", "period": period})
    made = run(job(corpus, schedule=Cyclic(rounds=2), curve=curve), corpus, tmp_path)
    lines = [json.loads(line) for line in made.log_file.read_text().splitlines()]
    periods: dict[int, list[float]] = defaultdict(list)
    for line in lines:
        if "step" in line:
            periods[line[period] if period != "stage" else 0].append(line["rate"])
    assert len(periods) == {"turn": 4, "round": 2, "stage": 1}[period]
    for rates in periods.values():
        total = len(rates)
        wanted = [0.1 + 0.9 * (1 + math.cos(math.pi * done / total)) / 2 for done in range(total)]
        assert rates == pytest.approx([RATE * factor for factor in wanted])


def test_intervals_of_a_cell_are_the_default_ones_of_patients() -> None:
    rng = np.random.default_rng(0)
    truth = (np.arange(40) // 4 % 2).astype(np.float32)[:, None]  # four films a person
    output = np.clip(0.4 * truth + 0.6 * np.repeat(rng.random((10, 1)), 4, axis=0), 0, 1).astype(np.float32)
    given = Predictions(
        task="t", kind="labels", classes=("finding",), exclusive=False, ids=[str(i) for i in range(40)],
        patients=[f"p{i // 4}" for i in range(40)], truth=truth, output=output,
        pictures=np.zeros((0, 4, 4), np.uint8),
    )  # fmt: skip
    wanted = {n: asdict(i) for n, i in intervals(given, "default", cluster="patient").items()}
    assert scores(given) == wanted and "auc" in wanted
    for others in (intervals(given, "paper"), intervals(given, cluster="image")):
        assert wanted != {name: asdict(interval) for name, interval in others.items()}


@pytest.mark.parametrize("select", ["last", "best"])
def test_one_validation_label_is_in_the_key_where_it_selects(select: str, corpus: Corpus) -> None:
    film = corpus.internal_tasks["germ"].valid.ids[0]
    stores = []
    for store in corpus.stores:
        if film in (ids := store.index["id"].to_pylist()):
            place = store.index.schema.get_field_index("labels:germ")
            labels = store.index["labels:germ"].to_pylist()
            labels[ids.index(film)] = [1 - v for v in labels[ids.index(film)]]
            changed = pa.array(labels, store.index.schema.field(place).type)
            store = replace(store, index=store.index.set_column(place, "labels:germ", changed))
        stores.append(store)
    flipped = Corpus(corpus.file, tuple(stores))
    mine, other = corpus.internal_tasks["germ"], flipped.internal_tasks["germ"]
    assert mine.valid.ids == other.valid.ids
    assert (mine.valid.labels(mine.target) != other.valid.labels(other.target)).any(1).sum() == 1
    keys = {job(given, tasks=GERM, select=select).key for given in (corpus, flipped)}
    assert len(keys) == (2 if select == "best" else 1)
