"""Work that another holder of the lock is at: told apart, done after the rest, and in the end done."""

from __future__ import annotations

from pathlib import Path

import pytest
from held import held_until_slept

from muscle import busy
from muscle.busy import Busy, as_they_get_free, exclusive
from muscle.progress import SILENT


def test_one_at_a_time_and_free_again_after_an_error(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with (
        exclusive(lock, "a"),
        pytest.raises(Busy, match="^b: another process is computing it"),
        exclusive(lock, "b"),
    ):
        raise AssertionError("both inside")
    with pytest.raises(ZeroDivisionError), exclusive(lock, "a"):
        _ = 1 / 0
    with exclusive(lock, "a"):
        pass


def test_what_is_busy_is_done_last_and_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept, done = held_until_slept(tmp_path / "2", monkeypatch), []

    def run(item: int) -> None:
        with exclusive(tmp_path / str(item), "item"):
            done.append(item)

    as_they_get_free([1, 2, 3], run, SILENT)
    assert done == [1, 3, 2] and slept == [busy.WAIT]
