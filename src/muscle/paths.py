"""Where stores, runs and checkpoints live, and writing there so that a crash leaves the old file or the new one."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import secrets
import shutil
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from muscle.errors import UsageError, UserError

_HERE = hashlib.sha256(platform.node().encode()).hexdigest()[:8]  # tells machines that share a disk apart
_YES, _NO = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")


def stores() -> Path:
    """The folder that holds the stores: ``$MUSCLE_STORE``, else ``./muscle-store``. Not created here."""
    return Path(os.environ.get("MUSCLE_STORE") or "muscle-store")


def run_folder(out: str | Path | None, name: str) -> Path:
    """The folder of one run: ``out`` where it is given, else ``./runs/NAME``. Not created here."""
    return Path(out) if out is not None else Path("runs") / name


def checkpoints(out: str | Path) -> Path:
    """Where a run's finished stages are kept: ``$MUSCLE_CHECKPOINTS``, else ``checkpoints`` beside the run.

    Runs that lie side by side so share what each of them has computed.
    """
    named = os.environ.get("MUSCLE_CHECKPOINTS")
    return Path(named) if named else Path(out).absolute().parent / "checkpoints"


@cache
def _own_salt(file: Path) -> bytes:
    """The content of the file, which is made where there is none."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):  # of two processes one makes it
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="ascii") as new:
                new.write(secrets.token_hex(32))
        for _ in range(50):  # until the other one has written it
            if found := file.read_bytes().strip():
                return found
            time.sleep(0.02)
    except OSError as error:
        raise UserError(
            f"{file}: {error.strerror or error}; it holds the secret that patient keys are hashed with: set "
            "MUSCLE_SALT to a text of your own, or make that folder one that can be written to"
        ) from None
    raise UserError(f"{file}: empty; delete it, or set MUSCLE_SALT to a text of your own")


def salt() -> bytes:
    """The secret that patient keys are hashed with: ``$MUSCLE_SALT``, else a file of the user's, made at first use.

    The file is ``muscle/salt`` in ``$XDG_CONFIG_HOME``, else in ``~/.config``. Equal salts give equal keys; with
    another salt stores are made anew, and nobody moves to another part.

    Raises:
        UserError: the file can be neither read nor made.
    """
    given = os.environ.get("MUSCLE_SALT")
    if given:
        return given.encode()
    home = os.environ.get("XDG_CONFIG_HOME")
    return _own_salt((Path(home) if home else Path.home() / ".config") / "muscle" / "salt")


def offline() -> bool:
    """Whether ``$MUSCLE_OFFLINE`` forbids downloads.

    Raises:
        UsageError: the variable says neither yes nor no.
    """
    given = os.environ.get("MUSCLE_OFFLINE", "")
    if given.lower() not in _YES + _NO:
        raise UsageError(
            f"MUSCLE_OFFLINE={given!r}; allowed: 1 (no downloads) or 0; set or unset the variable"
        )
    return given.lower() in _YES


def nearest(path: str | Path) -> Path:
    """The path itself where it exists, else the nearest folder above it that does."""
    place = Path(path).absolute()
    while not place.exists():
        place = place.parent
    return place


def free_bytes(path: str | Path) -> int:
    """Bytes that may still be written at a path, which need not exist yet."""
    return shutil.disk_usage(nearest(path)).free


def require_space(path: str | Path, needed: int, what: str) -> None:
    """Checks, before anything is written, that it will fit.

    Args:
        path: where it will be written; need not exist yet.
        needed: bytes.
        what: what needs them, for the message ("the store chest-800x500").

    Raises:
        UserError: less is free than needed.
    """
    free = free_bytes(path)
    if free < needed:
        raise UserError(
            f"{what} needs {_bytes(needed)} at {path}, {_bytes(free)} are free: make room, or set "
            "MUSCLE_STORE (stores) or MUSCLE_CHECKPOINTS (checkpoints) or --out (runs) to a larger disk"
        )


def _bytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


def new_file(path: Path) -> None:
    """Sees that what a command is to write overwrites nothing: it could be a film or a data file.

    Raises:
        UsageError: there is a file of that name.
    """
    if path.exists():
        raise UsageError(f"{path}: there is a file already; give the name of a new one, or move it away")


def atomic_write(path: str | Path, content: bytes | str) -> None:
    """Writes a whole file or nothing, see ``atomic_file``; text is UTF-8 with the line ends as given.

    Raises:
        UserError: the disk is full, or the place cannot be written to; what was there before is untouched.
    """
    data = content.encode() if isinstance(content, str) else content
    with atomic_file(path, len(data)) as file:
        file.write(data)


@contextlib.contextmanager
def atomic_file(path: str | Path, size: int = 0) -> Iterator[BinaryIO]:
    """A file that is there whole or not at all: a temporary one in its folder, flushed to disk, renamed at the end.

    The folder is created.

    Args:
        size: bytes that will be written, for the message of a full disk.

    Raises:
        UserError: the disk is full, or the place cannot be written to; what was there before is untouched.
    """
    target = Path(path)
    # The ending .tmp marks what a killed process leaves behind, see ``sweep``; the random part keeps two writers apart.
    temporary = target.with_name(f".{target.name}.{_HERE}-{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        if not target.parent.is_dir():
            target.parent.mkdir(parents=True, exist_ok=True)
            sync_folder(target.parent.parent)
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
        sync_folder(target.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)  # what it took is not free before
        raise UserError(
            f"cannot write {target}: {error.strerror or error}{_room(target, size)}; give a folder that can be written "
            "to and has room (the option that names it, MUSCLE_STORE or MUSCLE_CHECKPOINTS)"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _room(path: Path, size: int) -> str:
    """What is needed and free, where a disk is full."""
    try:
        free = free_bytes(path)
    except OSError:
        return ""
    return f" (it needs {size / 1e6:.1f} MB, {free / 1e6:.1f} MB are free)" if size > free else ""


def sweep(folder: Path) -> None:
    """Removes what writers that were killed on this machine left below a folder; what a living one is writing stays."""
    for leftover in folder.rglob(".*.tmp"):
        machine, _, writer = leftover.name.split(".")[-3].rpartition("-")
        if machine == _HERE and writer.isdecimal() and not _alive(int(writer)):
            with contextlib.suppress(OSError):
                leftover.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    if os.name != "posix":  # there signal 0 would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


def sync_folder(folder: Path) -> None:
    """Makes a rename last through a power cut, where the system lets a folder be opened (Windows does not)."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def within(folder: Path, name: Any, who: str | Path) -> Path:
    """The place in a folder that a file of it names.

    Args:
        folder: of the run or store.
        name: as it stands in ``who``, with ``/``; what is no string names nothing.
        who: the file that says so, for the message.

    Raises:
        UserError: an absolute path, one that climbs out, or one that a link leads out of the folder.
    """
    text = name.replace("\\", "/") if isinstance(name, str) else ""
    path = PurePosixPath(text)
    good = path.parts and "\0" not in text and not path.is_absolute() and ".." not in path.parts
    place = folder / path
    if not good or ":" in path.parts[0] or not place.resolve().is_relative_to(folder.resolve()):
        raise UserError(
            f"{who}: names {name!r}, which is no file in {folder}; get the folder again, from its maker"
        )
    return place


def sha256_file(path: str | Path) -> str:
    """SHA-256 (hex) of a file's bytes.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; give an existing file") from error
