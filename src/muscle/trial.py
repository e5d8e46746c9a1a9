"""A few steps of one task as training takes them, on films that are there: what a step costs in time and memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from muscle.data.corpus import Corpus
from muscle.errors import UserError
from muscle.learner import Learner
from muscle.machine import DTYPES, Machine
from muscle.memory import GIB, SPARE, Need, in_parts, need, told
from muscle.optim import Optimizer
from muscle.recipe import Recipe, Stage
from muscle.tasks import POOL, Task
from muscle.types import Batch

STEPS = 3  # timed, after one to warm up


def stepping(
    learner: Learner, name: str, optimizer: torch.optim.Optimizer, precision: torch.dtype
) -> Callable[[Iterable[Batch]], None]:
    """A training step of a task on the parts of a batch, as the engine takes it, without its schedule and its log."""

    def step(parts: Iterable[Batch]) -> None:
        for batch in parts:
            losses = learner.losses(name, batch, precision)
            torch.stack([loss.float() for loss in losses.values()]).sum().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        learner.module(name).after_step(learner.backbone)

    return step


@dataclass(frozen=True)
class Trial:
    """One task of a stage. ``rows``: the images that it will train on; ``corpus``: those that are there, if fewer."""

    recipe: Recipe
    stage: Stage
    name: str
    task: Task
    rows: int
    corpus: Corpus
    machine: Machine

    @property
    def batch(self) -> int:
        """Images of a step."""
        return min(self.rows, self.task.batch_size)

    def seconds(self, steps: int = STEPS) -> tuple[float, int]:
        """Of a step, the mean of so many, and how many parameters the task's head has.

        Raises:
            torch.OutOfMemoryError, MemoryError: there is no room.
        """
        step, learner = self._built(self.batch, self.task.accumulate, self.machine.recompute)
        step()
        self._wait()
        start = time.monotonic()
        for _ in range(steps):
            step()
        self._wait()
        head = sum(p.numel() for p in learner.module(self.name).head.parameters())
        return (time.monotonic() - start) / steps, head

    def need(self, recompute: bool) -> Need:
        """Bytes of a step, by the images computed at once."""

        def train(images: int) -> None:
            step, _ = self._built(images, 1, recompute)
            for _ in range(2):  # the second has the optimizer's state
                step()

        return need(train, self.task.least)

    def _built(self, images: int, accumulate: int, recompute: bool) -> tuple[Callable[[], None], Learner]:
        """A step on so many images, and what it trains."""
        device, task, name = self.machine.torch_device(), self.task, self.name
        train = self.corpus.pool_of(POOL) if task.needs is None else self.corpus.tasks[task.data].train
        target = self.corpus.targets[task.data] if task.needs else None
        learner = Learner(
            self.recipe.backbone.build(), self.stage, {name: task}, self.corpus.targets, {name: self.rows}
        )
        learner.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        learner.backbone.recompute = recompute
        optimizer = Optimizer(rate=1e-6).build(learner.backbone, learner.others(), [])
        learner.train()
        index = np.arange(images) % len(train)
        parts = np.array_split(index, min(accumulate, max(1, images // task.least)))
        batches = [train.batch(part, self.recipe.normalization, target).to(device) for part in parts]
        precision = DTYPES[self.machine.precision(self.recipe.precision)]
        return partial(stepping(learner, name, optimizer, precision), batches), learner

    def _wait(self) -> None:
        device = self.machine.torch_device()
        if device.type == "cuda":
            torch.cuda.synchronize(device)


class Fits:
    """Whether trials have room in a machine's memory, one after the other, and what to set so that all have."""

    def __init__(self, machine: Machine) -> None:
        """Nothing is measured on a machine that names no memory."""
        self.machine = machine
        self.room = (1 - SPARE) * machine.budget()
        # By recompute and setting, one number a task: in how many parts its batch has room.
        self._parts: dict[bool, dict[str, list[int | None]]] = {False: {}, True: {}}
        self._asked: dict[str, int] = {}

    def told(self, trial: Trial, setting: str) -> tuple[dict[str, float | None], str]:
        """The memory of a step as it is asked for, as a field of a table, and why it will not do.

        Args:
            trial: a task of a stage.
            setting: the path of its ``accumulate`` in the recipe; tasks that share it are computed in as many parts.
        """
        if not self.room:
            return {}, ""
        task, asked = trial.task, self.machine.recompute
        self._asked[setting] = task.accumulate
        needs: dict[bool, Need] = {}
        failed: dict[bool, str] = {}
        for recompute in {asked, True}:
            try:
                with told(task, recompute):  # on a GPU a few images may have no room
                    needs[recompute] = trial.need(recompute)
            except UserError as error:  # or the network has no blocks to compute again
                failed[recompute] = f"no: {error}"
            found = needs.get(recompute)
            parts = in_parts(task, trial.batch, self.room, found) if found else None
            self._parts[recompute].setdefault(setting, []).append(parts)
        if asked not in needs:
            return {"step GiB": None}, failed[asked]
        mine = needs[asked].of(-(-trial.batch // task.accumulate))
        short = (
            f"no: {task.kind} needs {mine / GIB:.3g} GiB, {self.room / GIB:.3g} are usable"
            if mine > self.room
            else ""
        )
        return {"step GiB": round(mine / GIB, 2)}, short

    def choice(self) -> tuple[bool, dict[str, int]] | None:
        """Whether to compute activations again, and in how many parts each setting's batch; None: nothing has room.

        In parts batch norm sees less, so the fewest; of as many the faster, which keeps its activations.
        """
        ways = []
        for recompute, found in self._parts.items():
            if found and not any(None in parts for parts in found.values()):
                most = {setting: max(n or 1 for n in parts) for setting, parts in found.items()}
                ways.append((sum(most.values()), recompute, most))
        return min(ways, key=lambda way: way[:2])[1:] if ways else None

    def settings(self) -> dict[str, str]:
        """The choice as options of a command, under a name with the budget; nothing without one."""
        if not self.room:
            return {}
        name = f"settings for {self.machine.budget() / GIB:g} GiB"
        chosen = self.choice()
        if chosen is None:
            return {name: "none: take a smaller batch_size or size"}
        recompute, parts = chosen
        sets = [f"--set {setting}={n}" for setting, n in parts.items() if n != self._asked[setting]]
        if not sets and recompute == self.machine.recompute:
            return {name: "as they are"}
        return {name: " ".join(["--recompute", *sets] if recompute else sets)}
