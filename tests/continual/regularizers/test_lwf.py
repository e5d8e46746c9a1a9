"""LwF as a part; its loss has an oracle of its own."""

from __future__ import annotations

import pytest
import torch
from films import Bone, batch

from muscle.continual.regularizers import Regularizer, Step
from muscle.continual.regularizers.lwf import LwF
from muscle.errors import UsageError
from muscle.recipe import Stage
from muscle.tasks import Task
from muscle.tasks.classification import Classification
from muscle.tasks.detection import Detection
from muscle.tasks.moco import MoCo
from muscle.tasks.segmentation import Segmentation
from muscle.types import Target, Turn

KINDS = {
    "labels": (Classification(), Target(name="old", kind="labels", classes=("a", "b"), exclusive=False)),
    "mask": (Segmentation(width=8), Target(name="old", kind="mask", classes=("a",))),
    "boxes": (Detection.lean(), Target(name="old", kind="boxes", classes=("a",))),
}


def test_it_is_found_by_its_kind() -> None:
    assert Regularizer._member({"kind": "lwf", "temperature": 1.0}) == LwF(temperature=1.0)
    with pytest.raises(UsageError, match="temperature"):
        LwF().with_(temperature=0.0)


def test_it_needs_outputs() -> None:
    stage = Stage(name="s", tasks=(MoCo(),), regularizers=(LwF(), LwF()))
    assert stage.mistakes() == [
        "stage s: lwf needs annotated tasks; moco has no outputs to keep", "stage s: lwf stands twice"
    ]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_head_is_held_where_it_was(kind: str) -> None:
    """Right at the start of a turn nothing pulls; once the backbone has moved, something does."""
    torch.manual_seed(0)
    part, target = KINDS[kind]
    assert isinstance(part, Task)
    backbone = Bone()
    tasks = {
        "old": part.build(backbone, target, 9),
        "new": Classification().build(backbone, Target(name="new", kind="labels", classes=("a", "b")), 9),
    }
    module = LwF().build(backbone, tasks)
    assert LwF().extra > 1 and LwF(weight=0.0).extra == 0
    step = Step("new", 0, batch(2), tasks, torch.float32)
    assert module.losses(backbone, step) == {}  # nothing has been trained
    module.end_turn(
        backbone, Turn(index=0, round=0, task="old", epoch=0, steps=1), tasks, lambda *_: iter(())
    )
    with torch.no_grad():
        for p in backbone.parameters():
            p.mul_(1.1)
    module.begin_turn(backbone, Turn(index=1, round=0, task="new", epoch=0, steps=1), tasks)
    pulls = []
    for factor in (1.0, 1.2):
        with torch.no_grad():
            backbone.net[0].weight.mul_(factor)
        loss = module.losses(backbone, step)["distillation"]
        (gradient,) = torch.autograd.grad(loss, [backbone.net[0].weight])
        pulls.append(gradient.norm().item())
    assert pulls[0] == pytest.approx(0, abs=1e-7) and pulls[1] > max(1e-9, 1000 * pulls[0])
    assert module.losses(backbone, Step("old", 0, batch(2), tasks, torch.float32)) == {}  # its own turn
