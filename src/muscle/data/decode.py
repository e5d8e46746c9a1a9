"""From a file to one grey 8-bit picture, bright where the body is dense, with every step said in words.

PNG, JPEG, TIFF and BMP by Pillow; DICOM in ``muscle.data.dicom``, raw films in ``muscle.data.raw_img``.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from muscle.data.dicom import decode_dicom, is_dicom, read_header
from muscle.data.grey import (
    MAX_PIXELS,
    Decoded,
    Pixels,
    Values,
    check_one_frame,
    check_regular,
    check_size,
    grey_channels,
    percentiles,
    reason,
    to_bytes,
    to_grey,
)
from muscle.data.harmonize import HarmonizeStep, harmonized
from muscle.data.raw_img import decode_raw_img, is_raw_img, raw_img_size
from muscle.errors import UserError
from muscle.parts import Part


class Decode(Part):
    """How files become grey.

    Attributes:
        grey: ``unified``: windowed and with dense tissue bright, so that films of all sources look alike; ``raw``:
            stored levels over their full range, polarity as stored (what a pipeline without unification sees).
        harmonize: steps taken after that, in order: ``muscle.data.harmonize``.
    """

    kind: ClassVar[str] = ""

    grey: Literal["unified", "raw"] = "unified"
    harmonize: tuple[HarmonizeStep, ...] = ()


def decode(path: Path, settings: Decode) -> Decoded:
    """One file as 8-bit grey.

    Raises:
        UserError: the file is missing, no regular file, damaged, too large, has several frames, or is of no known
            kind; one line.
    """
    unified = settings.grey == "unified"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # both libraries remark on headers that they then read well
            if is_dicom(path):
                found = decode_dicom(path, unified)
            else:
                found = decode_raw_img(path, unified) if is_raw_img(path) else _picture(path, unified)
            return harmonized(found, settings.harmonize)
    except UserError:
        raise
    except Exception as error:  # decoders raise whatever a damaged file makes them trip over
        raise UserError(f"{path}: cannot be read: {reason(error)}") from None


def decode_mask(path: Path, levels: tuple[tuple[int, int], ...]) -> Pixels:
    """A mask picture as mask values [H, W] uint8: pairs of (grey level in the file, value); other levels are 0.

    Levels are as stored: palette pictures give their indices, black-and-white ones 0 and 255. In a JPEG, whose
    levels are blurred, each pixel takes the nearest of 0 and the listed levels.

    Raises:
        UserError: unreadable, too large, in colours, or with levels above 0 of which none is listed.
    """
    try:
        with _opened(path) as image:
            check_one_frame(path, getattr(image, "n_frames", 1))
            values = np.asarray(image.convert("L") if image.mode == "1" else image)
            lossy = image.format == "JPEG"
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{path}: cannot be read as a mask: {reason(error)}") from None
    if values.ndim == 3:
        if not grey_channels(values):
            raise UserError(f"{path}: the mask is in colours; allowed: grey levels or a palette")
        values = values[..., 0]
    if lossy:
        known = np.array(sorted({0, *(level for level, _ in levels)}))
        values = known[np.abs(values[..., None].astype(int) - known).argmin(-1)]
    listed = sorted({level for level, _ in levels})
    if values.any() and not np.isin(values, listed).any():  # not an empty mask: one of other levels
        found = np.unique(values[values != 0])
        shown = ", ".join(f"{level:g}" for level in found[:5]) + (", ..." if len(found) > 5 else "")
        raise UserError(
            f"{path}: holds levels {shown}, none of the listed {', '.join(map(str, listed))}; name its levels in "
            "the data file"
        )
    mask = np.zeros(values.shape, np.uint8)
    for level, value in levels:
        mask[values == level] = value
    return mask


def image_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels, from the header alone.

    Raises:
        UserError: as ``decode``.
    """
    try:
        if is_dicom(path):
            header = read_header(path)
            return int(header.Columns), int(header.Rows)
        if is_raw_img(path):
            return raw_img_size(path)
        with _opened(path) as image:
            return image.size
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{path}: cannot be read: {reason(error)}") from None


# --- PNG, JPEG, TIFF ------------------------------------------------------------------------------------------


def _opened(path: Path) -> Image.Image:
    check_regular(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            image = Image.open(path)
        except Image.DecompressionBombError:
            raise UserError(f"{path}: more than {MAX_PIXELS:,} pixels; not a radiograph") from None
        except UnidentifiedImageError:
            raise UserError(
                f"{path}: not a picture of a known kind; allowed: PNG, JPEG, TIFF, BMP, DICOM"
            ) from None
    try:
        check_size(path, *image.size)
    except UserError:
        image.close()
        raise
    return image


def _picture(path: Path, unified: bool) -> Decoded:
    with _opened(path) as image:
        check_one_frame(path, getattr(image, "n_frames", 1))
        width, height = image.size
        steps = [f"{image.format} of {width} x {height}, mode {image.mode}"]
        # TIFF's PhotometricInterpretation WhiteIsZero; of 8 bits Pillow inverts it, of 16 it does not
        inverse = (
            isinstance(image, TiffImageFile) and image.tag_v2.get(262) == 0 and image.mode.startswith("I;16")
        )
        if image.mode in ("P", "PA", "CMYK", "YCbCr", "HSV", "LAB"):
            steps.append("palette looked up" if image.mode in ("P", "PA") else "converted to RGB")
            alpha = "transparency" in image.info or image.mode == "PA"
            values = np.asarray(image.convert("RGBA" if alpha else "RGB"))
        elif image.mode == "1":
            values = np.asarray(image.convert("L"))
        else:
            keyed = image.mode == "RGB" and "transparency" in image.info  # one colour stands for transparent
            values = np.asarray(image.convert("RGBA") if keyed else image)
    if values.ndim == 3 and values.shape[2] in (2, 4):
        values = _without_alpha(values, steps)
    if values.ndim == 3:
        values = to_grey(values, steps)
    if values.dtype == np.uint8:
        steps.append("8 bits, taken as they are")
        return Decoded(np.ascontiguousarray(values), tuple(steps), 8)
    bits = 16 if image.mode.startswith("I;16") else 32
    full = (0.0, 65535.0) if bits == 16 else (float(values.min()), float(values.max()))
    low, high = percentiles(values, bits, steps) if unified else full
    if not unified:
        steps.append(f"raw: {bits}-bit values from {low:g}..{high:g} to 0..255")
    grey = to_bytes(values, low, high)
    if unified and inverse:
        grey = 255 - grey
        steps.append("inverted, so that dense is bright: TIFF WhiteIsZero")
    return Decoded(grey, tuple(steps), bits)


def _without_alpha(values: Values, steps: list[str]) -> Values:
    colour, alpha = values[..., :-1], values[..., -1:]
    if alpha.min() == 255:
        steps.append("alpha is opaque everywhere: dropped")
    else:
        steps.append("laid on black by its alpha")
        colour = np.round(colour * (alpha / 255.0)).astype(values.dtype)
    return colour if colour.shape[2] == 3 else colour[..., 0]
