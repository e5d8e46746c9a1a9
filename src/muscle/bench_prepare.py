"""How near ``prepare`` comes to a loop that decodes and resizes the same files and does nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from muscle.data.decode import Decode
from muscle.data.floor import bare
from muscle.data.prepare import prepare
from muscle.data.splits import AllTrain
from muscle.datasets._example_dicom import save_dicom
from muscle.datasets.folder import Folder
from muscle.phantom import draw

SIZE, SIDE, WORKERS = (160, 256), 1024, 2
DRAWN = 8  # distinct films; the others differ by their noise


def sides(scratch: Path, films: int) -> tuple[Callable[[], float], Callable[[], float]]:
    """Our side and the floor, each a function that gives images a second; both start their processes anew.

    Args:
        scratch: an empty folder.
        films: how many: half 8-bit PNG and a quarter each JPEG and 12-bit DICOM, 1024 pixels a side.
    """
    root = scratch / "large"
    paths = _write(root, films)
    runs = iter(range(1_000_000))

    def ours() -> float:
        start = time.perf_counter()
        where = scratch / f"store-{next(runs)}"
        prepare("large", Folder(root=str(root)), AllTrain(), SIZE, Decode(), where, workers=WORKERS)
        return films / (time.perf_counter() - start)

    def floor() -> float:
        start = time.perf_counter()
        bare(paths, SIZE, WORKERS)
        return films / (time.perf_counter() - start)

    return ours, floor


def _write(root: Path, films: int) -> list[Path]:
    root.mkdir()
    drawn = [draw("chest", seed, (256, 256), bits=12).image for seed in range(DRAWN)]
    large = [cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) for image in drawn]
    paths = []
    for i in range(films):
        noise = np.random.default_rng(i).integers(-16, 17, (SIDE, SIDE))
        values = np.clip(large[i % DRAWN].astype(np.int64) + noise, 0, 4095).astype(np.uint16)
        suffix = ("png", "jpg", "png", "dcm")[i % 4]
        path = root / f"{i:05}.{suffix}"
        if suffix == "dcm":
            save_dicom(path, values, f"2.25.{i}", bits=12)
        else:
            Image.fromarray((values >> 4).astype(np.uint8)).save(path)
        paths.append(path)
    return paths
