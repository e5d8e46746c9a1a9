from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from muscle.data.prefetch import Prefetch


def test_same_items_same_order() -> None:
    """Oracle: the built-in map."""
    assert list(Prefetch(range(20), lambda i: i * i)) == [i * i for i in range(20)]


def test_works_ahead_and_only_so_far() -> None:
    made: list[int] = []

    def make(i: int) -> int:
        made.append(i)
        return i

    with Prefetch(range(100), make) as batches:
        assert next(iter(batches)) == 0
        time.sleep(0.3)
        assert 2 <= len(made) <= 3


def test_errors_come_after_what_was_before_them() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    got: list[int] = []
    with pytest.raises(OSError, match="the disk is gone"):
        got.extend(i for i in Prefetch(items(), lambda i: i))
    assert got == [1]
    with pytest.raises(ZeroDivisionError):
        list(Prefetch([1, 0], lambda i: 1 // i))


def test_close_ends_the_thread_at_any_time() -> None:
    before = threading.active_count()
    for taken in (0, 1, 3):
        batches = Prefetch(range(3), lambda i: i)
        for _, _ in zip(range(taken), batches, strict=False):
            pass
        batches.close()
        batches.close()
    assert threading.active_count() == before
