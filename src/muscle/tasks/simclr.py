"""SimCLR: contrast within the batch (Chen et al. 2020), a baseline that MUSCLE claims to beat."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from muscle.backbones import BackboneModule
from muscle.data.augment import Views
from muscle.losses import nt_xent
from muscle.projector import projector
from muscle.tasks import Task, TaskModule
from muscle.types import Batch, Target


class SimCLR(Task):
    """Each view should find its twin among all other views of the batch.

    Projector, temperature and views (crop, blur, jitter) are SimCLR's own; MUSCLE does not say which it used.
    """

    kind: ClassVar[str] = "simclr"
    divisible: ClassVar[bool] = False

    batch_size: int = Field(64, ge=2)
    temperature: float = Field(0.5, gt=0)
    dim: int = Field(128, ge=1)
    views: Views = Views(rotate=0.0, shift=0.0, crop=(0.08, 1.0), blur=0.5, jitter=0.4)

    def build(self, backbone: BackboneModule, target: Target | None, rows: int) -> TaskModule:
        """The projector."""
        return _SimCLR(self, backbone)


class _SimCLR(TaskModule):
    def __init__(self, config: SimCLR, backbone: BackboneModule) -> None:
        super().__init__()
        self.config = config
        self.head = nn.Identity()
        self.scaffold = projector(backbone.width, config.dim, mlp=True)

    def losses(self, backbone: BackboneModule, batch: Batch) -> dict[str, Tensor]:
        """NT-Xent over the 2B views of the whole batch, which pass the network together."""
        first, second = (batch.gathered(z) for z in self.embed_views(backbone, batch))
        return {"nt_xent": nt_xent(first, second, self.config.temperature) / batch.ranks}

    def embed_views(self, backbone: BackboneModule, batch: Batch) -> tuple[Tensor, Tensor]:
        """Two views of each image, [B, dim] unit vectors each."""
        images = torch.cat([self.config.views(batch), self.config.views(batch)])
        z = F.normalize(self.scaffold(backbone(images).pooled).float(), dim=1)
        first, second = z.chunk(2)
        return first, second
