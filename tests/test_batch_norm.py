"""Batch norm that can look over ranks, in one process; over several it is compared in relations/test_ranks.py."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from muscle.batch_norm import grouped, synchronize
from muscle.distributed import Shard, splitting
from muscle.errors import UserError


def pair() -> tuple[nn.BatchNorm2d, nn.BatchNorm2d]:
    """torch's own, and the same synchronized; neither weight nor bias at its start."""
    plain, synced = nn.BatchNorm2d(3), nn.Sequential(nn.BatchNorm2d(3))
    for norm in (plain, synced[0]):
        nn.init.constant_(norm.weight, 1.5)
        nn.init.constant_(norm.bias, -0.3)
    synchronize(synced)
    return plain, synced[0]


@pytest.mark.parametrize("whole", [True, False])
def test_it_is_torchs_own_forward_backward_and_running(whole: bool) -> None:
    """``whole``: not told that the batch is a part; else by our own formulas, of a part that is all there is."""
    torch.manual_seed(0)
    plain, synced = pair()
    x = torch.randn(4, 3, 5, 6, dtype=torch.float64) * 3 + 7
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    weight = torch.randn(4, 3, 5, 6, dtype=torch.float64)
    for norm, given in zip((plain, synced), inputs, strict=True):
        norm.double()
        with splitting(None if whole else Shard(0, 4, 4, 1)):
            (norm(given) * weight).sum().backward()
    for one, other in zip(plain.state_dict().values(), synced.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other)
    for one, other in ((inputs[0], inputs[1]), (plain.weight, synced.weight), (plain.bias, synced.bias)):
        torch.testing.assert_close(one.grad, other.grad)


def test_in_bfloat16_the_output_is_and_the_statistics_are_not() -> None:
    _, synced = pair()
    with splitting(Shard(0, 8, 8, 1)):
        out = synced(torch.randn(8, 3, 4, 4).bfloat16().requires_grad_())
    out.float().sum().backward()
    assert out.dtype == torch.bfloat16 and synced.running_mean is not None
    assert synced.running_mean.dtype == torch.float32 and synced.weight.grad is not None


def test_groups_move_the_running_statistics_as_passes_one_after_another() -> None:
    torch.manual_seed(1)
    plain, synced = pair()
    groups = torch.randn(6, 3, 4, 4).tensor_split(3)
    with splitting(Shard(0, 6, 6, 1)), grouped(synced):
        found = [synced(group) for group in groups]
    for group, out in zip(groups, found, strict=True):
        torch.testing.assert_close(out, plain(group))
    for one, other in zip(plain.state_dict().values(), synced.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other)


def test_a_kind_that_cannot_be_synchronized_is_named() -> None:
    class Other(nn.BatchNorm2d):
        pass

    with pytest.raises(
        UserError, match="1: Other cannot be trained on several ranks; allowed: BatchNorm1d, "
    ):
        synchronize(nn.Sequential(nn.BatchNorm2d(2), Other(2)))
