"""A data file made ready: its stores, the pool that pre-training may see, and the targets that tasks learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from muscle.data.audit import Audit, Pair, audit, read_left_out, refuse
from muscle.data.classes import guessed_positive
from muscle.data.data_file import DataFile
from muscle.data.decode import Decode
from muscle.data.disagreements import nameless
from muscle.data.duplicates import near_duplicates
from muscle.data.held_out import HeldOut, Near, TaskRows, annotated, learnable, pool
from muscle.data.prepare import prepare
from muscle.data.rows import Rows, all_rows
from muscle.data.seen import Seen
from muscle.data.splits import AllTrain, PaperSplit
from muscle.data.store import Store
from muscle.errors import UserError
from muscle.parts import digest
from muscle.progress import SILENT, Progress
from muscle.types import Target


class Unstored(NamedTuple):
    """Sex, age and scanner as text, empty where unknown; millimetres of a pixel of the file, down and across."""

    sex: str
    age: str
    scanner: str
    spacing: tuple[float, float] | None


UNKNOWN = Unstored("", "", "", None)


@dataclass(frozen=True)
class Corpus:
    """The stores of a data file, in its order."""

    file: DataFile
    stores: tuple[Store, ...]
    progress: Progress = SILENT

    def __reduce__(self) -> tuple[type[Corpus], tuple[object, ...]]:
        """For another process, which is silent."""
        return Corpus, (self.file, self.stores)

    @classmethod
    def prepare(
        cls,
        file: DataFile,
        size: tuple[int, int],
        decode: Decode,
        fit: Literal["stretch", "pad"],
        where: Path,
        workers: int = 2,
        progress: Progress = SILENT,
    ) -> Corpus:
        """Decodes every source into a store at ``size`` = (height, width), or finds it there.

        Raises:
            UserError: what is wrong with any source's records, before the first of them is decoded; a store that is
                not as it was written.
        """
        records = file.read()
        parted = {name for name in file.sources if not isinstance(file.split_of(name), AllTrain)}
        tested = {name for name in parted if records[name][1]}
        stores = []
        for name, source in file.sources.items():
            samples, targets = records.pop(name)

            def count(done: int, total: int, name: str = name) -> None:
                progress.count(f"prepare {name}", done, total, "images")

            def check(done: int, total: int, name: str = name) -> None:
                progress.count(f"check {name}", done, total, "MB")

            stores.append(
                prepare(
                    name,
                    source,
                    file.split_of(name),
                    size,
                    decode,
                    where,
                    fit,
                    workers,
                    count,
                    (samples, targets),
                    check,
                )
            )
            faults = [*nameless(source, samples, bool(tested))] if tested or name in parted else []
            faults += guessed_positive(source, targets) if name in tested else ()
            for fault in faults:
                progress.message(f"warning: {name}: {fault.seen}; {fault.do}")
            if stores[-1].quarantine:
                path, reason = stores[-1].quarantine[0]
                progress.message(
                    f"{name}: {len(stores[-1].quarantine)} files set aside, first {path}: {reason}"
                )
        return cls(file, tuple(stores), progress)

    @cached_property
    def external(self) -> frozenset[str]:
        """Names of the sources that no stage before fine-tuning may see."""
        return frozenset(name for name, source in self.file.sources.items() if source.external)

    @cached_property
    def left_out(self) -> frozenset[str]:
        """The ids that the data file excludes."""
        return read_left_out(self.file.exclude)

    @cached_property
    def unstored(self) -> Mapping[str, Unstored]:
        """What is known of each image by its id and is in no store."""
        return {
            s.id: Unstored(s.sex, "" if s.age is None else f"{s.age:g}", s.scanner, s.spacing)
            for samples, _ in self.file.read().values()
            for s in samples
        }

    @cached_property
    def all_rows(self) -> Rows:
        """Every row of every store but those that the data file excludes."""
        return all_rows(self.stores, self.left_out)

    @cached_property
    def near(self) -> Near:
        """Pairs of near-duplicates among all films; none among drawn ones, which are all alike."""
        return () if self.file.synthetic else near_duplicates(self.stores, self.progress)

    def audit(self, seen: Sequence[Seen] = ()) -> Audit:
        """Every pair of films that are one, or of one person in two parts; ``seen``: by the weights to start from."""
        return audit(self.all_rows, self.near, self.file.sources, seen)

    @cached_property
    def leaks(self) -> tuple[Pair, ...]:
        """The pairs of a tested or validated film and one that is trained on all the same.

        None where persons are kept apart: who is held out anywhere is trained on nowhere. A split that ignores
        persons parts their films by design, and ``allow_leaks`` lets everything through.
        """
        found = self.audit().leaks
        if not found:
            return ()
        rows = self.all_rows
        trained = set(rows.take(self.held_out.allows(rows)).ids)
        return tuple(pair for pair in found if pair.second in trained)

    def check_leaks(self) -> None:
        """Says how many near-duplicates are not learned from.

        Raises:
            UserError: a test or validation case is learned from; not with ``allow_leaks``.
        """
        if not self.file.allow_leaks:
            refuse(self.leaks)
        rows = self.all_rows
        if unknown := sorted(self.left_out - set(all_rows(self.stores).ids)) if self.left_out else []:
            self.progress.message(
                f"warning: exclude: {len(unknown):,} of {len(self.left_out):,} ids name no film here, first "
                f"{unknown[0]}; ids are source/path, as `muscle data audit --exclude` writes them"
            )
        twins = int((rows.is_("split", "train") & self.held_out.only_near(rows)).sum())
        if twins:
            self.progress.message(
                f"{twins} training films are near-duplicates of validation or test films and are not learned from"
            )
        if again := len(self.learnable) - len(self.pool):
            self.progress.message(
                f"{again} training films are copies or near-duplicates of another training film: pretext tasks see "
                f"one of each, {len(self.pool)} films"
            )

    @cached_property
    def held_out(self) -> HeldOut:
        """Who and what no stage may train on: the validation and test parts of every source together."""
        if self.file.allow_leaks:
            return HeldOut()
        return HeldOut.of(self.all_rows, self._image_level, near=self.near)

    @cached_property
    def held_out_before(self) -> HeldOut:
        """As ``held_out``, and all films and persons of external sources: for stages before fine-tuning."""
        if self.file.allow_leaks:
            return HeldOut()
        return HeldOut.of(self.all_rows, self._image_level, self.external, self.near)

    @cached_property
    def _image_level(self) -> frozenset[str]:
        names = self.file.sources
        return frozenset(n for n in names if isinstance(self.file.split_of(n), PaperSplit))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of every store's content and of what is left out: equal digests mean equal films, parts and truth."""
        allowed = ["allow_leaks"] if self.file.allow_leaks else []
        return digest([*(store.digest for store in self.stores), *sorted(self.left_out), *allowed])

    @cached_property
    def pool(self) -> Rows:
        """Every image that pre-training may see: training parts only, nobody who is held out anywhere."""
        return pool(self.all_rows, self.external, self.held_out_before, self.near)

    @cached_property
    def learnable(self) -> Rows:
        """Every film that a stage before fine-tuning may learn from: the pool with its twins, which tasks learn too."""
        return learnable(self.all_rows, self.external, self.held_out_before)

    def pool_of(self, role: str) -> Rows:
        """The pool, or with the role ``pool:chest`` only its images of that body part.

        Raises:
            UserError: no image of that part.
        """
        part = role.partition(":")[2]
        if not part:
            return self.pool
        mine = self.pool.is_("body_part", part)
        if not mine.any():
            known = ", ".join(sorted(set(self.pool.strings("body_part")) - {""})) or "none is named"
            raise UserError(
                f"role {role!r}: no image of {part!r}; body parts in the pool: {known}; set body_part in the data file"
            )
        return self.pool.take(np.flatnonzero(mine))

    @cached_property
    def tasks(self) -> dict[str, TaskRows]:
        """The rows of every target, external sources included, in the order of the data file."""
        return annotated(self.all_rows, self.held_out)

    @cached_property
    def targets(self) -> dict[str, Target]:
        """Every target that fine-tuning may learn."""
        return {name: rows.target for name, rows in self.tasks.items()}

    @cached_property
    def internal_tasks(self) -> dict[str, TaskRows]:
        """As ``tasks``, without any row of an external source: what stages before fine-tuning learn and look at."""
        inside = ~np.array([s.name in self.external for s in self.stores])[self.all_rows.store]
        return annotated(self.all_rows.take(inside), self.held_out_before) if inside.any() else {}
