"""Backbones, one file a kind: the network that all stages share and that the user takes home."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from muscle.parts import Part
from muscle.types import Features


class BackboneModule(nn.Module):
    """A network that turns images into features; its ``net`` keeps timm's key names.

    Attributes:
        net: the timm network without classifier; its state dict is what is saved.
        width: D, the length of the pooled feature.
        channels: channels of ``Features.maps``, finest first, at strides 4, 8, 16, 32.
        recompute: activations are computed again in the backward pass instead of kept; the numbers stay.
    """

    net: nn.Module
    width: int
    channels: tuple[int, ...]
    recompute: bool = False

    def forward(self, x: Tensor, output_stride: int = 32) -> Features:
        """Features of normalized images.

        Args:
            x: [B, 1, H, W] float32, zero mean and unit deviation.
            output_stride: 32, 16 or 8; below 32 the last stages are dilated instead of strided, with the same
                weights and the same batch-norm buffers. In eval ``f(x, 16).maps[-1][..., ::2, ::2]`` equals
                ``f(x, 32).maps[-1]``.
        """
        raise TypeError(f"{type(self).__name__} must define forward")


class Backbone(Part):
    """Root of the family: which network, with which channels in."""

    home: ClassVar[str] = "muscle.backbones"

    @property
    def architecture(self) -> str:
        """What tables and timm call the network: its ``name`` where it has one, else the kind."""
        return str(getattr(self, "name", self.kind))

    def build(self) -> BackboneModule:
        """A freshly initialized network (Kaiming-normal convolutions, as the paper has it)."""
        raise TypeError(f"{type(self).__name__} must define build")
