"""A handful of ``kill.py``; hundreds by ``python tests/faults/kill.py``. Oracle: the bits of an unbroken run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CAMPAIGN = Path(__file__).with_name("kill.py")
POSIX = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found by /proc")


def _campaign(folder: Path, *words: str) -> tuple[int, list[str]]:
    """Its exit code and its lines."""
    ended = subprocess.run(
        [sys.executable, str(CAMPAIGN), *words, "--keep", str(folder), "--jobs", "2"],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=os.environ,
    )  # fmt: skip
    print(ended.stdout)
    return ended.returncode, ended.stdout.splitlines()


@POSIX
def test_killed_runs_end_with_the_bits_of_an_unbroken_one(tmp_path: Path) -> None:
    """Two begun at an instant and one at a file operation; what goes on is killed as well, where it can be."""
    words = ("--n", "2", "--operations", "1", "--again", "1", "--least", "0")
    code, lines = _campaign(tmp_path, "--warm", *words)
    broken = [line for line in lines if " starts | " in line]
    assert code == 0 and len(broken) == 3 and all(line.endswith("| equal") for line in broken)


@POSIX
@pytest.mark.slow
def test_a_resume_that_forgets_the_queue_is_found_out(tmp_path: Path) -> None:
    """Else equal bits would say nothing. With this seed both are killed late in pre-training, with a queue to lose."""
    words = ("--n", "0", "--phases", "pretrain", "--least", "2", "--sabotage", "queue", "--seed", "83")
    code, lines = _campaign(tmp_path, "--warm", *words)
    assert code == 1 and sum("DIFFERENT weights, DIFFERENT state" in line for line in lines) == 2


@POSIX
@pytest.mark.slow
@pytest.mark.parametrize(
    "how", [("--n", "20"), ("--n", "4", "--signal", "TERM"), ("--n", "2", "--ranks", "2")]
)
def test_more_kills(how: tuple[str, ...], tmp_path: Path) -> None:
    """Of the command as users start it, each time from its imports on."""
    code, lines = _campaign(tmp_path, *how, "--least", "0", "--operations", "4")
    assert code == 0 and any(line.endswith(" 0 not") for line in lines)
