"""Synthetic films for ``write_example``: drawn, with a wanted truth, and saved by suffix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from muscle.phantom import Phantom, draw

SIZE = (192, 160)
RESOURCE_FORK = b"\0\5\26\7"  # how the files begin that macOS leaves beside pictures, named ._picture


def drawn(part: str, seed: int, **wanted: int) -> Phantom:
    """The first phantom from ``1000 * seed`` on whose labels are as wanted, such as ``pneumonia=1, virus=0``."""
    if wanted and not any(wanted.values()):
        return draw(part, 1000 * seed, SIZE, findings=False)
    candidates = (draw(part, 1000 * seed + i, SIZE) for i in range(1000))
    return next(p for p in candidates if wanted.items() <= p.labels.items())


def save(path: Path, pixels: NDArray[Any]) -> None:
    """Writes [H, W] uint8, uint16 or bool (as 0 and 255) as a picture of the kind that the suffix names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    levels = pixels.astype(np.uint8) * 255 if pixels.dtype == np.bool_ else pixels
    Image.fromarray(levels).save(path, quality=90) if path.suffix.lower() != ".png" else Image.fromarray(
        levels
    ).save(path)


def put(path: Path, content: bytes) -> None:
    """Writes a file as it is, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def windows_text(path: Path, lines: list[str]) -> None:
    """Writes text as spreadsheets do: a byte-order mark in front, lines that end with CRLF."""
    put(path, ("\ufeff" + "".join(f"{line}\r\n" for line in lines)).encode())
