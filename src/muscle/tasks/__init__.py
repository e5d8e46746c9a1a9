"""Tasks, one file a kind: given the backbone and a batch of your own data, what are your named losses?

A pretext task and an annotated task differ only in where the target comes from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from muscle.backbones import BackboneModule
from muscle.parts import Part
from muscle.types import Batch, Target, TargetKind

POOL = "pool"  # the role of every training row of every source that is not external
ANNOTATED = "annotated"  # the role of every target that the data file's sources teach, one task each
WITHOUT = "annotated-without"  # "annotated-without:A,B": the same but for some targets


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a head says of some images, before any loss: for penalties that look at outputs, not at weights.

    ``softmax``, ``sigmoid``: ``tensors`` is one of logits [B, C, ...] float32, exclusive over C, or each on its own.
    ``maps``: feature maps [B, D, h, w] float32 of several levels, for heads whose outputs have no probability.
    """

    kind: Literal["softmax", "sigmoid", "maps"]
    tensors: tuple[Tensor, ...]


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

    def drop_step(self) -> None:
        """Forgets what ``losses`` has kept for ``after_step``, for the step is not taken; nothing by default."""

    def embed_views(self, backbone: BackboneModule, batch: Batch) -> tuple[Tensor, Tensor]:
        """Of contrastive tasks: embeddings [B, dim] of two views of each image, unit vectors, for diagnostics."""
        raise TypeError(f"{type(self).__name__} embeds no views")

    def outputs(self, backbone: BackboneModule, batch: Batch) -> Outputs:
        """Of annotated tasks: what the head says of the images, not augmented. Called in eval mode, with gradients."""
        raise TypeError(f"{type(self).__name__} has no outputs to compare")

    @torch.no_grad()
    def predict(self, backbone: BackboneModule, batch: Batch) -> list[Any]:
        """One prediction an image, not augmented, as NumPy arrays. Called in eval mode.

        labels: probabilities [C] float32; mask: classes [H, W] uint8; boxes: (xyxy [m, 4] float32,
        score [m] float32, label [m] int64), in pixels of the batch.
        """
        raise TypeError(f"{type(self).__name__} makes no predictions")


class Task(Part):
    """Root of the family.

    ``data``: a role (``pool``, ``annotated``, ``annotated-without:A,B``) or a target's name. ``accumulate``: in how
    many parts, one after the other, the batch of a step is computed, for small memories. Gradients add up to those of
    the batch; batch norm sees each part alone, as it would see a smaller batch; a queue of keys moves once a step.
    """

    home: ClassVar[str] = "muscle.tasks"
    needs: ClassVar[TargetKind | None] = None  # the kind of annotation; None: images alone
    divisible: ClassVar[bool] = True  # whether a batch may be computed in parts

    data: str = POOL
    batch_size: int = Field(32, ge=2)  # batch norm needs two
    accumulate: int = Field(1, ge=1)

    @property
    def least(self) -> int:
        """Images that are computed at once at least, for batch norm."""
        return 2

    @property
    def left_out(self) -> frozenset[str] | None:
        """Of a task with the role ``annotated``: the targets that it leaves out; None where ``data`` names a target."""
        role, _, names = self.data.partition(":")
        if self.needs is None or role not in (ANNOTATED, WITHOUT):
            return None
        return frozenset(name for name in names.split(",") if name)

    def without(self, target: str) -> Task:
        """The same role, but for one more target."""
        names = sorted({*(self.left_out or ()), target})
        return self.with_(data=f"{WITHOUT}:{','.join(names)}")

    def resolve(self, rows: int) -> Task:
        """The same task with every ``auto`` replaced by what fits a training set of ``rows`` images.

        Raises:
            UsageError: a setting does not fit that many images; the message proposes one that does.
        """
        return self

    def build(self, backbone: BackboneModule, target: Target | None, rows: int) -> TaskModule:
        """The module for this backbone, this target and a training set of ``rows`` images."""
        raise TypeError(f"{type(self).__name__} must define build")
