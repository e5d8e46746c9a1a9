"""Decoded images on disk: mapped arrays, a Parquet index, checksums. Written once by ``prepare``, read by all.

A store is a folder: ``images.npy`` [N, H, W] uint8, one ``mask-<i>.npy`` [N, H, W] uint8 a mask target,
``index.parquet`` with one row an image, and ``manifest.json``. Each can be read without this package.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from muscle.errors import UserError
from muscle.types import Target

VERSION = 2
UNREAD = ("stamp", "timeless", "steps")  # columns of the index that training has no use for
MANIFEST = "manifest.json"

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class BoxTable:
    """The boxes of all rows: those of row r are ``start[r]`` to ``start[r + 1]``.

    ``start`` [N + 1] int64; ``xyxy`` [M, 4] float32 in store pixels; ``label`` [M] int64 from 1.
    """

    start: NDArray[np.int64]
    xyxy: Floats
    label: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Store:
    """One source, decoded to one size.

    Attributes:
        path: the folder.
        name: of the source.
        size: (H, W).
        targets: what the source teaches.
        images: [N, H, W] uint8, mapped, read-only.
        masks: target name -> [N, H, W] uint8, mapped; zeros where the image has no mask (see ``known``).
        index: one row an image: id path source modality body_part view patient study split sha256 (of the decoded
            pixels) file_sha256 (of a frame: ``film.of_frame``) row_sha256 width height (of the source image)
            pixel_count pixel_sum pixel_square_sum; ``labels:<t>`` list<float>, ``boxes:<t>`` list<list<float>> in
            store pixels with ``box_labels:<t>``, ``points:<t>`` list<list<float>>, ``has:<t>`` bool for masks,
            ``value:<t>`` float; null where unknown.
        mean, sd: of the pixels of the training rows (of all rows if none is for training), 0..255 scale, without
            the border that ``pad`` adds.
        quarantine: (path, or path#frame, and reason) of each image that could not become a row.
        digest: SHA-256 of the content: equal digests mean equal pixels, records and truth.
        manifest: all of ``manifest.json``.
    """

    path: Path
    name: str
    size: tuple[int, int]
    targets: tuple[Target, ...]
    images: Pixels
    masks: dict[str, Pixels]
    index: pa.Table
    mean: float
    sd: float
    quarantine: list[tuple[str, str]]
    digest: str
    manifest: dict[str, Any]
    _cache: dict[str, Any] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return int(self.index.num_rows)

    @classmethod
    def open(cls, path: Path | str) -> Store:
        """Maps a finished store.

        Raises:
            UserError: there is none, it is of another version, or a file is missing or cut short.
        """
        path = Path(path)
        try:
            manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"{path}: no finished store here; run `muscle data prepare`") from None
        except (OSError, ValueError) as error:
            raise UserError(
                f"{path / MANIFEST}: cannot be read ({error}); delete the folder, prepare again"
            ) from None
        if manifest.get("version") != VERSION:
            raise UserError(
                f"{path}: store of version {manifest.get('version')}; this muscle reads {VERSION}; prepare again"
            )
        height, width = manifest["size"]
        shape = (manifest["rows"], height, width)
        arrays = {target: _map(path / entry["file"], shape) for target, entry in manifest["arrays"].items()}
        try:
            file = path / manifest["index"]["file"]
            kept = [name for name in pq.read_schema(file).names if name not in UNREAD]
            index = pq.read_table(file, columns=kept)
        except (OSError, pa.ArrowException) as error:
            raise UserError(
                f"{path}: index cannot be read ({error}); delete the folder, prepare again"
            ) from None
        return cls(
            path=path,
            name=manifest["name"],
            size=(height, width),
            targets=tuple(Target(**t | {"classes": tuple(t["classes"])}) for t in manifest["targets"]),
            images=arrays.pop(""),
            masks=arrays,
            index=index,
            mean=manifest["mean"],
            sd=manifest["sd"],
            quarantine=[(path, reason) for path, reason in manifest["quarantine"]],
            digest=manifest["digest"],
            manifest=manifest,
        )

    def verify(self) -> None:
        """Computes every checksum again.

        Raises:
            UserError: naming the files that are not what they were.
        """
        entries = [*self.manifest["arrays"].values(), self.manifest["index"]]
        bad = [e["file"] for e in entries if file_sha256(self.path / e["file"]) != e["sha256"]]
        if bad:
            raise UserError(f"{self.path}: damaged: {', '.join(bad)}; delete the folder and prepare again")

    def target(self, name: str) -> Target | None:
        """The target of that name, if this source teaches it."""
        return next((t for t in self.targets if t.name == name), None)

    def column(self, name: str) -> NDArray[Any]:
        """A column of the index as an array [N] (strings: objects); read once."""
        key = f"column:{name}"
        if key not in self._cache:
            self._cache[key] = self.index.column(name).to_numpy()
        found: NDArray[Any] = self._cache[key]
        return found

    def levels(self) -> tuple[Floats, Floats]:
        """Mean and deviation of every image [N] float32, without the border that ``pad`` adds."""
        if "levels" not in self._cache:
            count = self.column("pixel_count").astype(np.float64)
            mean = self.column("pixel_sum") / count
            variance = np.maximum(self.column("pixel_square_sum") / count - mean**2, 0)
            self._cache["levels"] = mean.astype(np.float32), np.sqrt(variance).astype(np.float32)
        found: tuple[Floats, Floats] = self._cache["levels"]
        return found

    def known(self, target: str) -> NDArray[np.bool_]:
        """Which rows have a truth for this target, [N]; for labels: at least one class known."""
        kind = self._target(target).kind
        if kind == "labels":
            return np.asarray(np.isfinite(self.labels(target)).any(axis=1))
        if kind == "mask":
            return self.column(f"has:{target}").astype(np.bool_)
        return np.asarray(self.index.column(f"{kind}:{target}").is_valid().to_numpy())

    def labels(self, target: str) -> Floats:
        """Labels [N, C] float32: 1 present, 0 absent, NaN unknown; a ``value`` target gives [N, 1]."""
        key = f"labels:{target}"
        if key not in self._cache:
            found = self._target(target)
            if found.kind == "value":
                column = self.index.column(f"value:{target}").to_pylist()
                table = [[np.nan if v is None else v] for v in column]
            else:
                unknown = [np.nan] * len(found.classes)
                table = [unknown if v is None else v for v in self.index.column(key).to_pylist()]
            self._cache[key] = np.array(table, np.float32).reshape(len(self), -1)
        labels: Floats = self._cache[key]
        return labels

    def boxes(self, target: str) -> BoxTable:
        """The boxes of every row; none where there are none, and none where they are unknown (see ``known``)."""
        key = f"boxes:{target}"
        if key not in self._cache:
            rows = [v or [] for v in self.index.column(key).to_pylist()]
            labels = [v or [] for v in self.index.column(f"box_labels:{target}").to_pylist()]
            start = np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)])
            xyxy = np.array([box for row in rows for box in row], np.float32).reshape(-1, 4)
            label = np.array([label for row in labels for label in row], np.int64)
            self._cache[key] = BoxTable(start.astype(np.int64), xyxy, label)
        table: BoxTable = self._cache[key]
        return table

    def _target(self, name: str) -> Target:
        found = self.target(name)
        if found is None:
            names = ", ".join(t.name for t in self.targets) or "none"
            raise UserError(f"store {self.name}: no target {name!r}; it teaches: {names}")
        return found


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file; empty where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _map(path: Path, shape: tuple[int, ...]) -> Pixels:
    try:
        array: Pixels = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be mapped ({error}); delete the folder, prepare again") from None
    if array.shape != shape or array.dtype != np.uint8:
        raise UserError(
            f"{path}: holds {array.shape} {array.dtype}, not {shape} uint8; delete the folder, prepare again"
        )
    return array
