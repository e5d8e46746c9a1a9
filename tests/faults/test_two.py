"""Two processes on one run: they share the work or one says so; a lock goes with its holder. Oracle: one alone."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import command
from small_run import Place, same_results

SECONDS = 240


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """What one process alone gives, in ``kept/whole``."""
    made = Place(tmp_path_factory.mktemp("two"))
    made.films()
    made.run("pretrain").done()
    shutil.copytree(made.case, made.kept / "whole")
    return made


def both(place: Place, name: str) -> list[command.Ended]:
    """The same command by two processes at once."""
    words = place.commands[name]
    started = [command.start(*words, cwd=place.given) for _ in range(2)]
    return [command.wait(process, SECONDS) for process in started]


def ends_well(place: Place, name: str) -> None:
    """One at least does the work; the other too, or it says in one line who is at it."""
    ended = both(place, name)
    assert any(one.code == 0 for one in ended), ended
    for one in ended:
        if one.code:
            assert "another process" in one.refused(1)


def test_pretraining_twice_at_once(place: Place) -> None:
    place.start("")
    ends_well(place, "pretrain")
    mine = "runs/mine/backbone.safetensors"
    assert (place.case / mine).read_bytes() == (place.kept / "whole" / mine).read_bytes()


@pytest.mark.slow
def test_comparing_twice_at_once(place: Place) -> None:
    place.start("whole")
    place.run("compare").done()
    table = place.case / "runs" / "table"
    alone = table.replace(place.kept / "alone")
    for model in (place.case / "runs" / "checkpoints").glob("*/model.json"):
        shutil.rmtree(model.parent)
    ends_well(place, "compare")
    assert same_results(table, alone)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
def test_a_lock_goes_with_a_killed_holder(place: Place) -> None:
    """Killed while it holds the lock of its stage; the next process is not kept waiting."""
    place.start("whole")
    shutil.rmtree(place.case / "runs")
    held = command.start(*place.commands["pretrain"], cwd=place.given)
    until = time.monotonic() + SECONDS
    while not list(place.case.glob("runs/checkpoints/*.running/lock")) and time.monotonic() < until:
        time.sleep(0.01)
    held.send_signal(signal.SIGKILL)
    held.communicate()
    assert held.returncode == -signal.SIGKILL
    place.run("pretrain").done()
    mine = "runs/mine/backbone.safetensors"
    assert (place.case / mine).read_bytes() == (place.kept / "whole" / mine).read_bytes()
