"""The feed of a stage: which task and which films each step trains on, read one batch ahead."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from muscle.data.prefetch import Prefetch
from muscle.data.sampling import batches
from muscle.distributed import Shard, world
from muscle.job import Job
from muscle.scoring import subset
from muscle.types import Batch, Turn

Some = tuple[str, NDArray[np.int64]]  # a task, and rows of its training part
Ready = tuple[
    Batch, tuple[str, Batch] | None
]  # a part of the step's batch; of an earlier task that is replayed with it


@dataclass(frozen=True)
class Feed:
    """A pure function of the job, the turn and the step, so that resume has nothing to restore.

    Ranks that share a batch each read their part of it.
    """

    job: Job
    turns: list[Turn]
    device: torch.device

    def batches(self, turn: Turn, start: int) -> Prefetch[tuple[Some, Some | None], list[Ready]]:
        """What each step of a turn trains on, from step ``start`` on, as CPU tensors, in parts if its task asks."""

        def read(draw: tuple[Some, Some | None]) -> list[Ready]:
            (task, index), again = draw
            fewest = min(len(index), len(again[1])) if again else len(index)
            n = max(1, min(self.job.tasks[task].accumulate, fewest // max(2, world().size)))
            parts = [self._read(task, part) for part in np.array_split(index, n)]
            if again is None:
                return [(part, None) for part in parts]
            other, rows = again
            replayed = [self._read(other, part) for part in np.array_split(rows, n)]
            return [(part, (other, more)) for part, more in zip(parts, replayed, strict=True)]

        return Prefetch(self._draws(turn, start), read)

    def films(self, task: str, most: int) -> Iterator[Batch]:
        """At most ``most`` training films of a task, one a batch, the same always; on the device."""
        rows = subset(self.job.rows[task], most, "films", task)
        for i in range(len(rows)):
            yield rows.batch(np.array([i]), self.job.normalization, self.job.targets.get(task)).to(
                self.device
            )

    def _draws(self, turn: Turn, start: int) -> Iterator[tuple[Some, Some | None]]:
        """Task and rows of each step, and those that are replayed with them."""
        job = self.job
        streams = {}
        for task in turn.tasks:
            place = (job.seed, job.stage.name, task, turn.epoch)
            done = sum(turn.task_at(step) == task for step in range(start))
            streams[task] = batches(len(job.rows[task]), job.tasks[task].batch_size, place, done)
        before = {task for t in self.turns[: turn.index] for task in t.tasks} - set(turn.tasks)
        earlier = {task: (len(job.rows[task]), job.tasks[task].batch_size) for task in before}
        for step in range(start, turn.steps):
            task = turn.task_at(step)
            asked = (
                r.replayed(job.seed, job.stage.name, turn, step, earlier) for r in job.stage.regularizers
            )
            yield (task, next(streams[task])), next((rows for rows in asked if rows is not None), None)

    def _read(self, task: str, index: NDArray[np.int64]) -> Batch:
        shard = Shard.of(len(index)) if world().size > 1 else None
        mine = index[shard.slice] if shard else index
        batch = self.job.rows[task].batch(mine, self.job.normalization, self.job.targets.get(task))
        return replace(batch, shard=shard)
