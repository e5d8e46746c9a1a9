"""A lock that another process seems to hold, until who waits for it sleeps."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from filelock import FileLock

from muscle import busy


def held_until_slept(lock_file: Path, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Holds the lock; at the first sleep of ``busy`` it is free. The list fills with the seconds of every sleep."""
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(lock_file)
    lock.acquire()
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        lock.release()

    # Not the function of the module ``time``: other threads sleep too.
    monkeypatch.setattr(busy, "time", SimpleNamespace(sleep=sleep))
    return slept
