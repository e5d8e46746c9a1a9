"""Films of some stores that show one picture: re-encoded, resized, cut by up to 5 %, mirrored, inverted, windowed."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from muscle.data.hashing import NEAR, SIDE, Look, Thumbs, agreement, candidates, thumbs, tones
from muscle.data.rows import all_rows
from muscle.data.store import Store
from muscle.parts import digest
from muscle.paths import atomic_write
from muscle.progress import SILENT, Progress

ALIKE = (
    0.75  # correlation of fine detail from which two films are one picture; calibrated by benchmarks/audit.py
)
FLAT = 2.0  # grey levels of deviation below which a film shows nothing that could be compared
REVISION = 1  # raised when the same films come to give other pairs

_BLOCK = 512  # films read at a time

Near = tuple[tuple[str, str, float], ...]  # (id, id, correlation)


def near_duplicates(stores: Sequence[Store], progress: Progress = SILENT) -> Near:
    """Pairs of films whose stored rows differ and yet are one picture, over all stores.

    Found by ``hashing.candidates``, confirmed by ``hashing.agreement``. Rows that are equal byte for byte count as
    one film here and stand for each other. Kept in a file beside the stores and found there again. Films stored with a
    side below ``SIDE`` pixels have too little detail to be told apart: none is found among them.
    """
    if min(stores[0].size) < SIDE:
        return ()
    sums = [store.manifest["arrays"][""]["sha256"] for store in stores]
    key = digest([REVISION, NEAR, ALIKE, [store.manifest["fit"] for store in stores], sums])
    kept = stores[0].path.parent / f"near-{key[:16]}.json"
    rows = all_rows(stores)
    try:
        found = json.loads(kept.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = _search(stores, rows._strings("row_sha256"), progress)
        atomic_write(kept, json.dumps(found))
    ids = rows.ids
    return tuple((ids[i], ids[j], score) for i, j, score in found)


def _search(stores: Sequence[Store], sums: list[str], progress: Progress) -> list[tuple[int, int, float]]:
    """(position, position, correlation) in the rows of all stores one after another."""
    once = np.sort(np.unique(np.array(sums, object).astype(str), return_index=True)[1])
    some, total = _thumbs(stores, progress), len(sums)
    once = once[some[once].std(axis=(1, 2)) >= FLAT]
    some = some[once]
    may = candidates(some)
    found = []
    for at, (i, j, look) in enumerate(zip(may.first, may.second, may.look, strict=True)):
        first, second = tones(some[[i, j]])
        score = agreement(first, second, Look.of(int(look)))
        if score >= ALIKE:
            found.append((int(once[i]), int(once[j]), round(score, 4)))
        if at % 1000 == 999:
            progress.count("audit: pairs compared", at + 1, len(may))
    progress.count("audit", total, total)
    return sorted(found)


def _thumbs(stores: Sequence[Store], progress: Progress) -> Thumbs:
    """[N, SIDE, SIDE] of every row, without the border that ``pad`` adds."""
    total, done = sum(map(len, stores)), 0
    found = np.empty((total, SIDE, SIDE), np.uint8)
    for store in stores:
        for start in range(0, len(store), _BLOCK):
            block = store.images[start : start + _BLOCK]
            found[done : done + len(block)] = thumbs([
                _inside(store, start + i, image) for i, image in enumerate(block)
            ])  # fmt: skip
            done += len(block)
            progress.count("audit", done - 1, total)
    return found


def _inside(store: Store, row: int, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if store.manifest["fit"] != "pad":
        return image
    height, width = int(store.column("height")[row]), int(store.column("width")[row])
    scale = min(store.size[0] / height, store.size[1] / width)
    inner = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (store.size[0] - inner[0]) // 2, (store.size[1] - inner[1]) // 2
    return image[top : top + inner[0], left : left + inner[1]]
