"""The least that a store can cost: each file decoded by its library and resized, nothing else. For ``muscle bench``."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from muscle.data.workers import main_hidden


def bare(paths: Sequence[Path], size: tuple[int, int], workers: int) -> int:
    """Decodes and resizes every file to ``size`` (H, W) in as many processes; the number of pixels that came out."""
    with main_hidden(), ProcessPoolExecutor(workers, get_context("spawn"), _begin) as pool:
        return sum(pool.map(_one, paths, [size] * len(paths), chunksize=8))


def _begin() -> None:
    cv2.setNumThreads(1)


def _one(path: Path, size: tuple[int, int]) -> int:
    if path.suffix == ".dcm":
        from pydicom import dcmread

        values = dcmread(path).pixel_array
    else:
        with Image.open(path) as image:
            values = np.asarray(image)
    return int(cv2.resize(values, size[::-1], interpolation=cv2.INTER_AREA).size)
