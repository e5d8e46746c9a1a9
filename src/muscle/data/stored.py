"""The values that a DICOM file stores: unpacked by pydicom, held against the header, shifted to where they belong."""

from __future__ import annotations

import struct
from itertools import islice
from pathlib import Path
from typing import Any

from muscle.data.grey import Values
from muscle.errors import UserError


def stored_values(path: Path, ds: Any, frame: int, steps: list[str]) -> tuple[Values, int, bool]:
    """A frame, from 1, [H, W], or [H, W, 3] in RGB; the bits that its values have; whether they are signed.

    Raises:
        UserError: no decoder for its transfer syntax, or a header that contradicts itself or the pixels.
    """
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import JPEG2000TransferSyntaxes, JPEGLSTransferSyntaxes

    syntax = _syntax(path, ds)
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise UserError(f"{path}: no decoder for its transfer syntax {syntax.name} ({syntax})") from None
    if not decoder.is_available:
        raise UserError(
            f"{path}: {syntax.name} ({syntax}) needs a decoder that is not installed; `muscle doctor` names it"
        )
    if "PixelData" not in ds:  # Float Pixel Data
        values, _ = decoder.as_array(ds, index=frame - 1)
        bits = values.dtype.itemsize * 8
        steps[0] += f", floats of {bits} bits"
        return values, bits, True
    allocated = whole(path, ds, "BitsAllocated")
    bits = whole(path, ds, "BitsStored", allocated)
    signed = whole(path, ds, "PixelRepresentation", 0) == 1
    if not 1 <= bits <= allocated <= 32:
        raise UserError(
            f"{path}: {bits} of {allocated} bits stored; allowed: at most 32, and no more than allocated"
        )
    steps[0] += f", {bits} of {allocated} bits stored, {syntax.name}"
    ds.BitsStored, ds.PixelRepresentation = bits, int(signed)
    if whole(path, ds, "NumberOfFrames", 1) < 1:
        ds.NumberOfFrames = 1
    precision = 0
    if syntax.is_encapsulated:
        precision = _check_codestream(path, ds, frame, syntax)
    else:
        _check_length(path, ds, allocated)
    values, seen = decoder.as_array(ds, index=frame - 1, correct_unused_bits=False)  # type: ignore[arg-type]
    found = str(seen["photometric_interpretation"])
    if values.ndim == 3 and found != "RGB":
        raise UserError(f"{path}: colours in {found} cannot be read; allowed: RGB, YBR_FULL, YBR_FULL_422")
    if values.ndim == 2 and syntax not in (
        *JPEG2000TransferSyntaxes,
        *JPEGLSTransferSyntaxes,
    ):  # pydicom places these
        values = _aligned(path, ds, values, bits, signed, steps)
    if values.ndim == 2 and bits <= 16:
        bits = _widened(values, bits, signed, precision, steps)
    return values, bits, signed


def whole(path: Path, ds: Any, name: str, default: int | None = None) -> int:
    """A whole number of the header; ``default`` where the element is missing or empty.

    Raises:
        UserError: it is missing and has no default, or is no whole number.
    """
    value = ds.get(name)
    if value is None or value == "":
        if default is None:
            raise UserError(f"{path}: a DICOM header without {name}")
        return default
    try:
        return int(value)
    except (TypeError, ValueError):
        raise UserError(f"{path}: {name} {str(value)[:40]!r}; it must be a whole number") from None


def _syntax(path: Path, ds: Any) -> Any:
    from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    meta = getattr(ds, "file_meta", None)
    given = meta.get("TransferSyntaxUID") if meta is not None else None
    if given:
        return UID(given)
    if bytes(ds.get("PixelData") or b"")[:4] == b"\xfe\xff\x00\xe0":
        raise UserError(f"{path}: its pixels are compressed and nothing says how (no Transfer Syntax UID)")
    implicit, little = ds.original_encoding
    syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    ds.file_meta.TransferSyntaxUID = syntax
    return syntax


def _check_length(path: Path, ds: Any, allocated: int) -> None:
    """Uncompressed pixels must be as many as the header says: else rows and columns are not these."""
    samples = 2 if ds.PhotometricInterpretation == "YBR_FULL_422" else whole(path, ds, "SamplesPerPixel", 1)
    row = int(ds.Columns) * samples * allocated / 8
    expected, given = row * int(ds.Rows) * int(ds.get("NumberOfFrames") or 1), len(ds.PixelData)
    if not expected <= given < expected + max(row, 2):
        raise UserError(f"{path}: {given:,} bytes of pixels; {expected:,.0f} by rows, columns and bits")


