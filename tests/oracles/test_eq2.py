"""Eq. 2 of MUSCLE, cross-task memorization. Oracle: value and gradient in closed form, in both readings."""

from __future__ import annotations

import pytest
import torch
from films import Bone
from torch import Tensor, nn

from muscle.continual.regularizers.l2sp import L2SP
from muscle.optim import Optimizer
from muscle.types import Turn

pytestmark = pytest.mark.oracle

TURN = Turn(index=3, round=1, task="t", epoch=1, steps=5)
FIRST = Turn(index=0, round=0, task="t", epoch=0, steps=5)


def _moved(backbone: nn.Module) -> None:
    with torch.no_grad():
        for p in backbone.parameters():
            p.add_(torch.randn_like(p))


def _kernels(module: nn.Module) -> list[nn.Parameter]:
    return [p for p in module.parameters() if p.ndim > 1]


def _gradient(penalty: Tensor, parameter: nn.Parameter) -> Tensor:
    (found,) = torch.autograd.grad(penalty, parameter, retain_graph=True)
    return found


def _close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.7, 1.0])
@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_literal_reading_value_and_gradient(alpha: float, weight: float) -> None:
    """Omega = alpha |w - w0|^2 + (1 - alpha) |w|^2; its gradient 2 alpha (w - w0) + 2 (1 - alpha) w."""
    backbone, head = Bone(), nn.Linear(8, 2)
    module = L2SP(reading="literal", alpha=alpha, weight=weight).build(backbone, {})
    anchors = [p.detach().clone() for p in _kernels(backbone)]
    _moved(backbone)
    penalty = module.penalty(backbone, head)
    expected = torch.zeros(())
    for w, w0 in zip(_kernels(backbone), anchors, strict=True):
        expected = expected + alpha * (w - w0).pow(2).sum() + (1 - alpha) * w.pow(2).sum()
        _close(_gradient(penalty, w), weight * (2 * alpha * (w - w0) + 2 * (1 - alpha) * w))
    _close(penalty, weight * expected)
    assert torch.autograd.grad(penalty, list(head.parameters()), allow_unused=True) == (None, None)


@pytest.mark.parametrize(("alpha", "beta"), [(0.1, 0.01), (0.5, 0.0), (0.0, 0.3)])
def test_l2sp_reading_value_and_gradient(alpha: float, beta: float) -> None:
    """Omega = alpha / 2 |w - w0|^2 + beta / 2 |v|^2, v the kernels of the head (Li et al. 2018, Eq. 3)."""
    backbone, head = Bone(), nn.Linear(8, 2)
    module = L2SP(reading="l2sp", alpha=alpha, beta=beta, weight=0.7).build(backbone, {})
    anchors = [p.detach().clone() for p in _kernels(backbone)]
    _moved(backbone)
    penalty = module.penalty(backbone, head)
    distance = sum(
        ((w - w0).pow(2).sum() for w, w0 in zip(_kernels(backbone), anchors, strict=True)), torch.zeros(())
    )
    _close(penalty, 0.7 * (alpha * distance + beta * head.weight.pow(2).sum()) / 2)
    for w, w0 in zip(_kernels(backbone), anchors, strict=True):
        _close(_gradient(penalty, w), 0.7 * alpha * (w - w0))
    if beta:
        _close(_gradient(penalty, head.weight), 0.7 * beta * head.weight)
    assert torch.autograd.grad(penalty, [head.bias], allow_unused=True) == (None,)


def test_literal_pulls_towards_alpha_times_the_anchor() -> None:
    """METHODS 7.3: the minimum of the printed formula is alpha w0, not w0."""
    backbone = Bone()
    module = L2SP(reading="literal", alpha=0.4).build(backbone, {})
    with torch.no_grad():
        for p in _kernels(backbone):
            p.mul_(0.4)
    penalty = module.penalty(backbone, nn.Identity())
    for p in _kernels(backbone):
        _close(_gradient(penalty, p), torch.zeros_like(p))


def test_the_anchor_moves_at_each_turn() -> None:
    backbone = Bone()
    each, once = L2SP(beta=0.0).build(backbone, {}), L2SP(beta=0.0, anchor="stage").build(backbone, {})
    for module in (each, once):
        module.begin_turn(backbone, FIRST, {})
    _moved(backbone)
    drifted = once.penalty(backbone, nn.Identity()).item()
    assert each.penalty(backbone, nn.Identity()).item() == pytest.approx(drifted) and drifted > 0
    for module in (each, once):
        module.begin_turn(backbone, TURN, {})
    assert each.penalty(backbone, nn.Identity()).item() == 0
    assert once.penalty(backbone, nn.Identity()).item() == pytest.approx(drifted)


def test_kernels_only_or_all() -> None:
    backbone = Bone()
    kernels, every = L2SP(beta=0.0).build(backbone, {}), L2SP(beta=0.0, tensors="all").build(backbone, {})
    with torch.no_grad():
        backbone.net[1].bias.add_(2)  # batch norm: eight channels
    assert kernels.penalty(backbone, nn.Identity()).item() == 0
    assert every.penalty(backbone, nn.Identity()).item() == pytest.approx(0.1 / 2 * 8 * 4)


def test_anchors_and_penalty_are_float32_whatever_the_weights_are() -> None:
    backbone = Bone().bfloat16()
    module = L2SP().build(backbone, {})
    assert all(b.dtype == torch.float32 for b in module.buffers())
    assert module.penalty(backbone, nn.Linear(8, 2).bfloat16()).dtype == torch.float32


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_no_optimizer_decay_on_penalized_tensors(name: str) -> None:
    backbone, head = Bone(), nn.Linear(8, 2)
    decay = {}
    for beta in (0.01, 0.0):
        module = L2SP(beta=beta).build(backbone, {})
        optimizer = Optimizer.parse({"name": name, "weight_decay": 0.1}).build(
            backbone, [head], module.penalized(backbone, [head])
        )
        decay[beta] = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    pulled = backbone.net[0].weight
    assert [decay[b][id(pulled)] for b in (0.01, 0.0)] == [0, 0]
    assert [decay[b][id(head.weight)] for b in (0.01, 0.0)] == [
        0,
        0.1,
    ]  # without beta nothing else holds the head
    plain = Optimizer.parse({"name": name, "weight_decay": 0.1}).build(backbone, [head], [])
    assert {
        id(pulled): g["weight_decay"] for g in plain.param_groups if any(p is pulled for p in g["params"])
    } == {id(pulled): 0.1}
