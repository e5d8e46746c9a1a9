"""What images of one source contradict each other in: equal files, persons in several parts; and films of nobody."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from muscle.data.faults import Fault
from muscle.data.source import Source
from muscle.types import BoxList, Labels, Sample, Value

THREADS = 8  # reading files waits for the disk


def same_bytes(root: Path, samples: Sequence[Sample], official: bool) -> Iterator[Fault]:
    """Equal files; worse where their labels differ, or where one trains and one tests."""
    by_size: dict[int, list[Sample]] = defaultdict(list)
    for sample in samples:
        if sample.frame > 1:  # the first stands for the file
            continue
        try:
            by_size[(root / sample.path).stat().st_size].append(sample)
        except OSError:
            continue  # missing: said already
    twins = [sample for mine in by_size.values() if len(mine) > 1 for sample in mine]
    with ThreadPoolExecutor(THREADS) as threads:
        sums = list(threads.map(lambda sample: _sha256(root / sample.path), twins))
    groups: dict[str, list[Sample]] = defaultdict(list)
    for sample, value in zip(twins, sums, strict=True):
        if value:
            groups[value].append(sample)
    for first, *others in (mine for mine in groups.values() if len(mine) > 1):
        for other in others:
            level: Literal["error", "warning"] = "warning"
            said, do = f"the same bytes as {first.path}", "keep one of the two"
            both = first.annotations.keys() & other.annotations.keys()
            if any(_differ(first.annotations[target], other.annotations[target]) for target in both):
                level, said = "error", f"{said}, with another annotation"
                do = "find out which annotation is right, and keep that one"
            elif official and first.split != other.split:
                level, said = "error", f"{said}, in another part of the split"
                do = "keep the one that tests, or use split: patient"
            yield Fault(level, "duplicate file", other.path, said, do)


def _differ(one: object, other: object) -> bool:
    """Whether two truths contradict each other; unknown contradicts nothing, and masks are compared by no one."""
    if isinstance(one, Labels) and isinstance(other, Labels):
        pairs = zip(one.values, other.values, strict=False)
        return any(a != b for a, b in pairs if not math.isnan(a) and not math.isnan(b))
    return isinstance(one, (Value, BoxList)) and one != other


def _sha256(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError:
        return ""


def persons_in_two_parts(samples: Sequence[Sample], official: bool) -> Iterator[Fault]:
    """Persons in several of the publisher's parts, one line each, at one of their films."""
    parts: dict[str, dict[str, str]] = defaultdict(dict)
    for sample in samples:
        if sample.split and sample.patient != sample.id:
            parts[sample.patient].setdefault(sample.split, sample.picture)
    for where in parts.values():
        if len(where) > 1:
            others = ", ".join(f"{part}: {path}" for part, path in list(where.items())[1:])
            said = f"the same person or group as {others}"
            do = (
                "use split: patient"
                if official
                else "nothing: the split in use does not take the published parts"
            )
            first = next(iter(where.values()))
            yield Fault("error" if official else "warning", "person in two published parts", first, said, do)


def nameless(source: Source, samples: Sequence[Sample], tested: bool = True) -> Iterator[Fault]:
    """One warning where images name no patient: then no rule of splitting can keep the films of one person together.

    None where the publisher counts patients: films and persons are then as many. ``tested``: whether anything is tested
    in this run, and not only learned.
    """
    bare = [sample.picture for sample in samples if not sample.names_patient]
    if not bare or "patients" in source.published:
        return
    fields = [name for name in ("patient_pattern", "patient") if name in type(source).model_fields]
    end = (
        "two films of one person may fall in training and test"
        if tested
        else "who tests later what learned from them can find these films again, but not their persons"
    )
    seen = (
        f"{len(bare):,} of {len(samples):,} images name no patient (first {bare[0]}): each counts as one of its own, "
        f"and {end}"
    )
    do = "the publisher does not say whose they are: say so beside your numbers"
    if fields:
        do = f"give {' or '.join(fields)} in the data file, unless each film is of another person"
    yield Fault("warning", "no patient named", "images", seen, do)
