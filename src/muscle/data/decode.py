"""From a file to one grey 8-bit picture, bright where the body is dense, with every step said in words.

PNG, JPEG, TIFF and BMP by Pillow; DICOM in ``muscle.data.dicom``, raw films in ``muscle.data.raw_img``.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import ClassVar, Literal

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile
from pydantic import Field

from muscle.data.dicom import decode_dicom, dicom_frames, dicom_size, is_dicom, read_header
from muscle.data.grey import (
    MAX_FRAMES,
    MAX_PIXELS,
    Decoded,
    Pixels,
    Values,
    check_bytes,
    check_regular,
    check_size,
    chosen_frame,
    counted,
    grey_channels,
    looked_up,
    percentiles,
    reason,
    to_bytes,
    to_grey,
)
from muscle.data.harmonize import HarmonizeStep, harmonized
from muscle.data.raw_img import decode_raw_img, is_raw_img, raw_img_size
from muscle.errors import UserError
from muscle.parts import Part

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF")  # Pillow knows others, some of which run programs


class Decode(Part):
    """How files become grey.

    Attributes:
        grey: ``unified``: windowed and with dense tissue bright, so that films of all sources look alike; ``raw``:
            stored levels over their full range, polarity as stored (what a pipeline without unification sees).
        window: which of a DICOM file's windows or VOI tables, from 1; files with fewer show their first.
        frames: ``one``: files of several frames are refused; ``first``: their first one is taken. Where a source makes
            a film of each frame (``frames: each``), each is decoded, whatever this says.
        harmonize: steps taken after that, in order: ``muscle.data.harmonize``.
    """

    kind: ClassVar[str] = ""
    revision: ClassVar[int] = 2

    grey: Literal["unified", "raw"] = "unified"
    window: int = Field(1, ge=1)
    frames: Literal["one", "first"] = "one"
    harmonize: tuple[HarmonizeStep, ...] = ()


def decode(path: Path, settings: Decode, frame: int = 0) -> Decoded:
    """One file as 8-bit grey, or of a file of several frames the one numbered ``frame``, from 1.

    Raises:
        UserError: the file is missing, no regular file, damaged, too large, of no known kind, or without that frame,
            or it has several and ``frame`` is 0; one line.
    """
    unified, first = settings.grey == "unified", settings.frames == "first"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # both libraries remark on headers that they then read well
            if is_dicom(path):
                found = decode_dicom(path, unified, settings.window, first, frame)
            elif is_raw_img(path):
                chosen_frame(path, 1, first, frame, [])
                found = decode_raw_img(path, unified)
            else:
                found = _picture(path, unified, first, frame)
            return harmonized(found, settings.harmonize)
    except (UserError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # codecs raise anything on a damaged file; panics of Rust are no Exception
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
            chosen_frame(path, _frames(image), False, 0, [])
            orientation = _orientation(image)
            values = np.asarray(image.convert("L") if image.mode == "1" else image)
            values = _upright(orientation, values, [])
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
            "the data file (classes, or ignore)"
        )
    mask = np.zeros(values.shape, np.uint8)
    for level, value in levels:
        mask[values == level] = value
    return mask


def frame_count(path: Path) -> int:
    """How many frames a file has, from its header alone.

    Raises:
        UserError: as ``decode``, or more than anybody takes for films.
    """
    try:
        if is_dicom(path):
            frames = dicom_frames(path, read_header(path))
        elif is_raw_img(path):
            return 1
        else:
            with _opened(path) as image:
                frames = _frames(image)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{path}: cannot be read: {reason(error)}") from None
    if frames > MAX_FRAMES:
        raise UserError(f"{path}: {frames:,} frames; allowed: at most {MAX_FRAMES:,}")
    return max(frames, 1)


def image_size(path: Path, frame: int = 0) -> tuple[int, int]:
    """Width and height in pixels, from the header alone; ``frame`` as in ``decode``, 0 the first.

    Raises:
        UserError: as ``decode``.
    """
    try:
        if is_dicom(path):
            return dicom_size(path)
        if is_raw_img(path):
            return raw_img_size(path)
        with _opened(path) as image:
            _seek(path, image, frame or 1)
            size = image.size
            return size[::-1] if _orientation(image) >= 5 else size
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{path}: cannot be read: {reason(error)}") from None


# --- PNG, JPEG, TIFF ------------------------------------------------------------------------------------------

# How a picture lies in its file, by EXIF orientation: (turns by 90 degrees to the left, then mirrored left to right)
_TURNS = {2: (0, True), 3: (2, False), 4: (2, True), 5: (3, True), 6: (3, False), 7: (1, True), 8: (1, False)}


def _opened(path: Path) -> Image.Image:
    check_regular(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            check_bytes(path)
            image = Image.open(path, formats=FORMATS)
        except Image.DecompressionBombError:
            raise UserError(f"{path}: more than {MAX_PIXELS:,} pixels; not a radiograph") from None
        except UnidentifiedImageError:
            raise UserError(
                f"{path}: not a picture of a known kind; allowed: PNG, JPEG, TIFF, BMP, GIF, DICOM"
            ) from None
    if isinstance(image, TiffImageFile):
        image.filename = ""  # else Pillow maps the file into memory, and lying pictures come out scrambled
    try:
        check_size(path, *image.size)
    except UserError:
        image.close()
        raise
    return image


def _picture(path: Path, unified: bool, first: bool, frame: int) -> Decoded:
    with _opened(path) as image:
        steps: list[str] = []
        number = chosen_frame(path, _frames(image), first, frame, steps)
        _seek(path, image, number)
        width, height = image.size
        deep = _stored_as(image)
        steps.insert(0, f"{image.format} of {width} x {height}, mode {deep or image.mode}")
        orientation = _orientation(image)
        # TIFF's PhotometricInterpretation WhiteIsZero; of 8 bits Pillow inverts it, of more it does not
        inverse = (
            isinstance(image, TiffImageFile)
            and image.tag_v2.get(262) == 0
            and (image.mode.startswith("I;16") or image.mode == "F")
        )
        if deep:
            values = _deep_colour(path, number)
        elif image.mode in ("P", "PA", "CMYK", "YCbCr", "HSV", "LAB"):
            steps.append("palette looked up" if image.mode in ("P", "PA") else "converted to RGB")
            alpha = "transparency" in image.info or image.mode == "PA"
            values = np.asarray(image.convert("RGBA" if alpha else "RGB"))
        elif image.mode == "1":
            values = np.asarray(image.convert("L"))
        else:
            keyed = image.mode == "RGB" and "transparency" in image.info  # one colour stands for transparent
            quick = _grey_png(path, image)
            values = np.asarray(image.convert("RGBA") if keyed else image) if quick is None else quick
        values = _upright(orientation, values, steps)
    if values.ndim == 3 and values.shape[2] in (2, 4):
        values = _without_alpha(values, steps)
    if values.ndim == 3:
        values = to_grey(values, steps)
    if values.dtype == np.uint8:
        steps.append("8 bits, taken as they are")
        return Decoded(np.ascontiguousarray(values), tuple(steps), 8)
    bits = 16 if values.dtype == np.uint16 else 32
    low, high = _range(path, values, bits, unified, steps)
    if bits == 16:
        grey = looked_up(to_bytes(np.arange(2**16), low, high), values, 0)
    else:
        grey = to_bytes(values, low, high)
    if unified and inverse:
        grey = 255 - grey
        steps.append("inverted, so that dense is bright: TIFF WhiteIsZero")
    return Decoded(np.ascontiguousarray(grey), tuple(steps), bits)


def _range(path: Path, values: Values, bits: int, unified: bool, steps: list[str]) -> tuple[float, float]:
    """The values that become 0 and 255."""
    if bits == 16:
        counts = counted(values, 0, 2**16 - 1)
        if unified:
            levels = np.flatnonzero(counts)
            return percentiles(levels, counts[levels], bits, steps)
        low, high = 0.0, 65535.0
    else:
        finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values.ravel()
        if not finite.size:
            raise UserError(f"{path}: no pixel is a number")
        if finite.size < values.size:
            steps.append(f"{1 - finite.size / values.size:.1%} of the pixels are no numbers: NaN is black")
        if unified:
            return percentiles(finite, None, bits, steps)
        low, high = float(finite.min()), float(finite.max())
    steps.append(f"raw: {bits}-bit values from {low:g}..{high:g} to 0..255")
    return low, high


def _frames(image: Image.Image) -> int:
    """How many pictures a file holds; what cameras add to theirs (MPO: previews, a second eye) does not count."""
    return 1 if image.format == "MPO" else int(getattr(image, "n_frames", 1))


def _seek(path: Path, image: Image.Image, frame: int) -> None:
    """Turns to a frame, from 1; pages of one TIFF may differ in size."""
    if frame > 1:
        image.seek(frame - 1)
        check_size(path, *image.size)


def _orientation(image: Image.Image) -> int:
    """How the picture lies in its file, from the EXIF in front of its pixels, which are not read; 1: upright.

    TIFF pictures are turned by Pillow itself.
    """
    if isinstance(image, TiffImageFile):
        return 1
    exif = Image.Exif()
    exif.load(image.info.get("exif", b""))
    given = exif.get(0x0112, 1)
    return given if given in _TURNS else 1


def _upright(orientation: int, values: Values, steps: list[str]) -> Values:
    """The picture as viewers show it."""
    if orientation == 1:
        return values
    steps.append(f"turned upright: EXIF orientation {orientation}")
    turns, mirrored = _TURNS[orientation]
    values = np.rot90(values, turns)
    return values[:, ::-1] if mirrored else values


def _stored_as(image: Image.Image) -> str:
    """The raw mode of pictures in colour, or with alpha, of 16 bits a channel, which Pillow cuts to 8; else nothing."""
    mode = _raw_mode(image)
    return mode if ";16" in mode and not image.mode.startswith("I") else ""


def _raw_mode(image: Image.Image) -> str:
    """How the pixels lie in the file, in Pillow's words, such as ``L`` or ``RGB;16B``."""
    tiles = getattr(image, "tile", ())
    tile = tiles[0].args if tiles else ""
    return str(tile[0] if isinstance(tile, tuple) else tile)


