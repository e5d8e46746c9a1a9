"""Rates and groups of the optimizer. Oracle for the curves: their values at the ends, worked out by hand."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from films import Bone
from torch import nn

from muscle.backbones.resnet import ResNet
from muscle.optim import Constant, Optimizer, Position, StepDecay, WarmCosine, set_rates


def _at(done: int, total: int) -> Position:
    return Position(turn=(0, 1), round=(0, 1), stage=(done, total))


def test_constant() -> None:
    assert {Constant(value=0.3).factor(_at(i, 10)) for i in range(10)} == {0.3}


def test_warm_cosine_climbs_to_one_and_falls_to_its_floor() -> None:
    curve = WarmCosine(warm=0.1, floor=0.2)
    factors = [curve.factor(_at(i, 100)) for i in range(100)]
    assert factors[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert factors[10] == 1 and factors[9] == 1
    assert factors[55] == pytest.approx(0.6)
    assert factors[99] == pytest.approx(0.2 + 0.8 * (1 + math.cos(math.pi * 89 / 90)) / 2)
    assert all(a >= b for a, b in zip(factors[10:], factors[11:], strict=False))


@pytest.mark.parametrize("total", [1, 2, 3])
def test_warm_cosine_on_hardly_any_steps(total: int) -> None:
    assert all(0 < WarmCosine(warm=0.5).factor(_at(i, total)) <= 1 for i in range(total))


def test_step_decay() -> None:
    curve = StepDecay(milestones=(0.6, 0.85), factor_each=0.1)
    assert [curve.factor(_at(i, 20)) for i in (0, 11, 12, 16, 17, 19)] == pytest.approx(
        [1, 1, 0.1, 0.1, 0.01, 0.01]
    )


@pytest.mark.parametrize(
    ("name", "kind"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_every_parameter_stands_in_one_group_and_only_kernels_decay(name: str, kind: type) -> None:
    backbone, head = Bone(), nn.Linear(8, 2)
    frozen = nn.Linear(3, 3).requires_grad_(False)
    optimizer = Optimizer.parse({"name": name, "weight_decay": 0.1, "backbone_rate": 1e-4}).build(
        backbone, [head, frozen], []
    )
    assert type(optimizer) is kind
    members = [id(p) for group in optimizer.param_groups for p in group["params"]]
    wanted = [id(p) for m in (backbone, head) for p in m.parameters()]
    assert sorted(members) == sorted(wanted)
    of = {id(p): (g["peak"], g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]}
    assert of[id(backbone.net[0].weight)] == (1e-4, 0.1)
    assert of[id(backbone.net[0].bias)] == of[id(backbone.net[1].weight)] == (1e-4, 0)
    assert of[id(head.weight)] == (1e-3, 0.1) and of[id(head.bias)] == (1e-3, 0)


def test_the_rate_that_is_logged_is_the_heads() -> None:
    optimizer = Optimizer(rate=1e-2, backbone_rate=1e-4).build(Bone(), [nn.Linear(8, 2)], [])
    assert set_rates(optimizer, 0.5) == pytest.approx(5e-3)


def test_the_peak_survives_a_state_dict() -> None:
    first = Optimizer(rate=1e-2).build(Bone(), [], [])
    set_rates(first, 0.1)
    second = Optimizer(rate=1e-2).build(Bone(), [], [])
    second.load_state_dict(first.state_dict())
    assert set_rates(second, 1.0) == pytest.approx(1e-2)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_steps_on_channels_last_weights_are_those_of_the_plain_rule(name: str) -> None:
    """torch's fused rule takes memory as it lies: a gradient laid out otherwise than its weight moves other weights.

    Oracle: torch's own loop over the parameters, on the same gradients: of two parts of a batch, and a penalty.
    """
    torch.manual_seed(0)
    ours = ResNet().build().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    plain = copy.deepcopy(ours)
    fused = Optimizer.parse({"name": name, "rate": 0.01}).build(ours, [], [])
    groups = [{**group, "params": []} for group in fused.param_groups]
    places = {id(p): i for i, group in enumerate(fused.param_groups) for p in group["params"]}
    for mine, other in zip(ours.parameters(), plain.parameters(), strict=True):
        groups[places[id(mine)]]["params"].append(other)
    for group in groups:
        group |= {"fused": False, "foreach": False}
    loop = type(fused)(groups)
    for _ in range(2):
        for images in torch.randn(2, 2, 1, 64, 48):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                found = ours(images.contiguous(memory_format=torch.channels_last)).pooled
            (found.float().sum() + 0.01 * sum((p**2).sum() for p in ours.parameters())).backward()
        for mine, other in zip(ours.parameters(), plain.parameters(), strict=True):
            assert mine.grad is not None
            other.grad = mine.grad.clone()
        fused.step()
        loop.step()
        fused.zero_grad(set_to_none=True)
    for mine, other in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-6)
