"""Ways to damage a file: of bytes, of text, and of the structure that a text has."""

from __future__ import annotations

import numpy as np

EXTREMES = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
WORDS = (b"-1", b"1e999", b"nan", b"", b"999999999999999999999", b"\x00", b"\xff\xfe", b"../../etc/x", b"/", b"\r\n",
         b'"', b",,,,", b"<!ENTITY a 'b'>", b"{", b"[]", b"null", b"\xf0\x9f\xa6\xb4")  # fmt: skip


def hurt(content: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """What disks and copies do to a file, and its name: cut, a bit flipped, a span of zeros, something added."""
    data = bytearray(content)
    how = str(rng.choice(["cut", "flip", "flip", "zeros", "longer"]))
    at = int(rng.integers(max(1, len(data))))
    if how == "cut":
        del data[at:]
    elif how == "flip" and data:
        bit = int(rng.integers(8))
        data[at] ^= 1 << bit
        return bytes(data), f"bit {bit} of byte {at} flipped"
    elif how == "zeros":
        end = min(len(data), at + int(rng.choice([1, 16, 512, 4096])))
        data[at:end] = bytes(end - at)
        return bytes(data), f"bytes {at} to {end} zero"
    else:
        data += data[at : at + 4096] if rng.random() < 0.5 else rng.bytes(int(rng.integers(1, 4096)))
        return bytes(data), f"{len(data) - len(content)} bytes longer"
    return bytes(data), f"cut at {at} of {len(content)}"
