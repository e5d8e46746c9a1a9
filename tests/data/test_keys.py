"""Keys of strings; oracle: Python's sets."""

from __future__ import annotations

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
