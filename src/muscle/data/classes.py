"""The names of classes: which of two counts as positive, and which are one class written in two ways."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from muscle.data.faults import Fault
from muscle.data.source import Source
from muscle.types import Target

NEGATIVE = frozenset(
    {"normal", "negative", "healthy", "no_finding", "no finding", "nofinding", "control", "benign", "none", "0",
     "no", "absent", "false", "intact", "clear", "unremarkable", "without"}
)  # fmt: skip


def negative_first(names: Iterable[str]) -> tuple[str, ...]:
    """Classes in the order of the alphabet, but a word that says that there is nothing before all others."""
    return tuple(sorted(set(names), key=lambda name: (name.lower() not in NEGATIVE, name)))


def guessed_positive(source: Source, targets: Sequence[Target]) -> Iterator[Fault]:
    """One warning a target of two classes whose order only the alphabet decided: the second counts as positive."""
    if getattr(source, "classes", ()) is not None:
        return
    for target in targets:
        if target.kind == "labels" and target.exclusive and len(target.classes) == 2:
            first, second = target.classes
            if first.lower() not in NEGATIVE:
                seen = f"{target.name}: {second} counts as positive, for {first} comes first in the alphabet"
                do = f"give classes, the negative first: [{second}, {first}], or [{first}, {second}] if that is right"
                yield Fault("warning", "positive class is a guess", "classes", seen, do)


def classes_alike(targets: Sequence[Target]) -> Iterator[Fault]:
    """Classes of one target that differ in case or blanks alone: mostly one class, written in two ways."""
    for target in targets:
        written: dict[str, list[str]] = defaultdict(list)
        for name in target.classes:
            written[" ".join(name.split()).casefold()].append(name)
        for names in (names for names in written.values() if len(names) > 1):
            said = " and ".join(map(repr, names))
            yield Fault(
                "warning",
                "classes alike",
                target.name,
                f"{said} are learned as two classes",
                "write one of them",
            )
