"""Kind ``classification``: which classes does the film show? One linear layer on the pooled features."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from muscle.backbones import BackboneModule
from muscle.data.augment import Views
from muscle.errors import UserError
from muscle.heads import classifier
from muscle.tasks import ANNOTATED, Outputs, Task, TaskModule
from muscle.types import Batch, Target, TargetKind


class Classification(Task):
    """Exclusive classes by softmax and cross-entropy; otherwise each on its own, unknown ones left out.

    MUSCLE names "FC" as the head and no augmentation, batch or class weights for it: the views are those of its
    pre-training, the batch is our choice, all classes weigh the same.
    """

    kind: ClassVar[str] = "classification"
    needs: ClassVar[TargetKind | None] = "labels"

    data: str = ANNOTATED
    batch_size: int = Field(32, ge=2)
    views: Views = Views(flip=0.5, rotate=10.0, shift=0.05)

    def build(self, backbone: BackboneModule, target: Target | None, rows: int) -> TaskModule:
        """The linear layer.

        Raises:
            UserError: the target has no labels, or nothing to tell apart.
        """
        if target is None or target.kind != "labels":
            raise UserError(f"classification: needs labels, not {target.kind if target else 'images alone'}")
        if len(target.classes) < (2 if target.exclusive else 1):
            raise UserError(
                f"classification of {target.name!r}: one class only ({', '.join(target.classes) or 'none'}); "
                "needed: two or more; check the folders or the label column"
            )
        return _Classification(self, backbone, target)


class _Classification(TaskModule):
    def __init__(self, config: Classification, backbone: BackboneModule, target: Target) -> None:
        super().__init__()
        self.config = config
        self.exclusive = target.exclusive
        self.head = classifier(backbone.width, len(target.classes))
        self.scaffold = nn.Identity()

    def losses(self, backbone: BackboneModule, batch: Batch) -> dict[str, Tensor]:
        """``cross_entropy``, or ``binary_cross_entropy`` averaged over the labels that are known."""
        assert isinstance(batch.target, Tensor)
        logits = self._logits(backbone, self.config.views(batch))
        if self.exclusive:
            return {"cross_entropy": batch.averaged(*cross_entropy(logits, batch.target))}
        return {"binary_cross_entropy": batch.averaged(*binary_cross_entropy(logits, batch.target))}

    def outputs(self, backbone: BackboneModule, batch: Batch) -> Outputs:
        """Logits [B, C]."""
        kind: Literal["softmax", "sigmoid"] = "softmax" if self.exclusive else "sigmoid"
        return Outputs(kind, (self._logits(backbone, batch.normalized()),))

    @torch.no_grad()
    def predict(self, backbone: BackboneModule, batch: Batch) -> list[Any]:
        """Probabilities [C] float32 an image; of exclusive classes they sum to 1."""
        logits = self._logits(backbone, batch.normalized())
        return list((logits.softmax(1) if self.exclusive else logits.sigmoid()).cpu().numpy())

    def _logits(self, backbone: BackboneModule, images: Tensor) -> Tensor:
        logits: Tensor = self.head(backbone(images).pooled)
        return logits.float()


def cross_entropy(logits: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Softmax cross-entropy summed over the images whose class is known, and how many these are.

    Args:
        logits: [B, C] float32.
        truth: [B, C], 1 for the one class that is present; NaN anywhere in a row makes the image unknown.
    """
    known = truth.isfinite().all(1)
    loss = F.cross_entropy(logits, truth.nan_to_num().argmax(1), reduction="none")
    return (loss * known).sum(), known.sum()


def binary_cross_entropy(logits: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Binary cross-entropy summed over the labels [B, C] that are 1 or 0, and how many; NaN has no gradient."""
    known = truth.isfinite()
    loss = F.binary_cross_entropy_with_logits(logits, truth.nan_to_num(), reduction="none")
    return (loss * known).sum(), known.sum()
