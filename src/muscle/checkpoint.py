"""Checkpoints: the immutable product of a stage, found by key."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from muscle.backbones import BackboneModule
from muscle.errors import UserError
from muscle.machine import differences
from muscle.paths import atomic_write, sha256_file, sweep
from muscle.seal import sealed, unsealed
from muscle.weights import save_backbone

FORMAT = 2  # 2: sealed, with the fingerprint of its last state and what it was computed under


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
        except (OSError, ValueError) as error:
            raise UserError(f"{manifest}: damaged ({error}); remove {folder} to compute it again") from None
        if about.get("format") != FORMAT:
            raise UserError(
                f"{folder}: checkpoint format {about.get('format')}, this version reads {FORMAT}; remove the folder"
            )
        files = about.get("files")
        if about.get("key") != key or not isinstance(files, dict) or "backbone.safetensors" not in files:
            raise UserError(f"{manifest}: not of the stage {key}; remove {folder} to compute it again")
        for name, sha in files.items():
            if Path(name).name != name:
                raise UserError(f"{manifest}: names a file elsewhere, {name!r}; remove {folder}")
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

    @property
    def mixed(self) -> list[str]:
        """Where the stage went on under other conditions, what had changed; empty: its bits are of an unbroken run."""
        return [differences(before, now) for before, now in pairwise(self.about["surroundings"])]

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
        """Writes all files, the manifest last: a folder without a manifest is no checkpoint. Reads them back.

        Raises:
            UserError: the disk is full or cannot be written to, or gives back other bytes.
        """
        folder = root / key[:16]
        sweep(folder)
        files = {"backbone.safetensors": save_backbone(backbone, folder / "backbone.safetensors", metadata)}
        for task, state in heads.items():
            if state:
                name = f"head-{task}.safetensors"
                data = save({k: v.detach().cpu().contiguous() for k, v in sorted(state.items())})
                atomic_write(folder / name, data)
                files[name] = hashlib.sha256(data).hexdigest()
        atomic_write(folder / "log.jsonl", log)
        files["log.jsonl"] = hashlib.sha256(log.encode()).hexdigest()
        about = {"format": FORMAT, "key": key, **about, "files": files}
        atomic_write(folder / "stage.json", sealed(about))
        made = cls.find(root, key)
        assert made is not None
        return made


def _read(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"{file}: {str(error).splitlines()[0]}; remove its folder to compute it again"
        ) from None
