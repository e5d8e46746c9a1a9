from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from stress import complain, doze, grab, panic

from muscle.data.decode import Decode
from muscle.data.film import Film, Job, film
from muscle.data.workers import Limits, bounded, films, mapped
from muscle.errors import UserError


class Bomb:
    """Ends the process that unpickles it, as a crashing codec would."""

    def __reduce__(self) -> Any:
        return os._exit, (3,)


class Stall:
    """Holds the process that unpickles it, as a codec that does not end would."""

    def __reduce__(self) -> Any:
        return time.sleep, (60,)


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


def test_a_file_that_does_not_end_is_left_out(jobs: list[Job]) -> None:
    slow = [Job(Stall(), j.path, j.size, j.decode, j.fit) if i == 4 else j for i, j in enumerate(jobs)]  # type: ignore[arg-type]
    found, plain = summary(list(films(slow, 2, Limits(seconds=2)))), summary([film(job) for job in jobs])
    assert found == ["decoding took more than 2 s" if i == 4 else p for i, p in enumerate(plain)]


def test_libraries_do_not_print_between_the_progress(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(np.eye(64, dtype=np.float32)).save(tmp_path / "x.tif", compression="tiff_adobe_deflate")
    content = bytearray((tmp_path / "x.tif").read_bytes())
    content[20:40] = bytes(20)
    (tmp_path / "x.tif").write_bytes(content)
    bad = Job(str(tmp_path), "x.tif", (4, 5), Decode(), "stretch")
    assert "cannot be read" in str(film(bad)) and "ZIPDecode" in capfd.readouterr().err  # of libtiff
    assert "cannot be read" in str(*films([bad], 1)) and capfd.readouterr().err == ""


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="signals are blocked there")
def test_workers_are_deaf_to_ctrl_c_and_this_process_is_not() -> None:
    """Oracle: the mask that the system holds for each."""
    (heard,) = mapped(partial(signal.pthread_sigmask, signal.SIG_BLOCK), [[]], 1)
    assert signal.SIGINT in heard
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


@pytest.mark.skipif(sys.platform != "linux", reason="there /proc tells the mask of another process")
def test_pythons_own_helper_is_deaf_too() -> None:
    """In a process of its own, whose first pool starts it; SIGUSR1 to all of a job would end it, with tracebacks."""
    code = (
        "from muscle.data.workers import mapped; from multiprocessing import resource_tracker as r\n"
        "list(mapped(len, ['a'], 1)); print(open(f'/proc/{r._resource_tracker._pid}/status').read())"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    blocked = int(said.partition("SigBlk:")[2].split()[0], 16)
    assert all(blocked >> (number - 1) & 1 for number in (signal.SIGUSR1, signal.SIGHUP))


def test_time_spent_waiting_does_not_count(jobs: list[Job]) -> None:
    """Ten files of .3 s on one worker take longer together than one may."""
    assert list(mapped(doze, [0.3] * 10, 1, Limits(seconds=1.5))) == [0.3] * 10


@pytest.mark.skipif(sys.platform != "linux", reason="bounded by /proc and RLIMIT_AS")
def test_memory_is_bounded_and_the_run_goes_on(tmp_path: Path, jobs: list[Job]) -> None:
    """Oracle: the peak that the system saw."""
    Image.new("F", (8000, 7000)).save(tmp_path / "5.tif")
    large = [
        Job(str(tmp_path), "5.tif", j.size, j.decode, j.fit) if i == 5 else j for i, j in enumerate(jobs)
    ]
    limits = Limits(memory=300_000_000)
    found = list(films(large, 1, limits))
    assert found[5] == "cannot be read: it needs more memory than a film may take"
    assert sum(isinstance(f, Film) for f in found) == 10
    peaks = list(mapped(grab, [20_000_000, 2_000_000_000, 50_000_000], 1, limits))
    assert peaks[0] is not None and peaks[1] is None and peaks[2] is not None
    assert peaks[2] <= limits.memory
    assert isinstance(next(films(large[5:6], 0)), Film)  # it is sound: in this process it has all memory


@pytest.mark.parametrize("workers", [0, 1])
def test_whatever_is_raised_is_a_reason(workers: int) -> None:
    """A panic in Rust is no Exception, and its class cannot be sent to another process."""
    assert list(mapped(panic, [0, 1], workers)) == ["Panic: at 0", 1]


def test_one_thing_in_a_process_of_its_own(tmp_path: Path) -> None:
    assert bounded(os.path.basename, tmp_path / "a") == "a"
    with pytest.raises(UserError, match=r"none: FileNotFoundError: .*No such file"):
        bounded(os.listdir, tmp_path / "none")
    with pytest.raises(UserError, match=r"^0: what is wrong with 0$"):
        bounded(complain, 0)
    with pytest.raises(UserError, match=r"^3: the decoder crashed on this file$"):
        bounded(os._exit, 3)
    with pytest.raises(UserError, match=r"^9: decoding took more than 1 s$"):
        bounded(time.sleep, 9, Limits(seconds=1))


def test_an_element_longer_than_its_file_is_damage_and_no_lack_of_memory(tmp_path: Path) -> None:
    """Room for what it claims, 2 GB, is more than a process may take."""
    (tmp_path / "words.dcm").write_bytes(
        bytes(128) + b"DICM" + struct.pack("<HHI", 8, 0x103E, 2**31 - 16) + b"hello"
    )
    (said,) = films([Job(str(tmp_path), "words.dcm", (8, 8), Decode(), "stretch")], workers=1)
    assert isinstance(said, str) and said.startswith("not DICOM, or damaged")
