"""Decoded images on disk: mapped arrays, a mapped index, checksums. Written once by ``prepare``, read by all.

A store is a folder: ``images.npy`` [N, H, W] uint8, one ``mask-<i>.npy`` [N, H, W] uint8 a mask target,
``index.arrow`` with one row an image (see ``index``), and ``manifest.json``. Each can be read without this package.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from muscle.data.index import FILE, read_index
from muscle.errors import UserError
from muscle.paths import within
from muscle.seal import unsealed
from muscle.types import Target

VERSION = 5
MANIFEST = "manifest.json"
_PIECE = 4 * 2**20  # bytes read at a time

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class BoxTable:
    """The boxes of all rows: those of row r are ``start[r]`` to ``start[r + 1]``.

    ``start`` [N + 1] int32; ``xyxy`` [M, 4] float32 in store pixels; ``label`` [M] int64 from 1.
    """

    start: NDArray[np.int32]
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
        index: one row an image, mapped; its columns: see ``index``.
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

    def __len__(self) -> int:
        return int(self.index.num_rows)

    def __reduce__(self) -> tuple[Callable[[Path], Store], tuple[Path]]:
        """Another process maps the same folder: no pixel travels."""
        return Store.open, (self.path.resolve(),)

    @classmethod
    def open(cls, path: Path | str) -> Store:
        """Maps a finished store.

        Raises:
            UserError: there is none, it is of another version, or a file is missing or cut short.
        """
        path = Path(path)
        try:
            manifest = unsealed((path / MANIFEST).read_bytes())
        except FileNotFoundError:
            raise UserError(f"{path}: no finished store here; run `muscle data prepare`") from None
        except (OSError, ValueError) as error:
            raise UserError(
                f"{path / MANIFEST}: cannot be read ({error}); delete the folder, prepare again"
            ) from None
        version = manifest.get("version")
        if version != VERSION:
            raise UserError(f"{path}: store of version {version}; this muscle reads {VERSION}; prepare again")
        try:
            return cls._of(path, manifest)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(
                f"{path / MANIFEST}: no manifest of a store ({type(error).__name__}: {error}); "
                "delete the folder, prepare again"
            ) from None

    @classmethod
    def _of(cls, path: Path, manifest: dict[str, Any]) -> Store:
        height, width = manifest["size"]
        shape = (manifest["rows"], height, width)
        files = {
            name: within(path, entry["file"], path / MANIFEST) for name, entry in manifest["arrays"].items()
        }
        arrays = {name: _map(file, shape) for name, file in files.items()}
        index = read_index(path / FILE)
        if index.num_rows != manifest["rows"]:
            raise UserError(
                f"{path / FILE}: has {index.num_rows} rows, not {manifest['rows']}; delete the folder, prepare again"
            )
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

    def sums(self) -> dict[str, str]:
        """The SHA-256 of each file, by name, as it was written."""
        entries = [*self.manifest["arrays"].values(), self.manifest["index"]]
        return {entry["file"]: entry["sha256"] for entry in entries}

    def verify(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Computes every checksum again.

        Args:
            progress: called with (megabytes read, in all).

        Raises:
            UserError: naming the files that are not what they were.
        """
        sums, done = self.sums(), 0
        total = sum((self.path / name).stat().st_size for name in sums if (self.path / name).is_file())

        def read(size: int) -> None:
            nonlocal done
            done += size
            if progress is not None:
                progress(done // 10**6, total // 10**6)

        bad = [name for name, sha in sums.items() if file_sha256(self.path / name, read) != sha]
        if bad:
            raise UserError(f"{self.path}: damaged: {', '.join(bad)}; delete the folder and prepare again")

    def target(self, name: str) -> Target | None:
        """The target of that name, if this source teaches it."""
        return next((t for t in self.targets if t.name == name), None)

    def numbers(self, name: str) -> NDArray[Any]:
        """A column of numbers [N], mapped: not a copy."""
        found: NDArray[Any] = _one(self.index.column(name)).to_numpy(zero_copy_only=False)
        return found

    def strings(self, name: str, rows: NDArray[Any] | None = None) -> list[str]:
        """A column of strings, of some rows or of all."""
        column: Any = self.index.column(name)
        found: list[str] = (column if rows is None else column.take(pa.array(rows))).to_pylist()
        return found

    def counts(self, name: str) -> dict[str, int]:
        """How often each value of a column of strings occurs."""
        counted: Any = pc.value_counts(_one(self.index.column(name)))
        return dict(sorted((pair["values"], pair["counts"]) for pair in counted.to_pylist()))

    def is_(self, name: str, value: str) -> NDArray[np.bool_]:
        """In which rows a column of few different strings (``split``, ``body_part`` ...) has this value, [N]."""
        column = _one(self.index.column(name))
        found: NDArray[np.bool_] = column.indices.to_numpy() == column.dictionary.index(value).as_py()
        return found

    def known(self, target: str) -> NDArray[np.bool_]:
        """Which rows have a truth for this target, [N]; for labels: at least one class known."""
        kind = self._target(target).kind
        if kind in ("labels", "value"):
            return np.asarray((self.labels(target) == self.labels(target)).any(axis=1))  # NaN is not itself
        if kind == "mask":
            return self.numbers(f"has:{target}").astype(np.bool_)
        return np.asarray(self.index.column(f"{kind}:{target}").is_valid().to_numpy())

    def labels(self, target: str) -> Floats:
        """Labels [N, C] float32, mapped: 1 present, 0 absent, NaN unknown; a ``value`` target gives [N, 1]."""
        kind = self._target(target).kind
        column = _one(self.index.column(f"{kind}:{target}"))
        found: Floats = (column.flatten() if kind == "labels" else column).to_numpy()
        return found.reshape(len(self), -1)

    def boxes(self, target: str) -> BoxTable:
        """The boxes of every row, mapped; none also where they are unknown (see ``known``)."""
        self._target(target)
        boxes, labels = (_one(self.index.column(f"{name}:{target}")) for name in ("boxes", "box_labels"))
        start = boxes.offsets.to_numpy()
        xyxy = boxes.values.flatten().to_numpy().reshape(-1, 4)
        return BoxTable(start, xyxy, labels.values.to_numpy())

    def _target(self, name: str) -> Target:
        found = self.target(name)
        if found is None:
            names = ", ".join(t.name for t in self.targets) or "none"
            raise UserError(f"store {self.name}: no target {name!r}; it teaches: {names}")
        return found


def _one(column: pa.ChunkedArray[Any]) -> Any:
    """The column as the one array that it was written as."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def file_sha256(path: Path, read: Callable[[int], None] | None = None) -> str:
    """SHA-256 (hex) of a file; empty where it cannot be read. ``read``: called with the bytes of each piece read."""
    found, piece = hashlib.sha256(), bytearray(_PIECE)
    try:
        with path.open("rb", buffering=0) as file:
            while size := file.readinto(piece):
                found.update(memoryview(piece)[:size])
                if read is not None:
                    read(size)
    except OSError:
        return ""
    return found.hexdigest()


def _map(path: Path, shape: tuple[int, ...]) -> Pixels:
    try:
        array: Pixels = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:  # the last of an empty file
        raise UserError(f"{path}: cannot be mapped ({error}); delete the folder, prepare again") from None
    if array.shape != shape or array.dtype != np.uint8:
        raise UserError(
            f"{path}: holds {array.shape} {array.dtype}, not {shape} uint8; delete the folder, prepare again"
        )
    return array
