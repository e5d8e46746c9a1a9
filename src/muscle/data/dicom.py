"""DICOM: from a file to stored values by pydicom, and from these to 8-bit grey.

The order is that of PS3.3 C.11: stored value, modality, window, then polarity; the functions are in
``muscle.data.voi``. What is here besides is what to do when a file says too little, or what cannot be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from muscle.data.deflated import read_deflated
from muscle.data.grey import (
    Decoded,
    Pixels,
    Values,
    check_bytes,
    check_regular,
    check_size,
    chosen_frame,
    counted,
    looked_up,
    percentiles,
    rounded,
    to_bytes,
    to_grey,
)
from muscle.data.stored import stored_values, whole
from muscle.data.voi import Levels, Unusable, modality, padding, view, views
from muscle.errors import UserError


def is_dicom(path: Path) -> bool:
    """Whether the file is DICOM: by its mark at byte 128, or without one by its suffix."""
    check_regular(path)
    try:
        with path.open("rb") as file:
            head = file.read(132)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from None
    if not head:
        raise UserError(f"{path}: the file is empty")
    return head[128:] == b"DICM" or path.suffix.lower() in (".dcm", ".dicom")


def read_header(path: Path, tags: Sequence[str] = ()) -> Any:
    """The DICOM data set without its pixels; of some ``tags`` only, by keyword, or all.

    Raises:
        UserError: a file larger than any film, or one that is damaged.
    """
    check_bytes(path)
    return _read(path, pixels=False, tags=tags)


def _read(path: Path, pixels: bool, tags: Sequence[str] = ()) -> Any:
    from pydicom import dcmread  # 0.2 s that folders of PNG need not pay

    try:
        if (inflated := read_deflated(path, pixels, tags)) is not None:
            return inflated
        return dcmread(path, stop_before_pixels=not pixels, force=True, specific_tags=list(tags) or None)
    except MemoryError:  # room is made for as much as an element says it holds
        raise UserError(
            f"{path}: not DICOM, or damaged: something in it says it is longer than the file; get it again, or leave "
            "it out"
        ) from None


def dicom_frames(path: Path, header: Any) -> int:
    """How many frames a header states; 1 where it says nothing.

    Raises:
        UserError: what it says is no whole number.
    """
    return whole(path, header, "NumberOfFrames", 1)


def dicom_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels, from the header alone.

    Raises:
        UserError: the header states none.
    """
    return _size(path, read_header(path))


def dicom_spacing(path: Path) -> tuple[float, float] | None:
    """Millimetres of a pixel, down and across, from the header alone; None where it states none.

    Pixel Spacing (0028,0030), else Imager Pixel Spacing (0018,1164), which is that of the detector: the body lay before
    it and is magnified.

    Raises:
        UserError: as ``read_header``.
    """
    header = read_header(path)
    for tag in ("PixelSpacing", "ImagerPixelSpacing"):
        try:
            down, across = (float(value) for value in header.get(tag) or ())
        except (TypeError, ValueError):
            continue
        if down > 0 and across > 0 and np.isfinite([down, across]).all():
            return down, across
    return None


def _size(path: Path, ds: Any) -> tuple[int, int]:
    if "Rows" not in ds or "Columns" not in ds:
        modality_name = str(ds.get("Modality") or "modality unknown")
        raise UserError(
            f"{path}: no image: DICOM without pixels ({modality_name}), or not DICOM; leave it out"
        )
    return whole(path, ds, "Columns"), whole(path, ds, "Rows")


