"""What a worker is given to do in tests of its bounds; it imports them from here."""

from __future__ import annotations

import time

import numpy as np


def doze(seconds: float) -> float:
    """Sleeps."""
    time.sleep(seconds)
    return seconds


def grab(size: int) -> int | None:
    """Takes and fills so many bytes; the most memory that the process has held so far, or None where it got none."""
    import resource

    try:
        np.full(size, 1, np.uint8)
    except MemoryError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
