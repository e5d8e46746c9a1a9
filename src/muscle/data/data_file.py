"""Data files: which sources exist, by name, and the rule that splits them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import field_validator

from muscle.data.source import NAME, Source
from muscle.data.splits import PatientSplit, Split
from muscle.errors import UsageError, among
from muscle.parts import Part, known
from muscle.types import Sample, Target
from muscle.yaml_text import from_yaml


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
            if not NAME.fullmatch(name):
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
                    f"source {word!r}: unknown kind {kind!r}; {among(kind, known(Source))}; give a folder, "
                    f"a data file, or KIND=ROOT; a leaf of a recipe is given as --set {word}"
                )
            else:
                raise UsageError(
                    f"source {word!r}: no such file or folder; give a folder, a data file, or KIND=ROOT such as "
                    "coco=/data/films"
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
