"""A split written down: made once for all sources of a data file, published, added to when films are added."""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from muscle.data.data_file import DataFile
from muscle.data.privacy import private_key
from muscle.data.splits import Listed, PatientSplit, stratified
from muscle.errors import UsageError
from muscle.paths import atomic_write
from muscle.types import BoxList, Labels, Sample, SplitName, Target

Read = Mapping[str, tuple[Sequence[Sample], Sequence[Target]]]
PARTS: tuple[SplitName, ...] = ("train", "valid", "test")


@dataclass(frozen=True)
class Written:
    """Every image with its part; ``known``: those that the file held before; ``gone``: its rows of other images."""

    samples: list[Sample]
    parts: list[SplitName]
    known: list[bool]
    shows: list[list[str]]
    gone: list[tuple[str, str, SplitName]]

    def drift(self) -> list[tuple[str, str, float | None, float]]:
        """(class, part, share of the part's images that had it before, share now), in percent; before may be None."""
        found = []
        for part in PARTS:
            before, now = self._shares(part, True), self._shares(part, False)
            for name in sorted(now):
                found.append((name, part, before.get(name, 0.0) if before else None, now[name]))
        return sorted(found, key=lambda row: row[0])

    def _shares(self, part: SplitName, known: bool) -> dict[str, float]:
        mine = [
            s
            for s, p, k in zip(self.shows, self.parts, self.known, strict=True)
            if p == part and (k or not known)
        ]
        counts = Counter(name for shown in mine for name in shown)
        return {name: 100 * n / len(mine) for name, n in counts.items()}

    def write(self, path: Path) -> None:
        """As CSV, or as Parquet if the name ends so: id, patient (salted hash), part.

        Raises:
            UsageError: another ending.
            UserError: the place cannot be written to.
        """
        rows = [
            (s.id, private_key(s.patient), p) for s, p in zip(self.samples, self.parts, strict=True)
        ] + self.gone
        if path.suffix.lower() == ".parquet":
            whole = pa.BufferOutputStream()
            columns = dict(zip(("id", "patient", "part"), map(list, zip(*rows, strict=True)), strict=True))
            pq.write_table(pa.table(columns), whole)
            atomic_write(path, whole.getvalue().to_pybytes())
        elif path.suffix.lower() == ".csv":
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows([("id", "patient", "part"), *rows])
            atomic_write(path, text.getvalue())
        else:
            raise UsageError(f"--write {path}: allowed: a name that ends in .csv or .parquet")


def make(file: DataFile, before: Path | None = None) -> Written:
    """The parts of every image of a data file.

    Whom ``before`` lists stays. Without it, persons of sources that are split by ``patient`` are drawn together and
    stratified by source and class, all their films in one part; with it, newcomers are placed by the hash alone, for
    a draw would move earlier ones. Other rules are written down as they are.

    Raises:
        UserError: see ``Source.read`` and ``Listed.read``.
    """
    read = file.read()
    listed = Listed.read(before) if before else None
    draw, drawn = _drawn(file, read) if listed is None else (None, {})
    there = {sample.id for samples, _ in read.values() for sample in samples}
    gone = [row for row in listed.rows if row[0] not in there] if listed else []
    made = Written([], [], [], [], gone)
    for name, (samples, targets) in read.items():
        rule = file.split_of(name)
        placed = rule.assign(samples, targets)
        for sample, part in zip(samples, placed, strict=True):
            if targets and listed is not None:
                part = listed.part(sample) or part
            elif targets and rule == draw:
                part = drawn[sample.patient]
            made.samples.append(sample)
            made.parts.append(part)
            made.known.append(listed is not None and sample.id in listed.ids)
            made.shows.append(shown(sample, targets))
    return made


def _drawn(file: DataFile, read: Read) -> tuple[PatientSplit | None, dict[str, SplitName]]:
    """The first rule ``patient`` of the file, and the part of each person of the sources that it splits."""
    rules = [file.split_of(name) for name, (_, targets) in read.items() if targets]
    first = next((rule for rule in rules if isinstance(rule, PatientSplit)), None)
    if first is None:
        return None, {}
    persons: dict[str, set[str]] = defaultdict(set)
    for name, (samples, targets) in read.items():
        if targets and file.split_of(name) == first:
            for sample in samples:
                persons[sample.patient] |= {name, *shown(sample, targets)}
    return first, stratified(persons, first.valid, first.test, first.seed)


def shown(sample: Sample, targets: Sequence[Target]) -> list[str]:
    """The classes that an image is annotated with, as ``target:class``; of masks and values, that it has one."""
    found = []
    for target in targets:
        truth = sample.annotations.get(target.name)
        if isinstance(truth, Labels):
            pairs = zip(target.classes, truth.values, strict=True)
            found += [f"{target.name}:{name}" for name, value in pairs if value == 1]
        elif isinstance(truth, BoxList):
            found += [f"{target.name}:{target.classes[i - 1]}" for i in sorted(set(truth.label))]
            found += [] if truth.label else [f"{target.name}:none"]
        elif truth is not None:
            found.append(target.name)
    return found
