"""The projector between pooled features and the embedding that contrastive tasks compare."""

from __future__ import annotations

from torch import nn


def projector(width: int, dim: int, mlp: bool) -> nn.Module:
    """[B, width] -> [B, dim]: Linear-ReLU-Linear (MoCo v2, SimCLR), or one Linear (MoCo v1)."""
    if not mlp:
        return nn.Linear(width, dim)
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, dim))
