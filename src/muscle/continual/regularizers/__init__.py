"""Regularizers, one file a kind: penalties that hold the backbone near what it knew."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from muscle.parts import Part
from muscle.types import Turn


class RegularizerModule(nn.Module):
    """A penalty and what it remembers; anchors are buffers, so that snapshots hold them."""

    def begin_turn(self, backbone: nn.Module, turn: Turn) -> None:
        """Called before the first step of each turn."""

    def penalty(self, backbone: nn.Module, head: nn.Module) -> Tensor:
        """Scalar float32 to add to the loss; called outside autocast."""
        raise TypeError(f"{type(self).__name__} must define penalty")

    def penalized(self, backbone: nn.Module, heads: list[nn.Module]) -> list[Tensor]:
        """The tensors that this penalty already pulls: no weight decay may fall on them as well."""
        raise TypeError(f"{type(self).__name__} must define penalized")


class Regularizer(Part):
    """Root of the family."""

    home: ClassVar[str] = "muscle.continual.regularizers"

    def build(self, backbone: nn.Module) -> RegularizerModule:
        """The module for this backbone."""
        raise TypeError(f"{type(self).__name__} must define build")
