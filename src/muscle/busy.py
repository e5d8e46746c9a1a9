"""Work that another process is at is left for later, and waited for at the end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from muscle.errors import UserError
from muscle.progress import Progress

Item = TypeVar("Item")

WAIT = 5.0  # seconds until what other processes are at is looked for again


class Busy(UserError):
    """Another process is computing this very thing."""


@contextlib.contextmanager
def exclusive(lock: Path, what: str) -> Iterator[None]:
    """Inside, no other process that asks for the same file is; a process that ends, however, lets go of it.

    Args:
        lock: a file that may be made and stays.
        what: is being computed, for the message.

    Raises:
        Busy: another process is inside.
    """
    held = FileLock(lock)
    try:
        held.acquire(timeout=0)
    except Timeout:
        raise Busy(
            f"{what}: another process is computing it ({lock.parent}); wait for it, or stop it"
        ) from None
    try:
        yield
    finally:
        held.release()


def as_they_get_free(items: Iterable[Item], run: Callable[[Item], None], progress: Progress) -> None:
    """Runs every item; one that is ``Busy`` again after all others, until none is.

    So several processes fill one folder side by side.
    """
    waiting = list(items)
    while waiting:
        busy = []
        for item in waiting:
            try:
                run(item)
            except Busy:
                busy.append(item)
        if len(busy) == len(waiting):
            progress.message(f"waiting for {len(busy)} results that other processes are computing")
            time.sleep(WAIT)
        waiting = busy
