"""Regularizers, one file a kind: what holds the backbone near what it knew, by weights, outputs or old films."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from muscle.backbones import BackboneModule
from muscle.distributed import splitting
from muscle.parts import Part
from muscle.tasks import TaskModule
from muscle.types import Batch, Turn

Tasks = Mapping[str, TaskModule]
Films = Callable[
    [str, int], Iterator[Batch]
]  # at most so many training films of a task, one a batch, the same always


@dataclass(frozen=True, slots=True)
class Step:
    """One optimizer step as a regularizer sees it.

    Attributes:
        task: the one in training.
        number: of the step in its turn, from 0.
        batch: what ``task`` learns from, on the device.
        tasks: the modules of all tasks of the stage.
        precision: that of the training.
        replayed: an earlier task and some of its films, where ``Regularizer.replayed`` asked for them.
    """

    task: str
    number: int
    batch: Batch
    tasks: Tasks
    precision: torch.dtype
    replayed: tuple[str, Batch] | None = None

    def autocast(self) -> torch.autocast:
        """The precision that tasks compute their losses in."""
        device = self.batch.image.device.type
        return torch.autocast(device, dtype=self.precision, enabled=self.precision != torch.float32)

    def losses(self, backbone: BackboneModule, task: str, batch: Batch) -> dict[str, Tensor]:
        """A task's own losses of a batch, or of this rank's part of it."""
        with self.autocast(), splitting(batch.shard):
            return self.tasks[task].losses(backbone, batch)


class RegularizerModule(nn.Module):
    """A penalty and what it remembers, all of it in buffers or modules, so that snapshots hold it."""

    def begin_turn(self, backbone: BackboneModule, turn: Turn, tasks: Tasks) -> None:
        """Called before the first step of each turn; not again when a turn is resumed in its middle."""

    def losses(self, backbone: BackboneModule, step: Step) -> dict[str, Tensor]:
        """Named scalars, float32, to add to those of the task; called outside autocast, in train mode.

        Of a batch that ranks share, this rank's part, as of a task's losses.
        """
        return {"penalty": self.penalty(backbone, step.tasks[step.task].head) / step.batch.ranks}

    def penalty(self, backbone: nn.Module, head: nn.Module) -> Tensor:
        """Scalar float32 of the weights alone: all there is to say where ``losses`` is left as it is."""
        raise TypeError(f"{type(self).__name__} must define penalty, or losses")

    def end_turn(self, backbone: BackboneModule, turn: Turn, tasks: Tasks, films: Films) -> None:
        """Called after the last step of each turn. Draws from the global generator, which is seeded before."""

    def penalized(self, backbone: nn.Module, heads: list[nn.Module]) -> list[Tensor]:
        """The tensors that this penalty pulls in place of weight decay: none falls on them as well."""
        return []


class Regularizer(Part):
    """Root of the family.

    Attributes:
        annotated: it looks at outputs or truth, so it stands only in stages whose tasks all have annotations.
        extra: cost in steps that it adds to each step, as far as a stage of one task, which plans time, hides it.
    """

    home: ClassVar[str] = "muscle.continual.regularizers"
    annotated: ClassVar[bool] = False

    @property
    def extra(self) -> float:
        """None by default."""
        return 0.0

    def build(self, backbone: BackboneModule, tasks: Tasks) -> RegularizerModule:
        """The module for this backbone and the tasks of the stage."""
        raise TypeError(f"{type(self).__name__} must define build")

    def replayed(
        self, seed: int, stage: str, turn: Turn, step: int, earlier: Mapping[str, tuple[int, int]]
    ) -> tuple[str, NDArray[np.int64]] | None:
        """An earlier task, and rows of its training part to load for this step; a pure function, called ahead of it.

        Args:
            earlier: tasks that have had a turn before and are not in training: (training rows, batch size).
        """
        return None
