"""The DICOM matrix: small files of every kind, and what they look like by the standard's formulas alone.

Nothing of the package is imported here. The formulas are those of DICOM PS3.3 C.11.1 (modality), C.11.2.1.2 and
C.11.2.1.3 (windows), C.11.2.1.1 (tables) and C.7.6.3.1.2 (polarity), written in NumPy. What the standard leaves open
is our choice and stated in ``expected``: the grey scale where a file has no window.

    python tests/golden/make_dicom_matrix.py            writes dicom_matrix.npz beside this file
    python tests/golden/make_dicom_matrix.py --dcmtk    also compares with dcmtk's dcm2pnm (Debian: dcmtk), and has
                                                        dcmtk encode what no permissive Python package can

A twin is the MONOCHROME1 file of the same picture: stored values mirrored, window and tables with them. Both twins
of a cell have one expectation, so that a polarity that is applied twice, or before the window, cannot pass.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

ROWS, COLUMNS = 32, 40  # the JPEG 2000 encoder takes no side below 32
PHOTOMETRIC = ("MONOCHROME2", "MONOCHROME1")
BITS = (8, 10, 12, 14, 15, 16)
MODALITY = ("none", "rescale", "table")
VOI = ("none", "LINEAR", "LINEAR_EXACT", "SIGMOID", "table")
SYNTAXES = (
    ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, RLELossless,
    JPEGLSLossless, JPEG2000Lossless, JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1,
    JPEGLSNearLossless, JPEG2000, HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K,
)  # fmt: skip
LOSSLESS = (RLELossless, JPEGLSLossless, JPEG2000Lossless)  # what can be encoded without changing a value
TABLE_BITS = {"modality": 12, "voi": 10}
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Cell:
    """One file of the matrix, apart from its photometric interpretation and its encoding."""

    bits: int
    signed: bool
    modality: str
    voi: str

    @property
    def name(self) -> str:
        return f"{self.bits}-{'signed' if self.signed else 'unsigned'}-{self.modality}-{self.voi}"

    @property
    def range(self) -> tuple[int, int]:
        """Lowest and highest stored value."""
        half = 2 ** (self.bits - 1)
        return (-half, half - 1) if self.signed else (0, 2 * half - 1)

    @property
    def units(self) -> tuple[int, int]:
        """Lowest and highest value after the modality transformation."""
        low, high = self.range
        if self.modality == "rescale":
            slope, intercept = self.rescale
            return slope * low + intercept, slope * high + intercept
        return (0, 2 ** TABLE_BITS["modality"] - 1) if self.modality == "table" else (low, high)

    @property
    def rescale(self) -> tuple[int, int]:
        return (2 if self.bits < 15 else 1), -(
            2 ** (self.bits - 2)
        )  # what a table starts at must fit 16 bits

    @property
    def window(self) -> tuple[float, float]:
        """Centre and width: off the middle, a part of the range."""
        low, high = self.units
        return (low + high) // 2 + (high - low) / 16 // 1, (high - low) / 3 // 1

    def stored(self) -> np.ndarray:
        """A ramp over the whole range and, finer, over the part that the tables cover."""
        low, high = self.range
        first, entries = self.span(low, high)
        coarse = np.linspace(low, high, ROWS * COLUMNS // 2)
        fine = np.linspace(first - 5, first + entries + 5, ROWS * COLUMNS // 2).clip(low, high)
        return np.sort(np.rint(np.concatenate([coarse, fine]))).astype(np.int64).reshape(ROWS, COLUMNS)

    @staticmethod
    def span(low: int, high: int) -> tuple[int, int]:
        """First value and number of entries of a table for values from ``low`` to ``high``: a middle part of them."""
        entries = min((high - low + 1) // 2, 2048)
        return (low + high) // 2 - entries // 3, entries


def curve(entries: int, bits: int, power: float) -> np.ndarray:
    return np.rint(np.linspace(0, 1, entries) ** power * (2**bits - 1)).astype(np.int64)


def cells() -> Iterator[Cell]:
    for bits, signed, modality, voi in itertools.product(BITS, (False, True), MODALITY, VOI):
        yield Cell(bits, signed, modality, voi)


# --- what they look like --------------------------------------------------------------------------------------


def looked_up(values: np.ndarray, first: int, table: np.ndarray) -> np.ndarray:
    """PS3.3 C.11.1.1: below the first value the first entry, above the last the last."""
    return table[np.clip(values - first, 0, len(table) - 1)]


def in_units(cell: Cell) -> np.ndarray:
    values = cell.stored()
    if cell.modality == "rescale":
        slope, intercept = cell.rescale
        return slope * values + intercept
    if cell.modality == "table":
        first, entries = cell.span(*cell.range)
        return looked_up(values, first, curve(entries, TABLE_BITS["modality"], 1.5))
    return values


def expected(cell: Cell) -> np.ndarray:
    """0..255, not rounded, of both twins.

    Without a window, files of at most 8 stored bits show their whole range, others the range between the
    percentiles 0.5 and 99.5 of the image.
    """
    x = in_units(cell)
    low, high = (float(v) for v in cell.units)
    if cell.voi == "table":
        first, entries = cell.span(*cell.units)
        return (
            looked_up(x, first, curve(entries, TABLE_BITS["voi"], 0.7)) * 255 / (2 ** TABLE_BITS["voi"] - 1)
        )
    x = x.astype(np.float64)
    if cell.voi == "none":
        if cell.bits > 8:
            low, high = (float(v) for v in np.percentile(x, (0.5, 99.5)))
        return np.clip((x - low) / (high - low), 0, 1) * 255
    c, w = cell.window
    if cell.voi == "SIGMOID":  # C.11.2.1.3.1
        return 255 / (1 + np.exp(-4 * (x - c) / w))
    if cell.voi == "LINEAR_EXACT":  # C.11.2.1.3.2
        y = ((x - c) / w + 0.5) * 255
        return np.where(x <= c - w / 2, 0, np.where(x > c + w / 2, 255, y))
    y = ((x - (c - 0.5)) / (w - 1) + 0.5) * 255  # C.11.2.1.2.1
    return np.where(x <= c - 0.5 - (w - 1) / 2, 0, np.where(x > c - 0.5 + (w - 1) / 2, 255, y))


# --- the files ------------------------------------------------------------------------------------------------


def dataset(cell: Cell, photometric: str) -> Dataset:
    """The file in explicit little endian; for MONOCHROME1 the mirrored twin."""
    twin = photometric == "MONOCHROME1"
    low, high = cell.range
    stored = cell.stored()
    stored = low + high - stored if twin else stored
    kind = np.dtype("<" + ("i" if cell.signed else "u") + ("1" if cell.bits == 8 else "2"))
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = DigitalXRayImageStorageForPresentation
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = "1.2.826.0.1.3680043.8.498.1"
    ds.Modality, ds.PhotometricInterpretation, ds.SamplesPerPixel = "DX", photometric, 1
    ds.Rows, ds.Columns = ROWS, COLUMNS
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = kind.itemsize * 8, cell.bits, cell.bits - 1
    ds.PixelRepresentation = int(cell.signed)
    ds.PixelData = stored.astype(kind).tobytes()
    ds["PixelData"].VR = "OW"
    if cell.modality == "rescale":
        slope, intercept = cell.rescale
        ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = slope, intercept, "US"
    elif cell.modality == "table":
        first, entries = cell.span(low, high)
        table = curve(entries, TABLE_BITS["modality"], 1.5)
        item = lut(first, table, TABLE_BITS["modality"], low + high if twin else None, cell.signed)
        item.ModalityLUTType = "US"
        ds.ModalityLUTSequence = [item]
    lowest, highest = cell.units
    if cell.voi == "table":
        first, entries = cell.span(lowest, highest)
        table = curve(entries, TABLE_BITS["voi"], 0.7)
        mirror = lowest + highest if twin else None
        ds.VOILUTSequence = [lut(first, table, TABLE_BITS["voi"], mirror, lowest < 0)]
    elif cell.voi != "none":
        centre, width = cell.window
        if twin:  # LINEAR is centred half a value lower than it says
            centre = lowest + highest - centre + (cell.voi == "LINEAR")
        ds.WindowCenter, ds.WindowWidth, ds.VOILUTFunction = float(centre), float(width), cell.voi
    return ds


def lut(first: int, table: np.ndarray, bits: int, mirror: int | None, signed: bool) -> Dataset:
    """An item of a LUT sequence; mirrored: the entry for ``mirror - x`` is the complement of that for x."""
    if mirror is not None:
        first, table = mirror - first - len(table) + 1, (2**bits - 1 - table)[::-1]
    item = Dataset()
    item.add_new(0x00283002, "SS" if signed else "US", [len(table), first, bits])
    item.add_new(0x00283006, "US", [int(v) for v in table])
    return item


def encoded(ds: Dataset, syntax: str) -> Dataset:
    """The same picture in another transfer syntax, losslessly.

    Raises:
        Exception: whatever the installed encoders say of a syntax or a picture that they cannot encode.
    """
    if syntax in LOSSLESS:
        ds.compress(syntax, generate_instance_uid=False)
    elif syntax == ExplicitVRBigEndian:
        if ds.BitsAllocated == 16:
            ds.PixelData = np.frombuffer(ds.PixelData, "<u2").astype(">u2").tobytes()
        else:  # 8-bit values in words of 16 bits
            ds["PixelData"].VR = "OB"
        ds.file_meta.TransferSyntaxUID = syntax
    elif syntax in (ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian):
        ds.file_meta.TransferSyntaxUID = syntax
    else:
        raise NotImplementedError("no lossless encoder among the permissive packages")
    return ds


def save(ds: Dataset, file: Path) -> None:
    ds.save_as(file, enforce_file_format=True)


# --- a second opinion -----------------------------------------------------------------------------------------


def dcmtk(ds: Dataset, cell: Cell, folder: Path) -> np.ndarray | None:
    """The picture that dcmtk makes of a file; it knows no LINEAR_EXACT and is asked for the same ends in LINEAR."""
    options = []
    centre, width = float(ds.get("WindowCenter") or 0), float(ds.get("WindowWidth") or 0)
    if cell.voi == "table":
        options = ["+Wl", "1"]
    elif cell.voi in ("LINEAR", "SIGMOID"):
        options = ["+Wi", "1"]
    elif cell.voi == "LINEAR_EXACT":
        options = ["+Ww", str(centre + 0.5), str(width + 1), "+Wfl"]
    elif cell.bits > 8:
        values = in_units(cell)
        low, high = (float(v) for v in np.percentile(values, (0.5, 99.5)))
        if ds.PhotometricInterpretation == "MONOCHROME1":
            low, high = sum(cell.units) - high, sum(cell.units) - low
        options = ["+Ww", str((low + high) / 2 + 0.5), str(high - low + 1), "+Wfl"]
    save(ds, folder / "x.dcm")
    done = subprocess.run(["dcm2pnm", *options, "--write-raw-pnm", folder / "x.dcm", folder / "x.pgm"],
                          capture_output=True, check=False)  # fmt: skip
    if done.returncode:
        return None
    raw = (folder / "x.pgm").read_bytes()
    return np.frombuffer(raw[-ROWS * COLUMNS :], np.uint8).reshape(ROWS, COLUMNS)


def compare() -> None:
    """Prints how far dcmtk is from the closed forms, by kind of window."""
    far: dict[tuple[str, str], list[float]] = {}
    refused = 0
    with tempfile.TemporaryDirectory() as folder:
        for cell, photometric in itertools.product(cells(), PHOTOMETRIC):
            found = dcmtk(dataset(cell, photometric), cell, Path(folder))
            if found is None:
                refused += 1
                continue
            distance = float(np.abs(found - np.rint(expected(cell))).max())
            far.setdefault((cell.modality, cell.voi), []).append(distance)
            if distance > 1:
                print(f"  {cell.name} {photometric}: {distance:g} levels apart")
    for (modality, voi), distances in far.items():
        print(f"modality {modality:8} voi {voi:13} files {len(distances):3}, farthest {max(distances):g}")
    print(f"dcm2pnm refused {refused} files")


# What dcmtk encodes: file name -> (command, cell, largest error in levels of the picture)
TWELVE, SIGNED = Cell(12, False, "none", "LINEAR"), Cell(12, True, "none", "LINEAR")
BY_DCMTK = {
    "jpeg-baseline": (["dcmcjpeg", "+eb", "+q", "98"], Cell(8, False, "none", "LINEAR"), 6),
    "jpeg-extended": (["dcmcjpeg", "+ee", "+q", "98"], TWELVE, 6),
    "jpeg-lossless": (["dcmcjpeg", "+el"], TWELVE, 1),
    "jpeg-lossless-sv1": (["dcmcjpeg", "+e1"], TWELVE, 1),
    "jpeg-lossless-signed": (["dcmcjpeg", "+e1"], SIGNED, 1),
    "jpeg-ls": (["dcmcjpls", "+el"], TWELVE, 1),
    "jpeg-ls-signed": (["dcmcjpls", "+el"], SIGNED, 1),
    "jpeg-ls-near": (["dcmcjpls", "+en", "+md", "3"], TWELVE, 2),
    "rle-signed": (["dcmcrle"], SIGNED, 1),
}


def encode_by_dcmtk() -> None:
    """Writes the files of ``BY_DCMTK`` beside this one: MONOCHROME1, LINEAR window."""
    with tempfile.TemporaryDirectory() as folder:
        for name, (command, cell, _) in BY_DCMTK.items():
            save(dataset(cell, "MONOCHROME1"), Path(folder) / "x.dcm")
            subprocess.run([*command, Path(folder) / "x.dcm", HERE / f"{name}.dcm"], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dcmtk", action="store_true", help="compare with dcm2pnm")
    given = parser.parse_args()
    arrays = {cell.name: np.rint(expected(cell)).astype(np.uint8) for cell in cells()}
    np.savez_compressed(HERE / "dicom_matrix.npz", **arrays)
    print(f"wrote {len(arrays)} pictures for {2 * len(arrays)} files in each transfer syntax")
    if given.dcmtk:
        if shutil.which("dcm2pnm") is None:
            raise SystemExit("dcm2pnm is not installed; it is in Debian's package dcmtk")
        compare()
        encode_by_dcmtk()


if __name__ == "__main__":
    main()
