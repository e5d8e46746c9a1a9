"""Loss functions of the pretext tasks.

Letters: B images in a batch, D length of an embedding, K negatives in the queue. Embeddings are unit vectors.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def info_nce(query: Tensor, key: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """InfoNCE: each query should find its own key among the keys in the queue (He et al. 2020, Eq. 1).

    Args:
        query: [B, D] float32 unit vectors, with gradient.
        key: [B, D] float32 unit vectors, the positives; taken without gradient.
        queue: [K, D] float32 unit vectors, the negatives of every query.
        temperature: T > 0.

    Returns:
        Scalar: the mean of -log softmax of the positive among 1 + K logits; log(1 + K) when all are alike.
    """
    positive = (query * key.detach()).sum(dim=1, keepdim=True)
    logits = torch.cat([positive, query @ queue.t()], dim=1) / temperature
    return F.cross_entropy(logits, torch.zeros(len(query), dtype=torch.long, device=query.device))


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """NT-Xent: each view should find its twin among all other views of the batch (Chen et al. 2020, Eq. 1).

    Args:
        first, second: [B, D] float32 unit vectors of two views of the same images, both with gradient.
        temperature: T > 0.

    Returns:
        Scalar: the mean over 2B views of -log softmax of the twin among the 2B - 1 others.
    """
    z = torch.cat([first, second])
    logits = (z @ z.t() / temperature).fill_diagonal_(float("-inf"))
    twin = torch.arange(len(z), device=z.device).roll(len(first))
    return F.cross_entropy(logits, twin)
