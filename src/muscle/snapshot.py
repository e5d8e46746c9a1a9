"""Snapshots: the private resume point of a running stage, replaced only by one that was read back as it was written."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from blake3 import blake3
from torch import Tensor

from muscle.errors import UserError
from muscle.paths import atomic_file, sync_folder

FORMAT = 2
_NAME = (
    b"muscle snapshot"  # the first line of a file: this, the format, BLAKE3 and bytes of all that follows it
)


class Snapshot:
    """Everything that the next step of a stage depends on; the one before is kept beside it."""

    def __init__(self, root: Path, key: str) -> None:
        """Under the checkpoints' root; nothing is created before ``save``."""
        self.folder = root / f"{key[:16]}.running"
        self.file = self.folder / "snapshot.pt"
        self.previous = self.folder / "snapshot.previous.pt"

    def load(self, say: Callable[[str], None] = lambda text: None) -> dict[str, Any] | None:
        """What was saved last, or None; where that is damaged, what was saved before it.

        Nothing is unpickled but tensors, numbers, strings and their containers.

        Args:
            say: is told which file is damaged.

        Raises:
            UserError: no file that is there is whole and of this version.
        """
        damaged = []
        for file in (self.file, self.previous):
            if not file.is_file():
                continue
            try:
                found = _read(file)
            except _Damaged as error:
                damaged.append(f"{file}: {error}")
                continue
            if damaged:
                say(f"warning: {damaged[0]}; going on from the one before it, {file.name}")
                # Out of the way: else the next one would push out the good one.
                os.replace(self.file, self.folder / "snapshot.damaged.pt")
            return found
        if damaged:
            raise UserError(
                f"{'; '.join(damaged)}; no whole snapshot is left: remove {self.folder} to start this stage again, or "
                "finish it with the version that began it"
            )
        return None

    def save(self, state: dict[str, Any]) -> None:
        """Replaces the last one, which becomes the one before; a crash at any instant leaves a whole one.

        Raises:
            UserError: the disk is full, cannot be written to, or gives back other bytes; the last one is untouched.
        """
        buffer = io.BytesIO()
        torch.save(state, buffer)
        content = buffer.getbuffer()
        new = self.folder / "snapshot.new.pt"
        head = b"%s %d %s %d\n" % (_NAME, FORMAT, blake3(content).hexdigest().encode(), len(content))
        with atomic_file(new, len(content)) as file:
            file.write(head)
            file.write(content)
        try:
            _content(new.read_bytes())
            if self.file.is_file():
                os.replace(self.file, self.previous)
            os.replace(new, self.file)
            sync_folder(self.folder)
        except (OSError, _Damaged) as error:
            raise UserError(
                f"{new}: {error}; the disk does not keep what is written to it; the snapshot before is kept"
            ) from None

    def drop(self) -> None:
        """The stage has finished."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def sweep(self) -> None:
        """Removes half-written files that a killed process left; only while nobody else is at this stage."""
        for leftover in (*self.folder.glob(".*.tmp"), self.folder / "snapshot.new.pt"):
            leftover.unlink(missing_ok=True)


class _Damaged(Exception):
    """Why the bytes of a file are not a snapshot."""


def _read(file: Path) -> dict[str, Any]:
    try:
        content = _content(file.read_bytes())
        found: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except _Damaged:
        raise
    except Exception as error:  # what an unpickler trips over in foreign bytes is not to be listed
        raise _Damaged(f"damaged ({(str(error).splitlines() or [type(error).__name__])[0]})") from None
    return found


def _content(whole: bytes) -> memoryview:
    """What follows the first line, if it is what that line says."""
    head, _, _ = whole[:200].partition(b"\n")
    words = head.removeprefix(_NAME).split()
    if not head.startswith(_NAME) or len(words) != 3:
        raise _Damaged("damaged (its first line is not that of a snapshot)")
    content = memoryview(whole)[len(head) + 1 :]
    if words[2] != b"%d" % len(content):
        raise _Damaged(f"damaged ({len(content)} bytes instead of {words[2].decode(errors='replace')})")
    if words[1] != blake3(content).hexdigest().encode():
        raise _Damaged("damaged (its checksum is another)")
    if words[0] != b"%d" % FORMAT:
        shown = words[0].decode(errors="replace")
        raise _Damaged(f"damaged, or of another version (format {shown}, this one reads {FORMAT})")
    return content


def fingerprint(state: Any) -> str:
    """SHA-256 (hex) over every tensor, number and name in nested containers, however they lie in memory."""
    found = hashlib.sha256()
    _add(found, state)
    return found.hexdigest()


def _add(found: Any, value: Any) -> None:
    if isinstance(value, Tensor):
        found.update(f"{value.dtype} {tuple(value.shape)} ".encode())
        found.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    elif isinstance(value, Mapping):
        found.update(b"{%d " % len(value))
        for name, inner in value.items():
            found.update(f"{name!r}: ".encode())
            _add(found, inner)
    elif isinstance(value, (list, tuple)):
        found.update(b"[%d " % len(value))
        for inner in value:
            _add(found, inner)
    else:
        found.update(f"{value!r} ".encode())
