"""Truth and output of one task, case by case: what every score, interval and figure is computed from."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from muscle.array_files import opened_npz
from muscle.errors import UserError
from muscle.paths import atomic_write, sha256_file
from muscle.types import TargetKind

# What reading an .npz may raise that was cut, changed in a byte, or made to harm.
DAMAGED = (
    OSError, ValueError, LookupError, TypeError, AttributeError, EOFError, RuntimeError, OverflowError, MemoryError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip
BoxTruth = list[tuple[NDArray[Any], NDArray[Any]]]
BoxOutput = list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]


def _no_pictures() -> NDArray[np.uint8]:
    return np.zeros((0, 0, 0), np.uint8)


def _no_spacing() -> NDArray[np.float32]:
    return np.zeros((0, 2), np.float32)


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """What a model said of N test cases beside the truth, in the order of ``ids``.

    Attributes:
        classes: as in ``Target``: of two exclusive ones the first is the negative; masks and boxes number from 1.
        patients: key of the person of each case; the cases of one person are resampled together.
        truth: labels -> [N, C] float32, 1 / 0 / NaN; mask -> [N, H, W] uint8, 0 background, i + 1 ``classes[i]``,
            255 ignored; boxes -> N times (xyxy [m, 4] float32 pixels, label [m] int64 from 1); value -> [N, 1]
            float32, NaN unknown.
        output: labels -> probabilities [N, C] float32; mask -> [N, H, W] uint8; boxes -> N times (xyxy [m, 4]
            float32, score [m] float32, label [m] int64); value -> [N, 1] float32.
        pictures: the first k <= 6 cases as stored, [k, H, W] uint8, for figures; may be empty.
        columns: what else is known of each case, as text by name ("" unknown): source, body_part, view, sex, age,
            scanner.
        spacing: of masks, millimetres of a pixel down and across, [N, 2] float32, NaN unknown; empty: all unknown.

    Raises:
        ValueError: lengths or shapes that do not fit together.
    """

    task: str
    kind: TargetKind
    classes: tuple[str, ...]
    exclusive: bool
    ids: list[str]
    patients: list[str]
    truth: NDArray[Any] | BoxTruth
    output: NDArray[Any] | BoxOutput
    pictures: NDArray[np.uint8] = field(default_factory=_no_pictures)
    columns: dict[str, list[str]] = field(default_factory=dict)
    spacing: NDArray[np.float32] = field(default_factory=_no_spacing)

    def __post_init__(self) -> None:
        lengths = [len(self.ids), len(self.patients), len(self.truth), len(self.output)]
        lengths += [len(column) for column in self.columns.values()]
        if len(set(lengths)) > 1:
            named = ", ".join(("ids, patients, truth, output", *self.columns))
            raise ValueError(f"{self.task}: {named} have lengths {lengths}; they must be equal")
        if self.spacing.shape not in ((0, 2), (len(self), 2)):
            raise ValueError(f"{self.task}: spacing {self.spacing.shape} of {len(self)} cases")
        if self.kind == "boxes":
            if not isinstance(self.truth, list) or not isinstance(self.output, list):
                raise ValueError(f"{self.task}: boxes are lists with one tuple an image")
            for row in (*self.truth, *self.output):
                if len({len(column) for column in row}) > 1:
                    raise ValueError(f"{self.task}: an image with {[*map(len, row)]} boxes, scores, labels")
            return
        if not isinstance(self.truth, np.ndarray) or not isinstance(self.output, np.ndarray):
            raise ValueError(f"{self.task}: {self.kind} are arrays")
        if self.truth.shape != self.output.shape:
            raise ValueError(f"{self.task}: truth {self.truth.shape} against output {self.output.shape}")
        if self.kind == "labels" and self.truth.shape[1:] != (len(self.classes),):
            raise ValueError(f"{self.task}: truth {self.truth.shape} with {len(self.classes)} classes")
        if self.kind == "value" and self.truth.shape[1:] != (1,):
            raise ValueError(f"{self.task}: truth {self.truth.shape}; values are [N, 1]")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def spaced(self) -> NDArray[np.bool_]:
        """Of which cases the spacing is known, [N]."""
        return (
            np.asarray(np.isfinite(self.spacing).all(1))
            if len(self.spacing)
            else np.zeros(len(self), np.bool_)
        )

    @property
    def arrays(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Truth and output of labels or masks."""
        if isinstance(self.truth, list) or isinstance(self.output, list):
            raise ValueError(f"{self.task} is of boxes, not arrays")
        return self.truth, self.output

    @property
    def boxes(self) -> tuple[BoxTruth, BoxOutput]:
        """Truth and output of boxes, one tuple an image."""
        if not isinstance(self.truth, list) or not isinstance(self.output, list):
            raise ValueError(f"{self.task} is of {self.kind}, not boxes")
        return self.truth, self.output

    def take(self, index: NDArray[Any]) -> Predictions:
        """Some of the cases, by position or by a mask, without pictures."""
        places = np.arange(len(self))[index]

        def some(values: Any) -> Any:
            return values[places] if isinstance(values, np.ndarray) else [values[i] for i in places]

        columns = {name: some(column) for name, column in self.columns.items()}
        spacing = self.spacing[places] if len(self.spacing) else self.spacing
        return replace(
            self, ids=some(self.ids), patients=some(self.patients), truth=some(self.truth), output=some(self.output),
            pictures=_no_pictures(), columns=columns, spacing=spacing,
        )  # fmt: skip

    def refuse_nan(self) -> None:
        """Nothing where every output is a finite number: NaN has no rank, so no score of it means anything.

        Raises:
            UserError: outputs that are not finite, with the first cases.
        """
        if self.kind == "boxes":
            bad = [
                not (np.isfinite(box).all() and np.isfinite(score).all()) for box, score, _ in self.boxes[1]
            ]
        else:
            output = self.arrays[1]
            bad = list(~np.isfinite(output).reshape(len(output), -1).all(1)) if len(output) else []
        first = [name for name, is_bad in zip(self.ids, bad, strict=True) if is_bad]
        if first:
            more = f" and {len(first) - 3} more" if len(first) > 3 else ""
            raise UserError(
                f"{self.task}: predictions that are not finite numbers for {len(first)} of {len(self)} cases "
                f"({', '.join(first[:3])}{more}); the model has diverged: train it again at a lower rate"
            )

    def save(self, path: Path, made_by: Mapping[str, Any] = {}) -> str:
        """Writes one compressed .npz and returns its SHA-256; a reader sees the old file or the whole new one.

        Args:
            made_by: what made them, to ride in the file: keys, commit, seed; nothing that differs from run to run.

        Raises:
            UserError: the place cannot be written to.
        """
        about = {"version": 1, "task": self.task, "kind": self.kind, "classes": self.classes,
                 "exclusive": self.exclusive, "ids": self.ids, "patients": self.patients,
                 "columns": self.columns}  # fmt: skip
        parts: dict[str, Any] = {"about": np.array(json.dumps(about)), "pictures": self.pictures}
        parts |= {"made_by": np.array(json.dumps(dict(made_by)))} if made_by else {}
        parts |= {"spacing": self.spacing} if len(self.spacing) else {}
        if self.kind == "boxes":
            truth, output = self.boxes
            parts |= _flat("truth", truth, ("xyxy", "label")) | _flat(
                "output", output, ("xyxy", "score", "label")
            )
        else:
            parts["truth"], parts["output"] = self.arrays
        out = io.BytesIO()
        np.savez_compressed(out, **parts)
        atomic_write(path, out.getvalue())
        return hashlib.sha256(out.getvalue()).hexdigest()

    @classmethod
    def load(cls, path: Path) -> Predictions:
        """Reads what ``save`` wrote.

        Raises:
            UserError: no such file, or not a file of predictions.
        """
        try:
            with opened_npz(path) as file:
                about = _About.model_validate_json(str(file["about"][()]))
                if about.kind == "boxes":
                    truth: Any = _unflat(file, "truth", ("xyxy", "label"))
                    output: Any = _unflat(file, "output", ("xyxy", "score", "label"))
                else:
                    dtype, axes = _ARRAYS[about.kind]
                    truth, output = (_typed(file, name, dtype, axes) for name in ("truth", "output"))
                spacing = _typed(file, "spacing", np.float32, 2) if "spacing" in file else _no_spacing()
                pictures = _typed(file, "pictures", np.uint8, 3)
                said = about.model_dump(exclude={"version"})
                return cls(**said, truth=truth, output=output, pictures=pictures, spacing=spacing)
        except FileNotFoundError:
            raise UserError(
                f"{path}: no such file of predictions; the command of the run writes it again"
            ) from None
        except DAMAGED as error:
            raise UserError(
                f"{path}: not a file of predictions ({type(error).__name__}: {str(error)[:200]}); the command of "
                "the run writes it again"
            ) from None

    @classmethod
    def ids_in(cls, path: Path, sha256: str = "") -> list[str] | None:
        """The cases of a file that ``save`` wrote, and that is whole; None of any other file.

        Args:
            sha256: as ``save`` gave it; empty: not known, as older versions wrote none down.
        """
        try:
            if sha256 and sha256_file(path) != sha256:
                return None
            return cls.load(path).ids
        except UserError:
            return None


