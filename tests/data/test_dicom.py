"""What DICOM files say too little of, or wrongly: each quirk made by hand, with the picture it must give."""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicoms import dataset, dicom, table, wrapped, written
from PIL import Image
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from scipy.stats import spearmanr

from muscle.data.decode import Decode, decode, frame_count, image_size
from muscle.errors import UserError

UNIFIED, RAW = Decode(), Decode(grey="raw")


@pytest.fixture
def ramp() -> np.ndarray:
    return np.arange(4096, dtype=np.uint16).reshape(64, 64)


def whole(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """0..255 between two values."""
    return np.clip((values.astype(float) - low) / (high - low), 0, 1) * 255


def near(found: Any, wanted: np.ndarray, by: float = 0.51) -> None:
    assert np.abs(found.pixels.astype(float) - wanted).max() <= by, found.steps


def refused(path: Path, settings: Decode = UNIFIED) -> str:
    with pytest.raises(UserError) as error:
        decode(path, settings)
    text = str(error.value)
    assert text.startswith(f"{path}: ") and "\n" not in text
    return text


# --- several windows, frames ----------------------------------------------------------------------------------


def test_another_window_can_be_chosen(tmp_path: Path, ramp: np.ndarray) -> None:
    path = dicom(tmp_path / "x", ramp, 12, WindowCenter=[1000.5, 3000.5], WindowWidth=[501, 101])
    near(decode(path, UNIFIED), whole(ramp, 750, 1250))
    second = decode(path, Decode(window=2))
    near(second, whole(ramp, 2950, 3050))
    assert any("number 2 of 2" in step for step in second.steps)
    none = decode(path, Decode(window=3))
    near(none, whole(ramp, 750, 1250))
    assert any("window 3 was asked for and there is only 2" in step for step in none.steps)


def test_another_table_can_be_chosen(tmp_path: Path) -> None:
    values = np.array([[0, 1, 2, 3]], np.uint16)
    tables = [table(0, [0, 10, 200, 1023], 10), table(0, [1023, 300, 100, 0], 10)]
    path = dicom(tmp_path / "x", values, 12, VOILUTSequence=tables, WindowCenter=1, WindowWidth=2)
    near(decode(path, Decode(window=2)), np.array([[1023, 300, 100, 0]]) / 1023 * 255)


def test_the_first_frame_is_taken_only_where_asked_for(tmp_path: Path, ramp: np.ndarray) -> None:
    frames = np.stack([ramp, ramp[::-1]])
    path = dicom(
        tmp_path / "x",
        ramp,
        12,
        NumberOfFrames=2,
        PixelData=frames.tobytes(),
        WindowCenter=2048,
        WindowWidth=4096,
    )
    assert "2 frames" in refused(path)
    found = decode(path, Decode(frames="first"))
    near(found, whole(ramp, 0, 4095))
    assert "the first of 2 frames" in found.steps


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEG2000Lossless, JPEGLSLossless])
def test_each_frame_is_the_one_that_pydicom_reads(tmp_path: Path, syntax: str) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 64, 40), np.uint8)
    ds = dataset(frames[0], 8)
    ds.NumberOfFrames, ds.PixelData = 3, frames.tobytes()
    if syntax != ExplicitVRLittleEndian:
        ds.compress(syntax, generate_instance_uid=False)
    path = written(tmp_path / "x.dcm", ds)
    read = pydicom.dcmread(path).pixel_array
    assert frame_count(path) == 3 and np.array_equal(read, frames)
    for number in (1, 2, 3):
        found = decode(path, UNIFIED, number)
        assert np.array_equal(found.pixels, read[number - 1]) and f"frame {number} of 3" in found.steps
    with pytest.raises(UserError, match="frame 4 was asked for, and it has 3$"):
        decode(path, UNIFIED, 4)


