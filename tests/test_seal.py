"""Oracle: the digest computed here from the text by the rule that the docstring gives; every byte changed in turn."""

from __future__ import annotations

import hashlib
import json

import pytest

from muscle.seal import sealed, unsealed

DATA = {"name": "Röntgen", "values": [0.1, 1e-300, None, True], "inner": {"b": 1, "a": "x"}}


def test_the_content_comes_back() -> None:
    assert unsealed(sealed(DATA)) == DATA
    assert sealed(unsealed(sealed(DATA))) == sealed(DATA)
    assert unsealed(sealed({1: 2, "0": 3})) == {"1": 2, "0": 3}  # keys become strings before the digest


def test_the_seal_is_the_digest_of_the_others() -> None:
    written = json.loads(sealed(DATA))
    canonical = json.dumps(DATA, sort_keys=True, separators=(",", ":")).encode()
    assert written["seal"] == hashlib.sha256(canonical).hexdigest()


def test_without_a_seal_it_is_taken_as_it_is() -> None:
    assert unsealed(json.dumps(DATA)) == DATA


def test_a_seal_that_is_null_is_no_seal_that_was_left_out() -> None:
    with pytest.raises(ValueError, match="changed since it was written"):
        unsealed(json.dumps(DATA | {"seal": None}))


def test_every_single_change_is_seen_or_changes_nothing() -> None:
    whole = sealed(DATA).encode()
    seen = 0
    for place in range(len(whole)):
        for bit in range(8):
            broken = bytearray(whole)
            broken[place] ^= 1 << bit
            try:
                found = unsealed(bytes(broken))
            except ValueError:
                seen += 1
            else:  # white space, or the name of the seal itself
                found = {k: v for k, v in found.items() if not isinstance(v, str) or len(v) != 64}
                assert found == DATA
    assert seen > 6 * len(whole)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_cut_is_seen(share: float) -> None:
    whole = sealed(DATA)
    with pytest.raises(ValueError):
        unsealed(whole[: int(share * (len(whole) - 2))])


@pytest.mark.parametrize("text", ["[]", "1", "[" * 100_000, b"\xff"])
def test_what_is_no_object_is_refused(text: str | bytes) -> None:
    with pytest.raises(ValueError):
        unsealed(text)
