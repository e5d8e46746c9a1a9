"""NT-Xent. Oracle: the double loop over all ordered pairs of the 2B views (Chen et al. 2020, Eq. 1)."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from muscle.losses import nt_xent

pytestmark = pytest.mark.oracle


@pytest.mark.parametrize("batch", [2, 5])
@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_nt_xent_is_the_double_loop(batch: int, temperature: float) -> None:
    torch.manual_seed(batch)
    first, second = (F.normalize(torch.randn(batch, 6, dtype=torch.float64), dim=1) for _ in range(2))
    views = [*first.tolist(), *second.tolist()]
    total = 0.0
    for i, z in enumerate(views):
        twin = i + batch if i < batch else i - batch
        terms = {
            j: math.exp(sum(a * b for a, b in zip(z, other, strict=True)) / temperature)
            for j, other in enumerate(views)
            if j != i
        }
        total -= math.log(terms[twin] / sum(terms.values()))
    assert nt_xent(first, second, temperature).item() == pytest.approx(total / len(views), rel=1e-12)


def test_equal_views_give_the_log_of_their_number() -> None:
    same = F.normalize(torch.ones(4, 3, dtype=torch.float64), dim=1)
    assert nt_xent(same, same, 0.5).item() == pytest.approx(math.log(7), rel=1e-12)  # 2B - 1 others


def test_both_views_get_a_gradient() -> None:
    first, second = (F.normalize(torch.randn(3, 4), dim=1).requires_grad_() for _ in range(2))
    nt_xent(first, second, 0.5).backward()
    assert first.grad is not None and second.grad is not None
