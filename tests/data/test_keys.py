"""Keys of strings; oracle: Python's sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from muscle.data import keys


@pytest.mark.parametrize("chunk", [3, 1000])
@pytest.mark.parametrize("n", [0, 1, 40])
def test_keys_are_answered_as_by_sets(monkeypatch: pytest.MonkeyPatch, chunk: int, n: int) -> None:
    monkeypatch.setattr(keys, "_CHUNK", chunk)
    some = np.random.default_rng(0).integers(0, 25, n)
    known = np.unique(np.random.default_rng(1).integers(0, 25, 9))
    listed = some.tolist()
    assert keys.among(some, known).tolist() == [key in set(known.tolist()) for key in listed]
    assert keys.among(some, known[:0]).tolist() == [False] * n
    assert keys.repeated(some).tolist() == sorted({key for key in listed if listed.count(key) > 1})
    assert keys.first(some).tolist() == [listed.index(key) == i for i, key in enumerate(listed)]


def test_equal_strings_alone_have_equal_keys() -> None:
    assert len({keys.key_of(f"{i}") for i in range(10_000)}) == 10_000
    assert keys.key_of("a") == keys.key_of("a")
    assert -(2**63) <= keys.key_of("b") < 2**63 and np.int64(keys.key_of("b")) == keys.key_of("b")


def test_hashes_are_blake3(tmp_path: Path) -> None:
    """Of nothing: the test vector that BLAKE3's authors publish. Pixels count as their bytes, row by row."""
    assert keys.hash_of() == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    (tmp_path / "nothing").touch()
    assert keys.hash_of_file(tmp_path / "nothing") == keys.hash_of()
    pixels = np.arange(200, dtype=np.uint8).reshape(10, 20)
    (tmp_path / "some").write_bytes(b"head" + pixels.T.tobytes())
    assert (
        keys.hash_of(b"head", pixels.T)
        == keys.hash_of_file(tmp_path / "some")
        != keys.hash_of(b"head", pixels)
    )
