"""Schedules as parts: they are found by kind and answer for any number of tasks."""

from __future__ import annotations

from collections import Counter

import pytest

from muscle.errors import UsageError
from muscle.schedules import Cyclic, Mixed, Schedule, Sequential


@pytest.mark.parametrize("schedule", [Cyclic(rounds=3), Sequential(epochs_per_task=3), Mixed(rounds=3)])
def test_one_task_gives_its_epochs_in_order(schedule: Schedule) -> None:
    turns = schedule.turns({"moco": 5}, seed=0)
    assert [(t.index, t.task, t.epoch, t.steps) for t in turns] == [(i, "moco", i, 5) for i in range(3)]
    assert all(t.tasks == ("moco",) and {t.task_at(step) for step in range(5)} == {"moco"} for t in turns)


def test_sequential_is_one_round() -> None:
    assert {t.round for t in Sequential(epochs_per_task=2).turns({"a": 1, "b": 2}, seed=0)} == {0}


def test_more_steps_come_after_what_epochs_and_least_steps_ask_for() -> None:
    turns = Sequential(epochs_per_task=2, least_steps=10, more_steps=5).turns({"few": 3, "many": 6}, seed=0)
    assert Counter(turn.task for turn in turns) == {"few": 4 + 2, "many": 2 + 1}


def test_short_epochs_are_as_many_as_reach_the_least_steps() -> None:
    turns = Sequential(epochs_per_task=2, least_steps=10).turns({"few": 3, "many": 6}, seed=0)
    assert [(t.task, t.epoch) for t in turns] == [("few", e) for e in range(4)] + [
        ("many", e) for e in range(2)
    ]


def test_an_unknown_field_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="known: rounds, reshuffle"):
        Cyclic.parse({"round": 3})
    with pytest.raises(UsageError):
        Cyclic(rounds=2).with_(rounds=0)
