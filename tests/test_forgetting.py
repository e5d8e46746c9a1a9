"""Average, transfer and forgetting. Oracle: matrices worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from muscle.forgetting import forgetting


def _turn(index: int, task: str, **scores: float | None) -> dict[str, Any]:
    shared = {name: None if value is None else value - 0.1 for name, value in scores.items()}
    return {"turn": index, "round": 0, "task": task, "recomputed": scores, "shared": shared}


def test_transfer_and_forgetting_by_hand() -> None:
    found = forgetting([
        _turn(0, "a", a=0.8, b=None, c=None),
        _turn(1, "b", a=0.9, b=0.7, c=None),
        _turn(2, "c", a=0.6, b=0.75, c=0.5),
    ])  # fmt: skip
    # a: from .8 to .6, best .9; b: from .7 to .75, best before the end .7; c came last and is left out
    assert found["backward_transfer"] == pytest.approx(((0.6 - 0.8) + (0.75 - 0.7)) / 2)
    assert found["forgetting"] == pytest.approx(((0.9 - 0.6) + (0.7 - 0.75)) / 2)
    assert found["backward_transfer_shared"] == pytest.approx(found["backward_transfer"])
    assert found["tasks"] == ["a", "b", "c"] and len(found["turns"]) == 3


def test_average_and_forward_transfer_by_hand() -> None:
    """b is visited second, c third: what came before moved their frozen features by -.1 and +.15; a came first."""
    turns = [
        _turn(0, "a", a=0.8, b=None, c=None) | {"frozen": {"b": 0.6}},
        _turn(1, "b", a=0.9, b=0.7, c=None) | {"frozen": {"c": 0.65}},
        _turn(2, "c", a=0.6, b=0.75, c=0.5) | {"frozen": {}},
        _turn(3, "b", a=0.7, b=0.8, c=0.6) | {"frozen": {"a": 0.1}},  # after the end: of no first turn
    ]
    found = forgetting(turns, {"a": 0.9, "b": 0.7, "c": 0.5})
    assert found["forward_transfer"] == pytest.approx(((0.6 - 0.7) + (0.65 - 0.5)) / 2)
    assert found["average"] == pytest.approx((0.7 + 0.8 + 0.6) / 3) == found["average_shared"] + 0.1
    assert found["backward_transfer"] == pytest.approx(((0.7 - 0.8) + (0.6 - 0.5)) / 2)  # as without
    assert "forward_transfer" not in forgetting(turns) and "forward_transfer" not in forgetting(
        turns, {"b": None}
    )


def test_joint_training_has_an_average_and_no_transfer() -> None:
    looks = [_turn(0, "a + b", a=0.8, b=0.6) | {"frozen": {"a": 0.7}}, _turn(1, "a + b", a=0.9, b=0.7)]
    found = forgetting(looks, {"a": 0.6})
    assert found["average"] == pytest.approx(0.8)
    assert not {"backward_transfer", "forgetting", "forward_transfer"} & set(found)


def test_what_a_task_learned_in_its_own_block_is_no_transfer() -> None:
    """Blocks: a learns .5, .7, .9 by itself, then b costs it .15."""
    found = forgetting([
        _turn(0, "a", a=0.5, b=None), _turn(1, "a", a=0.7, b=None), _turn(2, "a", a=0.9, b=None),
        _turn(3, "b", a=0.75, b=0.6),
    ])  # fmt: skip
    assert found["backward_transfer"] == pytest.approx(-0.15) == -found["forgetting"]


def test_one_task_forgets_nothing_and_says_nothing() -> None:
    found = forgetting([_turn(0, "a", a=0.8), _turn(1, "a", a=0.9)])
    assert "forgetting" not in found and "backward_transfer" not in found


def test_a_task_that_is_not_scored_at_the_end_has_lost_nothing_that_is_known() -> None:
    turns = [_turn(0, "a", a=0.5, b=0.1), _turn(1, "a", a=0.9, b=0.1), _turn(2, "b", a=None, b=0.7)]
    found = forgetting(turns)
    assert not {"forgetting", "backward_transfer", "average"} & set(found)
