"""Kind ``resnet``: ResNet-18 and ResNet-50 (He et al., CVPR 2016, arXiv 1512.03385), the networks of the papers."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import nn

from muscle.backbones import Backbone
from muscle.backbones.timm import TimmModule


class ResNet(Backbone):
    """ResNet-18 or ResNet-50 without classifier, one grey channel in.

    ``in_chans``: 1, or 3 for a network that is to be handed on to others who feed it colour; it then sees the
    grey image three times. ``zero_init_last``: the last batch norm of each block starts at 0, so that a block begins
    as the identity (Goyal et al. 2017, arXiv 1706.02677, section 5.1; timm's default), or at 1 (He et al. 2016). The
    papers do not say; features of MoCo were better from 0 (docs/papers/muscle.md).
    """

    kind: ClassVar[str] = "resnet"

    name: Literal["resnet18", "resnet50"] = "resnet18"
    in_chans: Literal[1, 3] = 1
    zero_init_last: bool = True

    def build(self) -> TimmModule:
        """A freshly initialized network: Kaiming-normal convolutions, batch norm of weight 1 (or 0) and bias 0.

        Kaiming-normal over the outputs, for ReLU, as in He et al. (ICCV 2015, arXiv 1502.01852, Eq. 14).
        """
        module = TimmModule(self.name, self.in_chans, zero_init_last=self.zero_init_last)
        for part in module.net.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
        return module