def decode_dicom(path: Path, unified: bool, window: int, first_frame: bool, frame: int = 0) -> Decoded:
    """One DICOM file as 8-bit grey.

    Args:
        path: the file.
        unified: windowed and dense is bright; or stored levels as they are.
        window: which of several windows or VOI tables, from 1; the first where there are fewer.
        first_frame: take the first of several frames instead of refusing them.
        frame: take this one, from 1; 0: the only one.

    Raises:
        UserError: no pixels, several frames, too large, or what the header says contradicts itself or the pixels.
            What pydicom raises on damage comes through as it is.
    """
    ds, chosen, steps = _checked(path, first_frame, frame)
    photometric = str(ds.PhotometricInterpretation)
    values, bits, signed = stored_values(path, ds, chosen, steps)
    if values.shape[:2] != (ds.Rows, ds.Columns):
        raise UserError(
            f"{path}: its pixels are {values.shape[1]} x {values.shape[0]}, its header says {ds.Columns} x {ds.Rows}"
        )
    if photometric == "PALETTE COLOR":
        values = _palette(ds, values)
        bits = values.dtype.itemsize * 8
        steps.append("palette looked up")
    if values.ndim == 3:
        values = to_grey(values, steps)
        steps.append(f"0..{2**bits - 1} to 0..255, from Bits Stored")
        return Decoded(to_bytes(values, 0.0, 2.0**bits - 1), tuple(steps), bits)
    stored = _Stored.of(path, values, bits, signed, steps)
    low, high = stored.low, stored.high
    if not unified:
        steps.append(f"raw: stored values from {low:g}..{high:g} (Bits Stored) to 0..255, polarity as stored")
        return Decoded(stored.shown((stored.levels - low) / (high - low or 1)), tuple(steps), bits)
    outside = padding(ds, int(low), int(high))
    padded = np.zeros(stored.levels.shape, bool)
    if outside is not None:
        padded = (stored.levels >= outside[0]) & (stored.levels <= outside[1])
    inner = np.where(padded, 0, stored.counts)
    whole_picture = not inner.any()  # all of it is padding: then none is
    seen = _seen(ds, window, stored, stored.counts if whole_picture else inner, bits, steps)
    # DX demands INVERSE wherever it demands MONOCHROME1: the two state one inversion, not two
    if photometric == "MONOCHROME1" or ds.get("PresentationLUTShape") == "INVERSE":
        seen = 1 - seen
        why = "MONOCHROME1" if photometric == "MONOCHROME1" else "Presentation LUT Shape INVERSE"
        steps.append(f"inverted, so that dense is bright: {why}")
    grey = stored.shown(seen)
    if stored.counts[padded].any() and not whole_picture:
        _blacken(grey, looked_up(padded.view(np.uint8), stored.where, stored.offset), steps)
    return Decoded(grey, tuple(steps), bits)


