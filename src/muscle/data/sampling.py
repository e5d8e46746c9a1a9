"""Which rows stand in which batch: a pure function of the seed and the place in the run, so resume needs no state."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


def seed_of(*place: object) -> int:
    """A 63-bit seed from anything that can be written down; the same on every machine."""
    text = "/".join(str(p) for p in place)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def batch_of(rows: int, batch_size: int) -> int:
    """The batch that ``rows`` images can fill."""
    return min(rows, batch_size)


def steps_of(rows: int, batch_size: int) -> int:
    """Whole batches in an epoch. What is left over is dropped; each epoch drops other rows."""
    return max(1, rows // batch_size)


def batches(
    rows: int, batch_size: int, place: tuple[object, ...], start: int = 0
) -> Iterator[NDArray[np.int64]]:
    """The row numbers of each batch of one epoch, from step ``start`` on.

    Args:
        rows: how many rows there are.
        batch_size: B; with fewer rows than this, one batch of them all.
        place: names the epoch: seed, stage, task, epoch number.
        start: steps already done.
    """
    order = np.random.default_rng(seed_of(*place)).permutation(rows)
    size = batch_of(rows, batch_size)
    for step in range(start, steps_of(rows, batch_size)):
        yield order[step * size : (step + 1) * size]


def blocks(rows: int, size: int = 32) -> Iterator[NDArray[np.int64]]:
    """All row numbers in order, in fixed blocks: evaluation never depends on a batch size that a user chose."""
    for start in range(0, rows, size):
        yield np.arange(start, min(rows, start + size))
