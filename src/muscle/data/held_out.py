"""Which rows may be learned from: the pool of pretexts, the rows that know a target, and who stays out of both."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from muscle.data.data_file import shared_targets
from muscle.data.rows import Rows
from muscle.errors import UserError
from muscle.types import Target

Near = Sequence[tuple[str, str, float]]  # two films' images_sha256, correlation


@dataclass(frozen=True)
class TaskRows:
    """The rows that know a target, by split."""

    target: Target
    train: Rows
    valid: Rows
    test: Rows


@dataclass(frozen=True)
class HeldOut:
    """Who and what is validated or tested on anywhere, and so may be trained on nowhere.

    ``patients``: of the held-out rows of every source that is split by person, and of films elsewhere that are the
    same as one of these rows. ``images``: SHA-256 of the decoded pixels of all held-out rows; two sources may hold the
    same films and split them differently. ``near``: the same of their near-duplicates.
    """

    patients: frozenset[str] = frozenset()
    images: frozenset[str] = frozenset()
    near: frozenset[str] = frozenset()

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
        whole = np.array([s.name in external for s in every.stores])[every.store]
        rows = every.take((np.array(every.splits, object) != "train") | whole)
        images = frozenset(rows.images_sha256)
        alike = {b for a, b, _ in near if a in images} | {a for a, b, _ in near if b in images}
        columns = zip(every.images_sha256, every.patients, every.sources, strict=True)
        patients = frozenset(
            patient
            for image, patient, source in columns
            if (image in images or image in alike) and source not in image_level
        )
        return cls(patients, images, frozenset(alike - images))

    def allows(self, rows: Rows) -> NDArray[np.bool_]:
        """Which rows may be trained on, [N]."""
        images, columns = self.images | self.near, zip(rows.patients, rows.images_sha256, strict=True)
        return np.array([p not in self.patients and i not in images for p, i in columns], bool)


def pool(every: Rows, external: set[str], held_out: HeldOut | None = None, near: Near = ()) -> Rows:
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
    outside = np.array([s.name in external for s in every.stores])[every.store]
    allowed = (
        (held_out or HeldOut.of(every)).allows(every) & ~outside & (np.array(every.splits, object) == "train")
    )
    first: dict[str, int] = {}
    for i in np.flatnonzero(allowed):
        first.setdefault(every.images_sha256[i], int(i))
    for one, other in sorted(sorted((first[a], first[b])) for a, b, _ in near if a in first and b in first):
        if every.images_sha256[one] in first:  # one that has itself gone takes nobody along
            first.pop(every.images_sha256[other], None)
    kept = list(first.values())
    if not kept:
        raise UserError(
            f"pool: none of {len(every)} images may be learned from: all are external, or of patients that another "
            "source validates or tests on; add data or change the split"
        )
    return every.take(np.array(kept))


def annotated(every: Rows, held_out: HeldOut | None = None) -> dict[str, TaskRows]:
    """One task for each target name: the rows of every source that know it, by split.

    Raises:
        UsageError: sources that teach a target of one name with other classes.
    """
    found = {}
    stores = [every.stores[i] for i in np.unique(every.store)]
    for name, target in shared_targets({s.name: s.targets for s in stores}).items():
        known = every.take(every._known(target))
        parts = np.array(known.splits, object)
        train = known.take(parts == "train")
        train = train.take((held_out or HeldOut.of(every)).allows(train))
        found[name] = TaskRows(target, train, known.take(parts == "valid"), known.take(parts == "test"))
    return found
