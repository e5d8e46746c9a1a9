"""Rows of some stores in a fixed order: their columns, their truth, their batches."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from muscle.data.normalization import Normalization
from muscle.data.store import Store
from muscle.errors import UsageError, UserError
from muscle.types import IGNORE, Batch, Boxes, Target

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of stores of one size, in a fixed order.

    Attributes:
        stores: all of one (H, W).
        store: [N] int64, position in ``stores`` of each row.
        row: [N] int64, row within its store.
    """

    stores: tuple[Store, ...]
    store: Ints
    row: Ints

    def __len__(self) -> int:
        return len(self.row)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return self.stores[0].size

    @cached_property
    def ids(self) -> list[str]:
        """The id of each row."""
        return self._strings("id")

    @cached_property
    def patients(self) -> list[str]:
        """The patient key of each row."""
        return self._strings("patient")

    @cached_property
    def splits(self) -> list[str]:
        """The split of each row."""
        return self._strings("split")

    @cached_property
    def sources(self) -> list[str]:
        """The source of each row."""
        return self._strings("source")

    @cached_property
    def body_parts(self) -> list[str]:
        """The body part of each row; empty where unknown."""
        return self._strings("body_part")

    @cached_property
    def images_sha256(self) -> list[str]:
        """SHA-256 of the decoded pixels of each row, at the size of the file: equal wherever the same film lies."""
        return self._strings("sha256")

    def take(self, index: NDArray[Any]) -> Rows:
        """Some of these rows, by position or by a mask."""
        return Rows(self.stores, self.store[index], self.row[index])

    def digest(self, target: Target | None = None) -> str:
        """SHA-256 of what these rows are, in order: ids, stored pixels, splits, and the truth of a target."""
        sums = self._strings("row_sha256")
        text = "\n".join("\t".join(row) for row in zip(self.ids, sums, self.splits, strict=True))
        found = hashlib.sha256(f"{self.size}\n{text}".encode())
        if target is not None:
            found.update(f"\n{target}".encode())
            truth = (
                [self.masks(np.arange(len(self)), target)] if target.kind == "mask" else self.truth(target)
            )
            for value in truth:
                for array in value if isinstance(value, tuple) else (value,):
                    found.update(f"{array.shape}".encode() + array.tobytes())
        return found.hexdigest()

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
        mean_of, sd_of = self._levels
        mean, sd = normalization.levels(source, (mean_of[index], sd_of[index]))
        return Batch(
            image=torch.from_numpy(some._gather(np.uint8, self.size, lambda s: s.images))[:, None],
            mean=torch.from_numpy(mean),
            sd=torch.from_numpy(sd),
            source=torch.from_numpy(some.store),
            ids=tuple(some._strings("id")),
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
        found[~some._known(target)] = IGNORE
        return found

    @cached_property
    def _levels(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return (
            self._gather(np.float32, (), lambda s: s.levels()[0]),
            self._gather(np.float32, (), lambda s: s.levels()[1]),
        )

    def _gather(
        self, dtype: Any, shape: tuple[int, ...], of: Callable[[Store], NDArray[Any] | None], fill: float = 0
    ) -> NDArray[Any]:
        """One value a row from an array that each store has; ``fill`` where a store has none."""
        used = np.unique(self.store)
        if len(used) == 1 and (only := of(self.stores[used[0]])) is not None:
            return np.asarray(only[self.row], dtype)
        found = np.full((len(self), *shape), fill, dtype)
        for i in used:
            array = of(self.stores[i])
            if array is not None:
                mine = self.store == i
                found[mine] = array[self.row[mine]]
        return found

    def _strings(self, column: str) -> list[str]:
        found: list[str] = self._gather(object, (), lambda s: s.column(column)).tolist()
        return found

    def _known(self, target: Target) -> NDArray[np.bool_]:
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
        known = self._known(target)
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
    store = np.concatenate([np.full(len(s), i, np.int64) for i, s in enumerate(stores)])
    rows = Rows(tuple(stores), store, np.concatenate([np.arange(len(s), dtype=np.int64) for s in stores]))
    return rows.take(np.array([i not in left_out for i in rows.ids], bool)) if left_out else rows
