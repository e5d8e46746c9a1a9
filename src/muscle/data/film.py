"""One source image becomes one row of a store: decoded, resized, masks and boxes along with it.

Runs in worker processes, so it imports no torch: a worker is ready in a fraction of a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from muscle.data.decode import Decode, decode, decode_mask
from muscle.data.grey import Crop, check_bytes, check_regular, counted, reason
from muscle.data.headers import mask_levels, may_be_mask
from muscle.data.keys import hash_of, hash_of_file
from muscle.errors import UserError

Fit = Literal["stretch", "pad"]
Pixels = NDArray[np.uint8]
Pair = tuple[float, float]
MaskFile = tuple[str, tuple[tuple[int, int], ...]]  # path below the root, ((grey level, mask value), ...)
Runs = tuple[int, int, tuple[tuple[int, int], ...], int]  # height, width, ((first, length), ...), mask value

SLACK = 1.0  # source pixels that a box may reach over the edge (rounding of relative coordinates); it is cut


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker needs to know of one image. Paths are relative to ``root``; boxes in source pixels.

    ``frame``: of the file's frames the one to take, from 1; 0 where the file is the film. ``scaled`` names the masks
    whose pictures may have another size than the image; ``runs`` are masks without files.
    """

    root: str
    path: str
    size: tuple[int, int]
    decode: Decode
    fit: Fit
    masks: dict[str, tuple[MaskFile, ...]] = field(default_factory=dict)
    scaled: frozenset[str] = frozenset()
    runs: dict[str, Runs] = field(default_factory=dict)
    boxes: dict[str, tuple[tuple[float, float, float, float], ...]] = field(default_factory=dict)
    points: dict[str, tuple[Pair, ...]] = field(default_factory=dict)
    frame: int = 0


@dataclass(frozen=True, slots=True)
class Film:
    """A finished row: pixels and masks [H, W] uint8, and plain data for the index."""

    pixels: Pixels
    masks: dict[str, Pixels]
    record: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where what is kept of a source image lies in the store's: its size there and its corner."""

    crop: Crop
    inner: tuple[int, int]
    corner: tuple[int, int]
    size: tuple[int, int]

    @classmethod
    def of(cls, crop: Crop, size: tuple[int, int], fit: Fit) -> _Frame:
        inner = size
        if fit == "pad":
            height, width = crop.y1 - crop.y0, crop.x1 - crop.x0
            scale = min(size[0] / height, size[1] / width)
            inner = max(1, round(height * scale)), max(1, round(width * scale))
        return cls(crop, inner, ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2), size)

    def place(self, small: Pixels) -> Pixels:
        """``small`` [inner] in a store-sized picture of zeros."""
        if self.inner == self.size:
            return small
        whole = np.zeros(self.size, np.uint8)
        whole[self.corner[0] :, self.corner[1] :][: self.inner[0], : self.inner[1]] = small
        return whole

    def point(self, x: float, y: float) -> Pair:
        """A source pixel coordinate in the store."""
        return (
            (x - self.crop.x0) * self.inner[1] / (self.crop.x1 - self.crop.x0) + self.corner[1],
            (y - self.crop.y0) * self.inner[0] / (self.crop.y1 - self.crop.y0) + self.corner[0],
        )


