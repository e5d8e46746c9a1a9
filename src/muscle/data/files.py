"""Files below a source's root: which count, and that none is outside."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path, PurePosixPath

from muscle.errors import UserError
from muscle.types import SplitName

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".dcm", ".dicom")
PARTS: dict[str, SplitName] = {"train": "train", "training": "train", "val": "valid", "valid": "valid",
                               "validation": "valid", "test": "test", "testing": "test"}  # fmt: skip


def walk(root: Path) -> list[str]:
    """Every file under a folder, relative with ``/``, sorted; no hidden files, no ``__MACOSX``, no loops of links."""
    found: list[str] = []
    seen: set[str] = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        folders[:] = (
            [] if real in seen else sorted(f for f in folders if f != "__MACOSX" and not f.startswith("."))
        )
        if real not in seen:
            base = Path(folder).relative_to(root)
            found += [(base / file).as_posix() for file in files if not file.startswith(".")]
        seen.add(real)
    return sorted(found)


def folders(root: Path) -> list[Path]:
    """The folders directly in a folder, without hidden ones and those that a Mac leaves in archives."""
    return sorted(
        p for p in root.iterdir() if p.is_dir() and p.name != "__MACOSX" and not p.name.startswith(".")
    )


def images(root: Path) -> list[str]:
    """The files of ``walk`` that look like pictures: by suffix in any case, or DICOM without a suffix."""
    return [path for path in walk(root) if looks_like_image(root / path)]


class Named:
    """The pictures below a folder by what a table calls them: a path, a file name, or one without suffix."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def _paths(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for path in images(self.folder):
            name = PurePosixPath(path)
            for called in {name.name, name.stem}:
                found.setdefault(called, []).append(path)
        return found

    def path(self, called: str) -> str | None:
        """The path of the picture below the folder, or None where there is none, or none alone.

        The folder is walked once, when the first of these is no path.
        """
        if is_file(self.folder / called):
            return called
        found = self._paths.get(called, [])
        return found[0] if len(found) == 1 else None


def looks_like_image(path: Path) -> bool:
    """Whether the suffix is an image's, or a file without (or with a numeric) suffix starts like DICOM."""
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return True
    if suffix and not suffix[1:].isdigit():
        return False
    if not is_file(path):  # opening a pipe would wait for ever
        return False
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def is_file(path: Path) -> bool:
    """Whether there is a regular file of this name; no where the name is none, such as a report out of a table."""
    try:
        return path.is_file()
    except OSError:  # longer than a name may be
        return False


def inside(text: str, where: str) -> str:
    """A path written in a table or JSON, as a clean path relative to the root.

    Raises:
        UserError: it is absolute or climbs out of the root; ``where`` says who wrote it.
    """
    path = PurePosixPath(text.strip().replace("\\", "/"))
    if not path.parts or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise UserError(
            f"{where}: path {text!r} leaves the source's root; allowed: paths relative to it, without '..'; give as "
            "root a folder that holds tables and pictures both"
        )
    return path.as_posix()


def part_of(path: str) -> SplitName | None:
    """The publisher's part, from the outermost folder of a relative path that is named like one."""
    return next((PARTS[p.lower()] for p in PurePosixPath(path).parts[:-1] if p.lower() in PARTS), None)
