"""``benchmarks/rivals.py``: the networks of both sides of a step cost the same.

Oracle: PyTorch's count of floating-point operations, and of parameters, of torchvision's networks.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import resnet18

from muscle.backbones.resnet import ResNet
from muscle.tasks import Task
from muscle.tasks.classification import Classification
from muscle.tasks.segmentation import Segmentation
from muscle.types import Batch, Target

FOLDER = Path(__file__).parents[1] / "benchmarks"
LUNGS = Target(name="lungs", kind="mask", classes=("lung",))
FINDING = Target(name="finding", kind="labels", classes=("no", "yes"))


@pytest.fixture(scope="module")
def theirs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("rivals_theirs", FOLDER / "rivals_theirs.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look it up
    spec.loader.exec_module(module)
    return module


def cost(network: nn.Module, images: Tensor) -> int:
    """Operations of a forward pass."""
    with FlopCounterMode(display=False) as counter:
        network(images)
    return int(counter.get_total_flops())


class _Ours(nn.Module):
    def __init__(self, task: Task, target: Target) -> None:
        super().__init__()
        self.backbone = ResNet().build()
        self.task = task.build(self.backbone, target, 2)

    def forward(self, images: Tensor) -> object:
        level = torch.zeros(len(images)), torch.ones(len(images))
        batch = Batch((images * 0).to(torch.uint8), *level, torch.zeros(len(images)), ("",) * len(images))
        return self.task.outputs(self.backbone, batch)


@pytest.mark.parametrize("kind", ["classification", "segmentation"])
def test_both_sides_of_a_step_cost_the_same(kind: str, theirs: ModuleType) -> None:
    task, target = (Classification(), FINDING) if kind == "classification" else (Segmentation(), LUNGS)
    ours = _Ours(task, target)
    net = theirs._grey(resnet18(num_classes=2))
    other = net if kind == "classification" else theirs._deeplab(net)
    images = torch.zeros(2, 1, 96, 128)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in other.parameters())
    assert cost(ours, images) == cost(other, images) > 0
