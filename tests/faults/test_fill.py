"""No room, no right to write, files that go: one line, nothing lost. Oracle: the weights of an unbroken run."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import command
from small_run import ON, Place

from muscle import engine


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Films, and the weights of the unbroken run in ``kept/whole``."""
    made = Place(tmp_path_factory.mktemp("fill"))
    made.films()
    made.run("pretrain").done()
    shutil.copytree(made.case, made.kept / "whole")
    return made


@contextmanager
def disk(folder: Path, size: str) -> Iterator[None]:
    """A small disk of its own at a folder; needs the right to mount."""
    folder.mkdir(parents=True, exist_ok=True)
    if sys.platform != "linux" or os.geteuid() or shutil.which("mount") is None:
        pytest.skip("only root on Linux may mount a small disk")
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=False)
    if made.returncode:
        pytest.skip("mounting is not permitted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def again(folder: Path, options: str) -> None:
    """The same disk under other options."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def weights(where: Path) -> bytes:
    """What pre-training gave."""
    return (where / "runs" / "mine" / "backbone.safetensors").read_bytes()


def one_line(ended: command.Ended) -> str:
    """The error, which names what is full and what to do."""
    line = ended.refused(1)
    assert "No space left on device" in line or "are free" in line
    return line


@pytest.mark.parametrize(
    "size", ["64k", pytest.param("512k", marks=pytest.mark.slow), "3m", pytest.param("5m", marks=pytest.mark.slow),
             pytest.param("8m", marks=pytest.mark.slow), pytest.param("11m", marks=pytest.mark.slow)],
)  # fmt: skip
def test_a_full_disk_then_room(place: Place, size: str) -> None:
    """A real disk that is too small at another moment for each size."""
    place.start("")
    with disk(place.case, size):
        line = one_line(place.run("pretrain"))
        assert str(place.case) in line
        again(place.case, "size=100m")
        place.run("pretrain").done()
        assert weights(place.case) == weights(place.kept / "whole")


class Full:
    """Fails the n-th call of ``os.fsync`` and ``os.replace`` together, counted from 1; 0: none, to count them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, nth: int) -> None:
        self.nth, self.calls = nth, 0
        for name in ("fsync", "replace"):
            monkeypatch.setattr(os, name, self._failing(getattr(os, name)))

    def _failing(self, sound: Any) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            self.calls += 1
            if self.calls == self.nth:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return sound(*given, **named)

        return call


def nth_fails(place: Place, monkeypatch: pytest.MonkeyPatch, nth: int) -> int:
    """The run with its n-th operation failing, and again; the calls that were made."""
    place.start("")
    with monkeypatch.context() as patched:
        full = Full(patched, nth)
        ended = place.run("pretrain")
    if full.calls >= nth > 0 and ended.code:
        one_line(ended)
    place.run("pretrain").done()
    assert weights(place.case) == weights(place.kept / "whole"), f"operation {nth}"
    return full.calls


def test_one_operation_after_another_fails(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of them; a folder's fsync may fail, for no file system must offer it."""
    for nth in (4, 20):
        assert nth_fails(place, monkeypatch, nth) >= nth


@pytest.mark.slow
def test_every_operation_fails_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = nth_fails(place, monkeypatch, 0)
    for nth in range(1, calls + 1):
        nth_fails(place, monkeypatch, nth)


def test_a_store_on_a_read_only_disk(place: Place) -> None:
    """Training goes on from a finished store, or one line says why not."""
    place.start("")
    stores = place.case / "stores"
    with disk(stores, "20m"):
        shutil.copytree(place.kept / "whole" / "stores", stores, dirs_exist_ok=True)
        again(stores, "ro")
        place.run("pretrain").done()
        assert weights(place.case) == weights(place.kept / "whole")


def test_a_run_on_a_read_only_disk(place: Place) -> None:
    place.start("")
    runs = place.case / "runs"
    with disk(runs, "20m"):
        again(runs, "ro")
        line = place.run("pretrain").refused(1)
        assert "Read-only file system" in line and str(runs) in line


@pytest.mark.parametrize("what", ["snapshot", "run", "store"])
def test_files_that_go_during_the_run(place: Place, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Removed after the first epoch: a mapped store stays until it is let go of, all else is written anew."""
    if what == "store" and os.name != "posix":
        pytest.skip("a mapped file cannot be removed there")
    place.start("whole")
    shutil.rmtree(place.case / "runs")
    saved = engine._Run._save
    gone: list[Path] = []

    def save(run: engine._Run) -> None:
        saved(run)
        if not gone:
            folder = {
                "snapshot": run.snapshot.folder,
                "run": place.case / "runs",
                "store": place.case / "stores",
            }
            gone.append(folder[what])
            shutil.rmtree(gone[0])

    with monkeypatch.context() as patched:
        patched.setattr(engine._Run, "_save", save)
        ended = place.run("pretrain")
    assert gone
    if ended.code:
        ended.refused(1)
    place.run("pretrain").done()
    assert weights(place.case) == weights(place.kept / "whole")


def test_a_film_that_goes_during_the_decoding(place: Place, tmp_path: Path) -> None:
    """It is set aside by name, the others are decoded."""
    films = tmp_path / "films"
    command.films(films, 6)
    gone = sorted(p for p in films.rglob("*") if p.is_file())[-1]
    from muscle.data.corpus import Corpus
    from muscle.data.data_file import DataFile
    from muscle.data.decode import Decode
    from muscle.progress import Progress

    class Remover(Progress):
        def count(self, what: str, done: int, total: int, unit: str) -> None:
            gone.unlink(missing_ok=True)

    made = Corpus.prepare(
        DataFile.of([str(films)]), (32, 32), Decode(), "stretch", tmp_path / "s", 0, Remover()
    )
    ((name, reason),) = made.stores[0].quarantine
    assert name.endswith(gone.name) and reason
    assert len(made.stores[0]) == 5


def test_ten_thousand_empty_files(tmp_path: Path) -> None:
    """One line, in seconds."""
    for i in range(10_000):
        (tmp_path / "films" / f"{i % 100}").mkdir(parents=True, exist_ok=True)
        (tmp_path / "films" / f"{i % 100}" / f"{i}.png").touch()
    words = ("--out", tmp_path / "run", "--store", tmp_path / "stores", *ON)
    line = command.muscle("pretrain", tmp_path / "films", *words).refused(1)
    assert "none of 10000 images can be used" in line and "0.png" in line
