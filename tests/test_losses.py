"""Properties of the contrastive losses; their values have oracles of their own."""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from muscle.losses import info_nce, nt_xent


def _unit(n: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(n, 8, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_info_nce_knows_a_right_key_from_a_wrong_one() -> None:
    query, queue = _unit(4, 0), _unit(16, 1)
    right, wrong = info_nce(query, query, queue, 0.2), info_nce(query, -query, queue, 0.2)
    assert 0 < right < math.log(17) < wrong


def test_the_order_of_the_negatives_does_not_matter() -> None:
    query, key, queue = _unit(4, 0), _unit(4, 1), _unit(16, 2)
    torch.testing.assert_close(info_nce(query, key, queue, 0.2), info_nce(query, key, queue.flip(0), 0.2))


def test_nt_xent_is_symmetric_in_its_views() -> None:
    first, second = _unit(5, 0), _unit(5, 1)
    torch.testing.assert_close(nt_xent(first, second, 0.5), nt_xent(second, first, 0.5))
    assert nt_xent(first, first, 0.1) < nt_xent(first, second, 0.1)