def test_more_frames_than_anybody_takes_for_films_are_not_counted(tmp_path: Path, ramp: np.ndarray) -> None:
    path = dicom(tmp_path / "x.dcm", ramp, 12, NumberOfFrames=2_000_000_000)
    with pytest.raises(UserError, match="2,000,000,000 frames; allowed: at most 1,000"):
        frame_count(path)


# --- padding --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("photometric", "value", "limit"), [("MONOCHROME1", 0, None), ("MONOCHROME2", 4000, 4095)]
)
def test_padding_at_the_rim_is_black_and_saturation_inside_stays(
    tmp_path: Path, photometric: str, value: int, limit: int | None
) -> None:
    values = np.linspace(1000, 2000, 4096).reshape(64, 64).astype(np.uint16)
    values[:, :8], values[40:44, 40:44] = value, value
    fields = {"PixelPaddingValue": value} | ({"PixelPaddingRangeLimit": limit} if limit else {})
    found = decode(dicom(tmp_path / "x", values, 12, photometric, **fields), UNIFIED)
    assert (found.pixels[:, :8] == 0).all()
    assert (found.pixels[40:44, 40:44] == 255).all()
    assert any("12.5% of the pixels are padding" in step for step in found.steps)
    inner = np.delete(values.ravel(), np.flatnonzero((values == value).ravel()))
    low, high = np.percentile(inner, (0.5, 99.5))
    assert any(f"{low:g}..{high:g}" in step for step in found.steps)  # padding counts for nothing


def test_a_padding_value_that_was_read_with_the_wrong_sign(tmp_path: Path) -> None:
    """Implicit VR does not say whether -2000 is 63536."""
    values = np.linspace(-1000, 1000, 4096).reshape(64, 64).astype(np.int16)
    values[:, :8] = -2000
    ds = dataset(values, 16)
    ds.add_new(0x00280120, "US", 63536)
    found = decode(written(tmp_path / "x", ds), UNIFIED)
    assert any("padding" in step for step in found.steps)
    assert found.pixels[0, 8] == 0 and found.pixels[32, 8] > 100


# --- where the bits are ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("signed", [False, True])
def test_values_at_the_high_end_of_their_words(tmp_path: Path, signed: bool) -> None:
    values = np.arange(-2048 if signed else 0, 2048 if signed else 4096, dtype=np.int32).reshape(64, 64)
    words = (values * 16).astype(np.int16 if signed else np.uint16)
    found = decode(dicom(tmp_path / "x", words, 12, HighBit=15), RAW)
    near(found, whole(values, values.min(), values.max()))
    assert any("shifted down by 4" in step for step in found.steps)


def test_a_high_bit_that_the_values_contradict(tmp_path: Path, ramp: np.ndarray) -> None:
    found = decode(dicom(tmp_path / "x", ramp, 12, HighBit=15), RAW)
    near(found, whole(ramp, 0, 4095))
    assert any("have bits below it" in step for step in found.steps)
    found = decode(dicom(tmp_path / "x", ramp, 12, HighBit=4), RAW)
    near(found, whole(ramp, 0, 4095))
    assert any("High Bit 4 cannot be" in step for step in found.steps)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("syntax", ["", RLELossless])
def test_overlays_in_unused_bits_are_cut_off(tmp_path: Path, signed: bool, syntax: str) -> None:
    values = np.arange(-2048 if signed else 0, 2048 if signed else 4096, dtype=np.int32).reshape(64, 64)
    words = ((values & 0xFFF) | 0x3000 * (np.arange(64) % 2)).astype(np.uint16)
    ds = dataset(words.view(np.int16) if signed else words, 12)
    if syntax:
        ds.compress(syntax, generate_instance_uid=False)
    found = decode(written(tmp_path / "x", ds), RAW)
    near(found, whole(values, values.min(), values.max()))
    assert signed or any("cut off" in step for step in found.steps)


