"""Links in a source's folder that lead out of it: whoever packed the folder could show any file of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from muscle.errors import UserError


def check_links(root: Path, where: str, allow: str) -> None:
    """Refuses a folder with links, at any depth and hidden ones too, whose target lies outside of it.

    The folder itself may be a link, and links within it may lead anywhere within it. Links alone are followed: a
    folder's list tells which entries are links, so films cost nothing each.

    Args:
        root: the folder.
        where: begins the message.
        allow: what lets them be.

    Raises:
        UserError: the first such link by name, and how many there are; a folder whose links cannot be seen.
    """
    home = os.path.realpath(root)
    # A folder above is outside, too: what stands beside the root is not of this source.
    leaving = sorted(link for link in _links(str(root), where) if not _within(os.path.realpath(link), home))
    if leaving:
        first, n = Path(leaving[0]), len(leaving)
        rest = f" ({n:,} such links)" if n > 1 else ""
        raise UserError(
            f"{where}: {first} is a link to {os.path.realpath(first)}, outside of {root}{rest}; put the files in its "
            f"place, or, where you made the links yourself, {allow}"
        )


def _links(root: str, where: str) -> Iterator[str]:
    """Every link below a folder; those to folders are not entered."""
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_symlink():
                        yield entry.path
                    elif entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except PermissionError:
            if os.access(folder, os.X_OK):  # who knows a name in it can open that, a link too
                raise UserError(
                    f"{where}: {folder} cannot be listed, so links in it that lead outside are not seen; let it be "
                    "read (chmod u+r) or move it away"
                ) from None


def _within(path: str, home: str) -> bool:
    return path == home or path.startswith(home.rstrip(os.sep) + os.sep)
