"""Who is seen in training and in a test part too: same bytes, same pixels, near-duplicates, same patient.

Over all sources of a data file, and so over every stage and part of a recipe on it, and over the films that a file of
weights was trained on.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from muscle.data.keys import among, key_of, repeated
from muscle.data.privacy import private_key
from muscle.data.rows import Rows
from muscle.data.seen import Seen
from muscle.data.source import Source
from muscle.errors import UserError
from muscle.paths import atomic_write

Rule = Literal["bytes", "pixels", "near-duplicate", "patient"]
RULES: tuple[Rule, ...] = ("bytes", "pixels", "near-duplicate", "patient")
WEIGHTS = "weights"  # the part of films that the weights to start from have seen

_ORDER = {"test": 0, "valid": 1, "train": 2, WEIGHTS: 3}


@dataclass(frozen=True, slots=True)
class Pair:
    """Two films that are one, or of one person. ``first`` is of the part further from training.

    ``parts`` of both: test, valid, train, or ``weights``: seen by the weights to start from. ``score``: for a
    near-duplicate the correlation of its fine detail, else 1.
    """

    first: str
    second: str
    rule: Rule
    parts: tuple[str, str]
    score: float = 1.0

    @property
    def leaks(self) -> bool:
        """Whether the first is validated or tested on and the second learned from."""
        return self.parts[0] in ("test", "valid") and self.parts[1] in ("train", WEIGHTS)

    def __str__(self) -> str:
        return f"{self.first} ({self.parts[0]}) and {self.second} ({self.parts[1]}), rule {self.rule}"


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two sources whose publishers' sets are known to share films, and how many pairs were found between them."""

    first: str
    second: str
    known: str
    pairs: int


@dataclass(frozen=True)
class Audit:
    """What was found among ``films`` films."""

    films: int
    pairs: tuple[Pair, ...]
    overlaps: tuple[Overlap, ...] = ()

    @property
    def leaks(self) -> tuple[Pair, ...]:
        """The pairs of which one is learned from and one validated or tested on."""
        return tuple(pair for pair in self.pairs if pair.leaks)

    def counts(self) -> list[tuple[str, str, int]]:
        """(rule, parts, pairs), in the order of the rules."""
        found = Counter((pair.rule, " - ".join(pair.parts)) for pair in self.pairs)
        return [
            (rule, parts, found[rule, parts]) for rule in RULES for r, parts in sorted(found) if r == rule
        ]

    def to_leave_out(self) -> list[str]:
        """Ids that end every leak when left out: the learned film; the tested one where weights have learned it."""
        return sorted({p.first if p.parts[1] == WEIGHTS else p.second for p in self.leaks})

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "films": self.films,
            "leaks": len(self.leaks),
            "pairs": [asdict(pair) for pair in self.pairs],
            "overlaps": [asdict(overlap) for overlap in self.overlaps],
        }


def audit(
    rows: Rows,
    near: Sequence[tuple[str, str, float]] = (),
    sources: Mapping[str, Source] | None = None,
    seen: Sequence[Seen] = (),
) -> Audit:
    """All pairs among some rows, by the strictest rule that finds them.

    Of films that are equal each is paired with the one furthest from training, not with every other. Persons are
    paired only across parts.

    Args:
        rows: of every source.
        near: as ``near_duplicates`` gives them; films that are not among the rows are passed over.
        sources: by name, for the overlaps that their publishers' sets are known to have.
        seen: the films that the weights to start from were trained on.
    """
    every, rows = rows, rows.take(_suspects(rows, near))
    ids, parts = rows.ids, rows.splits
    part = dict(zip(ids, parts, strict=True))
    found: dict[tuple[str, str], Pair] = {}

    def put(one: str, other: str, rule: Rule, score: float = 1.0) -> None:
        first, second = sorted((one, other), key=lambda i: (_ORDER[part[i]], i))
        found.setdefault((first, second), Pair(first, second, rule, (part[first], part[second]), score))

    def furthest(group: Iterable[str]) -> str:
        return min(group, key=lambda i: (_ORDER[part[i]], i))

    images = _groups(ids, rows.image_hashes)
    files = _groups(ids, rows.strings("file_hash"))
    for rule, groups in (("bytes", files), ("pixels", images)):
        for group in groups.values():
            centre = furthest(group)
            for other in group:
                if other != centre:
                    put(centre, other, "bytes" if rule == "bytes" else "pixels")
    for one, two, score in near:
        if one in images and two in images:
            centre = furthest(images[one] + images[two])
            for other in images[two] if centre in images[one] else images[one]:
                put(centre, other, "near-duplicate", score)
    for group in _groups(ids, rows.patients).values():
        centre = furthest(group)
        for other in group:
            if part[other] != part[centre]:
                put(centre, other, "patient")
    pairs = [*found.values(), *_with_weights(every, seen)]
    pairs.sort(key=_order)
    source = dict(zip(ids, rows.sources, strict=True))
    return Audit(len(every), tuple(pairs), _overlaps(sources or {}, pairs, source))


def _suspects(rows: Rows, near: Sequence[tuple[str, str, float]]) -> NDArray[np.bool_]:
    """Rows that can be in a pair: their film is not the only one of its kind, or their person is in two parts. [N]."""
    alike = np.unique([key_of(film) for one, other, _ in near for film in (one, other)]).astype(np.int64)
    keys = rows.keys("image")  # equal bytes have equal pixels, decoded alike
    return among(keys, alike) | among(keys, repeated(keys)) | _in_two_parts(rows)