def _check_codestream(path: Path, ds: Any, frame: int, syntax: Any) -> int:
    """What a JPEG or JPEG 2000 picture says of itself must be what the header says; its bits, 0 for RLE."""
    from pydicom.encaps import generate_frames
    from pydicom.uid import RLELossless

    if syntax == RLELossless:
        return 0
    frames = int(ds.get("NumberOfFrames") or 1)
    coded = generate_frames(ds.PixelData, number_of_frames=frames)
    stream = next(islice(coded, frame - 1, None), b"")
    found = jpeg_2000_size(stream) if b"\xff\x4f\xff\x51" in stream[:256] else jpeg_size(stream)
    if found is None:
        raise UserError(f"{path}: its compressed pixels do not begin as {syntax.name} does")
    width, height, precision = found
    if (width, height) != (int(ds.Columns), int(ds.Rows)):
        raise UserError(
            f"{path}: its pixels are {width} x {height}, its header says {ds.Columns} x {ds.Rows}"
        )
    return precision


def jpeg_2000_size(stream: bytes) -> tuple[int, int, int] | None:
    """Width, height and bits of a JPEG 2000 codestream, from its SIZ marker (ISO/IEC 15444-1 A.5.1)."""
    at = stream.find(b"\xff\x4f\xff\x51")
    if at < 0 or len(stream) < at + 43:
        return None
    x1, y1, x0, y0 = struct.unpack(">4I", stream[at + 8 : at + 24])
    return x1 - x0, y1 - y0, (stream[at + 42] & 0x7F) + 1


def jpeg_size(stream: bytes) -> tuple[int, int, int] | None:
    """Width, height and bits of a JPEG or JPEG-LS stream, from its frame header (ISO/IEC 10918-1 B.2.2)."""
    at = 2
    while stream[:2] == b"\xff\xd8" and at + 9 <= len(stream):
        marker, length = stream[at + 1], int.from_bytes(stream[at + 2 : at + 4], "big")
        if stream[at] != 0xFF:
            return None
        if marker == 0xFF:  # fill
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) or marker == 0xF7:
            precision, height, width = struct.unpack(">BHH", stream[at + 4 : at + 9])
            return width, height, precision
        else:
            at += 2 + length
    return None


def _aligned(path: Path, ds: Any, values: Values, bits: int, signed: bool, steps: list[str]) -> Values:
    """Values of ``bits`` at the low end of their words; what else is in the words is cut off (PS3.5 8.1.1)."""
    allocated = values.dtype.itemsize * 8
    above = whole(path, ds, "HighBit", bits - 1) + 1 - bits  # unused bits below the value
    words = values.view(f"u{values.dtype.itemsize}")
    if not 0 <= above <= allocated - bits:
        steps.append(f"High Bit {ds.HighBit} cannot be with {bits} bits stored and is taken as {bits - 1}")
        above = 0
    elif above and (words & (2**above - 1)).any():  # bits where there should be none, so the header is wrong
        steps.append(f"High Bit {ds.HighBit} is taken as {bits - 1}: values have bits below it")
        above = 0
    elif above:
        steps.append(f"High Bit {ds.HighBit}: values shifted down by {above} bits")
    spare = allocated - bits - above
    if spare and not signed and words.size and int(words.max()) >> (bits + above):
        steps.append(f"bits above the {bits} stored ones are set (an overlay?) and cut off")
    elif not signed and not above:
        return values
    return (values << spare) >> (allocated - bits) if allocated > bits else values


def _widened(values: Values, bits: int, signed: bool, precision: int, steps: list[str]) -> int:
    """Bits that hold every value: Bits Stored, unless the compressed picture has and uses more."""
    low = -(2 ** (bits - 1)) if signed else 0
    if values.size and (values.min() < low or values.max() > low + 2**bits - 1):
        steps.append(f"the compressed picture has {precision} bits and uses them: taken for Bits Stored")
        return max(
            precision, int(values.max()).bit_length() + signed, int(~values.min()).bit_length() + signed
        )
    if precision and precision != bits:
        steps.append(f"the compressed picture has {precision} bits; its values fit the {bits} of Bits Stored")
    return bits
