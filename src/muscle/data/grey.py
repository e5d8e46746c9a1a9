"""What every decoder shares: from values to 8-bit grey, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from muscle.errors import UserError

Pixels = NDArray[np.uint8]
Values = NDArray[Any]

MAX_PIXELS = 80_000_000  # twice the largest plates (a stitched spine has about 40 million)
LOW, HIGH = 0.5, 99.5  # percentiles that span the grey scale where no window says so (our choice)
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


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
    """``low`` to 0 and ``high`` to 255, linear, rounded, clipped; a flat range is black."""
    if low == high:
        return np.zeros(values.shape, np.uint8)
    scaled = (values.astype(np.float32) - np.float32(low)) * np.float32(255.0 / (high - low))
    grey: Pixels = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return grey


def percentiles(values: Values, bits: int, steps: list[str]) -> tuple[float, float]:
    """The range of values that becomes 0..255 where nothing states one; NaN and infinity do not count."""
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    low, high = (float(v) for v in np.percentile(finite, (LOW, HIGH)))
    if low == high:  # a nearly black film: its extremes are all there is
        low, high = float(finite.min()), float(finite.max())
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
    luminance: Values = np.rint(values @ np.array(_LUMA)).astype(values.dtype)
    return luminance


def check_size(path: Path, width: int, height: int) -> None:
    """Refuses what is too large to be a film, before it is unpacked."""
    if width * height > MAX_PIXELS:
        raise UserError(f"{path}: {width} x {height} pixels; allowed: at most {MAX_PIXELS:,} in all")


def check_regular(path: Path) -> None:
    """Refuses folders, pipes and devices before they are opened: reading from a pipe waits for ever."""
    if path.exists() and not path.is_file():
        raise UserError(f"{path}: not a regular file; give files of pixels")


def check_one_frame(path: Path, frames: int) -> None:
    """Refuses films of several frames: which one is meant is not ours to choose."""
    if frames > 1:
        raise UserError(f"{path}: {frames} frames; allowed: one; save the frames as files of their own")


def reason(error: Exception) -> str:
    """An error of another library in one line."""
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__
