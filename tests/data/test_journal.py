from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from muscle.data.film import Film, row_hash
from muscle.data.journal import COMMIT, Journal
from muscle.errors import UserError


def row(value: int, masked: bool) -> Film:
    masks = {"m": np.full((2, 3), value + 100, np.uint8)} if masked else {}
    pixels = np.full((2, 3), value, np.uint8)
    return Film(pixels, masks, {"value": value, "row_hash": row_hash(pixels, masks)})


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
def test_rows_whose_arrays_are_gone_or_short_are_decoded_again(
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
        assert journal.rows == journal.done == int(short)
        journal.append(row(3, True))
        journal.finish()
    with opened(tmp_path / "s") as journal:
        assert journal.rows == 1 + short
    whole = [1] * short + [3]
    assert np.load(tmp_path / "s/images.npy")[:, 0, 0].tolist() == whole
    assert np.load(tmp_path / "s/mask-0.npy")[:, 0, 0].tolist() == [100 + value for value in whole]


@pytest.mark.parametrize("flipped", ["images.npy", "mask-0.npy"])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_row_that_changed_after_a_kill_is_decoded_again(tmp_path: Path, flipped: str, at: int) -> None:
    """One bit of a picture, of a mask or of the blank in place of one: that row and what is behind it do not count."""
    with opened(tmp_path / "s") as journal:
        for value, masked in ((1, True), (2, False), (3, True)):
            journal.append(row(value, masked))
        journal.append("broken")
        journal.commit()
    data = bytearray((tmp_path / "s" / flipped).read_bytes())
    data[128 + 6 * at + 5] ^= 4
    (tmp_path / "s" / flipped).write_bytes(data)
    with opened(tmp_path / "s") as journal:
        assert journal.rows == journal.done == at == len(list(journal.entries()))
        journal.finish()
    assert np.load(tmp_path / "s/images.npy")[:, 1, 2].tolist() == [1, 2, 3][:at]


def test_any_flipped_bit_of_a_line_is_found(tmp_path: Path) -> None:
    """A bit of every byte of the second line, a digit turned into another among them: the first entry alone counts."""
    with opened(tmp_path / "s") as journal:
        for value in (1, 2):
            journal.append(row(value, False))
        journal.commit()
    log = tmp_path / "s.journal"
    head, first, second = log.read_bytes().splitlines(keepends=True)
    for at in range(len(second)):
        broken = bytearray(second)
        broken[at] ^= 1 << at % 8
        log.write_bytes(head + first + broken)
        with opened(tmp_path / "s") as journal:
            assert journal.rows == journal.done == 1
        with (tmp_path / "s" / "images.npy").open("ab") as images:
            images.write(row(2, False).pixels.tobytes())
        os.truncate(tmp_path / "s" / "mask-0.npy", 128 + 12)


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


def test_a_line_that_changes_while_the_store_is_made_is_named(tmp_path: Path) -> None:
    with opened(tmp_path / "s") as journal:
        journal.append(row(1, False))
        journal.commit()
        journal.path.write_bytes(journal.path.read_bytes().replace(b'"value":1', b'"value":7'))
        with pytest.raises(UserError, match="s.journal: damaged while it was written; give the same command"):
            list(journal.entries())
