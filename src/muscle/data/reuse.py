"""Rows that other stores hold already: films added to a folder cost their own decoding, not everybody's.

Every row carries a stamp: a hash of the settings, the truth, and path, size and time of each file that made it. A
store that is to be made takes the rows of its stamps from finished stores of its size, and decodes the rest. A picture
of which only the time has changed is taken too, if its bytes are those that made the row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from muscle.data.film import Film, Job, of_frame
from muscle.data.store import MANIFEST, UNREAD, Store, file_sha256
from muscle.data.workers import films
from muscle.errors import UserError
from muscle.types import picture

Stat = list[int]  # size and time in ns of a file; empty where there is none
Stamp = tuple[str, str]  # with and without the time of the picture

_HASHES = ("sha256", "file_sha256", "row_sha256")
_NUMBERS = ("width", "height", "pixel_count", "pixel_sum", "pixel_square_sum")


def stamp(job: Job, decode: str, stats: Mapping[str, Stat]) -> Stamp:
    """The stamp of a row; ``decode`` is the key of the job's decoder settings, ``stats`` of each of its files."""
    masks = sorted(path for files in job.masks.values() for path, _ in files)
    drawn = (job.masks, sorted(job.scaled), job.runs, job.boxes, job.points)
    truth = (picture(job.path, job.frame), job.size, job.fit, *drawn, [stats[path] for path in masks])
    made = repr((decode, truth, stats[job.path][:1])).encode()
    return _hash(made + repr(stats[job.path]).encode()), _hash(made)


def _hash(what: bytes) -> str:
    return hashlib.sha256(what).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Place:
    """A row of a finished store."""

    store: Store
    steps: pa.ChunkedArray[Any]
    row: int

    def film(self) -> Film | None:
        """The row as it left the decoder; None where its pixels are no longer what they were."""
        store, row = self.store, self.row
        pixels = store.images[row]
        if hashlib.sha256(pixels.tobytes()).hexdigest() != store.column("row_sha256")[row]:
            return None
        record: dict[str, Any] = {name: store.column(name)[row] for name in _HASHES}
        record |= {name: int(store.column(name)[row]) for name in _NUMBERS}
        record["steps"] = self.steps[row].as_py()
        for kind in ("boxes", "points"):
            columns = {
                t.name: store.index.column(f"{kind}:{t.name}")[row] for t in store.targets if t.kind == kind
            }
            record[kind] = {name: cell.as_py() for name, cell in columns.items() if cell.is_valid}
        masks = {name: mask[row] for name, mask in store.masks.items() if store.column(f"has:{name}")[row]}
        return Film(pixels, masks, record)


def places(
    where: Path, size: tuple[int, int], jobs: Sequence[Job], stamps: Sequence[Stamp]
) -> list[Place | None]:
    """Where the row of each job lies already, among the finished stores of a folder; None for those to decode."""
    found: dict[str, Place] = {}
    asked = pa.array([text for pair in stamps for text in pair], pa.string())
    for manifest in sorted(where.glob(f"*-{size[0]}x{size[1]}-*/{MANIFEST}")):
        try:
            table = pq.read_table(manifest.parent / "index.parquet", columns=list(UNREAD))
            here = {c: np.flatnonzero(pc.is_in(table[c], asked).to_numpy()) for c in ("stamp", "timeless")}
            if not any(map(len, here.values())):
                continue
            store = Store.open(manifest.parent)
        except (UserError, OSError, pa.ArrowException):  # of another version, or damaged: it cannot serve
            continue
        for column, rows in here.items():
            for row in rows.tolist():
                found.setdefault(table[column][row].as_py(), Place(store, table["steps"], row))
    return [_chosen(found, job, *pair) for job, pair in zip(jobs, stamps, strict=True)]


def _chosen(found: Mapping[str, Place], job: Job, exact: str, timeless: str) -> Place | None:
    if exact in found:
        return found[exact]
    place = found.get(timeless)
    same = place and place.store.column("file_sha256")[place.row] == of_frame(
        file_sha256(Path(job.root) / job.path), job.frame
    )
    return place if same else None


def films_of(jobs: Sequence[Job], known: Sequence[Place | None], workers: int) -> Iterator[Film | str]:
    """The film of each job, in order: taken from its place, or decoded where it has none."""
    decoded = films([job for job, place in zip(jobs, known, strict=True) if place is None], workers)
    for job, place in zip(jobs, known, strict=True):
        if place is None:
            yield next(decoded)
        else:
            taken = place.film()
            yield next(films([job], workers)) if taken is None else taken
