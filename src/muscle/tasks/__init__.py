"""Tasks, one file a kind: given the backbone and a batch of your own data, what are your named losses?

A pretext task and an annotated task differ only in where the target comes from.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from muscle.backbones import BackboneModule
from muscle.parts import Part
from muscle.types import Batch, Target, TargetKind

POOL = "pool"  # the role of every training row of every source that is not external
ANNOTATED = "annotated"  # the role of every target that the data file's sources teach, one task each


class TaskModule(nn.Module):
    """What a task trains and keeps beside the backbone.

    Attributes:
        head: trained with the backbone, kept between turns.
        scaffold: key encoder, queue, projector: in snapshots, never penalized, dropped when the stage ends.
    """

    head: nn.Module
    scaffold: nn.Module

    def losses(self, backbone: BackboneModule, batch: Batch) -> dict[str, Tensor]:
        """Named scalar losses, to be summed; augments the batch itself. Called in train mode under autocast."""
        raise TypeError(f"{type(self).__name__} must define losses")

    def after_step(self, backbone: BackboneModule) -> None:
        """What follows an optimizer step; nothing by default."""

    def embed_views(self, backbone: BackboneModule, batch: Batch) -> tuple[Tensor, Tensor]:
        """Of contrastive tasks: embeddings [B, dim] of two views of each image, unit vectors, for diagnostics."""
        raise TypeError(f"{type(self).__name__} embeds no views")

    @torch.no_grad()
    def predict(self, backbone: BackboneModule, batch: Batch) -> list[Any]:
        """One prediction an image, not augmented, as NumPy arrays. Called in eval mode.

        labels: probabilities [C] float32; mask: classes [H, W] uint8; boxes: (xyxy [m, 4] float32,
        score [m] float32, label [m] int64), in pixels of the batch.
        """
        raise TypeError(f"{type(self).__name__} makes no predictions")


class Task(Part):
    """Root of the family. ``data`` is a role: ``pool``, ``annotated``, or the name of one target."""

    home: ClassVar[str] = "muscle.tasks"
    needs: ClassVar[TargetKind | None] = None  # the kind of annotation; None: images alone

    data: str = POOL
    batch_size: int = Field(32, ge=2)  # batch norm needs two

    def resolve(self, rows: int) -> Task:
        """The same task with every ``auto`` replaced by what fits a training set of ``rows`` images.

        Raises:
            UsageError: a setting does not fit that many images; the message proposes one that does.
        """
        return self

    def build(self, backbone: BackboneModule, target: Target | None, rows: int) -> TaskModule:
        """The module for this backbone, this target and a training set of ``rows`` images."""
        raise TypeError(f"{type(self).__name__} must define build")
