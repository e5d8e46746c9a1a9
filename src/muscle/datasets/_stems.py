"""Files that belong together by place and name, whatever their suffix."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from muscle.data.files import images, inside, walk
from muscle.errors import UserError


def by_stem(name: str, root: Path, folder: str, field: str, suffix: str = "") -> dict[PurePosixPath, str]:
    """Path below a folder without its suffix -> path below the root.

    Args:
        name: the source, for messages.
        root: its root.
        folder: the folder, relative to the root.
        field: the field of the data file that names the folder.
        suffix: in small letters: which files; by default pictures.

    Raises:
        UserError: no such folder, or two files that differ in suffix only.
    """
    place = inside(folder, f"source {name}: {field}") if folder != "." else "."
    base = root / place
    if not base.is_dir():
        raise UserError(f"source {name}: no folder {base}; {field}: names it, relative to the root")
    found: dict[PurePosixPath, str] = {}
    for path in [p for p in walk(base) if p.lower().endswith(suffix)] if suffix else images(base):
        full = (PurePosixPath(place) / path).as_posix()
        other = found.setdefault(PurePosixPath(path).with_suffix(""), full)
        if other != full:
            raise UserError(f"source {name}: {other} and {full} differ in suffix only; keep one")
    return found
