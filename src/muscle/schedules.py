"""Schedules: in which order, and how often, the tasks of a stage take their turns, or mix."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from muscle.parts import Part
from muscle.types import Turn


class Schedule(Part):
    """Root of the family."""

    home: ClassVar[str] = "muscle.schedules"

    def turns(self, steps: Mapping[str, int], seed: int) -> list[Turn]:
        """The turns of a stage.

        Args:
            steps: optimizer steps of one epoch of each task, in the order of the stage.
            seed: decides the order where the schedule shuffles; the same on every machine.
        """
        raise TypeError(f"{type(self).__name__} must define turns")


class Sequential(Schedule):
    """Task after task in the given order, each for a block of epochs (MUSCLE--; also a single task's epochs).

    Each epoch is a turn of its own, so that scores and snapshots come as often as in ``Cyclic``.
    """

    kind: ClassVar[str] = "sequential"

    epochs_per_task: int = Field(10, ge=1)  # MUSCLE's 10 rounds of one epoch each, paper section 2.2
    least_steps: int = Field(0, ge=0)  # a task whose epochs come to fewer steps takes more epochs
    more_steps: int = Field(0, ge=0)  # of each task beyond these, rounded up to whole epochs

    def turns(self, steps: Mapping[str, int], seed: int) -> list[Turn]:
        """One block a task; ``round`` is 0 throughout. ``seed`` is not used."""
        epochs = {
            task: max(self.epochs_per_task, math.ceil(self.least_steps / n)) + math.ceil(self.more_steps / n)
            for task, n in steps.items()
        }
        return _number([(0, task, epoch) for task in steps for epoch in range(epochs[task])], steps)


class Cyclic(Schedule):
    """Rounds that visit every task once, one epoch a visit, in an order reshuffled each round (paper section 2.2)."""

    kind: ClassVar[str] = "cyclic"

    rounds: int = Field(10, ge=1)  # paper section 2.2
    reshuffle: bool = True

    def turns(self, steps: Mapping[str, int], seed: int) -> list[Turn]:
        """``rounds`` times the tasks; with ``reshuffle`` each round in its own order."""
        visits = []
        for number in range(self.rounds):
            order = list(steps)
            if self.reshuffle:
                _shuffle(order, seed, number)
            visits += [(number, task, number) for task in order]
        return _number(visits, steps)


class Mixed(Schedule):
    """Joint training: all tasks alternate from step to step, and a turn is a round with an epoch of each of them.

    The upper bound that continual learning is measured against, since nothing is ever left behind (Caruana 1997;
    Li and Hoiem 2017 call it joint training). As many steps as ``Cyclic`` with as many rounds.
    """

    kind: ClassVar[str] = "mixed"

    rounds: int = Field(10, ge=1)  # as Cyclic

    def turns(self, steps: Mapping[str, int], seed: int) -> list[Turn]:
        """One turn a round; the steps of all tasks in one order, shuffled anew each round."""
        found = []
        for number in range(self.rounds):
            order = [task for task, count in steps.items() for _ in range(count)]
            _shuffle(order, seed, number)
            found.append(
                Turn(
                    index=number, round=number, task=" + ".join(steps), epoch=number, steps=len(order),
                    order=tuple(order),
                )
            )  # fmt: skip
        return found


def _shuffle(order: list[str], seed: int, number: int) -> None:
    random.Random(f"{seed}/{number}").shuffle(order)


def _number(visits: list[tuple[int, str, int]], steps: Mapping[str, int]) -> list[Turn]:
    return [
        Turn(index=index, round=number, task=task, epoch=epoch, steps=steps[task])
        for index, (number, task, epoch) in enumerate(visits)
    ]
