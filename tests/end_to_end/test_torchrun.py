"""The command under torchrun, as a user starts it: one writer, and a rank that is killed costs nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import command
import pytest
from agents import rank

EPOCHS = ("--set", "stages.0.schedule.epochs_per_task=8")


def start(films: Path, place: Path, *words: str) -> subprocess.Popen[str]:
    """Two processes."""
    place.mkdir()
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *words, "-m", "muscle"]
    given = ["pretrain", str(films), *command.PRETRAIN, *EPOCHS, "--out", str(place / "run")]
    return subprocess.Popen(
        [sys.executable, *launch, *given, "--store", str(place / "store")], cwd=place, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found by /proc")
def test_a_killed_rank_is_started_again_and_the_end_is_that_of_the_unbroken_run(
    films: Path, tmp_path: Path
) -> None:
    unbroken = command.wait(start(films, tmp_path / "a")).done().splitlines()[-1]
    broken = start(films, tmp_path / "b", "--max-restarts=5")
    while not list((tmp_path / "b").glob("checkpoints/*.running/snapshot.pt")):
        assert broken.poll() is None, broken.communicate()
        time.sleep(0.02)
    os.kill(rank(broken.pid, 1), signal.SIGKILL)
    ended = command.wait(broken)
    assert unbroken.startswith("sha256 ") and ended.done().splitlines()[-1] == unbroken
    assert "resumed at step" in ended.err
    assert (
        "connectFullMesh" not in ended.err
    )  # the dead rank's address, still in torchrun's store, is not called
    assert ended.out.count("sha256 ") == 1  # one speaks
