"""Checkpoints are found as they were written or not at all."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from films import Bone

from muscle.checkpoint import Checkpoint
from muscle.errors import UserError
from muscle.seal import sealed, unsealed

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


@pytest.mark.parametrize(
    "harm", ["changed", "missing", "format", "other key", "elsewhere", "no files", "manifest"]
)
def test_damage_is_told_in_one_line(harm: str, tmp_path: Path) -> None:
    _, made = _written(tmp_path)
    if harm == "changed":
        data = bytearray(made.backbone_file.read_bytes())
        data[-1] ^= 1
        made.backbone_file.write_bytes(data)
    elif harm == "missing":
        made.log_file.unlink()
    elif harm == "manifest":
        manifest = made.folder / "stage.json"
        manifest.write_text(manifest.read_text().replace('"seed": 3', '"seed": 4'))
    else:
        change = {
            "format": {"format": 99},
            "other key": {"key": KEY[:16] + "0" * 48},  # of which only the first digits name the folder
            "elsewhere": {"files": made.about["files"] | {"../x": hashlib.sha256(b"x").hexdigest()}},
            "no files": {"files": {}},
        }
        (tmp_path / "x").write_bytes(b"x")  # what is named elsewhere is there
        manifest = made.folder / "stage.json"
        manifest.write_text(sealed(unsealed(manifest.read_text()) | change[harm]))
    with pytest.raises(UserError, match=rf"{made.folder}.*remove") as told:
        Checkpoint.find(tmp_path, KEY)
    assert "\n" not in str(told.value)


def test_what_is_read_back_otherwise_is_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that loses what it took: the head's bytes are cut after they were written."""
    from muscle import checkpoint

    write = checkpoint.atomic_write

    def losing(path: Path, content: bytes | str) -> None:
        write(path, content[:-1] if path.name.startswith("head-") else content)

    monkeypatch.setattr(checkpoint, "atomic_write", losing)
    with pytest.raises(UserError, match=r"head-chest.germ.safetensors: missing or changed"):
        _written(tmp_path)
