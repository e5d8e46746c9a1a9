from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from muscle.data.rows import all_rows
from muscle.data.seen import POOL_FILE, Seen, read_seen, write_seen
from muscle.data.store import Store
from muscle.errors import UserError
from muscle.types import Sample


@pytest.fixture
def file(stored: Callable[..., Store], tmp_path: Path) -> Path:
    store = stored("a", [Sample(id="", path=f"{i}.png", source="", patient=f"p{i}") for i in range(3)], [])
    write_seen(tmp_path, all_rows([store]), [Seen("before", "p", "elsewhere/1.png", "c")])
    return tmp_path / POOL_FILE


def test_what_was_written_is_read(file: Path) -> None:
    found = read_seen(file)
    assert sorted(film.id for film in found) == ["a/0.png", "a/1.png", "a/2.png", "elsewhere/1.png"]
    assert found[-1] == Seen("before", "p", "elsewhere/1.png", "c")


def test_no_flip_and_no_cut_goes_unseen(file: Path) -> None:
    """Every byte with one bit flipped, and every length: refused; a film less would let a leak through."""
    whole = file.read_bytes()
    for at in range(len(whole)):
        broken = bytearray(whole)
        broken[at] ^= 1 << at % 8
        file.write_bytes(broken)
        with pytest.raises(UserError, match=r"pool.txt: changed since it was written"):
            read_seen(file)
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"pool.txt: changed since it was written"):
            read_seen(file)


@pytest.mark.parametrize("content", [b"\xff" * 40, bytes(400), b"hash\tperson\tid\tkey\n"])
def test_what_has_no_checksum_is_no_list_of_films(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"pool.txt: changed since it was written"):
        read_seen(file)


def test_names_hold_what_a_file_system_allows(stored: Callable[..., Store], tmp_path: Path) -> None:
    films = [Seen("a", "p", "c/x\ty\u2028z.png", "c"), Seen("b", "", "", "")]
    write_seen(
        tmp_path, all_rows([stored("a", [Sample(id="", path="0.png", source="", patient="p")], [])]), films
    )
    assert read_seen(tmp_path)[1:] == films
