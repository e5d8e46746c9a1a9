"""Batches are a pure function of their place. Oracle: an epoch is a permutation."""

from __future__ import annotations

import numpy as np
import pytest

from muscle.data.sampling import batch_of, batches, blocks, seed_of, steps_of


@pytest.mark.parametrize(("rows", "batch"), [(20, 5), (23, 5), (3, 8), (8, 8)])
def test_an_epoch_visits_each_row_at_most_once_in_whole_batches(rows: int, batch: int) -> None:
    drawn = list(batches(rows, batch, ("seed", "stage", 0)))
    assert len(drawn) == steps_of(rows, batch)
    assert {len(b) for b in drawn} == {batch_of(rows, batch)}
    flat = np.concatenate(drawn)
    assert len(set(flat.tolist())) == len(flat) and flat.min() >= 0 and flat.max() < rows
    assert rows - len(flat) < batch


def test_from_any_step_on_the_epoch_is_the_same() -> None:
    whole = list(batches(40, 6, (1, "x", 2)))
    for start in range(len(whole) + 1):
        rest = list(batches(40, 6, (1, "x", 2), start))
        assert len(rest) == len(whole) - start
        assert all(np.array_equal(a, b) for a, b in zip(rest, whole[start:], strict=True))


def test_every_part_of_the_place_reshuffles() -> None:
    base = np.concatenate(list(batches(64, 8, (0, "pretrain", "moco", 0))))
    for place in (
        (1, "pretrain", "moco", 0),
        (0, "continual", "moco", 0),
        (0, "pretrain", "simclr", 0),
        (0, "pretrain", "moco", 1),
    ):
        assert not np.array_equal(base, np.concatenate(list(batches(64, 8, place))))


def test_seeds_are_the_same_on_every_machine() -> None:
    assert (
        seed_of("build", 0, "pretrain") == seed_of("build", 0, "pretrain") != seed_of("build", 1, "pretrain")
    )
    assert 0 <= seed_of("x") < 2**63
    assert (
        seed_of(0, "a", 1, 2) == 7501077092547964780
    )  # SHA-256 of "0/a/1/2", first 8 bytes little-endian, halved


def test_blocks_cover_everything_in_order() -> None:
    assert [b.tolist() for b in blocks(5, 2)] == [[0, 1], [2, 3], [4]]
    assert list(blocks(0)) == []
    assert [len(b) for b in blocks(70)] == [32, 32, 6]
