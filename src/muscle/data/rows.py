"""Rows of some stores in a fixed order: their columns, their truth, their batches."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor

from muscle.data.normalization import Normalization
from muscle.data.store import Store
from muscle.errors import UsageError, UserError
from muscle.types import IGNORE, Batch, Boxes, Target

Ints = NDArray[np.int64]

PART = 1024  # rows whose strings, boxes or masks are in memory at a time


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of stores of one size, in a fixed order.

    Attributes:
        stores: all of one (H, W).
        store: [N] int16, position in ``stores`` of each row.
        row: [N] int32, row within its store.
    """

    stores: tuple[Store, ...]
    store: NDArray[np.int16]
    row: NDArray[np.int32]
    _digests: dict[Target | None, str] = field(default_factory=dict, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.row)

    def __reduce__(self) -> tuple[type[Rows], tuple[object, ...]]:
        """For another process: which rows, not what was computed from them."""
        return Rows, (self.stores, self.store, self.row)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return self.stores[0].size

    @property
    def ids(self) -> list[str]:
        """The id of each row."""
        return self.strings("id")

    @property
    def patients(self) -> list[str]:
        """The patient key of each row."""
        return self.strings("patient")

    @property
    def splits(self) -> list[str]:
        """The split of each row."""
        return self.strings("split")

    @property
    def sources(self) -> list[str]:
        """The source of each row."""
        return self.strings("source")

    @property
    def image_hashes(self) -> list[str]:
        """BLAKE3 of the decoded pixels of each row, at the size of the file: equal wherever the same film lies."""
        return self.strings("image_hash")

    def strings(self, column: str) -> list[str]:
        """A column of strings, read from the disk: of many rows as seldom as can be."""
        used = self._used()
        if len(used) == 1:
            return self.stores[used[0]].strings(column, self.row)
        found = np.empty(len(self), object)
        for i in used:
            mine = self.store == i
            found[mine] = self.stores[i].strings(column, self.row[mine])
        listed: list[str] = found.tolist()
        return listed

    def keys(self, column: str) -> Ints:
        """``image``, ``file`` or ``patient`` of each row as a number [N], equal where they are (see ``data.keys``)."""
        return self.numbers(f"{column}_key")

    def numbers(self, column: str) -> Ints:
        """A column of whole numbers [N], such as ``height``."""
        return np.asarray(self._gather(np.int64, (), lambda s: s.numbers(column)))

    def is_(self, column: str, value: str) -> NDArray[np.bool_]:
        """Which rows have this value in ``split``, ``source``, ``body_part``, ``view`` or ``modality``, [N]."""
        return np.asarray(self._gather(np.bool_, (), lambda s: s.is_(column, value)))

    def take(self, index: NDArray[Any]) -> Rows:
        """Some of these rows, by position or by a mask."""
        return Rows(self.stores, self.store[index], self.row[index])

    def digest(self, target: Target | None = None) -> str:
        """SHA-256 of what these rows are, in order: ids, stored pixels, splits, and the truth of a target."""
        if target not in self._digests:
            self._digests[target] = self._digest(target)
        return self._digests[target]

    def _digest(self, target: Target | None) -> str:
        found = hashlib.sha256(f"{self.size}".encode())
        for some in self.parts():
            columns = zip(some.ids, some.strings("row_hash"), some.splits, strict=True)
            found.update("".join("\n" + "\t".join(row) for row in columns).encode())
        if target is not None:
            found.update(f"\n{target}".encode())
            for some in self.parts():
                everything = np.arange(len(some))
                truth = some.masks(everything, target) if target.kind == "mask" else some.truth(target)
                for value in truth:  # of one row after the other
                    for array in value if isinstance(value, tuple) else (value,):
                        found.update(f"{array.shape}".encode() + array.tobytes())
        return found.hexdigest()

    def parts(self) -> Iterator[Rows]:
        """All rows in order, so many at a time as may be Python objects."""
        for start in range(0, len(self), PART):
            yield self.take(np.arange(start, min(start + PART, len(self))))

    def batch(self, index: NDArray[Any], normalization: Normalization, target: Target | None) -> Batch:
        """The images at these positions and what is known of them, as CPU tensors.

        Args:
            index: positions [B].
            normalization: what the images will be normalized by.
            target: whose truth to add; unknown labels and values are NaN, unknown masks 255.

        Raises:
            UsageError: boxes of an image whose boxes are unknown.
        """
        some = self.take(index)
        source = (
            np.array([s.mean for s in self.stores], np.float32)[some.store],
            np.array([s.sd for s in self.stores], np.float32)[some.store],
        )
        image = some._floats("mean"), some._floats("sd")
        mean, sd = normalization.levels(source, image)
        return Batch(
            image=torch.from_numpy(some._gather(np.uint8, self.size, lambda s: s.images))[:, None],
            mean=torch.from_numpy(mean),
            sd=torch.from_numpy(sd),
            source=torch.from_numpy(some.store.astype(np.int64)),
            ids=tuple(some.ids),
            target=None if target is None else some._tensors(target),
        )

    def truth(self, target: Target) -> NDArray[np.float32] | list[tuple[NDArray[np.float32], Ints]]:
        """What is known of every row.

        Returns:
            labels: [N, C] float32, 1 / 0 / NaN; value: [N, 1] float32; boxes: a list of (xyxy [m, 4] float32 in
            pixels of the store, label [m] int64).

        Raises:
            UsageError: masks (too large for one array: see ``masks``), or boxes that are unknown.
        """
        if target.kind in ("labels", "value"):
            return self.labels(target)
        if target.kind != "boxes":
            raise UsageError(
                f"target {target.name}: the truth of {target.kind} is not an array; allowed: labels, value, boxes"
            )
        xyxy, label, count = self._boxes(target)
        ends = np.cumsum(count)[:-1]
        return list(zip(np.split(xyxy, ends), np.split(label, ends), strict=True)) if len(self) else []

    def masks(self, index: NDArray[Any], target: Target) -> NDArray[np.uint8]:
        """The masks at these positions, [B, H, W] uint8; 255 throughout where unknown."""
        some = self.take(index)
        found = some._gather(np.uint8, self.size, lambda s: s.masks.get(target.name), IGNORE)
        found[~some.known(target)] = IGNORE
        return found

    def _used(self) -> list[int]:
        """Positions of the stores that have rows here."""
        return np.flatnonzero(np.bincount(self.store, minlength=1)).tolist()

    def _floats(self, column: str) -> NDArray[np.float32]:
        return np.asarray(self._gather(np.float32, (), lambda s: s.numbers(column)))

    def _gather(
        self, dtype: Any, shape: tuple[int, ...], of: Callable[[Store], NDArray[Any] | None], fill: float = 0
    ) -> NDArray[Any]:
        """One value a row from an array that each store has; ``fill`` where a store has none."""
        used = self._used()
        if len(used) == 1 and (only := of(self.stores[used[0]])) is not None:
            return np.asarray(only[self.row], dtype)
        found = np.full((len(self), *shape), fill, dtype)
        for i in used:
            array = of(self.stores[i])
            if array is not None:
                mine = self.store == i
                found[mine] = array[self.row[mine]]
        return found

    def known(self, target: Target) -> NDArray[np.bool_]:
        """Which rows have a truth for this target, [N]."""
        found: NDArray[np.bool_] = self._gather(
            np.bool_, (), lambda s: s.known(target.name) if s.target(target.name) else None
        )
        return found

    def labels(self, target: Target) -> NDArray[np.float32]:
        """Labels or values of every row, [N, C] float32; NaN where unknown."""
        found: NDArray[np.float32] = self._gather(
            np.float32,
            (max(1, len(target.classes)),),
            lambda s: s.labels(target.name) if s.target(target.name) else None,
            np.nan,
        )
        return found

    def _boxes(self, target: Target) -> tuple[NDArray[np.float32], Ints, Ints]:
        """All boxes of these rows in order, their labels, and how many each row has."""
        known = self.known(target)
        if not known.all():
            first = self.take(np.flatnonzero(~known)[:1]).ids[0]
            raise UsageError(
                f"target {target.name}: boxes of {first} are unknown; take only rows that know them"
            )
        tables = [s.boxes(target.name) if s.target(target.name) else None for s in self.stores]
        base = np.cumsum([0] + [len(t.label) if t else 0 for t in tables])
        xyxy = np.concatenate([t.xyxy for t in tables if t] or [np.zeros((0, 4), np.float32)])
        label = np.concatenate([t.label for t in tables if t] or [np.zeros(0, np.int64)])
        start = self._gather(
            np.int64, (), lambda s: t.start[:-1] if (t := tables[self.stores.index(s)]) else None
        )
        end = self._gather(
            np.int64, (), lambda s: t.start[1:] if (t := tables[self.stores.index(s)]) else None
        )
        count = end - start
        first_of = np.repeat(start + base[self.store] - (np.cumsum(count) - count), count)
        which = first_of + np.arange(count.sum())
        return xyxy[which], label[which], count

    def _tensors(self, target: Target) -> Tensor | Boxes:
        """The truth of these rows as a batch holds it."""
        if target.kind == "labels":
            return torch.from_numpy(self.labels(target))
        if target.kind == "value":
            return torch.from_numpy(self.labels(target)[:, 0])
        if target.kind == "mask":
            return torch.from_numpy(self.masks(np.arange(len(self)), target))
        if target.kind == "boxes":
            xyxy, label, count = self._boxes(target)
            row = np.repeat(np.arange(len(self)), count)
            return Boxes(torch.from_numpy(xyxy), torch.from_numpy(label), torch.from_numpy(row))
        raise UsageError(
            f"target {target.name}: no task learns {target.kind}; allowed: labels, mask, boxes, value"
        )


def all_rows(stores: Sequence[Store], left_out: Set[str] = frozenset()) -> Rows:
    """Every row of some stores of one size, store after store, but for some ids.

    Raises:
        UserError: no store, or stores of different sizes.
    """
    if not stores:
        raise UsageError("no store given; prepare one source at least")
    sizes = {f"{s.size[0]}x{s.size[1]}" for s in stores}
    if len(sizes) > 1:
        given = ", ".join(f"{s.name} {s.size[0]}x{s.size[1]}" for s in stores)
        raise UserError(f"stores of different sizes: {given}; prepare all at one size")
    kept = [_kept(s, left_out) for s in stores]
    store = np.concatenate([np.full(len(rows), i, np.int16) for i, rows in enumerate(kept)])
    return Rows(tuple(stores), store, np.concatenate(kept))


def _kept(store: Store, left_out: Set[str]) -> NDArray[np.int32]:
    if not left_out:
        return np.arange(len(store), dtype=np.int32)
    found = pc.is_in(store.index.column("id"), pa.array(sorted(left_out), pa.string()))
    return np.flatnonzero(~found.to_numpy()).astype(np.int32)
