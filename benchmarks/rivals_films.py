"""The films that both sides of ``rivals.py`` read, and what each side makes of them beforehand."""

from __future__ import annotations

import json
import os
import time
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from muscle.data.corpus import Corpus
from muscle.data.data_file import DataFile
from muscle.data.decode import Decode
from muscle.data.store import Store
from muscle.phantom import draw

SIDE = 1024  # pixels, of the files
DRAWN = 16  # distinct chests; the others differ by their noise
CHUNK = "64MB"  # of litdata, its usual size
SOURCES: dict[str, dict[str, Any]] = {
    "films": {"kind": "folder", "labels": "folder", "root": "large/images", "target": "pneumonia"},
    "lungs": {"kind": "masks", "root": "large"},
    "opacities": {"kind": "coco", "root": "large"},
    "small": {"kind": "folder", "root": "small"},
}


class Films:
    """Files below ``root``, written where they are first asked for; ``seconds``: what preparing them took."""

    def __init__(self, root: Path, films: int, small: int, workers: int) -> None:
        self.root = root
        self.films = films
        self.small = small
        self.workers = workers
        self.seconds: dict[Path, float] = {}

    def large(self) -> Path:
        """Folder of chest films, ``SIDE`` pixels a side.

        ``images/CLASS/NUMBER.png`` or ``.jpg``, half and half; masks of the lungs beside them, 0 and 1, by the same
        names as PNG; opacities in ``annotations.json``, as COCO has it.
        """
        root = self.root / "large"
        if (root / "annotations.json").is_file():
            return root
        chests = [draw("chest", seed, (SIDE, SIDE)) for seed in range(DRAWN)]
        listed, boxes = [], []
        for i in range(self.films):
            chest = chests[i % DRAWN]
            folder = ("normal", "pneumonia")[chest.labels["pneumonia"]]
            name = f"{folder}/{i:05}.{('png', 'jpg')[i // DRAWN % 2]}"
            _save(root / "images" / name, _noisy(chest.image, i))
            _save(root / "masks" / folder / f"{i:05}.png", chest.masks["lungs"].astype(np.uint8))
            listed.append({"id": i, "file_name": name, "width": SIDE, "height": SIDE})
            boxes += [
                {"id": len(boxes) + k, "image_id": i, "category_id": 1, "bbox": [x0, y0, x1 - x0, y1 - y0]}
                for k, (_, x0, y0, x1, y1) in enumerate(chest.boxes)
            ]
        about = {"images": listed, "annotations": boxes, "categories": [{"id": 1, "name": "opacity"}]}
        (root / "annotations.json").write_text(json.dumps(about))
        return root

    def corpus(self, source: str, size: tuple[int, int]) -> Corpus:
        """Our store of one of ``SOURCES`` at (height, width), every film of it for training."""
        given = SOURCES[source] | {"root": str(self.root / SOURCES[source]["root"])}
        file = DataFile.parse({"sources": {source: given}, "split": {"kind": "all_train"}, "synthetic": True})
        self._small_films(size) if source == "small" else self.large()
        start = time.perf_counter()
        where = self.root / f"stores-{size[0]}x{size[1]}"
        made = Corpus.prepare(file, size, Decode(), "stretch", where, self.workers)
        self.seconds.setdefault(made.stores[0].path, time.perf_counter() - start)  # later it is found there
        return made

    def arrays(self, size: tuple[int, int]) -> Path:
        """Folder of the large films as a user would shrink them: ``CLASS/NUMBER.npy``, [H, W] uint8."""
        large, root = self.large() / "images", self.root / "arrays"
        if root in self.seconds:
            return root
        start = time.perf_counter()
        for file in sorted(large.glob("*/*")):
            made = root / file.parent.name / f"{file.stem}.npy"
            made.parent.mkdir(parents=True, exist_ok=True)
            np.save(made, Image.open(file).convert("L").resize(size[::-1], Image.Resampling.BILINEAR))
        self.seconds[root] = time.perf_counter() - start
        return root

    def stream(self, size: tuple[int, int]) -> Path:
        """Chunks of litdata with the images of the store ``small``, [1, H, W] uint8.

        litdata empties the folders ``chunks`` and ``data`` of the system's temporary folder unless told of others.
        """
        from litdata import optimize

        store, root = self.corpus("small", size).stores[0], self.root / "stream"
        if root in self.seconds:
            return root
        for name in ("DATA_OPTIMIZER_CACHE_FOLDER", "DATA_OPTIMIZER_DATA_CACHE_FOLDER"):
            os.environ[name] = str(self.root / name.lower())
        start = time.perf_counter()
        optimize(
            partial(_image, store),
            list(range(len(store))),
            str(root),
            chunk_bytes=CHUNK,
            num_workers=1,
            verbose=False,
        )
        self.seconds[root] = time.perf_counter() - start
        return root

    def _small_films(self, size: tuple[int, int]) -> None:
        if (self.root / "small").is_dir():
            return
        chests = [draw("chest", seed, size).image for seed in range(DRAWN)]
        for i in range(self.small):
            _save(self.root / "small" / f"{i:05}.png", _noisy(chests[i % DRAWN], i))

    def about(self) -> dict[str, Any]:
        """How many large films there are, and how large their files."""
        files = sorted((self.large() / "images").glob("*/*"))
        sizes = {kind: [f.stat().st_size for f in files if f.suffix == kind] for kind in (".png", ".jpg")}
        return {"films": len(files), "pixels a side": SIDE, "small films": self.small} | {
            f"mean kB of {kind}": round(sum(found) / len(found) / 1000)
            for kind, found in sizes.items()
            if found
        }


def _image(store: Store, index: int) -> dict[str, Any]:
    return {"image": np.ascontiguousarray(store.images[index][None]), "index": index}


def _noisy(image: NDArray[Any], seed: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).integers(-1, 2, image.shape)
    return np.clip(image.astype(np.int64) + noise, 0, 255).astype(np.uint8)


def _save(path: Path, pixels: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), pixels):
        raise OSError(f"cannot write {path}")
