"""Signals that ask a process to end: Ctrl-C, a scheduler's before its time limit, a terminal that closes."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

CONTINUE = 75  # exit code, EX_TEMPFAIL of sysexits.h: nothing is wrong, the same command goes on
# SIGUSR1 is what schedulers are told to send some minutes before their limit.
SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP") if hasattr(signal, name)
)


class Interrupted(KeyboardInterrupt):
    """Work that was asked to end has saved, and ends."""


def listen() -> None:
    """Has each of these signals raise KeyboardInterrupt in the program; one that is ignored (nohup) stays ignored."""
    _install(signal.default_int_handler)


def die() -> None:
    """Has each of these signals but Ctrl-C end the process at once, as if nobody listened."""
    for number in SIGNALS:
        if number != signal.SIGINT and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


@contextlib.contextmanager
def deferred() -> Iterator[Callable[[], str]]:
    """Inside, the first signal is noted, so that the work ends where it chooses to; a second ends it at once.

    Gives a function: the name of the signal that came, or an empty string. Outside of the main thread, which alone
    meets signals, none ever comes.
    """
    asked: list[str] = []

    def note(number: int, _: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(signal.Signals(number).name)
        with contextlib.suppress(OSError):  # not print: it may be what was interrupted
            os.write(2, f"\n{asked[0]}: ends after this step and saves; once more ends at once\n".encode())

    before = _install(note) if threading.current_thread() is threading.main_thread() else {}
    try:
        yield lambda: asked[0] if asked else ""
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_Handler = Callable[[int, FrameType | None], object]


def _install(handler: _Handler) -> dict[int, _Handler | int]:
    before: dict[int, _Handler | int] = {}
    for number in SIGNALS:
        there = signal.getsignal(number)
        if there is not None and there is not signal.SIG_IGN:  # None: somebody else's, from C
            before[number] = there
            signal.signal(number, handler)
    return before
