"""What becomes of films on their way through other hands: the ways of copying that an audit has to see through."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Way = Callable[[Pixels, np.random.Generator], Pixels]


def encoded(film: Pixels, rng: np.random.Generator) -> Pixels:
    """JPEG of quality 30 to 90."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 91))]
    return cv2.imdecode(cv2.imencode(".jpg", film, quality)[1], cv2.IMREAD_GRAYSCALE)


def resized(film: Pixels, rng: np.random.Generator) -> Pixels:
    """To 40 to 90 % of its sides, by one of three interpolations."""
    scale = rng.uniform(0.4, 0.9)
    how = int(rng.choice([cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC]))
    return cv2.resize(film, None, fx=scale, fy=scale, interpolation=how)


def inverted(film: Pixels, rng: np.random.Generator) -> Pixels:
    """White for black."""
    return 255 - film


def mirrored(film: Pixels, rng: np.random.Generator) -> Pixels:
    """Left for right."""
    return np.ascontiguousarray(film[:, ::-1])


def turned(film: Pixels, rng: np.random.Generator) -> Pixels:
    """By 90, 180 or 270 degrees."""
    return np.ascontiguousarray(np.rot90(film, int(rng.integers(1, 4))))


def cropped(film: Pixels, rng: np.random.Generator) -> Pixels:
    """5 % of each side's length taken off, anywhere between its two ends."""
    height, width = film.shape
    y, x = (int(rng.integers(0, round(side * 0.05) + 1)) for side in (height, width))
    return np.ascontiguousarray(film[y : y + round(height * 0.95), x : x + round(width * 0.95)])


def windowed(film: Pixels, rng: np.random.Generator) -> Pixels:
    """1 to 10 % of the pixels made black, 1 to 15 % white, and a gamma of 0.6 to 1.6."""
    low, high = np.percentile(film, [rng.uniform(1, 10), rng.uniform(85, 99)])
    levels = np.clip((film - low) / max(1.0, high - low), 0, 1) ** rng.uniform(0.6, 1.6)
    return (255 * levels).astype(np.uint8)


def all_at_once(film: Pixels, rng: np.random.Generator) -> Pixels:
    """Windowed, cropped, mirrored, inverted, encoded."""
    for way in (windowed, cropped, mirrored, inverted, encoded):
        film = way(film, rng)
    return film


WAYS: dict[str, Way] = {
    "re-encoded": encoded, "resized": resized, "inverted": inverted, "mirrored": mirrored, "turned": turned,
    "cropped 5 %": cropped, "windowed": windowed, "all at once": all_at_once,
}  # fmt: skip


def cloud(seed: int, height: int = 200, width: int = 160) -> Pixels:
    """A picture with structure at every scale, unlike every other one."""
    rng = np.random.default_rng(seed)
    found = np.zeros((height, width))
    for cells in (3, 6, 12, 24, 48):
        field = rng.normal(0, 1, (cells, cells))
        found += cv2.resize(field, (width, height), interpolation=cv2.INTER_CUBIC) / cells**0.7
    low, high = found.min(), found.max()
    return (255 * (found - low) / (high - low)).astype(np.uint8)
