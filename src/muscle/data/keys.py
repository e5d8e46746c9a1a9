"""Hashes of films, strings as 64-bit keys, and what is asked of many keys: in little memory, for there may be millions.

Of a million keys two agree by chance once in 3e7. What rests on a key alone errs to the safe side: a film too many is
left out of training. What is shown to people is compared as strings.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

Keys = NDArray[np.int64]

_CHUNK = 1 << 16  # keys looked up at a time


def hash_of(*parts: bytes | NDArray[np.uint8]) -> str:
    """BLAKE3 (hex) of bytes and pixels one after the other: a cryptographic hash, five times as fast as SHA-256."""
    found = blake3()
    for part in parts:
        found.update(part if isinstance(part, bytes) else np.ascontiguousarray(part).reshape(-1).data)
    return found.hexdigest()


def hash_of_file(path: Path) -> str:
    """BLAKE3 (hex) of a file, as ``b3sum`` prints it.

    Raises:
        OSError: it cannot be read.
    """
    return blake3().update_mmap(path).hexdigest()


def key_of(text: str) -> int:
    """64 bits of a string, as int64."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little", signed=True)


def among(keys: Keys, known: Keys) -> NDArray[np.bool_]:
    """Which keys [N] occur in ``known``, which is sorted; [N]."""
    found = np.zeros(len(keys), np.bool_)
    for start in range(0, len(keys) if len(known) else 0, _CHUNK):
        some = keys[start : start + _CHUNK]
        place = np.minimum(np.searchsorted(known, some), len(known) - 1)
        found[start : start + _CHUNK] = known[place] == some
    return found


def repeated(keys: Keys) -> Keys:
    """The keys that occur more than once, sorted, each once."""
    ordered = np.sort(keys)
    return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])  # a copy of the few: the rest is let go


def first(keys: Keys) -> NDArray[np.bool_]:
    """Which keys [N] occur for the first time, [N]."""
    found = np.zeros(len(keys), np.bool_)
    order = np.argsort(keys, kind="stable")
    found[order[:1]] = True
    for start in range(1, len(keys), _CHUNK):
        here, before = order[start : start + _CHUNK], order[start - 1 : start + _CHUNK - 1]
        found[here] = keys[here] != keys[before[: len(here)]]
    return found