def shrink(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Resized to ``size`` (H, W): sides that shrink are averaged over areas, sides that grow are interpolated."""
    height, width = pixels.shape
    area = min(height, size[0]), min(width, size[1])
    if area != (height, width):  # OpenCV averages only when no side grows, so growing is a step of its own
        pixels = np.asarray(cv2.resize(pixels, area[::-1], interpolation=cv2.INTER_AREA), np.uint8)
    if area != size:
        pixels = np.asarray(cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)
    return pixels


def film(job: Job) -> Film | str:
    """The row of one image, or the reason why it cannot be one. Never raises."""
    try:
        return _film(job)
    except UserError as error:
        return str(error).removeprefix(f"{Path(job.root) / job.path}: ")
    except Exception as error:  # whatever a codec throws at a broken file must not end the run
        return reason(error)


def _film(job: Job) -> Film:
    path = Path(job.root) / job.path
    check_regular(path)
    try:
        check_bytes(path)
        source = hash_of_file(path)
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror or error}") from None
    decoded = decode(path, job.decode, job.frame)
    if may_be_mask(f"{Path(job.root).name}/{job.path}") and (problem := mask_levels(decoded.pixels)):
        raise UserError(
            f"{problem}; no film: leave it out (`muscle data scan` proposes a data file that does)"
        )
    height, width = decoded.pixels.shape
    crop = decoded.crop or Crop(0, 0, width, height, width, height)
    frame = _Frame.of(crop, job.size, job.fit)
    boxes = {name: [_box(box, frame) for box in given] for name, given in job.boxes.items()}
    points = {name: [_point(point, frame) for point in given] for name, given in job.points.items()}
    masks = {n: _mask(Path(job.root), files, frame, n in job.scaled) for n, files in job.masks.items()}
    masks |= {name: _runs(given, frame) for name, given in job.runs.items()}
    small = np.ascontiguousarray(shrink(decoded.pixels, frame.inner))
    counts, levels = counted(small, 0, 255), np.arange(256)
    pixels = frame.place(small)
    record = {
        "image_hash": hash_of(f"{height}x{width}:".encode(), decoded.pixels),
        "file_hash": of_frame(source, job.frame),
        "row_hash": row_hash(pixels, masks),
        "width": crop.width,
        "height": crop.height,
        "inner_width": frame.inner[1],
        "inner_height": frame.inner[0],
        "steps": list(decoded.steps),
        "pixel_count": small.size,
        "pixel_sum": int(counts @ levels),
        "pixel_square_sum": int(counts @ levels**2),
        "boxes": boxes,
        "points": points,
    }
    return Film(pixels, masks, record)


def row_hash(pixels: Pixels, masks: Mapping[str, Pixels]) -> str:
    """The hash of a row as stored: the picture, then its masks by name."""
    return hash_of(pixels, *(masks[name] for name in sorted(masks)))


def of_frame(file_hash: str, frame: int) -> str:
    """What stands for the bytes of a film: the file's hash; of one of its frames that and the number, hashed."""
    return hash_of(f"{file_hash}#{frame}".encode()) if frame else file_hash


def _box(box: tuple[float, float, float, float], frame: _Frame) -> list[float]:
    x0, y0, x1, y1 = box
    crop = frame.crop
    inside = -SLACK <= x0 < x1 <= crop.width + SLACK and -SLACK <= y0 < y1 <= crop.height + SLACK
    whole = x0 < crop.width and x1 > 0 and y0 < crop.height and y1 > 0
    given = ", ".join(f"{v:g}" for v in box)
    if not (inside and whole):
        raise UserError(f"box ({given}) is empty or outside its image of {crop.width}x{crop.height}")
    x0, x1 = max(x0, float(crop.x0)), min(x1, float(crop.x1))
    y0, y1 = max(y0, float(crop.y0)), min(y1, float(crop.y1))
    if not (x0 < x1 and y0 < y1):
        raise UserError(f"box ({given}) lies outside the part that harmonize keeps, {_kept(crop)}")
    return [*frame.point(x0, y0), *frame.point(x1, y1)]


def _point(point: Pair, frame: _Frame) -> list[float | None]:
    x, y = point
    crop = frame.crop
    if np.isnan(x) or np.isnan(y):
        return [None, None]
    if not (-SLACK <= x <= crop.width + SLACK and -SLACK <= y <= crop.height + SLACK):
        raise UserError(f"point ({x:g}, {y:g}) is outside its image of {crop.width}x{crop.height}")
    if not (crop.x0 - SLACK <= x <= crop.x1 + SLACK and crop.y0 - SLACK <= y <= crop.y1 + SLACK):
        raise UserError(f"point ({x:g}, {y:g}) lies outside the part that harmonize keeps, {_kept(crop)}")
    return [*frame.point(x, y)]


def _kept(crop: Crop) -> str:
    return f"({crop.x0}, {crop.y0}, {crop.x1}, {crop.y1}) of {crop.width}x{crop.height}"


def _mask(root: Path, files: tuple[MaskFile, ...], frame: _Frame, scaled: bool) -> Pixels:
    parts = [decode_mask(root / path, levels) for path, levels in files]
    shape = parts[0].shape if scaled else (frame.crop.height, frame.crop.width)
    merged = np.zeros(shape, np.uint8)
    for (path, _), part in zip(files, parts, strict=True):
        if part.shape != shape:
            other = "its image" if not scaled else f"mask {files[0][0]}"
            raise UserError(
                f"mask {path} is {part.shape[1]}x{part.shape[0]} but {other} is {shape[1]}x{shape[0]}"
            )
        np.copyto(merged, part, where=part != 0)
    return _small(merged, frame)


def _runs(given: Runs, frame: _Frame) -> Pixels:
    height, width, runs, value = given
    if (height, width) != (frame.crop.height, frame.crop.width):
        raise UserError(f"mask is {width}x{height} but its image is {frame.crop.width}x{frame.crop.height}")
    flat = np.zeros(width * height, np.uint8)
    for first, length in runs:
        if not 0 <= first < first + length <= flat.size:
            raise UserError(f"mask run ({first}, {length}) is empty or outside its image of {width}x{height}")
        flat[first : first + length] = value
    return _small(flat.reshape(width, height).T, frame)


def _small(mask: Pixels, frame: _Frame) -> Pixels:
    crop = frame.crop
    down, across = mask.shape[0] / crop.height, mask.shape[1] / crop.width  # 1, but for scaled masks
    kept = mask[
        round(crop.y0 * down) : round(crop.y1 * down), round(crop.x0 * across) : round(crop.x1 * across)
    ]
    small = cv2.resize(np.ascontiguousarray(kept), frame.inner[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    return frame.place(np.asarray(small, np.uint8))
