"""The learner: one backbone, the tasks' modules around it, and what holds the backbone back."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from muscle.backbones import BackboneModule
from muscle.continual.regularizers import Films, RegularizerModule, Step
from muscle.recipe import Stage
from muscle.tasks import Task, TaskModule
from muscle.types import Batch, Target, Turn


class Learner(nn.Module):
    """Everything of a stage that a snapshot holds, besides the optimizer."""

    def __init__(
        self,
        backbone: BackboneModule,
        stage: Stage,
        tasks: Mapping[str, Task],
        targets: Mapping[str, Target],
        rows: Mapping[str, int],
    ) -> None:
        """Builds the modules in the order of ``tasks``; the global generator decides their start."""
        super().__init__()
        self.backbone = backbone
        self.names = {name: f"task{i}" for i, name in enumerate(tasks)}  # names of tasks may hold dots
        self.modules_by_task = nn.ModuleDict(
            {
                self.names[name]: task.build(backbone, targets.get(task.data), rows[name])
                for name, task in tasks.items()
            }
        )
        self.regularizers = nn.ModuleList(part.build(backbone, self.tasks) for part in stage.regularizers)
        self.frozen_norm = stage.batch_norm == "frozen"

    def module(self, task: str) -> TaskModule:
        """The module of one task."""
        found = self.modules_by_task[self.names[task]]
        assert isinstance(found, TaskModule)
        return found

    @property
    def tasks(self) -> dict[str, TaskModule]:
        """The modules of all tasks, in the order of the stage."""
        return {name: self.module(name) for name in self.names}

    def others(self) -> list[nn.Module]:
        """What is trained besides the backbone: heads and scaffolds."""
        return [part for m in self.tasks.values() for part in (m.head, m.scaffold)]

    def penalized(self) -> list[Tensor]:
        """The tensors on which no weight decay may fall, because a regularizer pulls them."""
        heads = [m.head for m in self.tasks.values()]
        return [p for r in self._regularizers() for p in r.penalized(self.backbone, heads)]

    def _regularizers(self) -> list[RegularizerModule]:
        return [r for r in self.regularizers if isinstance(r, RegularizerModule)]

    def begin_training(self) -> None:
        """Train mode, but for the backbone's batch norm where the stage freezes it."""
        self.train()
        if self.frozen_norm:
            for m in self.backbone.modules():
                if isinstance(m, nn.modules.batchnorm._BatchNorm):
                    m.eval()

    def begin_turn(self, turn: Turn) -> None:
        """Moves the anchors. Not called when a turn is resumed in its middle: the snapshot holds its anchors."""
        for regularizer in self._regularizers():
            regularizer.begin_turn(self.backbone, turn, self.tasks)

    def end_turn(self, turn: Turn, films: Films) -> None:
        """Lets the regularizers look at what was learned."""
        for regularizer in self._regularizers():
            regularizer.end_turn(self.backbone, turn, self.tasks, films)

    def losses(
        self,
        task: str,
        batch: Batch,
        precision: torch.dtype,
        number: int = 0,
        replayed: tuple[str, Batch] | None = None,
    ) -> dict[str, Tensor]:
        """The task's named losses under autocast, and the regularizers' in float32.

        Of a batch that ranks share, this rank's part of each: their sums over ranks are the losses of the batch.

        Args:
            number: of the step in its turn.
            replayed: an earlier task and a batch of its films, where a regularizer asked for them.
        """
        step = Step(task, number, batch, self.tasks, precision, replayed)
        found = step.losses(self.backbone, task, batch)
        for regularizer in self._regularizers():
            for name, loss in regularizer.losses(self.backbone, step).items():
                found[name] = found[name] + loss if name in found else loss
        return found
