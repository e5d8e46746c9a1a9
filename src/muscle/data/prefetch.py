"""One batch ahead: the next batch is read while the current one is trained on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")

_END = object()


class Prefetch(Generic[Item, Made]):
    """Iterates ``make(item)`` over ``items``, one ahead, in a thread.

    ``make`` must draw no random numbers from torch's global generator: the consumer is drawing from it at the
    same time. An exception in ``items`` or ``make`` is raised in the consumer, after the batches before it.
    """

    def __init__(self, items: Iterable[Item], make: Callable[[Item], Made]) -> None:
        self._queue: queue.Queue[object] = queue.Queue(maxsize=1)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(items, make), name="prefetch", daemon=True)
        self._thread.start()

    def _work(self, items: Iterable[Item], make: Callable[[Item], Made]) -> None:
        last: object = _END
        try:
            for item in items:
                if not self._put((make(item),)):
                    return
        except BaseException as error:
            last = error
        self._put(last)

    def _put(self, value: object) -> bool:
        """Waits for room; False as soon as the consumer has closed."""
        while not self._closed.is_set():
            try:
                self._queue.put(value, timeout=0.05)
                return True
            except queue.Full:
                continue
        return False

    def __iter__(self) -> Iterator[Made]:
        while not self._closed.is_set():
            value = self._queue.get()
            if isinstance(value, tuple):
                yield value[0]
                continue
            self.close()
            if isinstance(value, BaseException):
                raise value

    def close(self) -> None:
        """Stops the thread and waits for it; may be called at any time, and again."""
        self._closed.set()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
