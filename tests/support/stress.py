"""What a worker is given to do in tests of its bounds; it imports them from here."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from muscle.errors import UserError


def doze(seconds: float) -> float:
    """Sleeps."""
    time.sleep(seconds)
    return seconds


def grab(size: int) -> int | None:
    """Takes and fills so many bytes; the most memory that the process has held so far, or None where it got none."""
    try:
        np.full(size, 1, np.uint8)
    except MemoryError:
        return None
    return peak()


def peak() -> int:
    """The most bytes that this process has held. (``ru_maxrss`` of a new process counts what its parent held.)"""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def complain(job: int) -> None:
    """Says what is wrong."""
    raise UserError(f"{job}: what is wrong with {job}")


def panic(job: int) -> int:
    """Fails at 0 as libraries in Rust do: no ``Exception``, and of a class that cannot be found again."""
    if job == 0:
        raise type("Panic", (BaseException,), {})("at 0")
    return job
