"""Replay. Oracle: which rows it asks for, counted; the loss of the replayed batch by the task itself."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from films import Bone, batch

from muscle.continual.regularizers import Regularizer, Step
from muscle.continual.regularizers.replay import Replay
from muscle.errors import UsageError
from muscle.tasks.classification import Classification
from muscle.types import Target, Turn

TURN = Turn(index=3, round=1, task="c", epoch=1, steps=400)
EARLIER = {"a": (100, 8), "b": (3, 8)}  # rows, batch size


def test_it_is_found_by_its_kind() -> None:
    assert Regularizer._member({"kind": "replay", "films": 8}) == Replay(films=8)
    with pytest.raises(UsageError, match="every"):
        Replay().with_(every=0)


def test_the_memory_is_a_fixed_few_films_of_each_task_and_tasks_come_alike() -> None:
    drawn = [Replay(films=10).replayed(0, "s", TURN, step, EARLIER) for step in range(400)]
    found = [d for d in drawn if d is not None]
    assert len(found) == 400
    tasks = Counter(task for task, _ in found)
    assert 160 < tasks["a"] < 240
    rows = {task: {int(i) for t, index in found if t == task for i in index} for task in EARLIER}
    assert len(rows["a"]) == 10 and rows["a"] <= set(range(100)) and rows["b"] == {0, 1, 2}
    assert all(len(set(index.tolist())) == len(index) == (8 if task == "a" else 3) for task, index in found)
    other = Replay(films=10).replayed(1, "s", TURN, 0, {"a": (100, 8)})
    assert other is not None and not set(other[1].tolist()) <= rows["a"]  # another seed, another memory


def test_it_is_a_function_of_its_place() -> None:
    for step in range(5):
        first, second = (Replay().replayed(0, "s", TURN, step, EARLIER) for _ in range(2))
        assert first is not None and second is not None
        assert first[0] == second[0] and (first[1] == second[1]).all()


def test_when_nothing_is_replayed() -> None:
    assert Replay().replayed(0, "s", TURN, 0, {}) is None
    assert Replay(weight=0.0).replayed(0, "s", TURN, 0, EARLIER) is None
    asked = [Replay(every=3).replayed(0, "s", TURN, step, EARLIER) is not None for step in range(7)]
    assert asked == [True, False, False, True, False, False, True]
    assert Replay(every=4).extra == 0.25 and Replay(weight=0.0).extra == 0


def test_its_loss_is_that_of_the_earlier_task_times_the_weight() -> None:
    backbone = Bone()
    truth = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    target = Target(name="a", kind="labels", classes=("x", "y"))
    tasks = {"a": Classification().build(backbone, target, 9)}
    films = batch(2, target=truth)
    module = Replay(weight=0.3).build(backbone, tasks)
    assert module.losses(backbone, Step("c", 0, films, tasks, torch.float32)) == {}
    found = []
    for losses in (
        lambda: module.losses(backbone, Step("c", 0, films, tasks, torch.float32, ("a", films)))["replay"],
        lambda: tasks["a"].losses(backbone, films)["cross_entropy"],
    ):
        torch.manual_seed(0)  # views are drawn
        found.append(losses().item())
    assert found[0] == pytest.approx(0.3 * found[1])
