"""What a stage looks at after each turn: features of pretext tasks, scores of annotated ones, and words for both."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch

from muscle.job import Job
from muscle.learner import Learner
from muscle.monitor import Monitor
from muscle.progress import Progress
from muscle.types import Turn

MATRIX_CASES = 64  # validation images a task is scored on after each turn
NORM_FILMS = 128  # training images that batch-norm statistics are recomputed on before a score


@dataclass
class Looks:
    """Looks at one stage's learner, and never changes it."""

    job: Job
    turns: list[Turn]
    learner: Learner
    monitor: Monitor
    progress: Progress

    def entry(self, turn: Turn | None, trained: Collection[str], first: dict[str, float]) -> dict[str, Any]:
        """One row of the matrix; ``turn``: the one that has ended, None before the first.

        Args:
            trained: tasks whose heads have trained; the scores of others are None.
            first: the features' scores at the start of the stage.
        """
        found: dict[str, Any] = {
            "turn": turn.index if turn else -1,
            "round": turn.round if turn else -1,
            "task": turn.task if turn else "",
        }
        pretext = [name for name, task in self.job.tasks.items() if task.needs is None]
        if pretext:
            seen = self.monitor.backbone(self.learner.backbone)
            for name in pretext:
                seen |= self.monitor.contrast(self.learner.backbone, self.learner.module(name))
            self._say_features(turn, seen, first)
            found["features"] = seen
        if self.job.stage.select == "last" and self.job.annotated:
            found |= self._scores(turn, trained)
        return found

    def _say_features(self, turn: Turn | None, seen: dict[str, float], first: dict[str, float]) -> None:
        place = f"epoch {turn.index + 1}" if turn else "start"
        self.progress.message(f"{self.job.stage.name} {place}: {self.monitor.words(seen, first)}")
        if turn:
            for text in self.monitor.warnings(seen):
                self.progress.message(f"warning: {text}")

    def _scores(self, turn: Turn | None, trained: Collection[str]) -> dict[str, Any]:
        shared: dict[str, float | None] = {}
        recomputed: dict[str, float | None] = {}
        counts: dict[str, int] = {}
        backbone = self.learner.backbone
        for name, rows in self.job.annotated.items():
            shared[name], counts[name], recomputed[name] = None, 0, None
            if name in trained:
                module = self.learner.module(name)
                shared[name], counts[name] = self.monitor.task(backbone, module, rows, MATRIX_CASES)
                recomputed[name] = self.monitor.task_recomputed(
                    backbone, module, rows, MATRIX_CASES, NORM_FILMS
                )
        kernels = [p.detach().float().norm() for p in backbone.parameters() if p.ndim > 1]
        return {
            "shared": shared,
            "recomputed": recomputed,
            "n": counts,
            "frozen": self._frozen(turn.index if turn else -1),
            "kernel_norm": float(torch.stack(kernels).norm()),
        }

    def _frozen(self, index: int) -> dict[str, float | None]:
        """Scores of frozen features, for what turns before a task's first do for it.

        At the start of each task that others come before; later of the task whose first turn is next.
        """
        first = {task: turn.index for turn in reversed(self.turns) for task in turn.tasks}
        wanted = [
            name for name in self.job.annotated if first[name] > 0 and (index < 0 or first[name] == index + 1)
        ]
        return {name: self.monitor.frozen(self.learner.backbone, self.job.annotated[name]) for name in wanted}