@pytest.mark.parametrize(("top", "bits"), [(4095, 12), (60000, 16)])
def test_bits_stored_against_the_jpeg_2000_header(tmp_path: Path, top: int, bits: int) -> None:
    """The codestream says 16 bits, the header 12: what the values need decides."""
    values = np.linspace(0, top, 4096).reshape(64, 64).astype(np.uint16)
    ds = dataset(values, 16)
    ds.compress(JPEG2000Lossless, generate_instance_uid=False)
    found = decode(written(tmp_path / "x", ds, BitsStored=12, HighBit=11), RAW)
    assert found.bits == bits
    near(found, whole(values, 0, 2**bits - 1))
    assert any("compressed picture has 16 bits" in step for step in found.steps)


def test_bits_stored_that_are_missing_are_those_allocated(tmp_path: Path, ramp: np.ndarray) -> None:
    near(decode(dicom(tmp_path / "x", ramp, 12, BitsStored=None, HighBit=None), RAW), whole(ramp, 0, 65535))


@pytest.mark.parametrize("kind", [np.uint32, np.int32])
def test_whole_numbers_of_32_bits(tmp_path: Path, kind: type[np.generic]) -> None:
    values = (np.arange(4096).reshape(64, 64) * 100_000).astype(kind)
    near(
        decode(dicom(tmp_path / "x", values, 32), UNIFIED), whole(values, *np.percentile(values, (0.5, 99.5)))
    )
    found = decode(dicom(tmp_path / "x", values, 32, WindowCenter=1e8, WindowWidth=2e8), UNIFIED)
    near(found, whole(values, 0, 2e8), 0.6)


def test_floats_and_what_is_no_number(tmp_path: Path) -> None:
    values = np.linspace(-5, 5, 4096).astype(np.float32).reshape(64, 64)
    values[0, :3] = np.nan, np.inf, -np.inf
    good = values[np.isfinite(values)]
    ds = dataset(values, 32)
    del ds.PixelData, ds.BitsStored, ds.HighBit, ds.PixelRepresentation
    ds.FloatPixelData = values.tobytes()
    found = decode(written(tmp_path / "x", ds), UNIFIED)
    near(found, whole(np.nan_to_num(values, nan=-9, posinf=-9, neginf=-9), *np.percentile(good, (0.5, 99.5))))
    assert any("0.1% of the pixels are no numbers" in step for step in found.steps)
    ds.FloatPixelData = np.full_like(values, np.nan).tobytes()
    assert "no pixel is a number" in refused(written(tmp_path / "y", ds))


# --- tables ---------------------------------------------------------------------------------------------------


