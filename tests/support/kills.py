"""The end of a process at a chosen step, raised where a stage counts its steps."""

from __future__ import annotations

from muscle.machine import Machine
from muscle.progress import Progress

EAGER = Machine(
    device="cpu", threads=1, workers=0, snapshot_minutes=1e-9
)  # a snapshot at every line of the log


class Killed(Exception):
    """Stands for the end of the process."""


class Killer(Progress):
    """Raises at the n-th step of a stage, before the snapshot of that step is written."""

    def __init__(self, stage: str, step: int) -> None:
        self.stage, self.step = stage, step
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)

    def count(self, what: str, done: int, total: int, unit: str) -> None:
        if what == self.stage and done == self.step:
            raise Killed
