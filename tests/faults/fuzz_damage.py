"""Ways to damage a file: of bytes, of text, and of the structure that a text has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

EXTREMES = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
WORDS = (b"-1", b"1e999", b"nan", b"", b"999999999999999999999", b"\x00", b"\xff\xfe", b"../../etc/x", b"/", b"\r\n",
         b'"', b",,,,", b"<!ENTITY a 'b'>", b"{", b"[]", b"null", b"\xf0\x9f\xa6\xb4")  # fmt: skip


def hurt(content: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """What disks and copies do to a file, and its name: cut, emptied, a bit flipped, zeros, something added."""
    data = bytearray(content)
    how = str(rng.choice(["cut", "emptied", "flip", "flip", "zeros", "all zeros", "longer"]))
    at = int(rng.integers(max(1, len(data))))
    if how in ("cut", "emptied"):
        del data[at if how == "cut" else 0 :]
    elif how == "flip" and data:
        bit = int(rng.integers(8))
        data[at] ^= 1 << bit
        return bytes(data), f"bit {bit} of byte {at} flipped"
    elif how in ("zeros", "all zeros"):
        at = 0 if how == "all zeros" else at
        end = len(data) if how == "all zeros" else min(len(data), at + int(rng.choice([1, 16, 512, 4096])))
        data[at:end] = bytes(end - at)
        return bytes(data), f"bytes {at} to {end} zero"
    else:
        data += data[at : at + 4096] if rng.random() < 0.5 else rng.bytes(int(rng.integers(1, 4096)))
        return bytes(data), f"{len(data) - len(content)} bytes longer"
    return bytes(data), f"cut at {len(data)} of {len(content)}"


def damaged(content: bytes, rng: np.random.Generator, text: bool) -> bytes:
    """Damaged once, or up to three times."""
    kinds: list[Callable[[bytearray, np.random.Generator], None]]
    kinds = [_flip, _extreme, _cut, _drop, _repeat, _zero]
    kinds += [_word, _word, _lines] if text else [_extreme]
    data = bytearray(content)
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        if data:
            kinds[int(rng.integers(len(kinds)))](data, rng)
    return bytes(data)


def _span(data: bytearray, rng: np.random.Generator, most: int) -> tuple[int, int]:
    """A place; half of them in the first 512 bytes, where headers are."""
    end = len(data) if rng.random() < 0.5 else min(len(data), 512)
    start = int(rng.integers(end))
    return start, min(len(data), start + int(rng.integers(1, most + 1)))


def _flip(data: bytearray, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(1, 9))):
        start, _ = _span(data, rng, 1)
        data[start] ^= 1 << int(rng.integers(8))


def _extreme(data: bytearray, rng: np.random.Generator) -> None:
    start, _ = _span(data, rng, 1)
    width = int(rng.choice([1, 2, 4]))
    value = int(rng.choice(EXTREMES)) & (256**width - 1)
    data[start : start + width] = value.to_bytes(width, "little" if rng.random() < 0.5 else "big")


def _cut(data: bytearray, rng: np.random.Generator) -> None:
    del data[_span(data, rng, 1)[0] :]


def _drop(data: bytearray, rng: np.random.Generator) -> None:
    start, end = _span(data, rng, 64)
    del data[start:end]


def _repeat(data: bytearray, rng: np.random.Generator) -> None:
    start, end = _span(data, rng, 256)
    data[start:start] = data[start:end] * int(rng.integers(1, 50))


def _zero(data: bytearray, rng: np.random.Generator) -> None:
    start, end = _span(data, rng, 64)
    data[start:end] = bytes(end - start)


def _word(data: bytearray, rng: np.random.Generator) -> None:
    """Another word where one was: tables and annotations break at words, not at bits."""
    start, end = _span(data, rng, 8)
    data[start:end] = WORDS[int(rng.integers(len(WORDS)))]


def _lines(data: bytearray, rng: np.random.Generator) -> None:
    lines = data.split(b"\n")
    order = rng.permutation(len(lines))[: int(rng.integers(1, len(lines) + 1))]
    data[:] = b"\n".join(lines[i] for i in (np.sort(order) if rng.random() < 0.5 else order))


# --- the structure of a text ----------------------------------------------------------------------------------

DEEP = 3000  # levels; parsers that call themselves end at a thousand
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2**63, 10**400, 1e308, -0.0, "", "x" * 5000, "../../etc/passwd", "/dev/zero", "\x00",
    "\u202e",     [], {}, [[]], [None], {"": ""}, "NaN", "!!python/object/apply:os.system ['true']", "\ud800",
)  # fmt: skip
TAILS = (b"\n&a [*a, *a]\n", b"\nb: &b [x, x]\nc: [*b, *b, *b]\n", b"\nx: !!python/object/apply:os.system [id]\n",
         b"\n<<: {a: 1}\n", b"\xff\xfe\x00", b"\xed\xa0\x80", b"\n---\nsecond: 1\n", b"\n? [a]\n: 1\n",
         b"\x00" * 40, b"\nx: .nan\n", b"\nx: 2001-14-99\n")  # fmt: skip


def restructured(data: Any, rng: np.random.Generator) -> Any:
    """Plain data with one of its values of another type or size, gone, twice, or under another name."""
    places: list[tuple[Any, Any]] = []
    stack = [data]
    while stack:
        node = stack.pop()
        inside = list(node.items()) if isinstance(node, dict) else list(enumerate(node))
        places += [(node, key) for key, _ in inside]
        stack += [value for _, value in inside if isinstance(value, (dict, list))]
    for _ in range(int(rng.choice([1, 1, 2, 5]))):
        if not places:
            return ODD[int(rng.integers(len(ODD)))]
        node, key = places.pop(int(rng.integers(len(places))))
        if (key not in node) if isinstance(node, dict) else (key >= len(node)):
            continue  # it went with another change
        how = int(rng.integers(5))
        if how == 0 and isinstance(node, dict):
            node[f"{key} "] = node.pop(key)
        elif how == 1:
            del node[key]
        elif how == 2 and isinstance(node, list):
            node += node
        else:
            node[key] = ODD[int(rng.integers(len(ODD)))]
    return data


def misshapen(text: bytes, rng: np.random.Generator) -> bytes:
    """Text that is nested too deeply, or ends in what parsers of YAML and JSON trip over."""
    if rng.random() < 0.3:
        pair = [(b"[", b"]"), (b'{"a":', b"}"), (b"- ", b"")][int(rng.integers(3))]
        return pair[0] * DEEP + b"1" + pair[1] * DEEP
    return text + TAILS[int(rng.integers(len(TAILS)))]
