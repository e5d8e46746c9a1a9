"""MoCo: momentum contrast, the pretext task of MUSCLE's first stage (He et al. 2020; MoCo-CXR, Sowrirajan 2021)."""

from __future__ import annotations

import copy
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from muscle.backbones import BackboneModule
from muscle.batch_norm import grouped
from muscle.data.augment import Views
from muscle.distributed import world
from muscle.errors import UsageError, UserError
from muscle.losses import info_nce
from muscle.projector import projector
from muscle.tasks import Task, TaskModule
from muscle.types import Batch, Target


class MoCo(Task):
    """Each image's two views should know each other among K other images.

    The default views are MUSCLE's: flip, rotation and shift; no crop, blur or jitter (paper section 2.1). Queue,
    momentum, temperature and projector are MoCo-CXR's, since MUSCLE gives none (METHODS 4.1).

    ``queue`` must be a multiple of the batch and at most the pool; over half of it most negatives are an
    image's own stale keys; ``auto`` takes the largest that fits, up to 24,576. ``batch_norm``: ``plain``;
    ``split`` normalizes groups of the batch apart; ``shuffle`` also deals the keys to other groups than the
    queries, which is what Shuffle-BN does across devices (METHODS 2.2).

    Ranks that share a batch keep one queue: each sees the keys of all, in the order of the batch.
    """

    kind: ClassVar[str] = "moco"

    batch_size: int = Field(64, ge=2)
    queue: int | Literal["auto"] = 24_576
    momentum: float = Field(0.999, ge=0, le=1)
    temperature: float = Field(0.2, gt=0)
    dim: int = Field(128, ge=1)
    mlp: bool = True
    batch_norm: Literal["plain", "split", "shuffle"] = "plain"
    groups: int = Field(8, ge=2)  # of the batch, for split and shuffle
    views: Views = Views()

    @property
    def least(self) -> int:
        """Two, in each group of the batch."""
        return 2 if self.batch_norm == "plain" else 2 * self.groups

    def resolve(self, rows: int) -> MoCo:
        """The same task with ``queue: auto`` replaced by a number that fits a pool of ``rows`` images.

        Raises:
            UsageError: the queue does not fit the batch or the pool, with values that do.
        """
        batch = min(self.batch_size, rows)
        fitting = max(batch, min(24_576, rows // 2) // batch * batch)
        if self.queue == "auto":
            return self.with_(queue=fitting).resolve(rows)
        if self.queue < 1 or self.queue % batch:
            raise UsageError(
                f"queue {self.queue} is not a multiple of the batch of {batch}; try {fitting}, or auto"
            )
        if self.queue > rows:
            raise UsageError(
                f"queue {self.queue} is larger than the pool of {rows} images; try {fitting}, or auto"
            )
        at_once, of = batch // self.accumulate, "part" if self.accumulate > 1 else "batch"
        if self.batch_norm != "plain" and at_once < self.least:
            raise UsageError(
                f"{self.batch_norm} batch norm: {self.groups} groups of a {of} of {at_once}; at most {at_once // 2}"
            )
        return self

    def build(self, backbone: BackboneModule, target: Target | None, rows: int) -> TaskModule:
        """The key encoder, the projector and a queue of random unit vectors."""
        return _MoCo(self.resolve(rows), backbone)


class _MoCo(TaskModule):
    scaffold: nn.ModuleDict
    queue: Tensor
    pointer: Tensor

    def __init__(self, config: MoCo, backbone: BackboneModule) -> None:
        super().__init__()
        self.config = config
        assert isinstance(config.queue, int)
        self.head = nn.Identity()
        query = projector(backbone.width, config.dim, config.mlp)
        self.scaffold = nn.ModuleDict(
            {
                "projector": query,
                "key_backbone": copy.deepcopy(backbone),
                "key_projector": copy.deepcopy(query),
            }
        )
        for name in ("key_backbone", "key_projector"):
            self.scaffold[name].requires_grad_(False)
        self.register_buffer("queue", F.normalize(torch.randn(config.queue, config.dim), dim=1))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.long))
        self.fresh: list[Tensor] = []  # keys of this step

    def losses(self, backbone: BackboneModule, batch: Batch) -> dict[str, Tensor]:
        """InfoNCE of the batch against the queue of the steps before."""
        first, second = self.config.views(batch), self.config.views(batch)
        query = self._embed(backbone, self.scaffold["projector"], first)
        with torch.no_grad():
            keys = self._keys(batch, second)
        loss = info_nce(query, batch.mine(keys), self.queue, self.config.temperature)
        self.fresh.append(keys)
        return {"info_nce": loss * (len(batch) / batch.total)}

    @torch.no_grad()
    def after_step(self, backbone: BackboneModule) -> None:
        """The step's keys enter the queue. Moves the key encoder: k = m k + (1 - m) q, parameters only.

        Its batch-norm buffers are its own.
        """
        for fresh in self.fresh:
            self._enqueue(fresh)
        self.fresh.clear()
        keys: list[Tensor] = [
            *self.scaffold["key_backbone"].parameters(),
            *self.scaffold["key_projector"].parameters(),
        ]
        queries: list[Tensor] = [*backbone.parameters(), *self.scaffold["projector"].parameters()]
        torch._foreach_lerp_(keys, queries, 1 - self.config.momentum)

    def drop_step(self) -> None:
        """The step's keys do not enter the queue."""
        self.fresh.clear()

    def embed_views(self, backbone: BackboneModule, batch: Batch) -> tuple[Tensor, Tensor]:
        """Two views of each image as queries, [B, dim] unit vectors each: what the diagnostics look at."""
        project = self.scaffold["projector"]
        first, second = self.config.views(batch), self.config.views(batch)
        return self._embed(backbone, project, first), self._embed(backbone, project, second)

    def _embed(self, backbone: nn.Module, project: nn.Module, images: Tensor) -> Tensor:
        if not self.training or self.config.batch_norm == "plain":
            return F.normalize(project(backbone(images).pooled).float(), dim=1)
        groups, more = divmod(self.config.groups, world().size)
        if more:
            raise UserError(
                f"{self.config.batch_norm} batch norm: {self.config.groups} groups on {world().size} ranks; give a "
                f"multiple of {world().size}, for each group lies on one rank"
            )
        with grouped(backbone, project):
            out = torch.cat([project(backbone(chunk).pooled) for chunk in images.tensor_split(groups)])
        return F.normalize(out.float(), dim=1)

    def _keys(self, batch: Batch, images: Tensor) -> Tensor:
        """The keys of the whole batch [total, dim], in its order."""
        key_encoder = self.scaffold["key_backbone"], self.scaffold["key_projector"]
        if self.config.batch_norm != "shuffle":
            return batch.gathered(self._embed(*key_encoder, images))
        order = torch.randperm(batch.total)
        dealt = batch.mine(batch.gathered(images)[order])
        return batch.gathered(self._embed(*key_encoder, dealt))[order.argsort()]

    def _enqueue(self, keys: Tensor) -> None:
        place = (torch.arange(len(keys), device=keys.device) + self.pointer) % len(self.queue)
        self.queue[place] = keys
        self.pointer.add_(len(keys)).remainder_(len(self.queue))
