from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from muscle.data.film import Film
from muscle.data.journal import COMMIT, Journal


def row(value: int, masked: bool) -> Film:
    masks = {"m": np.full((2, 3), value + 100, np.uint8)} if masked else {}
    return Film(np.full((2, 3), value, np.uint8), masks, {"value": value})


def opened(folder: Path, key: str = "k") -> Journal:
    return Journal(folder, key, {"m": "mask-0.npy"}, (2, 3))


def test_what_is_appended_is_what_numpy_loads(tmp_path: Path) -> None:
    """Oracle: the arrays written out by hand; a film without a mask leaves zeros, a reason leaves no row."""
    with opened(tmp_path / "s") as journal:
        for film in (row(1, False), "broken", row(2, True), row(3, False)):
            journal.append(film)
        journal.finish()
    images, masks = np.load(tmp_path / "s/images.npy"), np.load(tmp_path / "s/mask-0.npy")
    assert images[:, 0, 0].tolist() == [1, 2, 3] and images.shape == masks.shape == (3, 2, 3)
    assert masks[:, 1, 2].tolist() == [0, 102, 0]
    assert [e.get("reason") for e in journal.entries()] == [None, "broken", None, None]
    assert [e.get("has") for e in journal.entries()] == [[], None, ["m"], []]


def test_rows_that_the_journal_does_not_name_are_cut_off(tmp_path: Path) -> None:
    with opened(tmp_path / "s") as journal:
        for value in range(COMMIT + 5):
            journal.append(row(value % 256, True))
        assert journal.rows == COMMIT
    log = tmp_path / "s.journal"
    log.write_bytes(log.read_bytes() + b'{"value": 64, "torn')
    with opened(tmp_path / "s") as journal:
        assert journal.rows == journal.done == COMMIT and b"torn" not in log.read_bytes()
        journal.append(row(200, False))
        journal.finish()
    images, masks = np.load(tmp_path / "s/images.npy"), np.load(tmp_path / "s/mask-0.npy")
    assert images[:, 0, 0].tolist() == [*range(COMMIT), 200] and masks[-1].max() == 0


def test_a_journal_of_another_key_is_begun_anew(tmp_path: Path) -> None:
    with opened(tmp_path / "s") as journal:
        journal.append(row(1, False))
        journal.finish()
    with opened(tmp_path / "s", "other") as journal:
        assert journal.rows == 0
        journal.finish()
    assert np.load(tmp_path / "s/images.npy").shape == (0, 2, 3)


@pytest.mark.parametrize("lost", ["images.npy", "mask-0.npy"])
@pytest.mark.parametrize("short", [False, True])
def test_a_journal_whose_arrays_are_gone_or_short_is_begun_anew(
    tmp_path: Path, lost: str, short: bool
) -> None:
    """Zero-extended, the rows that are gone would be black films that nothing finds again."""
    with opened(tmp_path / "s") as journal:
        for value in (1, 2):
            journal.append(row(value, True))
        journal.commit()
    if short:
        os.truncate(tmp_path / "s" / lost, (tmp_path / "s" / lost).stat().st_size - 1)
    else:
        (tmp_path / "s" / lost).unlink()
    with opened(tmp_path / "s") as journal:
        assert journal.rows == journal.done == 0
        journal.append(row(3, True))
        journal.finish()
    with opened(tmp_path / "s") as journal:
        assert journal.rows == 1
    assert np.load(tmp_path / "s/images.npy")[:, 0, 0].tolist() == [3]
    assert np.load(tmp_path / "s/mask-0.npy")[:, 0, 0].tolist() == [103]


@pytest.mark.parametrize("damage", [b"\x00\xff{\n", b"[1]\n"])
def test_nothing_behind_a_damaged_line_counts(tmp_path: Path, damage: bytes) -> None:
    with opened(tmp_path / "s") as journal:
        for value in range(COMMIT):
            journal.append(row(value, False))
    log = tmp_path / "s.journal"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join([*lines[:4], damage, *lines[5:]]))
    with opened(tmp_path / "s") as journal:
        assert journal.rows == journal.done == 3 and len(list(journal.entries())) == 3
