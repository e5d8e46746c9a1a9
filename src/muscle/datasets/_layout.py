"""Where a publisher's tree begins, and what is missing from it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from muscle.errors import UserError


def base(root: Path, mark: str, layout: str) -> Path:
    """The folder that holds ``mark``: the root, or the first by name of the folders directly in it.

    Archives are unpacked with or without their top folder. ``layout`` says in words what the tree holds.

    Raises:
        UserError: nowhere there.
    """
    inner = sorted(p for p in root.iterdir() if p.is_dir() and p.name[0] not in "._")
    for folder in (root, *inner):
        if (folder / mark).exists():
            return folder
    raise UserError(f"{root}: not this layout, no {mark}; it holds {layout}")


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


def number(cell: str, where: str) -> float:
    """A finite number from a cell.

    Raises:
        UserError: it is none; ``where`` names file, line and column.
    """
    try:
        found = float(cell)
    except ValueError:
        found = float("nan")
    if not abs(found) < float("inf"):
        raise UserError(f"{where}: given {cell!r}; allowed: a number")
    return found
