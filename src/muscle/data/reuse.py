"""Rows that other stores hold already: films added to a folder cost their own decoding, not everybody's.

Every row carries a stamp: a hash of the settings, the truth, and path, size and time of each file that made it. A
store that is to be made takes the rows of its stamps from finished stores of its size, and decodes the rest. A picture
of which only the time or the root has changed is taken too, if its bytes are those that made the row.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from muscle.data.film import Film, Job, of_frame, row_hash
from muscle.data.index import FILE
from muscle.data.keys import hash_of_file
from muscle.data.store import MANIFEST, Store, file_sha256
from muscle.data.workers import films
from muscle.errors import UserError
from muscle.types import picture

Stat = list[int]  # size and time in ns of a file; empty where there is none
Stamp = tuple[str, str]  # with and without root and time of the picture

_HASHES = ("image_hash", "file_hash", "row_hash")
_NUMBERS = ("width", "height", "inner_width", "inner_height", "pixel_count", "pixel_sum", "pixel_square_sum")
_CHUNK = 8192  # stamps that are Python objects at a time


def stats(job: Job) -> list[Stat]:
    """Size and time of the picture of a job, then of its masks' files, by name."""
    masks = sorted(path for files in job.masks.values() for path, _ in files)
    return [_stat(Path(job.root) / path) for path in (job.path, *masks)]


def _stat(path: Path) -> Stat:
    try:
        found = path.stat()
    except OSError:
        return []
    return [found.st_size, found.st_mtime_ns]


def stamp(job: Job, decode: str, place: str) -> Stamp:
    """The stamp of a row; ``decode`` is the key of the job's decoder settings, ``place`` its root's (``place_of``)."""
    film, *masks = stats(job)
    drawn = (job.masks, sorted(job.scaled), job.runs, job.boxes, job.points)
    made = repr((decode, (picture(job.path, job.frame), job.size, job.fit, *drawn, masks), film[:1])).encode()
    return _hash(made + repr((film, place)).encode()), _hash(made)


def place_of(root: str | Path) -> str:
    """A root as one folder of one machine, hashed: two folders may hold other films under the same names and times."""
    return _hash(str(Path(root).resolve()).encode())


def _hash(what: bytes) -> str:
    return hashlib.sha256(what).hexdigest()[:32]


class Places:
    """Where the rows of some jobs lie already, among the finished stores of a folder."""

    def __init__(
        self, where: Path, size: tuple[int, int], jobs: Sequence[Job], stamps: Iterable[Stamp]
    ) -> None:
        """``stamps``: of each job; not asked for where there is no store."""
        self._stores: list[Store] = []
        self._store, self._row = np.full(len(jobs), -1, np.int32), np.zeros(len(jobs), np.int32)
        manifests = sorted(where.glob(f"*-{size[0]}x{size[1]}-*/{MANIFEST}"))
        if not manifests or not jobs:
            return
        asked = _table(stamps)
        for column in ("stamp", "timeless"):
            for manifest in manifests:
                try:
                    store = Store.open(manifest.parent)
                    if file_sha256(store.path / FILE) != store.sums()[FILE]:  # rows have hashes of their own
                        continue
                except UserError:  # of another version, or damaged: it cannot serve
                    continue
                rows = pc.index_in(asked[column], value_set=store.index[column]).fill_null(-1).to_numpy()
                new = np.flatnonzero((rows >= 0) & (self._store < 0))
                if column == "timeless":  # the same bytes, written anew
                    sums = zip(new.tolist(), store.strings("file_hash", rows[new]), strict=True)
                    new = np.array([i for i, was in sums if was == _bytes_of(jobs[i])], int)
                if len(new):
                    self._store[new], self._row[new] = len(self._stores), rows[new]
                    self._stores.append(store)

    def __contains__(self, at: int) -> bool:
        """Whether there is a row for the job at this position."""
        return bool(self._store[at] >= 0)

    def film(self, at: int) -> Film | None:
        """The row of a job as it left the decoder; None where its pixels are no longer what they were."""
        store, row = self._stores[self._store[at]], int(self._row[at])
        record: dict[str, Any] = (
            store.index.select([*_HASHES, *_NUMBERS, "steps"]).slice(row, 1).to_pylist()[0]
        )
        pixels = store.images[row]
        for kind in ("boxes", "points"):
            cells = {
                t.name: store.index[f"{kind}:{t.name}"][row].as_py() for t in store.targets if t.kind == kind
            }
            record[kind] = {name: cell for name, cell in cells.items() if cell is not None}
        masks = {
            name: mask[row] for name, mask in store.masks.items() if store.index[f"has:{name}"][row].as_py()
        }
        same = row_hash(pixels, masks) == record["row_hash"]
        return Film(pixels, masks, record) if same else None


def _bytes_of(job: Job) -> str:
    """What stands for the bytes of a job's film; empty where they cannot be read."""
    try:
        return of_frame(hash_of_file(Path(job.root) / job.path), job.frame)
    except OSError:
        return ""


def _table(stamps: Iterable[Stamp]) -> pa.Table:
    schema = pa.schema([("stamp", pa.string()), ("timeless", pa.string())])
    left, batches = iter(stamps), [pa.RecordBatch.from_pylist([], schema)]
    while chunk := list(itertools.islice(left, _CHUNK)):
        columns = [pa.array(column, pa.string()) for column in zip(*chunk, strict=True)]
        batches.append(pa.RecordBatch.from_arrays(columns, schema=schema))
    return pa.Table.from_batches(batches)


def films_of(jobs: Sequence[Job], places: Places, workers: int) -> Iterator[Film | str]:
    """The film of each job, in order: taken from its place, or decoded where it has none."""
    there = [i in places for i in range(len(jobs))]
    decoded = films(
        [job for job, taken in zip(jobs, there, strict=True) if not taken] if any(there) else jobs, workers
    )
    for i, taken in enumerate(there):
        if not taken:
            yield next(decoded)
        elif (film := places.film(i)) is not None:
            yield film
        else:
            yield next(films([jobs[i]], workers))
