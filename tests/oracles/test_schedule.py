"""The order of the turns. Oracle: what section 2.2 of the paper says of it, counted."""

from __future__ import annotations

from collections import Counter

import pytest

from muscle.schedules import Cyclic, Mixed, Sequential

pytestmark = pytest.mark.oracle

STEPS = {"pneumonia": 7, "lungs": 3, "boxes": 2, "hand": 5}


def test_every_task_once_a_round_reshuffled_each_round() -> None:
    turns = Cyclic(rounds=10).turns(STEPS, seed=0)
    orders = [tuple(t.task for t in turns if t.round == r) for r in range(10)]
    assert all(sorted(order) == sorted(STEPS) for order in orders)
    assert len(set(orders)) > 5  # 24 orders, 10 rounds: nearly all differ
    assert [t.round for t in turns] == sorted(t.round for t in turns)
    assert [t.index for t in turns] == list(range(40))


def test_the_same_order_on_every_call_another_for_another_seed() -> None:
    turns = Cyclic(rounds=10).turns(STEPS, seed=3)
    assert turns == Cyclic(rounds=10).turns(dict(STEPS), seed=3)
    assert [t.task for t in turns] != [t.task for t in Cyclic(rounds=10).turns(STEPS, seed=4)]
    # Written down once, so that another Python or machine that shuffles otherwise is noticed.
    assert [t.task for t in turns[:8]] == [
        "lungs", "pneumonia", "boxes", "hand",
        "lungs", "boxes", "pneumonia", "hand",
    ]  # fmt: skip


def test_without_reshuffling_each_round_has_the_given_order() -> None:
    turns = Cyclic(rounds=3, reshuffle=False).turns(STEPS, seed=0)
    assert [t.task for t in turns] == list(STEPS) * 3


def test_cyclic_and_sequential_train_each_task_equally() -> None:
    cyclic, blocks = Cyclic(rounds=6).turns(STEPS, seed=1), Sequential(epochs_per_task=6).turns(STEPS, seed=1)
    for turns in (cyclic, blocks):
        assert Counter(t.task for t in turns) == dict.fromkeys(STEPS, 6)
        assert all(t.steps == STEPS[t.task] for t in turns)
        for task in STEPS:  # each visit reshuffles the rows: the epochs of a task count up
            assert [t.epoch for t in turns if t.task == task] == list(range(6))
    assert [t.task for t in blocks] == [task for task in STEPS for _ in range(6)]


def test_joint_training_gives_each_task_its_epoch_a_round_step_by_step() -> None:
    """As many steps of each task as in rounds; which task a step trains changes all the time, anew each round."""
    turns = Mixed(rounds=6).turns(STEPS, seed=1)
    assert [(t.index, t.round, t.epoch, t.steps) for t in turns] == [
        (i, i, i, sum(STEPS.values())) for i in range(6)
    ]
    for turn in turns:
        assert Counter(turn.task_at(step) for step in range(turn.steps)) == STEPS
        assert set(turn.tasks) == set(STEPS) and turn.task == "pneumonia + lungs + boxes + hand"
        changes = sum(a != b for a, b in zip(turn.order, turn.order[1:], strict=False))
        assert changes > len(STEPS)  # in blocks there would be one change less than tasks
    assert len({turn.order for turn in turns}) == 6
    assert turns == Mixed(rounds=6).turns(dict(STEPS), seed=1) != Mixed(rounds=6).turns(STEPS, seed=2)
