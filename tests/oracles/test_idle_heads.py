"""Idle heads do not move. Oracle: the heads' own bits, before and after the turns of other tasks."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
import torch

from muscle.learner import Learner
from muscle.looks import Looks
from muscle.optim import Optimizer
from muscle.types import Turn

pytestmark = pytest.mark.oracle


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_idle_heads_do_not_move_which_is_why_zero_grad_sets_to_none(
    name: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An optimizer skips a parameter whose gradient is None.

    With a gradient of zeros instead, momentum and weight decay go on moving the heads whose task is not training.
    """
    heads: list[tuple[str, dict[str, dict[str, torch.Tensor]]]] = []
    begin = Learner.begin_turn

    def recorded(self: Learner, turn: Turn) -> None:
        heads.append((turn.task, {
            task: {k: v.clone() for k, v in self.module(task).head.state_dict().items()} for task in self.names
        }))  # fmt: skip
        begin(self, turn)

    monkeypatch.setattr(Learner, "begin_turn", recorded)
    monkeypatch.setattr(Looks, "_scores", lambda *_: {})  # only looks, and takes longer than the training
    method = tiny.small("muscle", rounds=2)
    last = method.stages[-1].with_(
        optimizer=Optimizer.parse({"name": name, "rate": 1e-2, "weight_decay": 0.1, "momentum": 0.9}),
        regularizers=(),
    )
    alone = method.with_(stages=(last,))
    made = tiny.pipeline(alone, tiny.corpus(tmp_path_factory.getbasetemp() / "tiny"), tmp_path).pretrain()[-1]
    tasks = list(heads[0][1])
    assert len(tasks) == 3 and len(heads) == 6
    heads.append(("", {task: made.head_state(task) or {} for task in tasks}))
    for (training, before), (_, after) in zip(heads, heads[1:], strict=False):
        for task in tasks:
            same = all(torch.equal(before[task][k], after[task][k]) for k in before[task])
            assert same == (task != training), (
                f"{task} {'stood still' if same else 'moved'} while {training} trained"
            )
