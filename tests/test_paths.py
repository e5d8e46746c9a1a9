"""Paths. Oracles: hashlib over the whole content, os.statvfs, and what is left in the folder after a failure."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from muscle import paths
from muscle.errors import UsageError, UserError


def test_stores_follow_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    assert paths.stores() == Path("muscle-store")
    monkeypatch.setenv("MUSCLE_STORE", "/big/disk")
    assert paths.stores() == Path("/big/disk")


def test_runs_side_by_side_share_checkpoints(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert paths.run_folder(None, "demo") == Path("runs/demo")
    assert paths.run_folder(tmp_path / "x", "demo") == tmp_path / "x"
    assert paths.checkpoints(tmp_path / "a") == paths.checkpoints(tmp_path / "b") == tmp_path / "checkpoints"
    monkeypatch.setenv("MUSCLE_CHECKPOINTS", str(tmp_path / "c"))
    assert paths.checkpoints("anything") == tmp_path / "c"


def test_checkpoints_of_a_bare_name_lie_in_the_working_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert paths.checkpoints("out") == tmp_path / "checkpoints"


@pytest.mark.parametrize(
    ("given", "meant"), [("1", True), ("Yes", True), ("0", False), ("", False), ("off", False)]
)
def test_offline(monkeypatch: pytest.MonkeyPatch, given: str, meant: bool) -> None:
    monkeypatch.setenv("MUSCLE_OFFLINE", given)
    assert paths.offline() is meant


def test_offline_neither_yes_nor_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSCLE_OFFLINE", "perhaps")
    with pytest.raises(UsageError, match="MUSCLE_OFFLINE='perhaps'; allowed: 1"):
        paths.offline()


def test_free_bytes_of_a_path_to_come(tmp_path: Path) -> None:
    far = tmp_path / "not" / "yet" / "there"
    disk = os.statvfs(tmp_path)
    assert paths.nearest(far) == tmp_path
    assert paths.free_bytes(far) == pytest.approx(disk.f_bavail * disk.f_frsize, rel=0.2)


def test_require_space_says_needed_free_and_what_to_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(paths, "free_bytes", lambda path: 1_500_000_000)
    paths.require_space(tmp_path, 1_500_000_000, "the store a")
    with pytest.raises(
        UserError, match=r"the store a needs 2\.5 GB at .*, 1\.5 GB are free: .*MUSCLE_STORE"
    ) as caught:
        paths.require_space(tmp_path, 2_500_000_000, "the store a")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1


def test_atomic_write_makes_folders_and_replaces(tmp_path: Path) -> None:
    file = tmp_path / "a" / "b.txt"
    paths.atomic_write(file, "Wirbelsäule\r\n")
    assert file.read_bytes() == "Wirbelsäule\r\n".encode()
    paths.atomic_write(file, b"\x00\xff")
    assert file.read_bytes() == b"\x00\xff"
    assert [p.name for p in file.parent.iterdir()] == ["b.txt"]


def test_atomic_write_leaves_a_file_that_others_may_read(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    paths.atomic_write(tmp_path / "ours", "")
    assert stat.S_IMODE((tmp_path / "ours").stat().st_mode) == stat.S_IMODE(
        (tmp_path / "plain").stat().st_mode
    )


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_failing_disk_leaves_the_old_file_and_no_rubbish(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, broken: str
) -> None:
    file = tmp_path / "weights"
    paths.atomic_write(file, "old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, broken, fail)
    with pytest.raises(UserError, match=r"cannot write .*weights: No space left on device; give a folder"):
        paths.atomic_write(file, "new")
    assert file.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["weights"]


def test_the_content_is_on_disk_before_it_gets_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    order: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (order.append("fsync"), fsync(handle)))
    monkeypatch.setattr(os, "replace", lambda a, b: (order.append("replace"), replace(a, b)))
    paths.atomic_write(tmp_path / "x", b"content")
    assert order == ["fsync", "replace", "fsync"]  # the file, the name, the folder


def test_a_file_in_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        paths.atomic_write(tmp_path / "file" / "below", "x")


def test_sha256_file(tmp_path: Path) -> None:
    content = os.urandom(3_000_001)
    (tmp_path / "x").write_bytes(content)
    assert paths.sha256_file(tmp_path / "x") == hashlib.sha256(content).hexdigest()
    with pytest.raises(UserError, match="cannot read .*gone: No such file"):
        paths.sha256_file(tmp_path / "gone")


def test_the_salt_is_the_variable_or_a_file_made_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MUSCLE_SALT", "a word")
    assert paths.salt() == b"a word"
    monkeypatch.delenv("MUSCLE_SALT")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "one"))
    made = paths.salt()
    file = tmp_path / "one" / "muscle" / "salt"
    assert made == file.read_bytes() == paths.salt() and len(made) == 64
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "two"))
    assert paths.salt() != made
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "three"))
    (tmp_path / "three").write_text("a file")
    with pytest.raises(UserError, match="MUSCLE_SALT"):
        paths.salt()


def test_what_killed_writers_left_is_swept_and_no_more(tmp_path: Path) -> None:
    """Of a process that has ended, of this one, and of one on another machine whose number says nothing here."""
    ended = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    made = {}
    for who in (paths._HERE + "-" + ended.stdout.decode().strip(), f"{paths._HERE}-{os.getpid()}", "other-1"):
        made[who] = tmp_path / "deep" / f".results.json.{who}.0a1b2c3d.tmp"
        paths.atomic_write(made[who], "half")
    users = ("results.json", "mine.tmp", ".mine.tmp", f".x.{paths._HERE}-.0.tmp", ".x.999999999.0.tmp")
    for name in users:
        (tmp_path / name).write_text("a user's")
    paths.sweep(tmp_path)
    assert [file.exists() for file in made.values()] == [False, True, True]
    assert all((tmp_path / name).exists() for name in users)
