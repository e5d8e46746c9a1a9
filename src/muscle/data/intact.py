"""Whether a finished store is as it was written: its checksums computed again, at most once a day."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from muscle.data.counted import levels
from muscle.data.decode import Decode
from muscle.data.index import content_sha256
from muscle.data.store import Store
from muscle.errors import UserError
from muscle.parts import digest
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


def content(decode: str, fit: str, sums: Sequence[str], index: pa.Table, targets: Sequence[Any]) -> str:
    """SHA-256 of what a store holds.

    Args:
        decode: key of the decoder's settings.
        fit: as ``prepare`` takes it.
        sums: SHA-256 of each array, the images' first.
        index: mapped.
        targets: what the store teaches, as plain data.
    """
    return digest([decode, fit, list(sums), content_sha256(index), list(targets)])


def check_manifest(store: Store) -> None:
    """Computes again what the manifest of a store, whose files are as they were written, says of them.

    Raises:
        UserError: the digest of the content, or mean and deviation of the training pixels, are others.
    """
    about = store.manifest
    sums = [entry["sha256"] for entry in about["arrays"].values()]
    found = content(Decode.parse(about["decode"]).key(), about["fit"], sums, store.index, about["targets"])
    train = store.is_("split", "train") if "train" in store.counts("split") else np.ones(len(store), np.bool_)
    columns = (store.numbers(f"pixel_{name}")[train] for name in ("count", "sum", "square_sum"))
    if found != store.digest or levels(*(sum(c.tolist()) for c in columns)) != (store.mean, store.sd):
        raise UserError(
            f"{store.path}: its manifest is not that of its files; delete the folder and prepare again"
        )


def _believed(folder: Path, sums: Mapping[str, str], seen: Looks) -> bool:
    """Whether there is a stamp of today for exactly these files."""
    try:
        about: dict[str, Any] = unsealed((folder / STAMP).read_bytes())
        age = time.time() - float(about["when"])
        return 0 <= age < SECONDS and about["sums"] == sums and about["files"] == seen
    except (OSError, ValueError, KeyError, TypeError):  # none, or damaged: the files speak for themselves
        return False
