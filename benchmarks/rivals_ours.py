"""Our side of ``rivals.py``: steps of a task, and reading alone, as ``muscle.engine`` takes them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
from typing import Any

import torch

from muscle.backbones.resnet import ResNet
from muscle.bench_steps import read_ahead
from muscle.data.corpus import Corpus
from muscle.learner import Learner
from muscle.optim import Optimizer
from muscle.recipe import Stage
from muscle.schedules import Sequential
from muscle.tasks import Task
from muscle.trial import stepping


def train(
    corpus: Corpus,
    task: Task,
    optimizer: Optimizer,
    precision: torch.dtype,
    device: torch.device,
    resident: bool,
) -> Iterator[int]:
    """Steps of a task on ResNet-18 from a store, with the views that the task draws.

    Args:
        corpus: of one source; the task learns its target, or its images alone.
        resident: one batch that lies in memory, over and over, instead of the store.
    """
    known = corpus.tasks.get(task.data)
    rows, target = (known.train, known.target) if known else (corpus.pool, None)
    task = task.resolve(len(rows))
    stage = Stage(name="bench", tasks=(task,), schedule=Sequential(), optimizer=optimizer)
    targets = {target.name: target} if target else {}
    learner = Learner(ResNet().build(), stage, {"task": task}, targets, {"task": len(rows)})
    learner.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    learner.begin_training()
    rule = optimizer.build(learner.backbone, learner.others(), learner.penalized())
    ready: Any = read_ahead(rows, target, task.batch_size)
    if resident:
        ready = repeat(next(iter(ready)).to(device))
    step = stepping(learner, "task", rule, precision)
    for batch in ready:
        step([batch.to(device)])
        yield len(batch)


def read(corpus: Corpus, batch_size: int) -> Iterator[int]:
    """Batches of all images of a store, and nothing done with them."""
    for batch in read_ahead(corpus.pool, None, batch_size):
        yield len(batch)
