"""Raw ``.IMG`` films without a header, as the JSRT database ships them.

Big-endian unsigned 16 bits, of which 12 are used, row by row, as many rows as columns (JSRT: 2048); 0 is white
(Shiraishi et al., AJR 174:71-74, 2000).
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from muscle.data.grey import Decoded, Values, check_size, percentiles, to_bytes
from muscle.errors import UserError

BITS = 12
_LEAST = 64  # rows; a shorter file is no film


def is_raw_img(path: Path) -> bool:
    """Whether the suffix says so; the file has no mark to tell it by."""
    return path.suffix.lower() == ".img"


def raw_img_size(path: Path) -> tuple[int, int]:
    """Width and height, from the length of the file.

    Raises:
        UserError: the file is missing, or its length is not that of a square film.
    """
    try:
        length = path.stat().st_size
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from None
    side = math.isqrt(length // 2)
    if side < _LEAST or 2 * side * side != length:
        raise UserError(
            f"{path}: {length:,} bytes; allowed: a square raw film of 16 bits, as of JSRT (8,388,608 bytes)"
        )
    check_size(path, side, side)
    return side, side


def decode_raw_img(path: Path, unified: bool) -> Decoded:
    """One raw film as 8-bit grey; ``unified`` and ``raw`` as in ``Decode``.

    Raises:
        UserError: as ``raw_img_size``, or values of more than 12 bits.
    """
    side, _ = raw_img_size(path)
    values: Values = np.fromfile(path, ">u2").reshape(side, side).astype(np.uint16)
    if values.max() >= 2**BITS:
        raise UserError(
            f"{path}: holds {values.max()}; allowed: big-endian values of {BITS} bits, as of JSRT"
        )
    steps = [f"raw film of {side} x {side}, big-endian, {BITS} of 16 bits"]
    if not unified:
        steps.append(f"raw: {BITS}-bit values from 0..{2**BITS - 1} to 0..255, polarity as stored")
        return Decoded(to_bytes(values, 0.0, 2.0**BITS - 1), tuple(steps), BITS)
    low, high = percentiles(values, None, BITS, steps)
    steps.append("inverted, so that dense is bright: 0 is white in this format")
    return Decoded(255 - to_bytes(values, low, high), tuple(steps), BITS)
