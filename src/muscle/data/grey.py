"""What every decoder shares: from values to 8-bit grey, and what is refused."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from muscle.errors import UserError

Pixels = NDArray[np.uint8]
Values = NDArray[Any]

MAX_PIXELS = 80_000_000  # twice the largest plates (a stitched spine has about 40 million)
MAX_BYTES = 4 * MAX_PIXELS  # of a file, packed or not: the largest film in colours, or as floats
MAX_FRAMES = 1000  # of a file whose frames are films of their own; a minute of fluoroscopy has fewer
LOW, HIGH = 0.5, 99.5  # percentiles that span the grey scale where no window says so (our choice)
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
_STRIP = 2**20  # pixels worked on at once: NumPy makes copies of eight bytes a pixel


@dataclass(frozen=True, slots=True)
class Crop:
    """What is kept, x0 <= x < x1 and y0 <= y < y1, of a source of ``width`` x ``height`` pixels."""

    x0: int
    y0: int
    x1: int
    y1: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Decoded:
    """A picture [H, W] uint8; how each value was arrived at, in order; bits a pixel that the file stored.

    ``crop``: the part of the source that the picture shows; None: all of it.
    """

    pixels: Pixels
    steps: tuple[str, ...]
    bits: int
    crop: Crop | None = None


def to_bytes(values: Values, low: float, high: float) -> Pixels:
    """``low`` to 0 and ``high`` to 255, linear, rounded, clipped; NaN and a flat range are black."""
    grey = np.zeros(values.shape, np.uint8)
    if low != high:
        for part in strips(values):
            scaled = (values[part].astype(np.float64) - low) * (255.0 / (high - low))
            grey[part] = rounded(np.nan_to_num(scaled, nan=0.0, posinf=255.0, neginf=0.0))
    return grey


def rounded(levels: NDArray[np.float64]) -> Pixels:
    """0..255 as bytes; halves go up, whatever the last bits of the arithmetic, so that mirrored pictures agree."""
    grey: Pixels = np.floor(np.clip(levels, 0, 255) + (0.5 + 1e-6)).astype(np.uint8)
    return grey


def strips(values: Values) -> Iterator[slice]:
    """Slices of rows that bound what a step over a whole picture takes."""
    rows = max(1, _STRIP * len(values) // max(values.size, 1))
    for start in range(0, len(values), rows):
        yield slice(start, start + rows)


def counted(values: Values, low: int, high: int) -> NDArray[np.int64]:
    """How often each whole number from ``low`` to ``high`` occurs in ``values`` of 8 or 16 bits."""
    words = _words(values)
    size = high + 1 if low >= 0 else 256**values.itemsize
    counts = np.zeros(size, np.int64)
    for part in strips(words):  # OpenCV counts in floats, exact for as many pixels as a strip has
        counts += cv2.calcHist([words[part]], [0], None, [size], [0, size]).ravel().astype(np.int64)
    return counts[np.arange(low, high + 1) % size]


def looked_up(table: Pixels, values: Values, low: int) -> Pixels:
    """``table[values - low]``; ``values`` of 8 or 16 bits, or indices of 64."""
    if values.itemsize > 2:
        found: Pixels = table[values - low]
        return found
    whole = np.zeros(256**values.itemsize, np.uint8)
    whole[np.arange(low, low + len(table)) % len(whole)] = table
    return np.asarray(cv2.LUT(_words(values), whole), np.uint8)


def _words(values: Values) -> Values:
    """Signed values as the unsigned ones of the same bits."""
    native = values.dtype.newbyteorder("=")
    return np.ascontiguousarray(values, native).view(f"u{values.itemsize}")


def percentiles(values: Values, counts: Values | None, bits: int, steps: list[str]) -> tuple[float, float]:
    """The range of values that becomes 0..255 where nothing states one: percentiles.

    Args:
        values: levels, each of which occurs ``counts`` times, or without counts every pixel; numbers all.
        counts: how often.
        bits: for the words alone.
        steps: is told what was done.
    """

    def at(*percents: float) -> tuple[float, ...]:
        if counts is None:
            return tuple(float(v) for v in np.percentile(values, percents))
        order = np.argsort(values, kind="stable")
        ends = np.cumsum(counts[order])
        ranks = np.array(percents) / 100 * (ends[-1] - 1)
        below, above = (
            values[order[np.searchsorted(ends, r, "right")]].astype(float)
            for r in (np.floor(ranks), np.ceil(ranks))
        )
        return tuple(float(v) for v in below + (above - below) * (ranks - np.floor(ranks)))

    low, high = at(LOW, HIGH)
    if low == high:  # a nearly black film: its extremes are all there is
        low, high = at(0, 100)
    steps.append(
        f"no window in {bits} bits: percentiles {LOW:g} and {HIGH:g} of this image, {low:g}..{high:g}, to 0..255"
    )
    return low, high


def grey_channels(values: Values) -> bool:
    """Whether the three channels of [H, W, 3] agree everywhere."""
    return np.array_equal(values[..., 0], values[..., 1]) and np.array_equal(values[..., 0], values[..., 2])


def to_grey(values: Values, steps: list[str]) -> Values:
    """One channel [H, W] of three: their mean where they agree, else their luminance."""
    if grey_channels(values):
        steps.append("three equal channels: their mean")
        grey: Values = values[..., 0]
        return grey
    steps.append("colour: luminance .299 R + .587 G + .114 B")
    luminance = np.empty(values.shape[:2], values.dtype)
    for part in strips(values):
        luminance[part] = np.rint(values[part] @ np.array(_LUMA))
    return luminance


def check_size(path: Path, width: int, height: int) -> None:
    """Refuses what is too large to be a film, before it is unpacked."""
    if width * height > MAX_PIXELS:
        raise UserError(f"{path}: {width} x {height} pixels; allowed: at most {MAX_PIXELS:,} in all")


def check_regular(path: Path) -> None:
    """Refuses folders, pipes and devices before they are opened: reading from a pipe waits for ever."""
    try:
        mode = path.stat().st_mode
    except OSError:  # who opens it says why it cannot be
        return
    if not stat.S_ISREG(mode):
        raise UserError(f"{path}: not a regular file; give files of pixels")


def check_bytes(path: Path) -> None:
    """Refuses files that hold more than any film needs, before they are read."""
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise UserError(f"{path}: {size / 1e6:.0f} MB; allowed: at most {MAX_BYTES / 1e6:.0f}")


def chosen_frame(path: Path, frames: int, first: bool, frame: int, steps: list[str]) -> int:
    """Which of a file's frames is taken, from 1: ``frame``, or where that is 0 the only one, or the ``first``.

    Raises:
        UserError: there is no such frame, or nobody said which of several.
    """
    if frame > max(frames, 1):
        raise UserError(f"{path}: frame {frame} was asked for, and it has {max(frames, 1)}")
    if frames > 1 and not (first or frame):
        raise UserError(
            f"{path}: {frames} frames; allowed: one; take each with frames: each in the data file, or the first with "
            "decode.frames=first"
        )
    if frames > 1:
        steps.append(f"frame {frame} of {frames}" if frame else f"the first of {frames} frames")
    return frame or 1


def reason(error: BaseException) -> str:
    """An error of another library in one line."""
    if isinstance(error, MemoryError):
        return "it needs more memory than a film may take"
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
