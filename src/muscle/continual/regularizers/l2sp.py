"""Cross-task memorization: Eq. 2 of MUSCLE, and the L2-SP that it derives from (Li et al., ICML 2018)."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from muscle.backbones import BackboneModule
from muscle.continual.regularizers import Regularizer, RegularizerModule, Tasks
from muscle.types import Turn


class L2SP(Regularizer):
    """Holds the backbone near an anchor w0.

    ``l2sp``: weight (alpha / 2 |w - w0|^2 + beta / 2 |v|^2), v the kernels of the head in training.
    ``literal``: weight (alpha |w - w0|^2 + (1 - alpha) |w|^2), Eq. 2 as printed. Its second term falls on the
    backbone itself and pulls it towards alpha w0 (METHODS 7.3); the outer weight is ours, since with weight 1 it
    destroys the backbone (METHODS 10).
    """

    kind: ClassVar[str] = "l2sp"

    reading: Literal["l2sp", "literal"] = "l2sp"
    alpha: float = Field(0.1, ge=0)  # L2-SP's released value; MUSCLE gives none
    beta: float = Field(0.01, ge=0)  # L2-SP's released value; not in Eq. 2
    weight: float = Field(1.0, ge=0)
    anchor: Literal["turn", "stage"] = "turn"  # turn: the end of the previous iterate, as in MUSCLE
    tensors: Literal["kernels", "all"] = "kernels"  # L2-SP's code leaves out biases and batch norm

    def build(self, backbone: BackboneModule, tasks: Tasks) -> RegularizerModule:
        """A module whose anchors are float32 buffers."""
        return _L2SP(self, backbone)


class _L2SP(RegularizerModule):
    def __init__(self, config: L2SP, backbone: nn.Module) -> None:
        super().__init__()
        self.config = config
        for name, parameter in self._pulled(backbone):
            self.register_buffer(_key(name), parameter.detach().float().clone())

    def _pulled(self, module: nn.Module) -> list[tuple[str, nn.Parameter]]:
        every = self.config.tensors == "all"
        return [(n, p) for n, p in module.named_parameters() if every or p.ndim > 1]

    def penalized(self, backbone: nn.Module, heads: list[nn.Module]) -> list[Tensor]:
        """The backbone's pulled tensors, and the heads' kernels where ``beta`` pulls them."""
        pulled = [p for _, p in self._pulled(backbone)]
        if self.config.reading == "l2sp" and self.config.beta:
            pulled += [p for head in heads for p in head.parameters() if p.ndim > 1]
        return list(pulled)

    @torch.no_grad()
    def begin_turn(self, backbone: BackboneModule, turn: Turn, tasks: Tasks) -> None:
        """Moves the anchor to where the backbone stands now (``anchor: stage``: only at the first turn)."""
        if self.config.anchor == "turn" or turn.index == 0:
            for name, parameter in self._pulled(backbone):
                self.get_buffer(_key(name)).copy_(parameter)

    def penalty(self, backbone: nn.Module, head: nn.Module) -> Tensor:
        """Omega of Eq. 2 in the reading asked for."""
        c = self.config
        pulled = self._pulled(backbone)
        distance = _total([(p.float() - self.get_buffer(_key(n))).pow(2).sum() for n, p in pulled])
        if c.reading == "literal":
            norm = _total([p.float().pow(2).sum() for _, p in pulled])
            return c.weight * (c.alpha * distance + (1 - c.alpha) * norm)
        kernels = [p.float().pow(2).sum() for p in head.parameters() if p.ndim > 1] if c.beta else []
        return c.weight * (c.alpha * distance + c.beta * _total(kernels)) / 2


def _total(terms: list[Tensor]) -> Tensor:
    return torch.stack(terms).sum() if terms else torch.zeros(())


def _key(name: str) -> str:
    return name.replace(".", "/")
