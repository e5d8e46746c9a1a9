"""Deflated DICOM: inflated within bounds, where pydicom inflates a file whole, to whatever size."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from muscle.data.grey import MAX_PIXELS
from muscle.errors import UserError

MAX_INFLATED = 2 * MAX_PIXELS  # bytes: the largest film of 16 bits; decoding takes three times as much
MAX_HEADER = 2**24  # bytes that are inflated for a header
_PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)  # Float, Double Float, Pixel Data


def read_deflated(path: Path, pixels: bool, tags: Sequence[str] = ()) -> Any:
    """The data set of a deflated file, or None of any other.

    Args:
        path: the file.
        pixels: with its pixels; without them no more than ``MAX_HEADER`` is inflated.
        tags: keywords of the elements to read; by default all.

    Raises:
        UserError: it inflates to more than a film, ``MAX_INFLATED``.
    """
    from pydicom.filereader import read_dataset
    from pydicom.tag import Tag

    with path.open("rb") as file:
        if (meta := _meta(file)) is None:
            return None
        packed, inflater = file.read(), zlib.decompressobj(-zlib.MAX_WBITS)
    content = inflater.decompress(packed, MAX_INFLATED + 1 if pixels else MAX_HEADER)
    if pixels and len(content) > MAX_INFLATED:
        raise UserError(f"{path}: inflates to more than {MAX_INFLATED / 1e6:.0f} MB; not a radiograph")
    stop = None if pixels else lambda tag, vr, length: tag in _PIXELS
    wanted: list[Any] | None = [Tag(tag) for tag in tags] or None
    ds = read_dataset(BytesIO(content), False, True, stop_when=stop, specific_tags=wanted)
    ds.set_original_encoding(False, True)
    ds.file_meta = meta
    return ds


def _meta(file: BinaryIO) -> Any:
    """The meta information of a deflated file, which is left at what is deflated; None of any other."""
    from pydicom.filereader import _read_file_meta_info, read_preamble
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    if DeflatedExplicitVRLittleEndian.encode() not in file.read(4096):
        return None
    file.seek(0)
    read_preamble(file, force=True)
    meta = _read_file_meta_info(file)
    return meta if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian else None
