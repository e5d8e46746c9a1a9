"""Decodes a source into a store: once, in parallel, resumable, and all or nothing."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import overload

from filelock import FileLock

from muscle.data import intact
from muscle.data.counted import Counted
from muscle.data.decode import Decode
from muscle.data.film import Fit, Job
from muscle.data.index import FILE, write_index
from muscle.data.journal import Journal
from muscle.data.reuse import Places, Stamp, films_of, place_of, stamp, stats
from muscle.data.source import Source
from muscle.data.splits import Split
from muscle.data.store import MANIFEST, VERSION, Store, file_sha256
from muscle.errors import UserError
from muscle.parts import digest
from muscle.paths import salt
from muscle.seal import sealed, unsealed
from muscle.types import BoxList, MaskFiles, MaskRuns, Points, Sample, SplitName, Target


def prepare(
    name: str,
    source: Source,
    split: Split,
    size: tuple[int, int],
    decode: Decode,
    where: Path,
    fit: Fit = "stretch",
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
    records: tuple[Sequence[Sample], Sequence[Target]] | None = None,
    checking: Callable[[int, int], None] | None = None,
) -> Store:
    """The store of a source at one size: found, finished, or made.

    A store is found again by what its content depends on: records, split, size and time of every file, stored size,
    fit, decode settings and root. A copy of the root has the same content, and takes its rows from there. A run that
    was killed goes on where it was and ends with the bytes of an unbroken run. Images that cannot become a row are
    left out, with the reason. Of one that is found every checksum is computed again, once a day (``intact.check``).

    Args:
        name: the source's name; part of the folder's.
        source: its own ``split`` is not looked at.
        split: decides the parts.
        size: (H, W) of the stored images.
        decode: how pixel values are arrived at.
        where: the folder that holds the stores.
        fit: ``stretch`` to the size (as the paper), or keep the aspect and ``pad`` with 0.
        workers: processes that decode; 0: decode in this one.
        progress: called with (images done, images in all).
        records: what the source reads, where that is known already.
        checking: called with (megabytes read, in all) while a large store that was found is checked.

    Raises:
        UserError: nothing usable in the source, no room on the disk, or a disk that fails; a store that is there and
            not as it was written.
    """
    samples, targets = records or source.read(name)
    splits = split.assign(samples, targets)
    films = Films(source.folder, samples, splits, targets, size, decode, fit)
    there = _folder(where, _stem(name, size), films.key)
    if (there / MANIFEST).exists():  # no lock: it may lie where nothing can be written
        store = Store.open(there)
        intact.check(store, checking)
        with contextlib.suppress(OSError):
            _journal_of(there).unlink(missing_ok=True)
        return store
    try:
        where.mkdir(parents=True, exist_ok=True)
        with FileLock(where / f".{_stem(name, size)}{films.key[:8]}.lock"):
            final = _folder(where, _stem(name, size), films.key)
            if not (final / MANIFEST).exists():
                if final.is_dir() and any(final.iterdir()):
                    raise UserError(
                        f"{final}: lies where the store {name} is to be and is none, its {MANIFEST} is missing; delete "
                        "it and give the same command again"
                    )
                _make(final, name, films, workers, progress)
            _journal_of(final).unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(
            f"store {name}: {where}: {reason}; what is decoded is kept: mend that and give the same command again"
        ) from None
    return Store.open(final)


def finished(
    name: str,
    source: Source,
    records: tuple[Sequence[Sample], Sequence[Target]],
    split: Split,
    size: tuple[int, int],
    decode: Decode,
    where: Path,
    fit: Fit = "stretch",
) -> Store | None:
    """The store that ``prepare`` would find finished, by the same arguments; None where it would decode.

    Args:
        records: what the source reads.
    """
    samples, targets = records
    films = Films(source.folder, samples, split.assign(samples, targets), targets, size, decode, fit)
    folder = _folder(where, _stem(name, size), films.key)
    return Store.open(folder) if (folder / MANIFEST).exists() else None


def _journal_of(final: Path) -> Path:
    """Beside the folder that a store grew in."""
    return final.with_name(f"{final.name}.partial.journal")


def _stem(name: str, size: tuple[int, int]) -> str:
    return f"{name}-{size[0]}x{size[1]}-"


def _folder(where: Path, stem: str, key: str) -> Path:
    """Where the store of a key is, or is to be: eight digits name it, all where another store has these eight."""
    short = where / (stem + key[:8])
    try:
        other = unsealed((short / MANIFEST).read_bytes())["key"] != key
    except (OSError, ValueError, KeyError, TypeError):  # none is finished, or opening it says what is wrong
        other = False
    return where / (stem + key) if other else short


@dataclass(frozen=True)
class Films(Sequence[Job]):
    """What workers need to know of each image of a source, made when it is asked for."""

    root: Path
    samples: Sequence[Sample]
    splits: Sequence[SplitName]
    targets: Sequence[Target]
    size: tuple[int, int]
    decode: Decode
    fit: Fit

    def __len__(self) -> int:
        return len(self.samples)

    @overload
    def __getitem__(self, at: int) -> Job: ...

    @overload
    def __getitem__(self, at: slice) -> Films: ...

    def __getitem__(self, at: int | slice) -> Job | Films:
        if isinstance(at, slice):
            return replace(self, samples=self.samples[at], splits=self.splits[at])
        return film_job(self.root, self.samples[at], self.size, self.decode, self.fit)

    @cached_property
    def key(self) -> str:
        """SHA-256 of everything that decides the content of a store, without decoding anything."""
        about = {
            "version": VERSION,
            "targets": [asdict(t) for t in self.targets],
            "size": list(self.size),
            "decode": self.decode.key(),
            "fit": self.fit,
            "root": place_of(self.root),
            "salt": hashlib.sha256(salt()).hexdigest(),
        }
        found = hashlib.sha256(digest(about).encode())
        for sample, split, job in zip(self.samples, self.splits, self, strict=True):
            found.update(f"\n{sample!r} {split} {stats(job)}".encode())
        return found.hexdigest()

    def stamps(self) -> Iterator[Stamp]:
        """The stamp of each row."""
        decoder, place = self.decode.key(), place_of(self.root)
        return (stamp(job, decoder, place) for job in self)


def film_job(root: Path, sample: Sample, size: tuple[int, int], decode: Decode, fit: Fit) -> Job:
    """What a worker needs to know of one image."""
    scaled = {n for n, a in sample.annotations.items() if isinstance(a, MaskFiles) and a.scaled}
    job = Job(str(root), sample.path, size, decode, fit, scaled=frozenset(scaled), frame=sample.frame)
    for name, truth in sample.annotations.items():
        if isinstance(truth, MaskFiles):
            job.masks[name] = truth.files
        elif isinstance(truth, MaskRuns):
            job.runs[name] = truth.height, truth.width, truth.runs, truth.value
        elif isinstance(truth, BoxList):
            job.boxes[name] = truth.xyxy
        elif isinstance(truth, Points):
            job.points[name] = truth.xy
    return job


def _make(
    final: Path, name: str, films: Films, workers: int, progress: Callable[[int, int], None] | None
) -> None:
    """Fills ``<final>.partial`` and renames it to ``final``."""
    partial = final.with_name(final.name + ".partial")
    arrays = {t.name: f"mask-{i}.npy" for i, t in enumerate(films.targets) if t.kind == "mask"}
    with Journal(partial, films.key, arrays, films.size) as journal:
        left = films[journal.done :]
        _check_room(partial, name, left)
        done = journal.done
        for made in films_of(left, Places(final.parent, films.size, left, left.stamps()), workers):
            journal.append(made)
            done += 1
            if progress is not None:
                progress(done, len(films))
        journal.finish()
        counted = Counted()
        lines = zip(
            films.samples,
            films.splits,
            counted.passing(journal.entries(), films.samples, films.splits),
            films.stamps(),
            strict=True,
        )
        index = write_index(partial / FILE, lines, films.targets)
    if not len(index):
        path, reason = counted.quarantine[0]
        raise UserError(f"store {name}: none of {len(films)} images can be used; {path}: {reason}")
    mean, sd = counted.levels()
    files = {"": "images.npy"} | arrays
    seen = intact.looks(partial, dict.fromkeys([*files.values(), FILE], ""))
    sums = {target: {"file": file, "sha256": file_sha256(partial / file)} for target, file in files.items()}
    targets = [asdict(t) for t in films.targets]
    hashes = [entry["sha256"] for entry in sums.values()]
    manifest = {
        "version": VERSION,
        "name": name,
        "key": films.key,
        "digest": intact.content(films.decode.key(), films.fit, hashes, index, targets),
        "rows": len(index),
        "size": list(films.size),
        "fit": films.fit,
        "decode": films.decode.dump(),
        "targets": targets,
        "arrays": sums,
        "index": {"file": FILE, "sha256": (index_sha256 := file_sha256(partial / FILE))},
        "mean": mean,
        "sd": sd,
        "splits": dict(sorted(counted.rows.items())),
        "steps": counted.steps(),
        "quarantine": counted.quarantine,
    }
    (partial / MANIFEST).write_text(sealed(manifest), encoding="utf-8", newline="\n")
    read = {entry["file"]: entry["sha256"] for entry in sums.values()} | {FILE: index_sha256}
    intact.stamp(partial, read, seen)
    for file in (FILE, MANIFEST):
        _sync(partial / file)
    _sync(partial)
    partial.rename(final)
    _sync(final.parent)


def _check_room(partial: Path, name: str, films: Films) -> None:
    pictures = sum(1 + len(job.masks) + len(job.runs) for job in films)
    needed = pictures * math.prod(films.size) + 4096 * len(films)
    free = shutil.disk_usage(partial).free
    if needed > free:
        raise UserError(
            f"store {name}: needs {needed / 1e9:.1f} GB in {partial.parent} and {free / 1e9:.1f} GB are free; "
            "free some, choose a smaller size, or another folder with --store or MUSCLE_STORE"
        )


def _sync(path: Path) -> None:
    """Puts a file, or on POSIX a folder's entries, on the disk."""
    if path.is_dir() and os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
