"""Public archives as people unpack them: nested folders, copies of whole trees, suffixes in any case."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from muscle.data.files import IMAGE_SUFFIXES
from muscle.errors import UserError


def stem(path: str) -> str:
    """The name without folders and last suffix, in lower case: what tables, masks and films agree in."""
    return PurePosixPath(path.replace("\\", "/")).stem.lower()


def pictures(paths: Iterable[str]) -> list[str]:
    """The paths with the suffix of a picture, in any case."""
    return [path for path in paths if PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES]


def one_each(paths: Iterable[str], key: Callable[[str], str] = stem) -> dict[str, str]:
    """Key -> path; of copies in several folders the least deep one, of these the first by name."""
    found: dict[str, str] = {}
    for path in sorted(paths, key=lambda path: (path.count("/"), path)):
        found.setdefault(key(path), path)
    return found


def named(paths: Iterable[str], *names: str) -> str | None:
    """The least deep file of the first of these names that occurs, upper and lower case alike; None without one."""
    there = one_each(paths, key=lambda path: PurePosixPath(path).name.lower())
    return next((there[name.lower()] for name in names if name.lower() in there), None)


def read_lines(path: Path) -> list[str]:
    """The lines of a list, without blank ones, byte-order mark and CRLF.

    Raises:
        UserError: unreadable, or not UTF-8 text.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}; get it again"
        ) from None
    return [line.strip() for line in lines if line.strip()]