def _deep_colour(path: Path, frame: int) -> Values:
    """[H, W, 3 or 4] uint16 in RGB(A), by OpenCV."""
    flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    _, pages = cv2.imdecodemulti(np.fromfile(path, np.uint8), flags, range=(frame - 1, frame))
    found = pages[0] if pages else None
    if found is None or found.ndim != 3 or found.dtype != np.uint16:
        raise UserError(f"{path}: 16 bits a channel that cannot be read; save it as grey, or with 8 bits")
    return np.concatenate([found[..., 2::-1], found[..., 3:]], -1)


def _grey_png(path: Path, image: Image.Image) -> Values | None:
    """The 8-bit grey levels of a PNG by OpenCV, which takes five sixths of Pillow's time; None: let Pillow try."""
    if image.format != "PNG" or _raw_mode(image) != "L" or "transparency" in image.info or _frames(image) > 1:
        return None
    found = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    whole = found is not None and found.dtype == np.uint8 and found.shape == image.size[::-1]
    return found if whole else None


def _without_alpha(values: Values, steps: list[str]) -> Values:
    colour, alpha = values[..., :-1], values[..., -1:]
    full = np.iinfo(values.dtype).max
    if alpha.min() == full:
        steps.append("alpha is opaque everywhere: dropped")
    else:
        steps.append("laid on black by its alpha")
        colour = np.round(colour * (alpha / np.float32(full))).astype(values.dtype)
    return colour if colour.shape[2] == 3 else colour[..., 0]
