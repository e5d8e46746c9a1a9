"""Sources: one collection of films in one layout, read into records without pixels.

Each source is an adapter of ``muscle.datasets`` with a root folder. Adapters define ``records``; what holds for every
source (renaming, order, unique ids, two classes at least) is done here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from muscle.data.links import check_links
from muscle.data.splits import Split
from muscle.errors import UsageError, UserError, among
from muscle.parts import Part
from muscle.types import NO_TRUTH, Labels, Sample, Target

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # of sources and targets: they become parts of file names


class Source(Part):
    """Root of the family: one collection of films in one layout.

    Attributes:
        root: the folder; in a data file, relative to that file.
        external: kept out of every stage before its own fine-tuning, to see how it does on films from elsewhere.
        split: this source's own rule instead of the data file's: patient, official, paper, file or all_train.
        collection: whose patient keys these are: two sources of one collection agree on who is who. Empty: the
            source's own name, and for DICOM the Patient ID itself. Public sources know theirs.
        body_part: of the images whose adapter does not know it, in a word such as chest.
        spacing: millimetres of a pixel of the files, where it is one for all and the adapter does not know it; goes
            before what DICOM headers say. For distances between outlines.
        follow_links: links below the root may lead out of it, as in folders of links to an archive elsewhere. Otherwise
            such a link is an error: who packed the folder could show any file of this machine. The root may be one.
        targets: which of the adapter's targets to use; None is all, an empty list is images alone.
        rename: other names for targets, such as {findings: chest}; sources that name a target alike teach one task.

    What an adapter of a public set states of it, all empty for one's own data: ``shows``, the body parts;
    ``citation``, ``licence``, ``url``; ``published``, the publisher's counts (of ``images``, ``patients``,
    ``studies``, ``part:train``; of images ``labels:TARGET:CLASS`` where it is present; of boxes ``boxes:TARGET`` in
    all and ``boxes:TARGET:CLASS``; of images that have one ``mask:TARGET``, ``value:TARGET``, ``points:TARGET``);
    ``shares``, the kinds of other sets with the same films, and what is known of it. ``example`` holds the fields that
    read ``write_example`` with its annotations.
    """

    home: ClassVar[str] = "muscle.datasets"
    shows: ClassVar[tuple[str, ...]] = ()
    citation: ClassVar[str] = ""
    licence: ClassVar[str] = ""
    url: ClassVar[str] = ""
    published: ClassVar[Mapping[str, int]] = {}
    shares: ClassVar[Mapping[str, str]] = {}
    example: ClassVar[Mapping[str, Any]] = {}

    root: str
    external: bool = False
    split: Split | None = None
    collection: str = ""
    body_part: str = ""
    spacing: float | None = Field(None, gt=0)
    follow_links: bool = False
    targets: tuple[str, ...] | None = None
    rename: dict[str, str] = {}

    def records(self, name: str) -> tuple[list[Sample], list[Target]]:
        """All images and all targets of the folder, in any order; ``name`` is the source's name in the data file.

        Raises:
            UserError: the folder is not in this layout, or an annotation makes no sense.
        """
        raise TypeError(f"{type(self).__name__} must define records")

    @classmethod
    def write_example(cls, root: Path, n: int, seed: int) -> None:
        """Lays ``n`` synthetic films out under ``root`` as the publisher does, quirks included."""
        raise TypeError(f"{cls.__name__} must define write_example")

    def read(self, name: str) -> tuple[list[Sample], list[Target]]:
        """The samples, sorted by id, and the targets they carry, after ``targets`` and ``rename``.

        Raises:
            UserError: missing, empty or wrong folder; links that lead out of it; a label target of which only one class
                occurs.
            UsageError: ``targets`` or ``rename`` name a target that the source does not have.
        """
        root = self.folder
        if not root.is_dir():
            what = "is a file" if root.is_file() else "does not exist"
            raise UserError(
                f"source {name}: folder {root} {what}; give the folder of the {self.kind} data as root"
            )
        if not self.follow_links:
            check_links(root, f"source {name}", "set follow_links: true in the data file")
        samples, targets = self.records(name)
        if not samples:
            raise UserError(
                f"source {name}: no image in {root} for kind {self.kind}; `muscle data scan` shows what is there"
            )
        targets = self._chosen(name, targets)
        mapping = {target.name: self.rename.get(target.name, target.name) for target in targets}
        for new in mapping.values():
            if not NAME.fullmatch(new):
                raise UsageError(
                    f"source {name}: target {new!r}; allowed: letters, digits, '.', '-', '_', a letter or digit first; "
                    "give it another name with rename or target"
                )
        for i, sample in enumerate(samples):  # in place: there may be millions
            samples[i] = self._finish(sample, mapping)
        samples.sort(key=lambda sample: sample.id)
        for before, after in pairwise(samples):
            if before.id == after.id:
                raise UserError(f"source {name}: {after.picture} is listed twice; give each image once")
        targets = [replace(target, name=mapping[target.name]) for target in targets]
        used = {target for sample in samples for target in sample.annotations}
        targets = [target for target in targets if target.name in used]
        for target in targets:
            _check_two_classes(name, target, samples)
        return samples, targets

    def person(self, name: str, key: str) -> str:
        """The global key of a person called ``key`` in the collection; ``name`` stands for an unnamed one."""
        return f"{self.collection or name}:{key}"

    @property
    def folder(self) -> Path:
        """The root as a path of this machine."""
        return Path(self.root).expanduser()

    def _chosen(self, name: str, targets: list[Target]) -> list[Target]:
        names = [target.name for target in targets]
        for field, asked in (("targets", self.targets or ()), ("rename", tuple(self.rename))):
            for target in asked:
                if target not in names:
                    raise UsageError(
                        f"source {name}: {field}: no target {target!r}; {among(target, names or ['none'])}"
                    )
        renamed = [self.rename.get(target, target) for target in names]
        if len(set(renamed)) < len(renamed):
            raise UsageError(f"source {name}: rename gives two targets one name: {', '.join(renamed)}")
        return [target for target in targets if self.targets is None or target.name in self.targets]

    def _finish(self, sample: Sample, mapping: Mapping[str, str]) -> Sample:
        annotations = {mapping[old]: a for old, a in sorted(sample.annotations.items()) if old in mapping}
        spacing = sample.spacing or (None if self.spacing is None else (self.spacing, self.spacing))
        return replace(
            sample, body_part=sample.body_part or self.body_part, spacing=spacing,
            annotations=annotations or NO_TRUTH,
        )  # fmt: skip


def _check_two_classes(source: str, target: Target, samples: list[Sample]) -> None:
    if target.kind != "labels":
        return
    truths = [a.values for s in samples if isinstance(a := s.annotations.get(target.name), Labels)]
    columns = [{values[i] for values in truths} for i in range(len(target.classes))]
    if any({0.0, 1.0} <= column for column in columns):
        return
    present = [name for name, column in zip(target.classes, columns, strict=True) if 1.0 in column]
    raise UserError(
        f"source {source}: target {target.name}: only one class occurs ({', '.join(present) or 'all absent'}) in "
        f"{len(truths)} images; a classification needs two: add the other, or use the images alone with targets: []"
    )
