"""Checkpoints, the immutable product of a stage found by key; snapshots, the private resume point of a running one."""

from __future__ import annotations

import io
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from muscle.backbones import BackboneModule
from muscle.errors import UserError
from muscle.paths import atomic_write, sha256_file
from muscle.seal import sealed, unsealed
from muscle.weights import save_backbone

FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """A finished stage on disk: ``backbone.safetensors``, a head a task, ``log.jsonl``, and ``stage.json``."""

    folder: Path
    about: dict[str, Any]

    @classmethod
    def there(cls, root: Path, key: str) -> bool:
        """Whether the stage of a key has finished; its files are not looked into."""
        return (root / key[:16] / "stage.json").is_file()

    @classmethod
    def find(cls, root: Path, key: str) -> Checkpoint | None:
        """The checkpoint of a key, or None where the stage has not finished.

        Raises:
            UserError: it is there but not as it was written.
        """
        if not cls.there(root, key):
            return None
        folder = root / key[:16]
        manifest = folder / "stage.json"
        try:
            about = unsealed(manifest.read_bytes())
        except ValueError as error:
            raise UserError(f"{manifest}: damaged ({error}); remove {folder} to compute it again") from None
        if about.get("format") != FORMAT:
            raise UserError(
                f"{folder}: checkpoint format {about.get('format')}, this version reads {FORMAT}; remove the folder"
            )
        for name, sha in about["files"].items():
            if not (folder / name).is_file() or sha256_file(folder / name) != sha:
                raise UserError(
                    f"{folder / name}: missing or changed since it was written; remove the folder to compute it again"
                )
        return cls(folder, about)

    @property
    def backbone_file(self) -> Path:
        """Tensors with timm's key names; mean, deviation, size and decoding ride in the metadata."""
        return self.folder / "backbone.safetensors"

    @property
    def sha256(self) -> str:
        """Of the backbone file."""
        return str(self.about["files"]["backbone.safetensors"])

    @property
    def log_file(self) -> Path:
        """JSON lines."""
        return self.folder / "log.jsonl"

    def backbone_state(self) -> dict[str, Tensor]:
        """The tensors of the backbone."""
        return _read(self.backbone_file)

    def head_state(self, task: str) -> dict[str, Tensor] | None:
        """The tensors of one task's head, or None where the stage trained none."""
        file = self.folder / f"head-{task}.safetensors"
        return _read(file) if file.is_file() else None

    def drop(self) -> None:
        """Removes it, the manifest first: what is left of it is no checkpoint."""
        (self.folder / "stage.json").unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    @classmethod
    def write(
        cls, root: Path, key: str, backbone: BackboneModule, heads: dict[str, dict[str, Tensor]], log: str,
        metadata: dict[str, str], about: dict[str, Any],
    ) -> Checkpoint:  # fmt: skip
        """Writes all files, the manifest last: a folder without a manifest is no checkpoint."""
        folder = root / key[:16]
        folder.mkdir(parents=True, exist_ok=True)
        files = {"backbone.safetensors": save_backbone(backbone, folder / "backbone.safetensors", metadata)}
        for task, state in heads.items():
            if state:
                name = f"head-{task}.safetensors"
                atomic_write(
                    folder / name, save({k: v.detach().cpu().contiguous() for k, v in sorted(state.items())})
                )
                files[name] = sha256_file(folder / name)
        atomic_write(folder / "log.jsonl", log)
        files["log.jsonl"] = sha256_file(folder / "log.jsonl")
        about = {"format": FORMAT, "key": key, **about, "files": files}
        atomic_write(folder / "stage.json", sealed(about))
        return cls(folder, about)


def _read(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{file}: {str(error).splitlines()[0]}; remove its folder to compute it again"
        ) from None


class Snapshot:
    """The resume point of one stage: everything that the next step depends on, replaced as a whole."""

    def __init__(self, root: Path, key: str) -> None:
        """Under the checkpoints' root; nothing is created before ``save``."""
        self.folder = root / f"{key[:16]}.running"
        self.file = self.folder / "snapshot.pt"

    def load(self) -> dict[str, Any] | None:
        """What was saved last, or None. Nothing is unpickled but tensors, numbers, strings and their containers.

        Raises:
            UserError: the file is damaged.
        """
        if not self.file.is_file():
            return None
        try:
            found: dict[str, Any] = torch.load(self.file, map_location="cpu", weights_only=True)
        except Exception as error:  # what an unpickler trips over in damaged bytes is not to be listed
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise UserError(
                f"{self.file}: a damaged snapshot ({reason}); remove {self.folder} to start this stage again"
            ) from None
        return found

    def save(self, state: dict[str, Any]) -> None:
        """Replaces the last one; a crash leaves one of the two."""
        buffer = io.BytesIO()
        torch.save(state, buffer)
        atomic_write(self.file, buffer.getvalue())

    def drop(self) -> None:
        """The stage has finished."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def sweep(self) -> None:
        """Removes half-written files that a killed process left."""
        for leftover in self.folder.glob(".*.tmp"):
            os.unlink(leftover)
