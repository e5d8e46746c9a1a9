"""Checkpoints are found as they were written or not at all; snapshots are replaced as a whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from films import Bone

from muscle.checkpoint import Checkpoint, Snapshot
from muscle.errors import UserError

KEY = "0123456789abcdef" * 4


def _written(root: Path) -> tuple[Bone, Checkpoint]:
    torch.manual_seed(0)
    backbone = Bone()
    heads = {"chest.germ": {"weight": torch.ones(2, 3).t()}, "moco": {}}
    return backbone, Checkpoint.write(
        root, KEY, backbone, heads, '{"step": 1}\n', {"size": "64x48"}, {"seed": 3}
    )


def test_what_is_written_is_found(tmp_path: Path) -> None:
    backbone, made = _written(tmp_path)
    found = Checkpoint.find(tmp_path, KEY)
    assert found == made and found.about["seed"] == 3
    state = found.backbone_state()
    assert state.keys() == backbone.net.state_dict().keys()
    assert all(torch.equal(state[k], v) for k, v in backbone.net.state_dict().items())
    head = found.head_state("chest.germ")
    assert head is not None and torch.equal(head["weight"], torch.ones(3, 2))
    assert found.head_state("moco") is None
    assert found.log_file.read_text() == '{"step": 1}\n' and len(found.sha256) == 64


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    first, second = (_written(tmp_path / name)[1] for name in "ab")
    assert first.about == second.about


def test_no_manifest_no_checkpoint(tmp_path: Path) -> None:
    assert Checkpoint.find(tmp_path, KEY) is None
    _, made = _written(tmp_path)
    (made.folder / "stage.json").unlink()  # as after a kill between the files
    assert Checkpoint.find(tmp_path, KEY) is None


@pytest.mark.parametrize("harm", ["changed", "missing", "format"])
def test_damage_is_told_in_one_line(harm: str, tmp_path: Path) -> None:
    _, made = _written(tmp_path)
    if harm == "changed":
        data = bytearray(made.backbone_file.read_bytes())
        data[-1] ^= 1
        made.backbone_file.write_bytes(data)
    elif harm == "missing":
        made.log_file.unlink()
    else:
        manifest = made.folder / "stage.json"
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"format": 99}))
    with pytest.raises(UserError, match="remove the folder") as told:
        Checkpoint.find(tmp_path, KEY)
    assert "\n" not in str(told.value)


def test_snapshot_round_trip_and_drop(tmp_path: Path) -> None:
    snapshot = Snapshot(tmp_path, KEY)
    assert snapshot.load() is None and not list(tmp_path.iterdir())
    state = {"turn": 2, "best": None, "matrix": [{"a": 0.5}], "learner": {"w": torch.arange(3)}}
    snapshot.save({"turn": 1})
    snapshot.save(state)
    found = Snapshot(tmp_path, KEY).load()
    assert found is not None and torch.equal(found.pop("learner")["w"], torch.arange(3))
    assert found == {"turn": 2, "best": None, "matrix": [{"a": 0.5}]}
    assert [p.name for p in snapshot.folder.iterdir()] == ["snapshot.pt"]
    snapshot.drop()
    assert not snapshot.folder.exists()


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04 half"])
def test_a_damaged_snapshot_is_told_in_one_line(content: bytes, tmp_path: Path) -> None:
    snapshot = Snapshot(tmp_path, KEY)
    snapshot.folder.mkdir()
    snapshot.file.write_bytes(content)
    with pytest.raises(UserError, match="damaged snapshot") as told:
        snapshot.load()
    assert "\n" not in str(told.value)


def test_a_snapshot_runs_no_code(tmp_path: Path) -> None:
    snapshot = Snapshot(tmp_path, KEY)
    snapshot.folder.mkdir()
    torch.save({"x": Path("/")}, snapshot.file)  # a pickled object that is no tensor
    with pytest.raises(UserError, match="damaged snapshot"):
        snapshot.load()


def test_half_written_files_of_a_killed_process_are_swept(tmp_path: Path) -> None:
    snapshot = Snapshot(tmp_path, KEY)
    snapshot.save({"turn": 1})
    leftover = snapshot.folder / ".snapshot.pt.123.tmp"
    leftover.write_bytes(b"half")
    snapshot.sweep()
    assert not leftover.exists() and snapshot.load() == {"turn": 1}
