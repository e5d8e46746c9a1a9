"""Snapshots: the last one that is whole is found, whatever happened to the others; nothing foreign is run."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from muscle import snapshot as room
from muscle.errors import UserError
from muscle.snapshot import Snapshot, fingerprint

KEY = "0123456789abcdef" * 4


def _two(root: Path) -> Snapshot:
    made = Snapshot(root, KEY)
    made.save({"turn": 1})
    made.save({"turn": 2})
    return made


def test_the_last_state_comes_back_and_the_one_before_stays_beside_it(tmp_path: Path) -> None:
    made = Snapshot(tmp_path, KEY)
    assert made.load() is None and not list(tmp_path.iterdir())
    state = {"turn": 2, "best": None, "matrix": [{"a": 0.5}], "learner": {"w": torch.arange(3)}}
    made.save({"turn": 1})
    made.save(state)
    found = Snapshot(tmp_path, KEY).load()
    assert found is not None and torch.equal(found.pop("learner")["w"], torch.arange(3))
    assert found == {"turn": 2, "best": None, "matrix": [{"a": 0.5}]}
    assert sorted(p.name for p in made.folder.iterdir()) == ["snapshot.previous.pt", "snapshot.pt"]
    os.replace(made.previous, made.file)
    assert made.load() == {"turn": 1}
    made.drop()
    assert not made.folder.exists()


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _flipped(data: bytes) -> bytes:
    return data[:-40] + bytes([data[-40] ^ 1]) + data[-39:]


@pytest.mark.parametrize(
    "harm", [_cut, _flipped, lambda _: b"", lambda _: b"garbage", lambda data: data + b"x"]
)
def test_a_damaged_one_is_named_and_the_one_before_it_is_used(
    harm: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    made, said = _two(tmp_path), list[str]()
    made.file.write_bytes(harm(made.file.read_bytes()))
    assert made.load(said.append) == {"turn": 1}
    assert (
        len(said) == 1
        and str(made.file) in said[0]
        and "damaged" in said[0]
        and made.previous.name in said[0]
    )
    made.save({"turn": 3})  # the damaged one must not push out the good one
    made.file.write_bytes(b"")
    assert made.load() == {"turn": 1}


def test_where_none_is_whole_both_are_named(tmp_path: Path) -> None:
    made = _two(tmp_path)
    for file in (made.file, made.previous):
        file.write_bytes(_flipped(file.read_bytes()))
    with pytest.raises(UserError, match="remove .*running to start this stage again") as told:
        made.load()
    assert str(made.file) in str(told.value) and str(made.previous) in str(told.value)


def test_between_the_two_renames_the_one_before_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, replace = _two(tmp_path), os.replace

    def dies(source: Path, target: Path) -> None:
        if Path(target) == made.file:
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(room.os, "replace", dies)
        made.save({"turn": 3})
    assert not made.file.exists() and made.load() == {"turn": 2}
    made.sweep()
    made.save({"turn": 4})
    assert made.load() == {"turn": 4}


def test_what_is_read_back_otherwise_replaces_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = _two(tmp_path)
    read = Path.read_bytes
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda self: _flipped(read(self)))
        with pytest.raises(UserError, match="the disk does not keep what is written"):
            made.save({"turn": 3})
    assert made.load() == {"turn": 2}


def test_of_another_format_the_one_before_is_taken(tmp_path: Path) -> None:
    """Whether that is a flipped bit, or another version wrote it, cannot be told: neither loses what is whole."""
    made = _two(tmp_path)
    foreign = made.file.read_bytes().replace(b"snapshot 2 ", b"snapshot 3 ", 1)
    made.file.write_bytes(foreign)
    said: list[str] = []
    assert made.load(said.append) == {"turn": 1}
    assert re.search(r"snapshot\.pt: damaged, or of another version \(format 3, this one reads 2\)", said[0])
    assert (made.folder / "snapshot.damaged.pt").read_bytes() == foreign
    made.previous.write_bytes(foreign)
    with pytest.raises(
        UserError, match=r"snapshot\.previous\.pt: damaged, or of another .*the version that began it"
    ):
        made.load()


def test_a_snapshot_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object that writes a file when it is unpickled, in a file whose checksum is right."""
    marker = tmp_path / "ran"

    class Planted:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return os.mkdir, (str(marker),)

    made = Snapshot(tmp_path, KEY)
    made.save({"x": Planted()})
    with pytest.raises(UserError, match="damaged"):
        made.load()
    assert not marker.exists()


def test_half_written_files_of_a_killed_process_are_swept(tmp_path: Path) -> None:
    made = _two(tmp_path)
    leftovers = [made.folder / ".snapshot.new.pt.0-123.ab.tmp", made.folder / "snapshot.new.pt"]
    for leftover in leftovers:
        leftover.write_bytes(b"half")
    made.sweep()
    assert not any(leftover.exists() for leftover in leftovers) and made.load() == {"turn": 2}


def test_a_fingerprint_is_of_values_and_names_not_of_their_place_in_memory() -> None:
    weight = torch.randn(2, 3, 4, 4)
    state = {"a": weight, "b": [1, 2.5, None, {"c": torch.tensor(True)}]}
    whole = fingerprint(state)
    assert whole == fingerprint({"a": weight.to(memory_format=torch.channels_last), "b": list(state["b"])})
    nearly = weight.clone()
    nearly.view(torch.int32)[1, 2, 3, 3] ^= 1  # the last bit of one number
    for other in ({"a": nearly, "b": state["b"]}, {"x": weight, "b": state["b"]}, {"a": weight, "b": [1, 2.5, None]},
                  {"a": weight.double(), "b": state["b"]}, {"b": state["b"], "a": weight}):  # fmt: skip
        assert fingerprint(other) != whole