def _checked(path: Path, first_frame: bool, frame: int) -> tuple[Any, int, list[str]]:
    """The data set of a file that may be a film, which of its frames is taken, and the first steps."""
    check_bytes(path)
    ds = _read(path, pixels=True)
    modality_name = str(ds.get("Modality") or "modality unknown")
    frames: list[str] = []
    columns, rows = _size(path, ds)
    chosen = chosen_frame(path, dicom_frames(path, ds), first_frame, frame, frames)
    check_size(path, columns, rows)
    if not any(name in ds for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise UserError(
            f"{path}: no image: DICOM without pixels ({modality_name}), or cut off before them; leave it out"
        )
    photometric = str(ds.get("PhotometricInterpretation") or "")
    if not photometric:
        raise UserError(
            f"{path}: no Photometric Interpretation, so that nothing says whether dense is bright"
        )
    samples = whole(path, ds, "SamplesPerPixel", 1)
    if (samples == 1) != (photometric in ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")):
        raise UserError(f"{path}: {samples} samples per pixel contradict {photometric}")
    return ds, chosen, [f"DICOM {modality_name} of {columns} x {rows}, {photometric}", *frames]


@dataclass(frozen=True, slots=True)
class _Stored:
    """A grey picture as a look-up: pixel p has the level ``levels[where[p] - offset]``.

    ``counts``: how often each level occurs; ``low``, ``high``: what can be stored, of floats what is.
    """

    levels: Values
    counts: Values
    where: Values
    offset: int
    low: float
    high: float

    @classmethod
    def of(cls, path: Path, values: Values, bits: int, signed: bool, steps: list[str]) -> _Stored:
        low = -(2 ** (bits - 1)) if signed else 0
        high = low + 2**bits - 1
        if bits <= 16:
            return cls(np.arange(low, high + 1), counted(values, low, high), values, low, low, high)
        # floats and whole numbers of 32 bits: the levels are those that occur
        levels, where, counts = np.unique(values, return_inverse=True, return_counts=True)
        levels, counts = _finite(path, levels, counts, steps)
        ends = (levels.min(), levels.max()) if levels.dtype.kind == "f" else (low, high)
        return cls(levels, counts, where.reshape(values.shape), 0, float(ends[0]), float(ends[1]))

    def shown(self, seen: Levels) -> Pixels:
        """The picture in which each level is seen as 0..1."""
        return looked_up(rounded(seen * 255), self.where, self.offset)


def _seen(ds: Any, window: int, stored: _Stored, counts: Values, bits: int, steps: list[str]) -> Levels:
    """Each level as 0..1, before the polarity: by the file's table or window, or by the range of the values."""
    units, lowest, highest = modality(ds, stored.low, stored.high, stored.levels, steps)
    there = counts > 0
    several = views(ds)
    if several:
        number = window if window <= several else 1
        if number != window:
            steps.append(f"window {window} was asked for and there is only {several}")
        try:
            seen, said = view(ds, number - 1, lowest, units)
        except Unusable as error:
            steps.append(f"its VOI table or window cannot be used: {error}")
        else:
            if np.ptp(seen[there]) or not np.ptp(units[there]):
                which = f", the first of {several}" if number == 1 else f", number {number} of {several}"
                steps.append(f"{said} applied{which if several > 1 else ''}, to 0..255")
                return seen
            steps.append(f"{said} leaves no contrast and is ignored")
    if bits <= 8:
        steps.append(f"no window; {lowest:g}..{highest:g} to 0..255, from Bits Stored")
    else:
        lowest, highest = percentiles(units[there], counts[there], bits, steps)
    return np.clip((units - lowest) / (highest - lowest or 1), 0, 1)


def _blacken(grey: Pixels, padded: Pixels, steps: list[str]) -> None:
    """Sets padding to black, as the dark around the body; inside the picture its value is saturation, and stays."""
    _, regions = cv2.connectedComponents(padded, connectivity=4)
    rim = np.unique(np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]]))
    outside = np.isin(regions, rim[rim > 0])
    if outside.any():
        grey[outside] = 0
        steps.append(f"{outside.mean():.1%} of the pixels are padding at the rim: black")


def _finite(path: Path, levels: Values, counts: Values, steps: list[str]) -> tuple[Values, Values]:
    """Levels of which those that are no numbers are the lowest, and do not count."""
    good = np.isfinite(levels) if levels.dtype.kind == "f" else np.ones(levels.shape, bool)
    if not good.any():
        raise UserError(f"{path}: no pixel is a number")
    if not good.all():
        steps.append(f"{counts[~good].sum() / counts.sum():.1%} of the pixels are no numbers: black")
        levels = np.where(good, levels, levels[good].min())
    return levels, np.where(good, counts, 0)


def _palette(ds: Any, values: Values) -> Values:
    """Colours [H, W, 3] of indices (C.7.6.3.1.5 and 6); of segmented tables by pydicom."""
    if "RedPaletteColorLookupTableData" not in ds:
        from pydicom.pixels.processing import apply_color_lut

        coloured: Values = apply_color_lut(values, ds)[..., :3]
        return coloured
    count, first = (int(v) for v in ds.RedPaletteColorLookupTableDescriptor[:2])
    count = count % 2**16 or 2**16
    channels = []
    for name in ("Red", "Green", "Blue"):
        data = bytes(ds[f"{name}PaletteColorLookupTableData"].value)
        kind = np.dtype(np.uint8) if len(data) < 2 * count else np.dtype("<u2")
        table = np.frombuffer(data[: count * kind.itemsize], kind)
        channels.append(table[np.clip(values.astype(np.int64) - first, 0, len(table) - 1)])
    return np.stack(channels, -1)
