"""Decodes a source into a store: once, in parallel, resumable, and all or nothing."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from muscle.data.decode import Decode
from muscle.data.film import Fit, Job
from muscle.data.index import index_table, pixel_levels, steps_taken
from muscle.data.journal import Journal
from muscle.data.reuse import Stamp, Stat, films_of, places, stamp
from muscle.data.source import Source
from muscle.data.splits import Split
from muscle.data.store import MANIFEST, VERSION, Store, file_sha256
from muscle.errors import UserError
from muscle.parts import digest
from muscle.paths import salt
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
) -> Store:
    """The store of a source at one size: found, finished, or made.

    A store is found again by what its content depends on: records, split, size and time of every file, stored size,
    fit and decode settings; where the source's root lies does not count. A run that was killed goes on where it was
    and ends with the bytes of an unbroken run. Images that cannot become a row are left out, with the reason.

    Args:
        name: the source's name; part of the folder's.
        source: read for its records; its own ``split`` is not looked at.
        split: decides the parts.
        size: (H, W) of the stored images.
        decode: how pixel values are arrived at.
        where: the folder that holds the stores.
        fit: ``stretch`` to the size (as the paper), or keep the aspect and ``pad`` with 0.
        workers: processes that decode; 0: decode in this one.
        progress: called with (images done, images in all).

    Raises:
        UserError: nothing usable in the source, no room on the disk, or a disk that fails.
    """
    samples, targets = source.read(name)
    splits, jobs, stats, key = _asked(source, samples, targets, split, size, decode, fit)
    decoder = decode.key()
    stem = _stem(name, size)
    try:
        where.mkdir(parents=True, exist_ok=True)
        with FileLock(where / f".{stem}{key[:8]}.lock"):
            final = _folder(where, stem, key)
            if not (final / MANIFEST).exists():
                _make(
                    final,
                    name,
                    samples,
                    targets,
                    splits,
                    jobs,
                    [stamp(job, decoder, stats) for job in jobs],
                    key,
                    workers,
                    progress,
                )
            final.with_name(f"{final.name}.partial.journal").unlink(missing_ok=True)
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
    *_, key = _asked(source, *records, split, size, decode, fit)
    folder = _folder(where, _stem(name, size), key)
    return Store.open(folder) if (folder / MANIFEST).exists() else None


def _asked(
    source: Source,
    samples: Sequence[Sample],
    targets: Sequence[Target],
    split: Split,
    size: tuple[int, int],
    decode: Decode,
    fit: Fit,
) -> tuple[list[SplitName], list[Job], dict[str, Stat], str]:
    """The part and the job of each image, the size and time of each file, and the key of the store of it all."""
    splits = split.assign(samples, targets)
    jobs = film_jobs(source.folder, samples, size, decode, fit)
    stats = _stats(source.folder, jobs)
    return splits, jobs, stats, store_key(samples, targets, splits, size, decode, fit, stats)


def store_key(
    samples: Sequence[Sample],
    targets: Sequence[Target],
    splits: Sequence[SplitName],
    size: tuple[int, int],
    decode: Decode,
    fit: Fit,
    stats: Mapping[str, Stat],
) -> str:
    """SHA-256 of everything that decides the content of a store, without decoding anything.

    Args:
        stats: size and time of every file, by its path relative to the root.
    """
    return digest(
        {
            "version": VERSION,
            "records": [repr(s) for s in samples],
            "targets": [asdict(t) for t in targets],
            "splits": list(splits),
            "size": list(size),
            "decode": decode.key(),
            "fit": fit,
            "files": dict(stats),
            "salt": hashlib.sha256(salt()).hexdigest(),
        }
    )


def _stem(name: str, size: tuple[int, int]) -> str:
    return f"{name}-{size[0]}x{size[1]}-"


def _folder(where: Path, stem: str, key: str) -> Path:
    """Where the store of a key is, or is to be: eight digits name it, all where another store has these eight."""
    short = where / (stem + key[:8])
    try:
        other = json.loads((short / MANIFEST).read_text(encoding="utf-8"))["key"] != key
    except (OSError, ValueError, KeyError, TypeError):  # none is finished, or opening it says what is wrong
        other = False
    return where / (stem + key) if other else short


def _stats(root: Path, jobs: Sequence[Job]) -> dict[str, Stat]:
    files = {job.path for job in jobs}
    files |= {path for job in jobs for listed in job.masks.values() for path, _ in listed}
    return {path: _stat(root / path) for path in sorted(files)}


def _stat(path: Path) -> Stat:
    try:
        found = path.stat()
    except OSError:
        return []
    return [found.st_size, found.st_mtime_ns]


def film_jobs(
    root: Path, samples: Sequence[Sample], size: tuple[int, int], decode: Decode, fit: Fit
) -> list[Job]:
    """What workers need to know of each image of a source."""
    jobs = []
    for sample in samples:
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
        jobs.append(job)
    return jobs


def _make(
    final: Path,
    name: str,
    samples: Sequence[Sample],
    targets: Sequence[Target],
    splits: Sequence[SplitName],
    jobs: Sequence[Job],
    stamps: Sequence[Stamp],
    key: str,
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Fills ``<final>.partial`` and renames it to ``final``."""
    partial = final.with_name(final.name + ".partial")
    arrays = {t.name: f"mask-{i}.npy" for i, t in enumerate(targets) if t.kind == "mask"}
    with Journal(partial, key, arrays, jobs[0].size) as journal:
        _check_room(partial, name, jobs[len(journal.entries) :])
        done = len(journal.entries)
        known = places(final.parent, jobs[0].size, jobs[done:], stamps[done:])
        for made in films_of(jobs[done:], known, workers):
            journal.append(made)
            done += 1
            if progress is not None:
                progress(done, len(jobs))
        journal.finish()
        entries = journal.entries
    good = [i for i, entry in enumerate(entries) if "reason" not in entry]
    quarantine = [[s.picture, e["reason"]] for s, e in zip(samples, entries, strict=True) if "reason" in e]
    if not good:
        path, reason = quarantine[0]
        raise UserError(f"store {name}: none of {len(samples)} images can be used; {path}: {reason}")
    table = index_table(
        [samples[i] for i in good], [splits[i] for i in good], [entries[i] for i in good], targets
    )
    content = table  # what the digest speaks of: when and how a row was made is no part of it
    for i, column in enumerate(("stamp", "timeless")):
        table = table.append_column(column, pa.array([stamps[n][i] for n in good], pa.string()))
    table = table.append_column("steps", pa.array([entries[n]["steps"] for n in good], pa.list_(pa.string())))
    pq.write_table(table, partial / "index.parquet", compression="zstd")
    mean, sd = pixel_levels([entries[i] for i in good], [splits[i] for i in good])
    sums = {target: {"file": file, "sha256": file_sha256(partial / file)}
            for target, file in ({"": "images.npy"} | arrays).items()}  # fmt: skip
    sums_of = [entry["sha256"] for entry in sums.values()]
    manifest = {
        "version": VERSION,
        "name": name,
        "key": key,
        "digest": digest(
            [
                jobs[0].decode.key(),
                jobs[0].fit,
                sums_of,
                repr(content.to_pydict()),
                [asdict(t) for t in targets],
            ]
        ),
        "rows": len(good),
        "size": list(jobs[0].size),
        "fit": jobs[0].fit,
        "decode": jobs[0].decode.dump(),
        "targets": [asdict(t) for t in targets],
        "arrays": sums,
        "index": {"file": "index.parquet", "sha256": file_sha256(partial / "index.parquet")},
        "mean": mean,
        "sd": sd,
        "splits": dict(sorted(Counter(splits[i] for i in good).items())),
        "steps": steps_taken(entries[i] for i in good),
        "quarantine": quarantine,
    }
    text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    (partial / MANIFEST).write_text(text, encoding="utf-8", newline="\n")
    for file in ("index.parquet", MANIFEST):
        _sync(partial / file)
    _sync(partial)
    partial.rename(final)
    _sync(final.parent)


def _check_room(partial: Path, name: str, jobs: Sequence[Job]) -> None:
    pictures = sum(1 + len(job.masks) + len(job.runs) for job in jobs)
    needed = pictures * math.prod(jobs[0].size) + 4096 * len(jobs) if jobs else 0
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
