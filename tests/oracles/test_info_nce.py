"""InfoNCE. Oracle: a double loop in NumPy, and log(1 + K) where all similarities are equal."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from muscle.losses import info_nce

pytestmark = pytest.mark.oracle


def _loop(query: np.ndarray, key: np.ndarray, queue: np.ndarray, temperature: float) -> float:
    losses = []
    for q, k in zip(query, key, strict=True):
        positive = math.exp(sum(a * b for a, b in zip(q, k, strict=True)) / temperature)
        negatives = sum(math.exp(sum(a * b for a, b in zip(q, n, strict=True)) / temperature) for n in queue)
        losses.append(-math.log(positive / (positive + negatives)))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("temperature", [0.07, 0.2, 1.0])
def test_info_nce_is_the_double_loop(temperature: float) -> None:
    torch.manual_seed(0)
    query, key, queue = (F.normalize(torch.randn(n, 6, dtype=torch.float64), dim=1) for n in (5, 5, 11))
    expected = _loop(query.numpy(), key.numpy(), queue.numpy(), temperature)
    assert info_nce(query, key, queue, temperature).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("negatives", [1, 7, 4096])
def test_equal_similarity_gives_log_of_one_plus_k(negatives: int) -> None:
    same = F.normalize(torch.ones(3, 4, dtype=torch.float64), dim=1)
    loss = info_nce(same, same, same[:1].expand(negatives, -1), 0.2)
    assert loss.item() == pytest.approx(math.log(1 + negatives), rel=1e-12)


def test_only_the_query_gets_a_gradient() -> None:
    query, key = (F.normalize(torch.randn(3, 4), dim=1).requires_grad_() for _ in range(2))
    info_nce(query, key, F.normalize(torch.randn(5, 4), dim=1), 0.2).backward()
    assert query.grad is not None and key.grad is None
