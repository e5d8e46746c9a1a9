"""Sources and data files: what data exist, read into records without pixels.

A data file names its sources; each source is an adapter of ``muscle.datasets`` with a root folder. Adapters
define ``records``; what holds for every source (renaming, order, unique ids, two classes at least) is done here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from pydantic import field_validator

from muscle.data.splits import PatientSplit, Split
from muscle.errors import UsageError, UserError
from muscle.parts import Part, from_yaml, known
from muscle.types import Labels, Sample, Target

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Source(Part):
    """Root of the family: one collection of films in one layout.

    Attributes:
        root: the folder; in a data file, relative to that file.
        external: kept out of every stage before its own fine-tuning.
        split: this source's own rule instead of the data file's.
        collection: whose patient keys these are: two sources of one collection agree on who is who. Empty: the
            source's own name, and for DICOM the Patient ID itself. Public sources know theirs.
        body_part: for images whose adapter does not know it.
        targets: which of the adapter's targets to use; None is all, an empty list is images alone.
        rename: other names for targets, for instance so that two sources teach one task together.

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
            UserError: missing, empty or wrong folder; a label target of which only one class occurs.
            UsageError: ``targets`` or ``rename`` name a target that the source does not have.
        """
        root = self.folder
        if not root.is_dir():
            what = "is a file" if root.is_file() else "does not exist"
            raise UserError(
                f"source {name}: folder {root} {what}; give the folder of the {self.kind} data as root"
            )
        samples, targets = self.records(name)
        if not samples:
            raise UserError(
                f"source {name}: no image in {root} for kind {self.kind}; `muscle data scan` shows what is there"
            )
        targets = self._chosen(name, targets)
        mapping = {target.name: self.rename.get(target.name, target.name) for target in targets}
        for new in mapping.values():
            if not _NAME.fullmatch(new):  # it becomes part of file names
                raise UsageError(
                    f"source {name}: target {new!r}; allowed: letters, digits, '.', '-', '_', a letter or digit first; "
                    "give it another name with rename or target"
                )
        finished = sorted((self._finish(sample, mapping) for sample in samples), key=lambda sample: sample.id)
        for before, after in zip(finished, finished[1:], strict=False):
            if before.id == after.id:
                raise UserError(f"source {name}: {after.picture} is listed twice; give each image once")
        targets = [replace(target, name=mapping[target.name]) for target in targets]
        used = {target for sample in finished for target in sample.annotations}
        targets = [target for target in targets if target.name in used]
        for target in targets:
            _check_two_classes(name, target, finished)
        return finished, targets

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
                        f"source {name}: {field}: no target {target!r}; known: {', '.join(names) or 'none'}"
                    )
        renamed = [self.rename.get(target, target) for target in names]
        if len(set(renamed)) < len(renamed):
            raise UsageError(f"source {name}: rename gives two targets one name: {', '.join(renamed)}")
        return [target for target in targets if self.targets is None or target.name in self.targets]

    def _finish(self, sample: Sample, mapping: Mapping[str, str]) -> Sample:
        annotations = {mapping[old]: a for old, a in sorted(sample.annotations.items()) if old in mapping}
        return replace(sample, body_part=sample.body_part or self.body_part, annotations=annotations)


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


# --- data files -----------------------------------------------------------------------------------------------


class DataFile(Part):
    """The data that exist: sources by name, and the rule that splits them.

    Names become parts of file names: letters, digits, dot, dash and underscore. ``exclude``: one or several lists of
    ids to leave out, as ``muscle data audit --exclude`` writes them. ``allow_leaks``: who is tested on may be trained
    on as well, where the splits let them; reports say so.
    """

    sources: dict[str, Source]
    split: Split = PatientSplit()
    synthetic: bool = False  # drawn, not of persons: reports say so
    exclude: tuple[str, ...] = ()
    allow_leaks: bool = False

    @field_validator("exclude", mode="before")
    @classmethod
    def _listed(cls, given: Any) -> Any:
        return (given,) if isinstance(given, str) else given

    @field_validator("sources")
    @classmethod
    def _named(cls, sources: dict[str, Source]) -> dict[str, Source]:
        if not sources:
            raise ValueError("no source; give one at least")
        for name in sources:
            if not _NAME.fullmatch(name):
                raise ValueError(f"source name {name!r}; allowed: letters, digits, '.', '-', '_'")
        return sources

    @classmethod
    def load(cls, path: str | Path) -> DataFile:
        """A data file from YAML, its roots made absolute relative to the file.

        Raises:
            UsageError: no such file, not YAML, or a field that is wrong, with what is allowed.
        """
        file = Path(path)
        try:
            text = file.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8 text"
            raise UsageError(f"data file {file}: {reason}; give a YAML file with 'sources'") from None
        data = from_yaml(text, str(file))
        if not isinstance(data, dict):
            raise UsageError(
                f"data file {file}: given no mapping; allowed fields: {', '.join(cls.model_fields)}"
            )
        try:
            found = cls.parse(data)
        except UsageError as error:
            raise UsageError(f"{file}: {error}") from None
        base = file.resolve().parent
        return found.with_(
            sources={name: _rooted(source, base) for name, source in found.sources.items()},
            split=found.split.rooted(base),
            exclude=tuple(_absolute(name, base) for name in found.exclude),
        )

    @classmethod
    def of(cls, sources: Sequence[str]) -> DataFile:
        """One data file from command-line words: a folder, ``KIND=ROOT``, or a data file; several are merged.

        A folder is taken as images alone. Sources given by folder are named after it.

        Raises:
            UsageError: a word that is none of these, or data files whose splits differ or names clash.
        """
        if not sources:
            raise UsageError("no source given; give a folder, KIND=ROOT, or a data file")
        found: dict[str, Source] = {}
        split: Split | None = None
        synthetic = allow_leaks = False
        exclude: tuple[str, ...] = ()
        for word in sources:
            kind, sign, root = word.partition("=")
            path = Path(word).expanduser()
            if path.is_file():
                part = cls.load(path)
                if split is not None and split != part.split:
                    raise UsageError(
                        f"{word}: its split differs from that of another data file given; make them equal"
                    )
                split = part.split
                synthetic |= part.synthetic
                allow_leaks |= part.allow_leaks
                exclude += part.exclude
                for name, source in part.sources.items():
                    if name in found:
                        raise UsageError(
                            f"{word}: a source named {name!r} was given already; rename one of them"
                        )
                    found[name] = source
            elif path.is_dir():
                found[free_name(path.resolve().name, found)] = cls._source("folder", path)
            elif sign and root and kind in known(Source):
                found[free_name(kind, found)] = cls._source(kind, Path(root).expanduser())
            elif sign and kind not in known(Source):
                raise UsageError(
                    f"source {word!r}: unknown kind {kind!r}; give a folder, a data file, or KIND=ROOT, KIND one of: "
                    f"{', '.join(known(Source))}; a leaf of a recipe is given as --set {word}"
                )
            else:
                raise UsageError(
                    f"source {word!r}: no such file or folder; give a folder, a data file, or KIND=ROOT, KIND one of: "
                    f"{', '.join(known(Source))}"
                )
        return cls(
            sources=found,
            split=split or PatientSplit(),
            synthetic=synthetic,
            exclude=exclude,
            allow_leaks=allow_leaks,
        )

    @staticmethod
    def _source(kind: str, root: Path) -> Source:
        if not root.is_dir():
            raise UsageError(f"source {kind}={root}: no such folder; give the folder of the {kind} data")
        holder = DataFile.parse({"sources": {"x": {"kind": kind, "root": root.resolve().as_posix()}}})
        return holder.sources["x"]

    def split_of(self, name: str) -> Split:
        """The rule that splits this source: its own, or else the data file's."""
        return self.sources[name].split or self.split

    def read(self) -> dict[str, tuple[list[Sample], list[Target]]]:
        """Every source read, by name, with targets of one name checked to mean one thing.

        Raises:
            UserError: see ``Source.read``.
            UsageError: see ``shared_targets``.
        """
        found = {name: source.read(name) for name, source in self.sources.items()}
        shared_targets({name: targets for name, (_, targets) in found.items()})
        return found


