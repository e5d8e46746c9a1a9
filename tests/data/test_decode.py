"""Decoding against closed forms: the formulas of DICOM PS3.3 C.11.2.1.2, written out anew, on files made by hand."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom
import pytest
from dicoms import dicom
from PIL import Image, ImageOps
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from muscle.data.decode import Decode, decode, decode_mask, frame_count, image_size
from muscle.data.files import images
from muscle.data.film import Job, film
from muscle.data.grey import MAX_PIXELS
from muscle.errors import UserError

UNIFIED, RAW = Decode(), Decode(grey="raw")


def linear(x: np.ndarray, centre: float, width: float) -> np.ndarray:
    """PS3.3 C.11.2.1.2.1 word for word, to 0..255."""
    y = ((x - (centre - 0.5)) / (width - 1) + 0.5) * 255
    y = np.where(x <= centre - 0.5 - (width - 1) / 2, 0, y)
    return np.where(x > centre - 0.5 + (width - 1) / 2, 255, y)


@pytest.fixture
def ramp() -> np.ndarray:
    return np.arange(4096, dtype=np.uint16).reshape(64, 64)


@pytest.mark.parametrize(("centre", "width"), [(2048, 4096), (1000, 500), (3000.5, 1001.0), (100, 1)])
def test_a_linear_window_is_the_standards_formula(
    tmp_path: Path, ramp: np.ndarray, centre: float, width: float
) -> None:
    path = dicom(tmp_path / "x.dcm", ramp, 12, WindowCenter=centre, WindowWidth=width)
    if width == 1:
        expected = np.where(ramp <= centre - 0.5, 0, 255).astype(float)
    else:
        expected = linear(ramp.astype(float), centre, width)
    found = decode(path, UNIFIED)
    assert np.abs(found.pixels - expected).max() <= 0.51  # half a level is rounding
    assert any(f"centre {centre:g} width {width:g}" in step for step in found.steps)


@pytest.mark.parametrize("fields", [{}, {"WindowCenter": 1500, "WindowWidth": 900}])
def test_monochrome1_is_the_inverted_twin(tmp_path: Path, ramp: np.ndarray, fields: dict[str, Any]) -> None:
    light = decode(dicom(tmp_path / "2.dcm", ramp, 12, "MONOCHROME2", **fields), UNIFIED)
    dark = decode(dicom(tmp_path / "1.dcm", ramp, 12, "MONOCHROME1", **fields), UNIFIED)
    assert np.array_equal(dark.pixels, 255 - light.pixels)
    assert light.pixels[0, 0] == 0
    assert any("inverted" in step for step in dark.steps)
    assert not any("inverted" in step for step in light.steps)


def test_monochrome1_with_inverse_is_inverted_once(tmp_path: Path, ramp: np.ndarray) -> None:
    both = dicom(tmp_path / "a.dcm", ramp, 12, "MONOCHROME1", PresentationLUTShape="INVERSE")
    shape = dicom(tmp_path / "b.dcm", ramp, 12, "MONOCHROME2", PresentationLUTShape="INVERSE")
    assert decode(both, UNIFIED).pixels[0, 0] == 255
    assert decode(shape, UNIFIED).pixels[0, 0] == 255


@pytest.mark.parametrize("bits", [10, 12, 15, 16])
def test_the_range_is_that_of_bits_stored_never_of_the_type(tmp_path: Path, bits: int) -> None:
    top = 2**bits - 1
    values = np.array([[0, top // 4, top // 2, top]], np.uint16)
    path = dicom(tmp_path / "x.dcm", values, bits, WindowCenter=2 ** (bits - 1), WindowWidth=2**bits)
    expected = np.rint(values / top * 255)
    assert np.abs(decode(path, UNIFIED).pixels - expected).max() <= 1
    assert np.array_equal(decode(path, RAW).pixels, expected)
    assert decode(path, RAW).bits == bits


def test_signed_values_and_rescaling_come_before_the_window(tmp_path: Path) -> None:
    values = np.array([[-2048, -24, 0, 2047]], np.int16)
    path = dicom(
        tmp_path / "x.dcm", values, 12, RescaleSlope=2, RescaleIntercept=-100, WindowCenter=0, WindowWidth=401
    )
    expected = linear(values * 2.0 - 100, 0, 401)
    assert np.abs(decode(path, UNIFIED).pixels - expected).max() <= 0.51
    assert decode(path, RAW).pixels.tolist() == [[0, 126, 128, 255]]  # -2048..2047 over 0..255


def test_a_negative_slope_turns_the_picture(tmp_path: Path) -> None:
    values = np.array([[0, 1000, 4095]], np.uint16)
    path = dicom(
        tmp_path / "x.dcm",
        values,
        12,
        RescaleSlope=-1,
        RescaleIntercept=4095,
        WindowCenter=2048,
        WindowWidth=4096,
    )
    assert decode(path, UNIFIED).pixels.tolist() == [[255, 193, 0]]  # (4095 - 1000) / 4095 * 255 = 192.7


def test_a_voi_table_goes_before_a_window_and_only_the_first_counts(tmp_path: Path) -> None:
    first, second = Dataset(), Dataset()
    for item, table in ((first, [0, 10, 200, 1023]), (second, [1023, 1023, 0, 0])):
        item.LUTDescriptor = [4, 0, 10]
        item.add_new(0x00283006, "US", table)
    values = np.array([[0, 1, 2, 3]], np.uint16)
    path = dicom(
        tmp_path / "x.dcm",
        values,
        12,
        VOILUTSequence=Sequence([first, second]),
        WindowCenter=1,
        WindowWidth=2,
    )
    found = decode(path, UNIFIED)
    assert found.pixels.tolist() == [[0, 2, 50, 255]]  # table / 1023 * 255
    assert any("first of 2" in step for step in found.steps)


def test_of_several_windows_the_first_counts(tmp_path: Path, ramp: np.ndarray) -> None:
    path = dicom(tmp_path / "x.dcm", ramp, 12, WindowCenter=[1000, 3000], WindowWidth=[500, 10])
    found = decode(path, UNIFIED)
    assert np.abs(found.pixels - linear(ramp.astype(float), 1000, 500)).max() <= 0.51
    assert any("first of 2" in step for step in found.steps)


@pytest.mark.parametrize(
    "fields", [{}, {"WindowCenter": 100, "WindowWidth": 0}, {"WindowCenter": 60000, "WindowWidth": 10}]
)
def test_without_a_usable_window_percentiles_span_the_grey_scale(
    tmp_path: Path, ramp: np.ndarray, fields: dict[str, Any]
) -> None:
    found = decode(dicom(tmp_path / "x.dcm", ramp, 12, **fields), UNIFIED)
    low, high = np.percentile(ramp, (0.5, 99.5))
    expected = np.clip((ramp - low) / (high - low), 0, 1) * 255
    assert np.abs(found.pixels - expected).max() <= 0.51
    assert any("percentiles 0.5 and 99.5" in step for step in found.steps)
    assert not fields or any("ignored" in step or "cannot be used" in step for step in found.steps)


def test_padding_does_not_count_for_the_percentiles(tmp_path: Path, ramp: np.ndarray) -> None:
    values = ramp // 4 + 100
    values[:32] = 4095
    path = dicom(tmp_path / "x.dcm", values, 12, PixelPaddingValue=4095)
    inner = decode(path, UNIFIED).pixels[32:]
    assert inner.min() == 0
    assert inner.max() == 255


def test_colour_dicom_is_its_luminance_and_grey_in_three_channels_itself(tmp_path: Path) -> None:
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    same = decode(dicom(tmp_path / "a.dcm", np.stack([grey] * 3, -1), 8, "RGB"), UNIFIED)
    assert np.array_equal(same.pixels, grey)
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 200
    found = decode(dicom(tmp_path / "b.dcm", red, 8, "RGB"), UNIFIED)
    assert (found.pixels == 60).all()  # .299 x 200
    assert any("luminance" in step for step in found.steps)


def test_pictures_keep_their_8_bits(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (16, 12), np.uint8)
    colour = np.stack([grey] * 3, -1)
    opaque = np.dstack([colour, np.full_like(grey, 255)])
    for name, image in (
        ("grey.png", Image.fromarray(grey)),
        ("rgb.png", Image.fromarray(colour)),
        ("rgba.png", Image.fromarray(opaque)),
        ("palette.png", Image.fromarray(grey).convert("P")),
        ("grey.tif", Image.fromarray(grey)),
        ("GREY.PNG", Image.fromarray(grey)),
    ):
        image.save(tmp_path / name)
        found = decode(tmp_path / name, UNIFIED)
        assert np.array_equal(found.pixels, grey), name
        assert found.bits == 8
        assert image_size(tmp_path / name) == (12, 16)
    Image.fromarray(grey).save(tmp_path / "x.jpeg", quality=100)
    assert np.abs(decode(tmp_path / "x.jpeg", UNIFIED).pixels.astype(int) - grey).max() <= 3


def chunk(kind: bytes, content: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def interlaced(grey: np.ndarray) -> bytes:
    """A PNG in the seven passes of Adam7, each row unfiltered."""
    passes = (
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    )
    rows = b"".join(b"\0" + row.tobytes() for y, x, dy, dx in passes for row in grey[y::dy, x::dx])
    head = struct.pack(">IIBBBBB", grey.shape[1], grey.shape[0], 8, 0, 0, 0, 1)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(*part) for part in ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    )


def test_grey_pngs_of_every_kind_are_what_pillow_says(tmp_path: Path) -> None:
    """Stated gamma and resolution change no level; EXIF turns; interlaced, of 2 bits, with a transparent level."""
    grey = np.random.default_rng(0).integers(0, 256, (16, 24), np.uint8)
    image, file = Image.fromarray(grey), tmp_path / "x.png"
    image.save(file)
    plain = file.read_bytes()
    more = chunk(b"gAMA", struct.pack(">I", 100_000)) + chunk(b"pHYs", struct.pack(">IIB", 9, 9, 1))
    file.write_bytes(plain[:33] + more + plain[33:])
    assert np.array_equal(decode(file, UNIFIED).pixels, grey)
    file.write_bytes(interlaced(grey))
    assert np.array_equal(decode(file, UNIFIED).pixels, grey)
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(file, exif=exif)
    assert np.array_equal(decode(file, UNIFIED).pixels, np.rot90(grey, 3))
    image.save(file, transparency=7)
    with Image.open(file) as again:
        assert np.array_equal(decode(file, UNIFIED).pixels, np.asarray(again))
    image.convert("P").save(file, bits=2)
    with Image.open(file) as again:
        assert np.abs(decode(file, UNIFIED).pixels - np.asarray(again.convert("L")).astype(int)).max() <= 1


@pytest.mark.parametrize("seed", range(300))
def test_damaged_grey_pngs_are_refused_where_pillow_refuses_them(tmp_path: Path, seed: int) -> None:
    """Bytes changed, cut off, put in, taken out; and what is read all the same has Pillow's levels."""
    rng = np.random.default_rng(seed)
    file = tmp_path / "x.png"
    Image.fromarray(rng.integers(0, 256, (20, 30), np.uint8) // (1 + seed % 90)).save(file)
    raw = bytearray(file.read_bytes())
    at = int(rng.integers(8, len(raw)))
    if seed % 4 == 0:
        raw[at] = int(rng.integers(0, 256))
    elif seed % 4 == 1:
        del raw[at:]
    elif seed % 4 == 2:
        raw[at:at] = rng.bytes(5)
    else:
        del raw[at : at + 3]
    file.write_bytes(raw)
    try:
        with Image.open(file) as image:
            expected = np.asarray(image)
    except Exception:
        with pytest.raises(UserError):
            decode(file, UNIFIED)
    else:
        assert np.array_equal(decode(file, UNIFIED).pixels, expected)


def test_what_is_transparent_is_black(tmp_path: Path) -> None:
    half = np.dstack([np.full((4, 4), 200, np.uint8), np.full((4, 4), 51, np.uint8)])
    Image.fromarray(half, "LA").save(tmp_path / "x.png")
    assert (decode(tmp_path / "x.png", UNIFIED).pixels == 40).all()  # 200 x 51 / 255


def test_16_bit_pictures_unified_and_raw(tmp_path: Path) -> None:
    values = np.linspace(1000, 5000, 4096).astype(np.uint16).reshape(64, 64)
    Image.fromarray(values).save(tmp_path / "x.png")
    low, high = np.percentile(values, (0.5, 99.5))
    expected = np.clip((values - low) / (high - low), 0, 1) * 255
    found = decode(tmp_path / "x.png", UNIFIED)
    assert np.abs(found.pixels - expected).max() <= 0.51
    assert found.bits == 16
    assert np.array_equal(decode(tmp_path / "x.png", RAW).pixels, np.rint(values / 65535 * 255))


def test_a_black_film_stays_black(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(tmp_path / "x.png")
    assert decode(tmp_path / "x.png", UNIFIED).pixels.max() == 0


def test_mask_levels_are_taken_as_stored(tmp_path: Path) -> None:
    levels = np.array([[0, 127, 255], [1, 2, 255]], np.uint8)
    Image.fromarray(levels).save(tmp_path / "m.png")
    assert decode_mask(tmp_path / "m.png", ((255, 1), (127, 255))).tolist() == [[0, 255, 1], [0, 0, 1]]
    palette = Image.fromarray(levels // 127)
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0] + [0] * 759)
    palette.save(tmp_path / "p.png")
    assert decode_mask(tmp_path / "p.png", ((1, 1), (2, 2))).tolist() == [[0, 1, 2], [0, 0, 2]]
    Image.fromarray(levels > 100).save(tmp_path / "b.png")
    assert decode_mask(tmp_path / "b.png", ((255, 1),)).tolist() == [[0, 1, 1], [0, 0, 1]]
    blocks = np.kron(np.array([[0, 255], [255, 0]], np.uint8), np.ones((16, 16), np.uint8))
    Image.fromarray(blocks).save(tmp_path / "j.jpg", quality=60)
    assert np.array_equal(decode_mask(tmp_path / "j.jpg", ((255, 1),)), blocks // 255)


def _truncated(path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:600])


def _frames(path: Path) -> None:
    pages = [Image.fromarray(np.zeros((4, 4), np.uint8))] * 3
    pages[0].save(path, save_all=True, append_images=pages[1:])


BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing.png": (lambda path: None, "No such file"),
    "empty.png": (lambda path: path.write_bytes(b""), "empty"),
    "words.png": (lambda path: path.write_text("hello"), "not a picture of a known kind"),
    "cut.png": (_truncated, "cannot be read"),
    "pages.tif": (_frames, "3 frames"),
    "words.dcm": (lambda path: path.write_text("hello " * 100), "without pixels"),
    "frames.dcm": (
        lambda path: dicom(path, np.zeros((4, 4), np.uint16), 12, NumberOfFrames=2, PixelData=bytes(64)),
        "2 frames",
    ),
    "huge.dcm": (
        lambda path: dicom(path, np.zeros((4, 4), np.uint16), 12, Rows=60000, Columns=60000),
        "pixels; allowed",
    ),
    "short.dcm": (
        lambda path: dicom(path, np.zeros((4, 4), np.uint16), 12, PixelData=bytes(8)),
        "8 bytes of pixels; 32 by rows",
    ),
    "huge.png": (
        lambda path: Image.new("1", (10_000, MAX_PIXELS // 10_000 + 1)).save(path),
        "pixels; allowed",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_read_is_said_in_one_line(tmp_path: Path, name: str) -> None:
    make, reason = BAD[name]
    make(tmp_path / name)
    with pytest.raises(UserError) as error:
        decode(tmp_path / name, UNIFIED)
    assert reason in str(error.value)
    assert name in str(error.value)
    assert "\n" not in str(error.value)


def test_dicom_without_a_suffix_is_known_by_its_mark(tmp_path: Path, ramp: np.ndarray) -> None:
    path = dicom(tmp_path / "IM0001", ramp, 12, WindowCenter=2048, WindowWidth=4096)
    assert decode(path, UNIFIED).pixels[-1, -1] == 255
    assert image_size(path) == (64, 64)
    assert pydicom.dcmread(path).Modality == "DX"


def tiff(path: Path, values: np.ndarray, photometric: int, form: int = 1) -> Path:
    """An uncompressed TIFF by hand (TIFF 6.0, section 4), for Pillow writes no 16-bit WhiteIsZero."""
    height, width = values.shape
    size = values.dtype.itemsize
    tags = [(256, width), (257, height), (258, 8 * size), (259, 1), (262, photometric), (273, 8), (277, 1),
            (278, height), (279, values.size * size), (339, form)]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    head = b"II*\0" + struct.pack("<I", 8 + values.size * size)
    path.write_bytes(head + values.tobytes() + struct.pack("<H", len(tags)) + entries + bytes(4))
    return path


@pytest.mark.parametrize("kind", ["u1", "<u2"])
def test_a_tiff_in_which_white_is_zero_is_the_inverted_twin(tmp_path: Path, kind: str) -> None:
    values = (np.arange(64).reshape(8, 8) * (4 if kind == "u1" else 1000)).astype(kind)
    black, white = (decode(tiff(tmp_path / f"{i}.tif", values, i), UNIFIED) for i in (1, 0))
    assert black.pixels[0, 0] == 0
    assert np.array_equal(white.pixels, 255 - black.pixels)
    raw = [decode(tmp_path / f"{i}.tif", RAW).pixels[0, 0] for i in (1, 0)]
    if kind == "<u2":
        assert raw == [0, 0]  # polarity as stored
        assert any("inverted" in step for step in white.steps)
        assert not any("inverted" in step for step in black.steps)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_mask_of_none_of_the_listed_levels_is_an_error(tmp_path: Path, kind: type[np.generic]) -> None:
    path = tmp_path / "m.png"
    Image.fromarray(np.array([[0, 254], [254, 3]], kind)).save(path)
    with pytest.raises(
        UserError, match=r"m.png: holds levels 3, 254, none of the listed 127, 255; name its levels"
    ):
        decode_mask(path, ((255, 1), (127, 255)))
    assert decode_mask(path, ((254, 1),)).tolist() == [[0, 1], [1, 0]]
    Image.fromarray(np.zeros((2, 2), kind)).save(path)
    assert decode_mask(path, ((255, 1),)).max() == 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFO on this system")
def test_what_is_no_regular_file_is_refused_unopened(tmp_path: Path) -> None:
    for name in ("x.png", "x.dcm", "x"):
        os.mkfifo(tmp_path / name)
        for read in (lambda p: decode(p, UNIFIED), lambda p: decode_mask(p, ((255, 1),)), image_size):
            with pytest.raises(UserError, match="not a regular file"):
                read(tmp_path / name)
    assert images(tmp_path) == ["x.dcm", "x.png"]
    assert (
        film(Job(str(tmp_path), "x.png", (4, 4), UNIFIED, "stretch"))
        == "not a regular file; give files of pixels"
    )
    with pytest.raises(UserError, match="not a regular file"):
        decode(tmp_path, UNIFIED)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_jpegs_are_turned_upright(tmp_path: Path, orientation: int) -> None:
    """Oracle: Pillow's own transposition. Masks and sizes turn along."""
    grey = np.kron(np.arange(6, dtype=np.uint8).reshape(2, 3) * 40, np.ones((8, 8), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(grey).save(tmp_path / "x.jpg", exif=exif, quality=100)
    Image.fromarray(grey).save(tmp_path / "m.png", exif=exif)
    with Image.open(tmp_path / "x.jpg") as image:
        wanted = np.asarray(ImageOps.exif_transpose(image))
    found = decode(tmp_path / "x.jpg", UNIFIED)
    assert np.array_equal(found.pixels, wanted)
    assert image_size(tmp_path / "x.jpg") == wanted.shape[::-1]
    assert any(f"EXIF orientation {orientation}" in step for step in found.steps) == (orientation > 1)
    mask = decode_mask(tmp_path / "m.png", ((200, 1), (160, 2)))
    assert np.array_equal(mask, np.select([wanted > 190, wanted > 150], [1, 2]))


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_tiffs_are_turned_once(tmp_path: Path, orientation: int, compression: str) -> None:
    """Pillow turns them by itself, and scrambles uncompressed ones that it reads from a path."""
    grey = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
    Image.fromarray(grey).save(tmp_path / "x.tif", tiffinfo={274: orientation}, compression=compression)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(grey).save(tmp_path / "x.png", exif=exif)
    found, wanted = (decode(tmp_path / f"x.{suffix}", UNIFIED).pixels for suffix in ("tif", "png"))
    assert np.array_equal(found, wanted)
    assert image_size(tmp_path / "x.tif") == wanted.shape[::-1]


def test_float_pictures_and_what_is_no_number(tmp_path: Path) -> None:
    values = np.linspace(-1, 3, 4096).astype(np.float32).reshape(64, 64)
    values[0, :4], values[-1, -1] = np.nan, np.inf
    Image.fromarray(values).save(tmp_path / "x.tif")
    found = decode(tmp_path / "x.tif", UNIFIED)
    low, high = np.percentile(values[np.isfinite(values)], (0.5, 99.5))
    expected = np.clip((np.nan_to_num(values, nan=-9, posinf=9) - low) / (high - low), 0, 1) * 255
    assert np.abs(found.pixels - expected).max() <= 0.51
    assert any("no numbers" in step for step in found.steps)
    assert decode(tmp_path / "x.tif", RAW).pixels[0, 0] == 0
    Image.fromarray(np.full((4, 4), np.nan, np.float32)).save(tmp_path / "y.tif")
    with pytest.raises(UserError, match=r"y.tif: no pixel is a number"):
        decode(tmp_path / "y.tif", UNIFIED)


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("channels", [3, 4])
def test_colours_of_16_bits_keep_them(tmp_path: Path, suffix: str, channels: int) -> None:
    """12 bits in words of 16 would be 16 levels, nearly black, in Pillow's 8 bits."""
    grey = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    values = np.stack([grey] * 3 + [np.full_like(grey, 65535)] * (channels - 3), -1)
    assert cv2.imwrite(str(tmp_path / f"x.{suffix}"), values)
    found = decode(tmp_path / f"x.{suffix}", UNIFIED)
    low, high = np.percentile(grey, (0.5, 99.5))
    assert found.bits == 16
    assert np.abs(found.pixels - np.clip((grey - low) / (high - low), 0, 1) * 255).max() <= 0.51
    red = np.zeros((4, 4, 3), np.uint16)
    red[..., 2] = 60000  # OpenCV writes blue first
    assert cv2.imwrite(str(tmp_path / f"y.{suffix}"), red)
    assert (decode(tmp_path / f"y.{suffix}", RAW).pixels == 70).all()  # .299 x 60000 / 257


def test_the_first_of_several_pictures_where_asked_for(tmp_path: Path) -> None:
    pages = [Image.fromarray(np.full((4, 4), level, np.uint8)) for level in (9, 99)]
    pages[0].save(tmp_path / "x.tif", save_all=True, append_images=pages[1:])
    found = decode(tmp_path / "x.tif", Decode(frames="first"))
    assert (found.pixels == 9).all() and "the first of 2 frames" in found.steps
    pages[0].save(tmp_path / "x.jpg", "MPO", save_all=True, append_images=pages[1:])  # as telephones save
    assert (decode(tmp_path / "x.jpg", UNIFIED).pixels == 9).all()


def test_each_of_several_pictures_is_decoded_as_if_alone(tmp_path: Path) -> None:
    """Oracle: every page, taken out by Pillow and OpenCV, as a file of its own. Pages differ in size and depth."""
    rng = np.random.default_rng(0)
    deep = rng.integers(0, 65536, (7, 5), np.uint16)
    pages = [Image.fromarray(rng.integers(0, 256, (4, 6), np.uint8)), Image.fromarray(deep),
             Image.fromarray(rng.integers(0, 256, (9, 3), np.uint8))]  # fmt: skip
    pages[0].save(tmp_path / "x.tif", save_all=True, append_images=pages[1:])
    colour = [rng.integers(0, 65536, (5, 4, 3), np.uint16) for _ in range(2)]
    assert cv2.imwritemulti(str(tmp_path / "y.tif"), colour)
    alone = {"x.tif": [], "y.tif": []}
    with Image.open(tmp_path / "x.tif") as image:
        for i in range(3):
            image.seek(i)
            image.save(tmp_path / f"x{i}.png")
            alone["x.tif"].append(tmp_path / f"x{i}.png")
    for i, page in enumerate(colour):
        cv2.imwrite(str(tmp_path / f"y{i}.png"), page)
        alone["y.tif"].append(tmp_path / f"y{i}.png")
    for name, files in alone.items():
        path = tmp_path / name
        assert frame_count(path) == len(files)
        for number, file in enumerate(files, 1):
            for settings in (UNIFIED, RAW):
                found, wanted = decode(path, settings, number), decode(file, settings)
                assert np.array_equal(found.pixels, wanted.pixels) and found.bits == wanted.bits
            assert image_size(path, number) == image_size(file) == found.pixels.shape[::-1]
            assert any(step == f"frame {number} of {len(files)}" for step in found.steps)
        with pytest.raises(UserError, match=f"frame {number + 1} was asked for, and it has {number}$"):
            decode(path, UNIFIED, number + 1)
    assert frame_count(tmp_path / "x0.png") == 1
    with pytest.raises(UserError, match="frame 2 was asked for, and it has 1$"):
        decode(tmp_path / "x0.png", UNIFIED, 2)


def test_formats_that_run_programs_are_not_opened(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "x.eps")
    (tmp_path / "x.eps").rename(tmp_path / "x.png")
    with pytest.raises(UserError, match="not a picture of a known kind"):
        decode(tmp_path / "x.png", UNIFIED)


def test_white_is_zero_of_floats(tmp_path: Path) -> None:
    path = tiff(tmp_path / "x.tif", np.arange(64, dtype="<f4").reshape(8, 8), 0, 3)
    assert decode(path, UNIFIED).pixels[0, 0] == 255
    assert decode(path, RAW).pixels[0, 0] == 0
