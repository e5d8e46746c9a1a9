"""DICOM by pydicom's own lookup and window functions.

What is here is the order (PS3.3 C.11.1, C.11.2: stored value, modality lookup, window, then polarity), the range
that 8 bits are cut from, and what to do when a file says too little or what cannot be.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from muscle.data.grey import (
    Decoded,
    Values,
    check_one_frame,
    check_regular,
    check_size,
    percentiles,
    reason,
    to_bytes,
    to_grey,
)
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


def read_header(path: Path) -> Any:
    """The DICOM data set without its pixels."""
    from pydicom import dcmread  # 0.2 s that folders of PNG need not pay

    return dcmread(path, stop_before_pixels=True, force=True)


def decode_dicom(path: Path, unified: bool) -> Decoded:
    """One DICOM file as 8-bit grey; ``unified`` and ``raw`` as in ``Decode``.

    Raises:
        UserError: no pixels, several frames, too large. What pydicom raises on damage comes through as it is.
    """
    from pydicom import dcmread
    from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
    from pydicom.pixels.utils import pixel_array

    ds = dcmread(path, force=True)
    if not any(name in ds for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise UserError(
            f"{path}: a DICOM object without pixels ({ds.get('Modality', 'modality unknown')}); not an image"
        )
    check_one_frame(path, int(ds.get("NumberOfFrames", 1) or 1))
    check_size(path, int(ds.Columns), int(ds.Rows))
    photometric, bits = str(ds.PhotometricInterpretation), int(ds.BitsStored)
    syntax = getattr(ds.file_meta, "TransferSyntaxUID", None)
    steps = [
        f"DICOM {ds.get('Modality', '??')} of {ds.Columns} x {ds.Rows}, {photometric}, {bits} of {ds.BitsAllocated} "
        f"bits stored, {syntax.name if syntax else 'transfer syntax not stated'}"
    ]
    values: Values = pixel_array(ds)  # YBR comes out as RGB
    if photometric == "PALETTE COLOR":
        values = apply_color_lut(values, ds)
        bits = int(ds.RedPaletteColorLookupTableDescriptor[2])
        steps.append("palette looked up")
    if values.ndim == 3:
        values = to_grey(values, steps)
        low, high = 0.0, 2.0**bits - 1
        steps.append(f"{low:g}..{high:g} to 0..255, from Bits Stored")
        return Decoded(to_bytes(values, low, high), tuple(steps), bits)
    low, high = _stored_range(ds, bits)
    if not unified:
        steps.append(f"raw: stored values from {low:g}..{high:g} (Bits Stored) to 0..255, polarity as stored")
        return Decoded(to_bytes(values, low, high), tuple(steps), bits)
    stored, values = values, apply_modality_lut(values, ds)
    if ds.get("ModalityLUTSequence"):
        low, high = 0.0, 2.0 ** int(ds.ModalityLUTSequence[0].LUTDescriptor[2]) - 1
        steps.append("modality lookup table applied")
    elif "RescaleSlope" in ds and "RescaleIntercept" in ds:
        slope, intercept = float(ds.RescaleSlope), float(ds.RescaleIntercept)
        low, high = low * slope + intercept, high * slope + intercept
        if (slope, intercept) != (1.0, 0.0):
            steps.append(f"rescaled: {slope:g} x value + {intercept:g}")
    values, low, high = _windowed(ds, stored, values, low, high, steps)
    grey = to_bytes(values, low, high)
    # DX demands INVERSE wherever it demands MONOCHROME1: the two state one inversion, not two
    inverse = ds.get("PresentationLUTShape") == "INVERSE"
    if photometric == "MONOCHROME1" or inverse:
        grey = 255 - grey
        why = "MONOCHROME1" if photometric == "MONOCHROME1" else "Presentation LUT Shape INVERSE"
        steps.append(f"inverted, so that dense is bright: {why}")
    return Decoded(grey, tuple(steps), bits)


def _windowed(
    ds: Any, stored: Values, values: Values, low: float, high: float, steps: list[str]
) -> tuple[Values, float, float]:
    """The values after the file's window or table, or as they are; and the range that becomes 0..255."""
    from pydicom.pixels.processing import apply_voi_lut

    table = ds.get("VOILUTSequence")
    centre, width = _first(ds.get("WindowCenter")), _first(ds.get("WindowWidth"))
    said = ""
    if table:
        said = "VOI lookup table"
    elif centre is not None and width is not None:
        said = f"window centre {centre:g} width {width:g} ({ds.get('VOILUTFunction') or 'LINEAR'})"
    if said:
        try:
            seen = np.asarray(apply_voi_lut(values, ds, index=0))
        except Exception as error:  # a width of 0, a table of the wrong length, an unknown function
            steps.append(f"{said} cannot be used: {reason(error)}")
        else:
            if seen.min() < seen.max() or values.min() == values.max():
                if table:
                    low, high = 0.0, 2.0 ** int(table[0].LUTDescriptor[2]) - 1
                several = _count(table if table else ds.WindowCenter)
                steps.append(f"{said} applied{f', the first of {several}' if several > 1 else ''}")
                steps.append(f"{low:g}..{high:g} to 0..255")
                return seen, low, high
            steps.append(f"{said} leaves no contrast and is ignored")
    if int(ds.BitsStored) <= 8:
        steps.append(f"no window; {low:g}..{high:g} to 0..255, from Bits Stored")
        return values, low, high
    padding = ds.get("PixelPaddingValue")
    inner = values[stored != padding] if isinstance(padding, int) else values
    low, high = percentiles(inner if inner.size else values, int(ds.BitsStored), steps)
    return values, low, high


def _stored_range(ds: Any, bits: int) -> tuple[float, float]:
    if int(ds.PixelRepresentation) == 0:
        return 0.0, 2.0**bits - 1
    return -(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1


def _first(value: Any) -> float | None:
    if value is None or value == "":
        return None
    return float(value[0]) if isinstance(value, (list, tuple)) or hasattr(value, "__iter__") else float(value)


def _count(value: Any) -> int:
    return len(value) if hasattr(value, "__len__") else 1
