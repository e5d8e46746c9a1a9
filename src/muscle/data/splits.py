"""Who trains, who selects, who tests: one rule a part, each a pure function of the samples.

No rule depends on the order of the samples or on the machine; only ``paper`` depends on how many there are.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import Field, model_validator

from muscle.data.privacy import private_key
from muscle.data.tables import read_table
from muscle.errors import UsageError, UserError
from muscle.parts import Part
from muscle.types import Labels, Sample, SplitName, Target

_PARTS: tuple[SplitName, ...] = ("train", "valid", "test")  # a patient listed twice is where most is at stake


def chance(seed: int, key: str) -> float:
    """A number in [0, 1), uniform over keys and the same on every machine: the head of SHA-256 of seed and key."""
    head = hashlib.sha256(f"{seed}\0{key}".encode()).digest()[:8]
    return int.from_bytes(head, "big") / 2**64


class Split(Part):
    """Root of the family: gives every sample of one source its part."""

    home: ClassVar[str] = "muscle.data.splits"

    def assign(self, samples: Sequence[Sample], targets: Sequence[Target]) -> list[SplitName]:
        """The part of each sample, in the order given. A source without any target is all train."""
        if not targets:
            return ["train"] * len(samples)
        return self.parts(samples, targets)

    def rooted(self, base: Path) -> Split:
        """The same rule with its files, if it has any, relative to ``base`` made absolute."""
        return self

    def parts(self, samples: Sequence[Sample], targets: Sequence[Target]) -> list[SplitName]:
        """As ``assign``, for a source that teaches something."""
        raise TypeError(f"{type(self).__name__} must define parts")


class PatientSplit(Split):
    """By the person: a hash of (seed, patient key) alone decides.

    The same person falls in the same part in every source, and films added later move nobody. The sizes are met
    on average, not exactly. ``valid`` and ``test`` are shares of the persons (our choice: a tenth each, as in the
    papers). Without patient keys every image counts as a person.
    """

    kind: ClassVar[str] = "patient"

    valid: float = Field(0.1, ge=0, lt=1)
    test: float = Field(0.1, ge=0, lt=1)
    seed: int = 0

    @model_validator(mode="after")
    def _leaves_some(self) -> PatientSplit:
        if self.valid + self.test >= 1:
            raise ValueError(
                f"valid + test is {self.valid + self.test:g}; it must leave something to train on (< 1)"
            )
        return self

    def parts(self, samples: Sequence[Sample], targets: Sequence[Target]) -> list[SplitName]:
        """By the hash: test below ``test``, valid below ``test + valid``, train above."""
        return [self._part(chance(self.seed, sample.patient)) for sample in samples]

    def _part(self, u: float) -> SplitName:
        return "test" if u < self.test else "valid" if u < self.test + self.valid else "train"


class OfficialSplit(Split):
    """The publisher's parts.

    Where the publisher has no validation part, persons of its training part are drawn for it by the hash that
    ``patient`` uses; ``valid`` is their share. Whoever has a test film as well is not drawn.

    Raises:
        UsageError: from ``assign``, when the source says nothing about parts.
    """

    kind: ClassVar[str] = "official"

    valid: float = Field(0.1, ge=0, lt=1)
    seed: int = 0

    def parts(self, samples: Sequence[Sample], targets: Sequence[Target]) -> list[SplitName]:
        """The published part of each sample."""
        silent = [sample.id for sample in samples if sample.split is None]
        if silent:
            raise UsageError(
                f"split official: {len(silent)} of {len(samples)} images have no published part, such as {silent[0]}; "
                "use the split patient, or name the column or folders that hold the parts"
            )
        if any(sample.split == "valid" for sample in samples):
            return [sample.split or "train" for sample in samples]
        tested = {sample.patient for sample in samples if sample.split == "test"}
        return [self._part(sample, tested) for sample in samples]

    def _part(self, sample: Sample, tested: set[str]) -> SplitName:
        free = sample.split == "train" and sample.patient not in tested
        return "valid" if free and chance(self.seed, sample.patient) < self.valid else sample.split or "train"


class PaperSplit(Split):
    """The rule behind Tables 1 and 2 of MUSCLE: images at random, whoever they show, stratum by stratum.

    Of n images of a stratum (body part and class of the first label target) floor(n / 10) test, floor(n / 10)
    validate, the rest train. Recovered from the tables: Kermany's 4,273 and 1,583 give 427 + 158 test images. A
    person's films fall on both sides, so the scores flatter; it exists to compare with the paper.
    """

    kind: ClassVar[str] = "paper"

    seed: int = 0

    def parts(self, samples: Sequence[Sample], targets: Sequence[Target]) -> list[SplitName]:
        """Part by rank within the stratum, ranked by a hash of (seed, image id)."""
        first = next((t.name for t in targets if t.kind == "labels"), None)
        strata: dict[tuple[str, str], list[int]] = defaultdict(list)
        frames: dict[str, int] = {}  # a file of several frames is one picture here: its first stands for all
        of = [frames.setdefault(s.path, i) if s.frame else i for i, s in enumerate(samples)]
        for i in sorted(set(of)):
            truth = samples[i].annotations.get(first) if first else None
            shown = str(truth.values) if isinstance(truth, Labels) else ""
            strata[samples[i].body_part, shown].append(i)
        found: dict[int, SplitName] = {}
        for members in strata.values():
            members.sort(key=lambda i: (chance(self.seed, samples[i].id), samples[i].id))
            tenth = len(members) // 10
            for rank, i in enumerate(members):
                found[i] = "test" if rank < tenth else "valid" if rank < 2 * tenth else "train"
        return [found[i] for i in of]


class FileSplit(Split):
    """By a file that was written down: who is in it stays where it says, whoever came later is placed by a hash.

    ``muscle data split SOURCE --write FILE`` writes one, CSV or Parquet, and adds to it. Columns: ``part`` (train,
    valid or test), and ``id`` of the image or ``patient`` (``private_key`` under the writer's salt) or both. An image
    whose id is not listed goes where its patient's listed films are, most to test; one of a new patient where
    ``patient`` would place it, with these shares and this seed.

    Raises:
        UserError: from ``assign``, a file that cannot be read, or that names nobody of the source.
    """

    kind: ClassVar[str] = "file"

    file: str
    valid: float = Field(0.1, ge=0, lt=1)
    test: float = Field(0.1, ge=0, lt=1)
    seed: int = 0

    def rooted(self, base: Path) -> FileSplit:
        """With the file relative to ``base``."""
        return self.with_(file=(base / Path(self.file).expanduser()).resolve().as_posix())

    def parts(self, samples: Sequence[Sample], targets: Sequence[Target]) -> list[SplitName]:
        """As listed, by id, else by patient, else by the hash."""
        listed = Listed.read(Path(self.file))
        later = PatientSplit(valid=self.valid, test=self.test, seed=self.seed).parts(samples, targets)
        found = [listed.part(sample) for sample in samples]
        if not any(found):
            raise UserError(
                f"{self.file}: names none of {len(samples)} images of source {samples[0].source}, by id or by patient; "
                "ids begin with the source's name, and patients are found under the MUSCLE_SALT that the file was "
                "written with"
            )
        return [part or placed for part, placed in zip(found, later, strict=True)]


class Listed:
    """The content of a split file."""

    def __init__(self, rows: Iterable[tuple[str, str, SplitName]] = ()) -> None:
        """``rows``: (image id, private key of the patient, part); an id or a key may be empty."""
        self.rows = tuple(rows)
        self.ids: dict[str, SplitName] = {}
        self.patients: dict[str, SplitName] = {}
        for i, patient, part in self.rows:
            if i:
                self.ids[i] = part
            if patient:
                self.patients[patient] = max(self.patients.get(patient, part), part, key=_PARTS.index)

    @classmethod
    def read(cls, path: Path) -> Listed:
        """From a CSV or Parquet file.

        Raises:
            UserError: not readable, a column is missing, or a part that is none.
        """
        rows = []
        for line, row in read_table(path, ("part",)):
            if row["part"] not in _PARTS:
                raise UserError(f"{path} line {line}: part {row['part']!r}; allowed: {', '.join(_PARTS)}")
            rows.append((row.get("id", ""), row.get("patient", ""), row["part"]))
        if not any(i or patient for i, patient, _ in rows):
            raise UserError(f"{path}: has neither ids nor patients; it needs a column id or patient")
        return cls(rows)

    def part(self, sample: Sample) -> SplitName | None:
        """Where a sample is listed, or its patient."""
        found = self.ids.get(sample.id)
        return found or (self.patients.get(private_key(sample.patient)) if self.patients else None)


def stratified(
    groups: Mapping[str, Iterable[str]], valid: float, test: float, seed: int
) -> dict[str, SplitName]:
    """Parts for persons, so that every stratum meets the shares to within one person.

    Args:
        groups: a person's key -> what that person shows (sources, classes); persons with equal lists are a stratum.
        valid, test: shares of the persons of each stratum.
        seed: which of them; ranked by the hash that ``patient`` uses.
    """
    strata: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for person, shown in groups.items():
        strata[tuple(sorted(shown))].append(person)
    found: dict[str, SplitName] = {}
    owed = {"test": 0.0, "valid": 0.0}  # what rounding has left over goes to the next stratum
    for _, members in sorted(strata.items()):
        members.sort(key=lambda person: (chance(seed, person), person))
        start = 0
        shares: tuple[tuple[SplitName, float], ...] = (("test", test), ("valid", valid))
        for part, share in shares:
            wanted = owed[part] + share * len(members)
            take = min(max(round(wanted), 0), len(members) - start)
            owed[part] = wanted - take
            found |= dict.fromkeys(members[start : start + take], part)
            start += take
        found |= dict.fromkeys(members[start:], "train")
    return found


class AllTrain(Split):
    """Everything trains; nothing can be selected or scored on this source."""

    kind: ClassVar[str] = "all_train"

    def parts(self, samples: Sequence[Sample], targets: Sequence[Target]) -> list[SplitName]:
        """Train, for each."""
        return ["train"] * len(samples)
