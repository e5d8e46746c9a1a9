"""LwF. Oracle: the loss of Li and Hoiem's Eq. 2 to 4 by hand, from probabilities to the power of 1 / T."""

from __future__ import annotations

import math

import pytest
import torch
from films import Bone, batch
from torch import nn

from muscle.continual.regularizers import Step
from muscle.continual.regularizers.lwf import LwF, distillation
from muscle.tasks import Outputs
from muscle.tasks.classification import Classification
from muscle.types import Target, Turn

pytestmark = pytest.mark.oracle


def _sharpened(p: list[float], temperature: float) -> list[float]:
    powers = [v ** (1 / temperature) for v in p]
    return [v / sum(powers) for v in powers]


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_classes_by_hand(temperature: float) -> None:
    """Eq. 2 to 4: - sum y' log y^', y' = y^(1/T) / sum y^(1/T); mean over films; gradient (y^' - y') / T."""
    said, says = [[0.7, 0.2, 0.1], [0.5, 0.25, 0.25]], [[0.2, 0.5, 0.3], [0.1, 0.1, 0.8]]
    wanted, slopes = 0.0, []
    for old, new in zip(said, says, strict=True):
        y, found = _sharpened(old, temperature), _sharpened(new, temperature)
        wanted -= sum(a * math.log(b) for a, b in zip(y, found, strict=True)) / 2
        slopes.append([(b - a) / temperature / 2 for a, b in zip(y, found, strict=True)])
    logits = torch.tensor(says).log().add(3.0).requires_grad_()  # logits are known up to a constant
    loss = distillation(
        Outputs("softmax", (logits,)), Outputs("softmax", (torch.tensor(said).log(),)), temperature
    )
    assert loss.item() == pytest.approx(wanted, rel=1e-6)
    loss.backward()
    torch.testing.assert_close(logits.grad, torch.tensor(slopes))


def test_labels_each_on_its_own_are_summed_by_hand() -> None:
    """Each label as two classes of its own; their losses are summed, as the paper says of several labels."""
    said, says, wanted = [0.7, 0.1], [0.4, 0.3], 0.0
    for old, new in zip(said, says, strict=True):
        y, found = _sharpened([old, 1 - old], 2.0), _sharpened([new, 1 - new], 2.0)
        wanted -= sum(a * math.log(b) for a, b in zip(y, found, strict=True))
    new, old = (Outputs("sigmoid", (torch.tensor([p]).logit(),)) for p in (says, said))
    assert distillation(new, old, 2.0).item() == pytest.approx(wanted, rel=1e-6)


def test_of_pixels_it_is_the_mean() -> None:
    generator = torch.Generator().manual_seed(0)
    new, old = (torch.randn(2, 3, 4, 5, generator=generator) for _ in range(2))
    flat = [t.movedim(1, -1).reshape(-1, 3) for t in (new, old)]
    found, wanted = (
        distillation(Outputs("softmax", (a,)), Outputs("softmax", (b,)), 2.0) for a, b in ((new, old), flat)
    )
    torch.testing.assert_close(found, wanted)


def test_of_maps_it_is_the_mean_of_the_levels() -> None:
    new, old = (
        [torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 2, 2)],
        [torch.ones(1, 2, 4, 4), torch.full((1, 2, 2, 2), 3.0)],
    )
    assert distillation(Outputs("maps", tuple(new)), Outputs("maps", tuple(old)), 2.0).item() == (1 + 9) / 2


def test_one_old_head_a_step_adds_up_to_all_of_them() -> None:
    """Over as many steps as there are old heads the sum of the paper, at the answers of the turn's start."""
    torch.manual_seed(0)
    backbone = Bone()
    tasks = {
        name: Classification().build(
            backbone, Target(name=name, kind="labels", classes=("x", "y", "z")[:n]), 9
        )
        for name, n in (("a", 2), ("b", 3), ("c", 2))
    }
    module = LwF(weight=0.5).build(backbone, tasks)
    films = batch(4)
    for name in ("a", "b"):
        module.end_turn(
            backbone, Turn(index=0, round=0, task=name, epoch=0, steps=1), tasks, lambda task, most: iter(())
        )
    backbone.train()
    module.begin_turn(backbone, Turn(index=2, round=0, task="c", epoch=0, steps=2), tasks)
    with torch.no_grad():
        recorded = {name: tasks[name].outputs(backbone.eval(), films) for name in ("a", "b")}
        for p in backbone.parameters():
            p.add_(torch.randn_like(p) / 5)
        wanted = sum(
            float(distillation(tasks[n].outputs(backbone, films), recorded[n], 2.0)) for n in ("a", "b")
        )
    backbone.train()
    statistics = backbone.net[1].running_mean.clone()
    steps = [
        module.losses(backbone, Step("c", i, films, tasks, torch.float32))["distillation"] for i in range(2)
    ]
    assert (sum(steps) / 2).item() == pytest.approx(0.5 * wanted, rel=1e-5)  # type: ignore[union-attr]
    assert torch.equal(backbone.net[1].running_mean, statistics) and backbone.net[1].training
    assert not any(p.requires_grad for p in module.parameters()) and not any(
        m.training for m in module.modules()
    )
    steps[0].backward()
    moved = {n for n, m in tasks.items() if any(p.grad is not None for p in m.parameters())}
    assert moved == {"a"} and isinstance(tasks["a"].head, nn.Linear)