def test_entries_of_8_bits_may_be_more_than_256(tmp_path: Path, ramp: np.ndarray) -> None:
    """pydicom's own function keeps the index in as many bits as the entry, and wraps."""
    entries = [int(v) for v in np.linspace(0, 255, 1024)]
    path = dicom(tmp_path / "x", ramp // 4, 10, VOILUTSequence=[table(0, entries, 8)])
    near(decode(path, UNIFIED), np.array(entries)[ramp // 4])


def test_two_entries_packed_in_a_word(tmp_path: Path) -> None:
    values = np.arange(256, dtype=np.uint16).reshape(16, 16)
    curve = np.sqrt(np.arange(256) / 255) * 255 // 1
    item = table(0, [0], 8)
    item.LUTDescriptor = [256, 0, 8]
    item.add_new(0x00283006, "OW", curve.astype(np.uint8).tobytes())
    near(decode(dicom(tmp_path / "x", values, 12, VOILUTSequence=[item]), UNIFIED), curve[values])


def test_a_table_of_65536_signed_entries(tmp_path: Path) -> None:
    """The number of entries is written as 0; NumPy cannot clip int16 to 65535."""
    values = np.linspace(-32768, 32767, 4096).astype(np.int16).reshape(64, 64)
    item = table(-32768, [int(v) for v in np.arange(65536)], 16, signed=True)
    for name in ("ModalityLUTSequence", "VOILUTSequence"):
        path = dicom(tmp_path / "x", values, 16, **{name: [item]})
        wanted = whole(values, -32768, 32767) if name[0] == "V" else None
        if wanted is not None:
            near(decode(path, UNIFIED), wanted)
        else:
            near(decode(path, UNIFIED), whole(values, *np.percentile(values.astype(int), (0.5, 99.5))))


def test_a_first_value_that_was_read_without_its_sign(tmp_path: Path, ramp: np.ndarray) -> None:
    """Unsigned pixels, negative after rescaling: implicit VR makes 64512 of -1024."""
    entries = [int(v) for v in np.linspace(0, 1023, 2048)]
    ds = dataset(ramp, 12)
    ds.RescaleSlope, ds.RescaleIntercept, ds.VOILUTSequence = 1, -1024, [table(64512, entries, 10)]
    found = decode(written(tmp_path / "x", ds), UNIFIED)
    near(found, np.array(entries)[np.clip(ramp, 0, 2047)] / 1023 * 255)


def test_a_descriptor_that_is_too_deep_or_too_long(tmp_path: Path, ramp: np.ndarray) -> None:
    entries = [int(v) for v in np.linspace(0, 4095, 4096)]
    found = decode(dicom(tmp_path / "x", ramp, 12, VOILUTSequence=[table(0, entries, 16)]), UNIFIED)
    near(found, whole(ramp, 0, 4095))
    assert any("12 bits (its descriptor says 16)" in step for step in found.steps)
    item = table(0, entries[:10], 12)
    item.LUTDescriptor = [4096, 0, 12]
    found = decode(dicom(tmp_path / "x", ramp, 12, VOILUTSequence=[item]), UNIFIED)
    near(found, whole(ramp, *np.percentile(ramp, (0.5, 99.5))))
    assert any("descriptor says 4096 entries and 10 are there" in step for step in found.steps)


@pytest.mark.parametrize("function", [None, "", "linear ", "CUBIC"])
def test_functions_that_are_empty_or_unknown(tmp_path: Path, ramp: np.ndarray, function: str | None) -> None:
    fields = {} if function is None else {"VOILUTFunction": function}
    found = decode(dicom(tmp_path / "x", ramp, 12, WindowCenter=1000.5, WindowWidth=501, **fields), UNIFIED)
    if function == "CUBIC":
        assert any("function CUBIC; known: LINEAR" in step for step in found.steps)
    else:
        near(found, whole(ramp, 750, 1250))


def test_slopes_that_turn_or_flatten(tmp_path: Path) -> None:
    """Without a window too the slope turns the picture."""
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    near(decode(dicom(tmp_path / "x", values, 8, RescaleSlope=-1, RescaleIntercept=9), UNIFIED), 255 - values)
    found = decode(dicom(tmp_path / "x", values, 8, RescaleSlope=0, RescaleIntercept=9), UNIFIED)
    near(found, values)
    assert any("slope 0" in step for step in found.steps)


# --- colours --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("bits", "entries"), [(8, 256), (16, 256), (8, 1024), (16, 1024)])
def test_palettes(tmp_path: Path, bits: int, entries: int) -> None:
    """Indices may be more than an entry can hold."""
    values = np.arange(entries, dtype=np.uint16).reshape(16, -1)
    grey = np.linspace(0, 2**bits - 1, entries).astype(f"<u{bits // 8}")
    ds = dataset(values, 16, "PALETTE COLOR")
    for name in ("Red", "Green", "Blue"):
        setattr(ds, f"{name}PaletteColorLookupTableDescriptor", [entries, 0, bits])
        setattr(ds, f"{name}PaletteColorLookupTableData", grey.tobytes())
    found = decode(written(tmp_path / "x", ds), UNIFIED)
    near(found, grey.astype(float)[values] / (2**bits - 1) * 255)
    assert "palette looked up" in found.steps


def test_colours_in_ybr(tmp_path: Path) -> None:
    """Its first channel is the luminance (C.7.6.3.1.2)."""
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    values = np.stack([grey // 2 + 64, np.full_like(grey, 140), np.full_like(grey, 120)], -1)
    near(decode(dicom(tmp_path / "x", values, 8, "YBR_FULL"), UNIFIED), grey // 2 + 64, 1.5)
    assert "colours in YBR_PARTIAL_422 cannot be read" in refused(
        dicom(tmp_path / "y", values, 8, "YBR_PARTIAL_422")
    )


@pytest.mark.parametrize("mode", ["L", "YCbCr"])
def test_baseline_jpeg(tmp_path: Path, mode: str) -> None:
    grey = np.add.outer(np.arange(32), np.arange(48)).astype(np.uint8) * 3
    picture, stream = Image.fromarray(grey).convert("RGB").convert(mode), io.BytesIO()
    picture.save(stream, "JPEG", quality=98)
    values = np.asarray(picture)
    ds = wrapped(
        dataset(values, 8, "MONOCHROME2" if mode == "L" else "YBR_FULL_422"),
        stream.getvalue(),
        JPEGBaseline8Bit,
    )
    near(decode(written(tmp_path / "x", ds), UNIFIED), grey, 4)


# --- what is refused ------------------------------------------------------------------------------------------


def test_a_compressed_picture_of_another_shape_is_refused(tmp_path: Path) -> None:
    values = np.arange(64 * 32, dtype=np.uint16).reshape(64, 32)
    ds = dataset(values, 12)
    ds.compress(JPEG2000Lossless, generate_instance_uid=False)
    assert "its pixels are 32 x 64, its header says 64 x 32" in refused(
        written(tmp_path / "x", ds, Rows=32, Columns=64)
    )
    stream = io.BytesIO()
    Image.fromarray(values.astype(np.uint8)).save(stream, "JPEG")
    ds = wrapped(dataset(values.astype(np.uint8).T, 8), stream.getvalue(), JPEGBaseline8Bit)
    assert "its pixels are 32 x 64" in refused(written(tmp_path / "x", ds))
    ds = wrapped(dataset(values.astype(np.uint8), 8), b"no JPEG at all", JPEGBaseline8Bit)
    assert "do not begin as JPEG Baseline" in refused(written(tmp_path / "x", ds))


HEADERS: dict[str, tuple[dict[str, Any], str]] = {
    "fewer rows than pixels": ({"Rows": 40}, "8,192 bytes of pixels; 5,120 by rows"),
    "more rows than pixels": ({"Rows": 80}, "8,192 bytes of pixels; 10,240 by rows"),
    "no rows": ({"Rows": None}, "without pixels"),
    "empty columns": ({"Columns": ""}, "without Columns"),
    "no polarity": ({"PhotometricInterpretation": None}, "whether dense is bright"),
    "three samples": ({"SamplesPerPixel": 3}, "3 samples per pixel contradict MONOCHROME2"),
    "one sample": ({"PhotometricInterpretation": "RGB"}, "1 samples per pixel contradict RGB"),
    "too many bits": ({"BitsStored": 17}, "17 of 16 bits stored"),
    "odd bits": ({"BitsAllocated": 13, "BitsStored": 12}, "bytes of pixels"),
    "no pixels": ({"PixelData": None}, "cut off before them"),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADERS)
def test_headers_that_contradict_the_pixels(tmp_path: Path, ramp: np.ndarray, name: str) -> None:
    fields, said = HEADERS[name]
    assert said in refused(dicom(tmp_path / "x", ramp, 12, **fields))


def test_padding_behind_the_pixels_is_allowed(tmp_path: Path, ramp: np.ndarray) -> None:
    path = dicom(tmp_path / "x", ramp, 12, PixelData=ramp.tobytes() + bytes(100))
    near(decode(path, RAW), whole(ramp, 0, 4095))


def test_transfer_syntaxes_without_a_decoder_are_named(
    tmp_path: Path, ramp: np.ndarray, monkeypatch: Any
) -> None:
    ds = wrapped(dataset(ramp, 12), bytes(100), "1.2.840.10008.1.2.4.100")
    assert "no decoder for its transfer syntax MPEG2" in refused(written(tmp_path / "x", ds))
    ds = wrapped(dataset(ramp, 12), bytes(100), JPEGLosslessSV1)
    monkeypatch.setattr("pydicom.pixels.decoders.base.Decoder.is_available", False)
    said = refused(written(tmp_path / "x", ds))
    assert "JPEG Lossless" in said and "muscle doctor" in said


def test_a_file_that_does_not_say_its_transfer_syntax(tmp_path: Path, ramp: np.ndarray) -> None:
    """Pieces of archives come without their head: implicit VR, as ACR-NEMA had it."""
    ds = dataset(ramp, 12)
    del ds.file_meta
    ds.save_as(tmp_path / "x.dcm", implicit_vr=True, little_endian=True)
    near(decode(tmp_path / "x.dcm", RAW), whole(ramp, 0, 4095))
    ds = wrapped(dataset(ramp, 12), bytes(100), JPEGLosslessSV1)
    del ds.file_meta
    ds.save_as(tmp_path / "y.dcm", implicit_vr=False, little_endian=True)
    assert "no Transfer Syntax UID" in refused(tmp_path / "y.dcm")


def test_deflated_bombs_are_not_inflated(tmp_path: Path, ramp: np.ndarray, monkeypatch: Any) -> None:
    monkeypatch.setattr("muscle.data.deflated.MAX_INFLATED", 4_000_000)
    path = dicom(tmp_path / "x", ramp, 12)
    ds = dataset(ramp, 12)
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    near(decode(written(path, ds), RAW), whole(ramp, 0, 4095))
    content, start = path.read_bytes(), 144 + pydicom.dcmread(path).file_meta.FileMetaInformationGroupLength
    squeezer = zlib.compressobj(9, wbits=-15)
    more = zlib.decompress(content[start:], -15) + bytes(5_000_000)
    path.write_bytes(content[:start] + squeezer.compress(more) + squeezer.flush())
    assert path.stat().st_size < 20_000
    assert "inflates to more than 4 MB" in refused(path)
    assert image_size(path) == ramp.shape[::-1]  # of a header no more than its first bytes is inflated


def test_files_larger_than_any_film_are_not_read(tmp_path: Path, ramp: np.ndarray, monkeypatch: Any) -> None:
    path = dicom(tmp_path / "x", ramp, 12)
    monkeypatch.setattr("muscle.data.grey.MAX_BYTES", 4000)
    assert "allowed: at most" in refused(path)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (99, 99), np.uint8)).save(tmp_path / "x.png")
    assert "allowed: at most" in refused(tmp_path / "x.png")


def test_implicit_files_decode_as_explicit_ones(tmp_path: Path, ramp: np.ndarray) -> None:
    ds = dataset(ramp, 12)
    ds.VOILUTSequence = [table(0, [int(v) for v in np.linspace(0, 1023, 4096)], 10)]
    ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    near(decode(written(tmp_path / "x", ds), UNIFIED), whole(ramp, 0, 4095), 0.8)


@pytest.mark.real
def test_real_films_rank_as_in_the_reference_decoder(real_data: Path) -> None:
    """Oracle: pydicom's own modality and VOI functions, of which ours use none."""
    files = sorted((real_data / "dev" / "dicom").rglob("*.dcm"))
    assert len(files) == 8
    for file in files:
        ds = pydicom.dcmread(file)
        values = ds.pixel_array
        if values.ndim == 3:
            reference = values @ np.array([0.299, 0.587, 0.114])
        else:
            reference = apply_voi_lut(apply_modality_lut(values, ds), ds).astype(float)
            reference *= -1 if ds.PhotometricInterpretation == "MONOCHROME1" else 1
        found = decode(file, UNIFIED)
        assert found.pixels.shape == reference.shape
        ranks = spearmanr(found.pixels.ravel()[::5], reference.ravel()[::5])
        assert ranks.statistic >= 0.999, (file.name, found.steps)