def _in_two_parts(rows: Rows) -> NDArray[np.bool_]:
    """Rows whose person is in another part too, [N]."""
    person = rows.keys("patient")
    test, valid = (np.unique(person[rows.is_("split", part)]) for part in ("test", "valid"))
    train = rows.is_("split", "train") & among(person, np.union1d(test, valid))
    return among(person, np.union1d(person[train], np.intersect1d(test, valid)))


def _order(pair: Pair) -> tuple[int, str, str]:
    return RULES.index(pair.rule), pair.first, pair.second


def _groups(ids: list[str], values: list[str]) -> dict[str, list[str]]:
    """The ids that share a value, by value."""
    found: dict[str, list[str]] = defaultdict(list)
    for i, value in zip(ids, values, strict=True):
        if value:
            found[value].append(i)
    return found


def _overlaps(
    sources: Mapping[str, Source], pairs: Sequence[Pair], source: Mapping[str, str]
) -> tuple[Overlap, ...]:
    """Sources of which either adapter states that the other's set has the same films."""
    between = Counter(frozenset((source[p.first], source[p.second])) for p in pairs if WEIGHTS not in p.parts)
    found = []
    names = list(sources)
    for at, one in enumerate(names):
        for other in names[at + 1 :]:
            a, b = sources[one], sources[other]
            known = a.shares.get(b.kind) or b.shares.get(a.kind)
            if known:
                found.append(Overlap(one, other, known, between[frozenset((one, other))]))
    return tuple(found)


# --- weights that have seen films -----------------------------------------------------------------------------


def seen_by_weights(rows: Rows, seen: Sequence[Seen]) -> list[Pair]:
    """Validation and test films that weights were trained on, as such or in their person; in the order of ``audit``."""
    return sorted(_with_weights(rows, seen), key=_order)


def kept_back(rows: Rows) -> Rows:
    """Those that validate or test."""
    return rows.take(~rows.is_("split", "train"))


def compared(rows: Rows, seen: Sequence[Seen]) -> str:
    """By what films can be compared with those that weights have seen, in words.

    By person only where both sides name them, and in the same keys: of one collection, under one salt.
    """
    if not seen:
        return "with nothing: nothing beside the weights says what they were trained on"
    known = {film.collection for film in seen} - {""}
    named = sum(n for whose, n in Counter(rows.strings("collection")).items() if private_key(whose) in known)
    others = sum(bool(film.collection) for film in seen)
    if not named:
        return "by pixels alone, for no person is named in the same keys on both sides"
    if named == len(rows) and others == len(seen):
        return "by pixels and by person"
    return f"by pixels, and {named:,} of {len(rows):,} by person with {others:,} of the {len(seen):,} of the weights"


def _with_weights(rows: Rows, seen: Sequence[Seen]) -> list[Pair]:
    return met(kept_back(rows), seen) if seen else []


def met(rows: Rows, seen: Sequence[Seen]) -> list[Pair]:
    """Films of any part that weights were trained on, as such or in their person; in the order of the rows."""
    images = {film.image: film for film in seen}
    patients = {film.patient: film for film in seen if film.patient}
    found = []
    for some in rows.parts():
        for i, part, image, patient in zip(
            some.ids, some.splits, some.image_hashes, some.patients, strict=True
        ):
            if film := images.get(image) or patients.get(patient):
                rule: Rule = "pixels" if image in images else "patient"
                found.append(Pair(i, film.id or film.image, rule, (part, WEIGHTS)))
    return found


# --- what is left out, and what is refused --------------------------------------------------------------------


def write_left_out(path: Path, ids: Sequence[str]) -> None:
    """A list of ids, one a line, for ``exclude`` of a data file."""
    atomic_write(path, "".join(f"{i}\n" for i in ids))


def is_left_out(path: Path, sources: Iterable[str]) -> bool:
    """Whether a file that is there is such a list, of films of these sources: only then may it be written anew."""
    try:
        ids = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return False
    return {i.partition("/")[0] for i in ids} <= set(sources)


def read_left_out(paths: Sequence[str]) -> frozenset[str]:
    """The ids of such lists.

    Raises:
        UserError: a file that is not there or is no text.
    """
    found: set[str] = set()
    for path in paths:
        try:
            found |= {line.strip() for line in Path(path).read_text(encoding="utf-8-sig").splitlines()}
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8 text"
            raise UserError(
                f"exclude: {path}: {reason}; give the list that `muscle data audit --exclude FILE` writes"
            ) from None
    return frozenset(found - {""})


def refuse(leaks: Sequence[Pair], options: str = "") -> None:
    """Ends a run whose test or validation cases are learned from.

    Args:
        options: of the audit that finds them again, where weights have seen them.

    Raises:
        UserError: there are any; the first, the rule, and the ways out.
    """
    if leaks:
        first = "pre-train on this data file, which keeps its tested persons out; or " if options else ""
        more = f", and {len(leaks) - 1:,} more such pairs" if len(leaks) > 1 else ""
        raise UserError(
            f"a {leaks[0].parts[0]} case was seen in training: {leaks[0]}{more}; {first}write a list with "
            f"`muscle data audit SOURCE{options} --exclude FILE` and name it in the data file (exclude: FILE), "
            "or allow it there (allow_leaks: true), which the report will state"
        )