def _rooted(source: Source, base: Path) -> Source:
    split = source.split.rooted(base) if source.split else None
    return source.with_(root=_absolute(source.root, base), split=split)


def _absolute(path: str, base: Path) -> str:
    return (base / Path(path).expanduser()).resolve().as_posix()


def free_name(name: str, taken: Mapping[str, Any]) -> str:
    """A name for a source, made of a folder's, that is allowed and not taken."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip("._-") or "source"
    return next(n for i in range(1, len(taken) + 2) if (n := name if i == 1 else f"{name}-{i}") not in taken)


def shared_targets(targets: Mapping[str, Sequence[Target]]) -> dict[str, Target]:
    """The tasks that the sources teach together: targets by name, each source's list given by the source's name.

    Raises:
        UsageError: two sources use one name for targets that differ in kind or classes.
    """
    found: dict[str, tuple[str, Target]] = {}
    for source, mine in targets.items():
        for target in mine:
            other, first = found.setdefault(target.name, (source, target))
            if first != target:
                raise UsageError(
                    f"target {target.name!r} is {_meaning(first)} in source {other}, {_meaning(target)} in {source}; "
                    f"give one another name with rename: {{{target.name}: NAME}}"
                )
    return {name: target for name, (_, target) in found.items()}


def _meaning(target: Target) -> str:
    return f"{target.kind} of {', '.join(target.classes) or 'one number'}"
