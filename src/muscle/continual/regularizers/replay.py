"""Experience replay: a few films of each earlier task are kept and trained on again (Chaudhry et al. 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from muscle.backbones import BackboneModule
from muscle.continual.regularizers import Regularizer, RegularizerModule, Step, Tasks
from muscle.data.sampling import seed_of
from muscle.types import Turn


class Replay(Regularizer):
    """Adds the loss of a batch of an earlier task to every ``every``-th step (arXiv 1902.10486, "ER").

    The earlier task is drawn anew each time, all alike; its memory of ``films`` training films is drawn once from
    the seed. Nothing is stored beside the films themselves, so nothing has to be resumed.

    Cost: as many batches more as there are such steps after the first task; the stage's ``replayed`` counts them.
    Differs: the memory is a fixed draw of each task, not a reservoir over a stream: the films here can be revisited.
    """

    kind: ClassVar[str] = "replay"
    annotated: ClassVar[bool] = True

    weight: float = Field(1.0, ge=0)
    films: int = Field(64, ge=2)  # a task; our choice: as many as the scores after each turn are taken on
    every: int = Field(1, ge=1)  # steps; the paper's 1 doubles the cost

    @property
    def extra(self) -> float:
        """One batch each time."""
        return 1 / self.every if self.weight else 0.0

    def build(self, backbone: BackboneModule, tasks: Tasks) -> RegularizerModule:
        """A module without a state."""
        return _Replay(self)

    def replayed(
        self, seed: int, stage: str, turn: Turn, step: int, earlier: Mapping[str, tuple[int, int]]
    ) -> tuple[str, NDArray[np.int64]] | None:
        """Rows of the memory of one earlier task, as many as its batches have, none twice."""
        if not self.weight or not earlier or step % self.every:
            return None
        draw = np.random.default_rng(seed_of("replay", seed, stage, turn.index, step))
        task = sorted(earlier)[draw.integers(len(earlier))]
        rows, batch_size = earlier[task]
        memory = np.random.default_rng(seed_of("memory", seed, stage, task)).permutation(rows)[: self.films]
        return task, draw.permutation(memory)[:batch_size]


class _Replay(RegularizerModule):
    def __init__(self, config: Replay) -> None:
        super().__init__()
        self.config = config

    def losses(self, backbone: BackboneModule, step: Step) -> dict[str, Tensor]:
        """``replay``: the earlier task's own losses, summed; nothing at steps without a replayed batch."""
        if step.replayed is None:
            return {}
        found = step.losses(backbone, *step.replayed)
        return {"replay": self.config.weight * torch.stack([loss.float() for loss in found.values()]).sum()}
