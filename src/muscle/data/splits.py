"""Who trains, who selects, who tests: one rule a part, each a pure function of the samples.

No rule depends on the order of the samples or on the machine; only ``paper`` depends on how many there are.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field, model_validator

from muscle.errors import UsageError
from muscle.parts import Part
from muscle.types import Labels, Sample, SplitName, Target


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
        for i, sample in enumerate(samples):
            truth = sample.annotations.get(first) if first else None
            strata[sample.body_part, str(truth.values) if isinstance(truth, Labels) else ""].append(i)
        found: list[SplitName] = ["train"] * len(samples)
        for members in strata.values():
            members.sort(key=lambda i: (chance(self.seed, samples[i].id), samples[i].id))
            tenth = len(members) // 10
            for rank, i in enumerate(members[: 2 * tenth]):
                found[i] = "test" if rank < tenth else "valid"
        return found


class AllTrain(Split):
    """Everything trains; nothing can be selected or scored on this source."""

    kind: ClassVar[str] = "all_train"

    def parts(self, samples: Sequence[Sample], targets: Sequence[Target]) -> list[SplitName]:
        """Train, for each."""
        return ["train"] * len(samples)
