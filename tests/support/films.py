"""Batches and modules without a store: random grey images, and the smallest backbone that is one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from muscle.backbones import BackboneModule
from muscle.types import Batch, Boxes, Features


class Bone(BackboneModule):
    """One strided convolution with batch norm; maps at strides 4 to 32 by pooling."""

    width = 8
    channels = (8, 8, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(1, 8, 5, 4, 2), nn.BatchNorm2d(8), nn.ReLU())

    def forward(self, x: Tensor, output_stride: int = 32) -> Features:
        maps = [self.net(x)]
        for _ in range(3):
            maps.append(nn.functional.avg_pool2d(maps[-1], 2, ceil_mode=True))
        return Features(maps[-1].mean((2, 3)), tuple(maps))


def batch(
    n: int = 6, size: tuple[int, int] = (32, 32), seed: int = 0, target: Tensor | Boxes | None = None
) -> Batch:
    """``n`` images of noise from two sources."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 256, (n, 1, *size), dtype=torch.uint8, generator=generator)
    return Batch(
        image,
        torch.full((n,), 127.0),
        torch.full((n,), 64.0),
        torch.arange(n) % 2,
        tuple(map(str, range(n))),
        target,
    )
