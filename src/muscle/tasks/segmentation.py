"""Kind ``segmentation``: which pixel belongs to what? DeepLabV3 on the last map of the dilated backbone."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.nn import functional as F

from muscle.backbones import BackboneModule
from muscle.data.augment import Views, warp, warp_mask
from muscle.errors import UserError
from muscle.heads import DeepLabV3
from muscle.tasks import ANNOTATED, Outputs, Task, TaskModule
from muscle.types import IGNORE, Batch, Target, TargetKind


def geometric(views: Views) -> Views:
    """Views that only move pixels, so that masks and boxes can follow.

    Raises:
        ValueError: they blur or jitter.
    """
    if views.blur or views.jitter:
        raise ValueError("masks and boxes follow geometry only; set blur and jitter to 0")
    return views


class Segmentation(Task):
    """Background and classes by softmax and cross-entropy over the pixels that are not 255.

    MUSCLE names DeepLabV3 and nothing else about it. Our choices: output stride 16 (8 costs twice, and is DeepLab's
    finer setting), cross-entropy alone without a Dice term (DeepLab's own loss), the views of MUSCLE's
    pre-training, image and mask warped by the same map.

    ``width``: channels inside the head; 256 is DeepLab's, 64 is enough for small images and ResNet-18.
    """

    kind: ClassVar[str] = "segmentation"
    revision: ClassVar[int] = 2  # 1 drew dropout for the batch, not for each image
    needs: ClassVar[TargetKind | None] = "mask"

    data: str = ANNOTATED
    batch_size: int = Field(16, ge=2)  # the pyramid's pooled branch has batch norm over single pixels
    output_stride: Literal[16, 8] = 16
    width: int = Field(256, ge=1)
    views: Views = Views(flip=0.5, rotate=10.0, shift=0.05)

    _views = field_validator("views")(geometric)

    def build(self, backbone: BackboneModule, target: Target | None, rows: int) -> TaskModule:
        """The DeepLabV3 head.

        Raises:
            UserError: the target has no masks or no classes, or there is one image only.
        """
        if target is None or target.kind != "mask" or not target.classes:
            raise UserError(
                f"segmentation: needs masks with classes, not {target.kind if target else 'images alone'}"
            )
        if rows < 2:
            raise UserError(f"segmentation of {target.name!r}: {rows} training image; needed: 2 or more")
        return _Segmentation(self, backbone, target)


class _Segmentation(TaskModule):
    def __init__(self, config: Segmentation, backbone: BackboneModule, target: Target) -> None:
        super().__init__()
        self.config = config
        self.head = DeepLabV3(
            backbone.channels[-1], len(target.classes) + 1, config.output_stride, config.width
        )
        self.scaffold = nn.Identity()

    def losses(self, backbone: BackboneModule, batch: Batch) -> dict[str, Tensor]:
        """``cross_entropy``: mean over the pixels that count.

        Raises:
            UserError: a batch of one image, on which batch norm cannot be trained.
        """
        assert isinstance(batch.target, Tensor)
        if batch.total < 2:
            raise UserError("segmentation: a batch of 1 image; needed: 2 or more; change batch_size")
        views = self.config.views
        theta = views.maps(batch)
        logits = self._logits(backbone, warp(batch, theta, views.border))
        mask = warp_mask(batch.target, theta, views.border)
        return {"cross_entropy": batch.averaged(*pixel_cross_entropy(logits, mask))}

    def outputs(self, backbone: BackboneModule, batch: Batch) -> Outputs:
        """Logits [B, C, H, W], background first."""
        return Outputs("softmax", (self._logits(backbone, batch.normalized()),))

    @torch.no_grad()
    def predict(self, backbone: BackboneModule, batch: Batch) -> list[Any]:
        """The likeliest class of each pixel [H, W] uint8 an image, 0 = background."""
        classes = self._logits(backbone, batch.normalized()).argmax(1)
        return list(classes.cpu().numpy().astype(np.uint8))

    def _logits(self, backbone: BackboneModule, images: Tensor) -> Tensor:
        last = backbone(images, self.config.output_stride).maps[-1]
        logits: Tensor = self.head(last, tuple(images.shape[-2:]))
        return logits


def pixel_cross_entropy(logits: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy summed over the pixels that are not 255, and how many these are.

    Args:
        logits: [B, C, H, W] float32.
        mask: [B, H, W] uint8 below C, or 255.
    """
    total = F.cross_entropy(logits, mask.long(), ignore_index=IGNORE, reduction="sum")
    return total, (mask != IGNORE).sum()
