"""Which rows may be learned from: the pool of pretexts, the rows that know a target, and who stays out of both."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from muscle.data.data_file import shared_targets
from muscle.data.keys import among, first, key_of
from muscle.data.rows import Ints, Rows
from muscle.errors import UserError
from muscle.types import Target

Near = Sequence[tuple[str, str, float]]  # two films' image_hashes, correlation


@dataclass(frozen=True)
class TaskRows:
    """The rows that know a target, by split."""

    target: Target
    train: Rows
    valid: Rows
    test: Rows


def _none() -> Ints:
    return np.zeros(0, np.int64)


@dataclass(frozen=True)
class HeldOut:
    """Who and what is validated or tested on anywhere, and so may be trained on nowhere; sorted keys (``Rows.keys``).

    ``patients``: of the held-out rows of every source that is split by person, and of films elsewhere that are the
    same as one of these rows. ``images``: the decoded pixels of all held-out rows; two sources may hold the same films
    and split them differently. ``near``: the same of their near-duplicates.
    """

    patients: Ints = field(default_factory=_none)
    images: Ints = field(default_factory=_none)
    near: Ints = field(default_factory=_none)

    @classmethod
    def of(
        cls,
        every: Rows,
        image_level: Set[str] = frozenset(),
        external: Set[str] = frozenset(),
        near: Near = (),
    ) -> HeldOut:
        """``image_level``: names of sources whose split ignores persons, as the paper's does.

        ``external``: sources that are held out whole, their training parts too. ``near``: pairs of near-duplicates.
        """
        out = ~every.is_("split", "train") | _of(every, external)
        image = every.keys("image")
        images = np.unique(image[out])
        films, others = _keys(near)
        alike = np.unique(np.r_[others[among(films, images)], films[among(others, images)]])
        same = among(image, np.union1d(images, alike)) & ~_of(every, image_level)
        return cls(np.unique(every.take(same).keys("patient")), images, np.setdiff1d(alike, images))

    def allows(self, rows: Rows) -> NDArray[np.bool_]:
        """Which rows may be trained on, [N]."""
        images = among(rows.keys("image"), np.union1d(self.images, self.near))
        return ~among(rows.keys("patient"), self.patients) & ~images

    def only_near(self, rows: Rows) -> NDArray[np.bool_]:
        """Which rows are near-duplicates of held-out ones, and not one of these themselves, [N]."""
        return among(rows.keys("image"), self.near)


def _of(rows: Rows, sources: Set[str]) -> NDArray[np.bool_]:
    """Which rows are of these sources."""
    return np.array([s.name in sources for s in rows.stores])[rows.store]


def _keys(near: Near) -> tuple[Ints, Ints]:
    """Keys of the first and of the second film of each pair."""
    pairs = np.array([(key_of(a), key_of(b)) for a, b, _ in near], np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def learnable(every: Rows, external: Set[str], held_out: HeldOut) -> Rows:
    """Every film that a stage before fine-tuning may learn from: of the pool's twins, which tasks learn too, each."""
    return every.take(held_out.allows(every) & ~_of(every, external) & every.is_("split", "train"))


def pool(every: Rows, external: Set[str], held_out: HeldOut | None = None, near: Near = ()) -> Rows:
    """What pretexts may learn from: the training rows of every source that is not external, each picture once.

    A row is left out when its patient or its very pixels occur in the validation or test part of *any* source, for
    two sources may hold the same films and split them differently.

    Args:
        every: the rows of all sources, the external ones too.
        external: names of the sources that stay out.
        near: pairs of near-duplicates: of two in the pool the later one is left out.

    Raises:
        UserError: nothing is left.
    """
    there = learnable(every, external, held_out or HeldOut.of(every))
    images = there.keys("image")
    kept = first(images)
    films, others = _keys(near)
    met = np.flatnonzero(kept & among(images, np.union1d(films, others)))
    place = dict(zip(images[met].tolist(), met.tolist(), strict=True))
    pairs = [
        (a, b) for a, b in zip(films.tolist(), others.tolist(), strict=True) if a in place and b in place
    ]
    for one, other in sorted(sorted((place[a], place[b])) for a, b in pairs):
        if kept[one]:  # one that has itself gone takes nobody along
            kept[other] = False
    if not kept.any():
        raise UserError(
            f"pool: none of {len(every)} images may be learned from: all are external, or of patients that another "
            "source validates or tests on; add data or change the split"
        )
    return there.take(kept)


def annotated(every: Rows, held_out: HeldOut | None = None) -> dict[str, TaskRows]:
    """One task for each target name: the rows of every source that know it, by split.

    Raises:
        UsageError: sources that teach a target of one name with other classes.
    """
    found = {}
    stores = [every.stores[i] for i in np.unique(every.store)]
    allowed = (held_out or HeldOut.of(every)).allows(every)
    part = {name: every.is_("split", name) for name in ("train", "valid", "test")}
    for name, target in shared_targets({s.name: s.targets for s in stores}).items():
        known = every.known(target)
        train, valid, test = (every.take(known & part[p] & (allowed if p == "train" else True)) for p in part)
        found[name] = TaskRows(target, train, valid, test)
    return found
