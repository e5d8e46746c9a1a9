"""Whether a finished store is as it was written: its checksums computed again, at most once a day."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from muscle.data.store import Store
from muscle.errors import UserError
from muscle.paths import atomic_write
from muscle.seal import sealed, unsealed

STAMP = "verified.json"  # in the store's folder
SECONDS = 24 * 3600  # so long a stamp is believed: no time stamp shows that a disk has lost a bit
LARGE = 1e9  # bytes from which progress is shown

Looks = dict[str, list[int]]  # size, time of change, time of the entry's change (ns) and number of each file


def looks(folder: Path, names: Mapping[str, str]) -> Looks:
    """What the system says of some files; any writing changes it.

    Args:
        names: file name -> its SHA-256, as ``Store.sums`` gives them.
    """
    found = {}
    for name in names:
        with suppress(OSError):  # one that is not there has no looks, and no checksum either
            stat = (folder / name).stat()
            found[name] = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
    return found


def stamp(folder: Path, sums: Mapping[str, str], seen: Looks) -> None:
    """Writes down that files which looked so, before they were read, have these checksums.

    Raises:
        UserError: the folder cannot be written to.
    """
    about = {"when": time.time(), "sums": dict(sums), "files": seen}
    atomic_write(folder / STAMP, sealed(about))


def check(store: Store, progress: Callable[[int, int], None] | None = None) -> None:
    """Sees that every file of a store has the checksum of its manifest, unless it was seen within a day.

    A store that cannot be written to is read whole each time.

    Args:
        progress: called with (megabytes read, in all) where the store is large.

    Raises:
        UserError: naming the files that have not.
    """
    sums = store.sums()
    seen = looks(store.path, sums)
    if _believed(store.path, sums, seen):
        return
    size = sum(stat[0] for stat in seen.values())
    store.verify(progress if size >= LARGE else None)
    with suppress(UserError):
        stamp(store.path, sums, seen)


def _believed(folder: Path, sums: Mapping[str, str], seen: Looks) -> bool:
    """Whether there is a stamp of today for exactly these files."""
    try:
        about: dict[str, Any] = unsealed((folder / STAMP).read_bytes())
        age = time.time() - float(about["when"])
        return 0 <= age < SECONDS and about["sums"] == sums and about["files"] == seen
    except (OSError, ValueError, KeyError, TypeError):  # none, or damaged: the files speak for themselves
        return False
