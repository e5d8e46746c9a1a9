"""Films of some stores that show one picture: re-encoded, resized, cut by up to 5 %, mirrored, turned, inverted."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from muscle.data.hashing import NEAR, SIDE, Look, Thumbs, agreement, candidates, thumbs, tones
from muscle.data.rows import all_rows
from muscle.data.store import Store
from muscle.paths import atomic_write
from muscle.progress import SILENT, Progress
from muscle.seal import sealed, unsealed

ALIKE = (
    0.75  # correlation of fine detail from which two films are one picture; calibrated by benchmarks/audit.py
)
FLAT = 2.0  # grey levels of deviation below which a film shows nothing that could be compared
REVISION = 2  # raised when the same films come to give other pairs

_BLOCK = 512  # films read at a time

Near = tuple[tuple[str, str, float], ...]  # (hash, hash, correlation)


def near_duplicates(stores: Sequence[Store], progress: Progress = SILENT) -> Near:
    """Pairs of films whose pixels differ and that yet are one picture, over all stores, named by ``image_hashes``.

    Found by ``hashing.candidates``, confirmed by ``hashing.agreement``. Films of equal pixels count as one. Kept in a
    sealed file beside the stores and found there again; searched anew where it is damaged. Films stored with a side
    below ``SIDE`` pixels have too little detail to be told apart: none is found among them.
    """
    if min(stores[0].size) < SIDE:
        return ()
    content = [store.digest for store in stores]
    key = hashlib.sha256(f"{REVISION} {NEAR} {ALIKE} {content}".encode()).hexdigest()
    kept = stores[0].path.parent / f"near-{key[:16]}.json"
    try:
        found = unsealed(kept.read_bytes())["pairs"]
    except (OSError, ValueError, KeyError):
        found = _search(stores, progress)
        atomic_write(kept, sealed({"pairs": found}))
    return tuple((one, other, score) for one, other, score in found)


def _search(stores: Sequence[Store], progress: Progress) -> list[tuple[str, str, float]]:
    images = all_rows(stores)
    once = np.sort(np.unique(images.keys("image"), return_index=True)[1])
    some, shows = _thumbs(stores, progress)
    once = once[shows[once]]
    some = some[once]
    may = candidates(some)
    found = []
    for at, (i, j, look) in enumerate(zip(may.first, may.second, may.look, strict=True)):
        first, second = tones(some[[i, j]])
        score = agreement(first, second, Look.of(int(look)))
        if score >= ALIKE:
            one, other = images.take(once[[i, j]]).image_hashes
            found.append((one, other, round(score, 4)))
        if at % 1000 == 999:
            progress.count("audit: compare", at + 1, len(may), "pairs")
    progress.count("audit", len(images), len(images), "images")
    return sorted(found)


def _thumbs(stores: Sequence[Store], progress: Progress) -> tuple[Thumbs, NDArray[np.bool_]]:
    """[N, SIDE, SIDE] of every row, without the border that ``pad`` adds; and whether it shows anything."""
    total, done = sum(map(len, stores)), 0
    found, shows = np.empty((total, SIDE, SIDE), np.uint8), np.empty(total, np.bool_)
    for store in stores:
        for start in range(0, len(store), _BLOCK):
            block = store.images[start : start + _BLOCK]
            mine = slice(done, done + len(block))
            found[mine] = thumbs([_inside(store, start + i, image) for i, image in enumerate(block)])
            shows[mine] = found[mine].std(axis=(1, 2)) >= FLAT
            done += len(block)
            progress.count("audit", done - 1, total, "images")
    return found, shows


def _inside(store: Store, row: int, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if store.manifest["fit"] != "pad":
        return image
    inner = int(store.numbers("inner_height")[row]), int(store.numbers("inner_width")[row])
    top, left = (store.size[0] - inner[0]) // 2, (store.size[1] - inner[1]) // 2
    return image[top : top + inner[0], left : left + inner[1]]
