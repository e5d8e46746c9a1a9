"""L2-SP as a part; value and gradient have oracles of their own."""

from __future__ import annotations

import pytest
import torch
from films import Bone
from torch import nn

from muscle.continual.regularizers import Regularizer
from muscle.continual.regularizers.l2sp import L2SP
from muscle.errors import UsageError
from muscle.types import Turn


def test_it_is_found_by_its_kind() -> None:
    assert Regularizer._member({"kind": "l2sp", "alpha": 0.5}) == L2SP(alpha=0.5)
    with pytest.raises(UsageError, match="alpha"):
        L2SP().with_(alpha=-1.0)


def test_the_anchors_are_in_the_state_and_come_back_from_it() -> None:
    first, second = Bone(), Bone()
    a, b = L2SP(beta=0.0).build(first, {}), L2SP(beta=0.0).build(second, {})
    assert b.penalty(first, nn.Identity()).item() > 0
    b.load_state_dict(a.state_dict())
    assert b.penalty(first, nn.Identity()).item() == 0


def test_the_anchor_is_a_copy() -> None:
    backbone = Bone()
    module = L2SP(beta=0.0).build(backbone, {})
    module.begin_turn(backbone, Turn(index=0, round=0, task="t", epoch=0, steps=1), {})
    with torch.no_grad():
        backbone.net[0].weight.add_(1)
    count = backbone.net[0].weight.numel()
    assert module.penalty(backbone, nn.Identity()).item() == pytest.approx(0.05 * count, rel=1e-5)


def test_what_is_pulled() -> None:
    backbone, head = Bone(), nn.Linear(8, 2)

    def names(part: L2SP) -> set[int]:
        return {id(p) for p in part.build(backbone, {}).penalized(backbone, [head])}

    kernel, bias = backbone.net[0].weight, backbone.net[0].bias
    assert names(L2SP()) == {id(kernel), id(head.weight)}
    assert names(L2SP(beta=0.0)) == {id(kernel)} == names(L2SP(reading="literal"))
    assert id(bias) in names(L2SP(tensors="all"))


def test_a_head_without_kernels_costs_nothing() -> None:
    backbone = Bone()
    assert L2SP().build(backbone, {}).penalty(backbone, nn.Identity()).item() == 0