class _About(BaseModel):
    """What a file says of itself in words."""

    model_config = ConfigDict(strict=True, extra="forbid")

    version: Literal[1]
    task: str
    kind: TargetKind
    classes: tuple[str, ...]
    exclusive: bool
    ids: list[str]
    patients: list[str]
    columns: dict[str, list[str]]


# Type and number of axes of truth and output.
_ARRAYS: dict[str, tuple[type[Any], int]] = {
    "labels": (np.float32, 2), "value": (np.float32, 2), "mask": (np.uint8, 3),
}  # fmt: skip
_SHAPE: dict[str, tuple[type[Any], tuple[int, ...]]] = {
    "xyxy": (np.float32, (-1, 4)), "score": (np.float32, (-1,)), "label": (np.int64, (-1,))
}  # fmt: skip


def _flat(name: str, rows: BoxTruth | BoxOutput, columns: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Ragged rows as one array a column, with the number of boxes of each row."""
    parts: dict[str, NDArray[Any]] = {f"{name}_count": np.array([len(row[0]) for row in rows], np.int64)}
    for i, column in enumerate(columns):
        dtype, shape = _SHAPE[column]
        cells = [np.asarray(row[i], dtype).reshape(shape) for row in rows]
        parts[f"{name}_{column}"] = np.concatenate([*cells, np.zeros((0, *shape[1:]), dtype)])
    return parts


def _unflat(file: Any, name: str, columns: tuple[str, ...]) -> Any:
    counts = _typed(file, f"{name}_count", np.int64, 1)
    whole = []
    for column in columns:
        dtype, shape = _SHAPE[column]
        found = _typed(file, f"{name}_{column}", dtype, len(shape))
        if found.shape[1:] != shape[1:] or len(found) != counts.sum() or (counts < 0).any():
            raise ValueError(f"{name}_{column}: {found.shape} for {counts.sum()} boxes")
        whole.append(found)
    ends = np.cumsum(counts)[:-1]
    return list(zip(*(np.split(found, ends) for found in whole), strict=True)) if len(counts) else []


def _typed(file: Any, name: str, dtype: type[Any], axes: int) -> NDArray[Any]:
    found: NDArray[Any] = file[name]
    if found.dtype != dtype or found.ndim != axes:
        raise ValueError(f"{name}: {found.dtype} with {found.ndim} axes, not {np.dtype(dtype)} with {axes}")
    return found
