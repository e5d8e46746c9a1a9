"""Public archives as people unpack them: nested folders, copies of whole trees, suffixes in any case.

Paths are handled as text: a set has 100,000 of them, and every one is looked at several times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from muscle.data.files import IMAGE_SUFFIXES, walk
from muscle.data.texts import read_text
from muscle.errors import UserError


def file_name(path: str) -> str:
    """The name without folders, in lower case; tables written on Windows part them with a backslash."""
    return path.replace("\\", "/").rpartition("/")[2].lower()


def stem(path: str) -> str:
    """The name without its last suffix: what tables, masks and films agree in."""
    whole = file_name(path)
    return whole.rpartition(".")[0] or whole


def place(path: str) -> str:
    """The name of the folder that a file lies in, in lower case; empty in the root."""
    return file_name(path.rpartition("/")[0])


def pictures(paths: Iterable[str]) -> list[str]:
    """The paths with the suffix of a picture, in any case."""
    return [path for path in paths if path.lower().endswith(IMAGE_SUFFIXES)]


def one_each(paths: Iterable[str], key: Callable[[str], str] = stem) -> dict[str, str]:
    """Key -> path; of copies in several folders the least deep one, of these the first by name."""
    found: dict[str, str] = {}
    for path in sorted(paths, key=lambda path: (path.count("/"), path)):
        found.setdefault(key(path), path)
    return found


def named(paths: Iterable[str], *names: str) -> str | None:
    """The least deep file or folder called by the first of these names that occurs; None without one.

    Upper and lower case are alike. A name may have several steps (``annotations/json``).
    """
    paths = list(paths)
    for name in names:
        mark, steps = f"/{name.lower()}/", name.count("/") + 1
        there = {
            "/".join(path.split("/")[: low[: low.index(mark)].count("/") + steps])
            for path in paths
            if mark in (low := f"/{path.lower()}/")
        }
        if there:
            return min(there, key=lambda path: (path.count("/"), path))
    return None


def top(root: Path, layout: str, *marks: str) -> Path:
    """The folder that holds the first of these files or folders that occurs, wherever below the root it lies.

    Archives are unpacked with or without their top folders. ``layout`` says in words what the tree holds.

    Raises:
        UserError: none of them is there.
    """
    found = named(walk(root), *marks)
    if found is None:
        raise UserError(f"{root}: not this layout, no {' or '.join(marks)}; it holds {layout}")
    mark = next(mark for mark in marks if f"/{found}".lower().endswith(f"/{mark}".lower()))
    return (root / found).parents[mark.count("/")]


def check_films(table: Path, listed: Iterable[str], films: Iterable[str]) -> None:
    """Refuses a table of which not one film is there; some are missing wherever an archive was not fetched.

    Raises:
        UserError: names the table and one of its films.
    """
    listed = set(listed)
    if listed.isdisjoint(films):
        raise UserError(
            f"{table}: none of its {len(listed)} films is there, such as {min(listed, default='none')}; get the films "
            "that belong to it"
        )


def read_lines(path: Path) -> list[str]:
    """The lines of a list, without blank ones, byte-order mark and CRLF.

    Raises:
        UserError: unreadable, or not UTF-8 text.
    """
    try:
        lines = read_text(path).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}; get it again"
        ) from None
    return [line.strip() for line in lines if line.strip()]
