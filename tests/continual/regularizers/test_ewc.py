"""EWC as a part; its Fisher and its penalty have oracles of their own."""

from __future__ import annotations

import pytest
import torch
from films import Bone, batch
from torch import nn

from muscle.continual.regularizers import Regularizer, Step
from muscle.continual.regularizers.ewc import EWC, fisher
from muscle.errors import UsageError
from muscle.tasks.classification import Classification
from muscle.tasks.detection import Detection
from muscle.types import Boxes, Target, Turn


def test_it_is_found_by_its_kind() -> None:
    assert Regularizer._member({"kind": "ewc", "gamma": 0.5}) == EWC(gamma=0.5)
    with pytest.raises(UsageError, match="gamma"):
        EWC().with_(gamma=1.5)


def test_fisher_and_anchors_are_in_the_state_in_float32_and_come_back_from_it() -> None:
    first, second = Bone(), Bone()
    a, b = EWC().build(first, {}), EWC().build(second, {})
    with torch.no_grad():
        for name, buffer in a.named_buffers():
            if name.startswith("fisher"):
                buffer.fill_(1)
    b.load_state_dict(a.state_dict())
    assert b.penalty(first, nn.Identity()).item() == 0 < b.penalty(second, nn.Identity()).item()
    half = EWC().build(Bone().bfloat16(), {})
    assert all(buffer.dtype == torch.float32 for buffer in half.buffers())


def test_decay_stays_and_weight_zero_says_nothing() -> None:
    backbone = Bone()
    task = Classification().build(backbone, Target(name="t", kind="labels", classes=("a", "b")), 9)
    module = EWC(weight=0.0).build(backbone, {"t": task})
    assert module.penalized(backbone, [task.head]) == []
    assert module.losses(backbone, Step("t", 0, batch(2), {"t": task}, torch.float32)) == {}
    before = {n: b.clone() for n, b in module.named_buffers()}
    turn = Turn(index=0, round=0, task="t", epoch=0, steps=1)
    module.end_turn(backbone, turn, {"t": task}, lambda name, most: iter([batch(1)]))
    assert all(torch.equal(before[n], b) for n, b in module.named_buffers())


def test_a_detector_answers_by_the_gradient_of_its_losses_and_modes_and_statistics_stay() -> None:
    torch.manual_seed(0)
    backbone = Bone()
    target = Target(name="t", kind="boxes", classes=("a",))
    task = Detection.lean().build(backbone, target, 9).train()
    backbone.train()
    state = {k: v.clone() for k, v in backbone.state_dict().items()}
    boxes = Boxes(torch.tensor([[4.0, 4.0, 20.0, 24.0]]), torch.tensor([1]), torch.tensor([0]))
    found = fisher(backbone, task, [batch(1, target=boxes)])
    assert all(value.isfinite().all() and value.any() for value in found.values())
    assert backbone.training and all(m.training for m in task.modules())
    assert all(torch.equal(state[k], v) for k, v in backbone.state_dict().items())
    assert all(p.grad is None for p in [*backbone.parameters(), *task.parameters()])
