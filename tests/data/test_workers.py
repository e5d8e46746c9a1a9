from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from muscle.data.decode import Decode
from muscle.data.film import Film, Job, film
from muscle.data.workers import films


class Bomb:
    """Ends the process that unpickles it, as a crashing codec would."""

    def __reduce__(self) -> Any:
        return os._exit, (3,)


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    for i in range(12):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((4, 5), i, np.uint8))
    (tmp_path / "3.png").write_bytes(b"nothing")
    return [Job(str(tmp_path), f"{i}.png", (4, 5), Decode(), "stretch") for i in range(12)]


def summary(made: list[Film | str]) -> list[Any]:
    return [m if isinstance(m, str) else (m.pixels.tobytes(), m.record) for m in made]


def test_processes_give_what_one_gives_in_order(jobs: list[Job]) -> None:
    """Oracle: the plain loop."""
    one = summary([film(job) for job in jobs])
    assert summary(list(films(jobs, 0))) == one == summary(list(films(jobs, 2)))
    assert isinstance(one[3], str) and one[4][0] == bytes([4] * 20)


def test_a_crashed_process_costs_only_its_file(jobs: list[Job]) -> None:
    bad = {5: "the decoder crashed on this file", 6: "the decoder crashed on this file"}
    mined = [Job(Bomb(), j.path, j.size, j.decode, j.fit) if i in bad else j for i, j in enumerate(jobs)]  # type: ignore[arg-type]
    found, plain = summary(list(films(mined, 2))), summary([film(job) for job in jobs])
    assert found == [bad.get(i, p) for i, p in enumerate(plain)]


def test_a_script_without_a_guard_is_not_run_again(tmp_path: Path, jobs: list[Job]) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from muscle.data.decode import Decode\nfrom muscle.data.film import Job\n"
        "from muscle.data.workers import films\nprint('once')\n"
        f"jobs = [Job({str(tmp_path)!r}, f'{{i}}.png', (4, 5), Decode(), 'stretch') for i in (0, 1, 2)]\n"
        "print([type(f).__name__ for f in films(jobs, 2)], __file__.endswith('script.py'))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == ["once", "['Film', 'Film', 'Film'] True"]
