"""Sound files to damage: pictures, an example tree of each adapter, and what a run leaves."""

from __future__ import annotations

import json
import shutil
import warnings
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from PIL import Image
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from muscle.data.source import Source
from muscle.parts import known, member

PICTURES = (".dcm", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", "")
TEXTS = (".csv", ".json", ".xml", ".txt", ".yaml", ".yml", ".tsv")
SIZE = (48, 40)
MAX_REAL = 120_000  # bytes of a real file: larger ones only make it slower


@dataclass(frozen=True)
class Original:
    """A sound file: a picture by itself, or a file of an adapter's example tree."""

    path: str
    tree: str = ""  # the tree that is read, empty for pictures
    kind: str = ""
    into: str = ""  # the file of the tree that this one takes the place of; empty: its own

    @property
    def group(self) -> str:
        """What the cases are counted by."""
        if self.kind == "document":
            return f"{self.tree} {Path(self.path).name if self.tree.endswith(('checkpoint', 'run')) else ''}".strip()
        suffix = Path(self.path).suffix.lower() or ".dcm"
        return f"{self.kind} {suffix}" if self.kind else suffix


def make_originals(folder: Path, real: Path | None) -> list[Original]:
    """Pictures in ``pictures``, and an example tree for each adapter in ``trees``."""
    pictures = folder / "pictures"
    pictures.mkdir(parents=True)
    _make_pictures(pictures)
    for file in (Path(__file__).parents[1] / "golden").glob("*.dcm"):  # JPEG, which only dcmtk could encode
        shutil.copy(file, pictures)
    originals = [Original(p.relative_to(folder).as_posix()) for p in sorted(pictures.iterdir())]
    if real is not None:
        originals += [Original(str(p)) for p in _real(real, PICTURES)]
    for kind in known(Source):
        tree = folder / "trees" / kind
        adapter: Any = member(Source, kind)
        adapter.write_example(tree, 6, 0)
        texts = sorted(p for p in tree.rglob("*") if p.suffix.lower() in TEXTS)
        originals += [Original(p.relative_to(folder).as_posix(), f"trees/{kind}", kind) for p in texts[:6]]
        for path in _real(real, TEXTS, 2) if real is not None else ():
            like = [
                p.relative_to(folder).as_posix() for p in texts if p.suffix.lower() == path.suffix.lower()
            ]
            originals += [Original(str(path), f"trees/{kind}", kind, into) for into in like[:1]]
        if not texts:  # an adapter that reads folders and pictures alone
            files = sorted(p for p in tree.rglob("*") if p.is_file())
            originals.append(Original(files[0].relative_to(folder).as_posix(), f"trees/{kind}", kind))
    return originals


def list_originals(folder: Path, originals: list[Original]) -> None:
    """Writes them down for the workers."""
    (folder / "originals.json").write_text(json.dumps([[o.path, o.tree, o.kind, o.into] for o in originals]))


def _make_pictures(folder: Path) -> None:
    x, y = np.meshgrid(np.arange(SIZE[1]), np.arange(SIZE[0]))
    deep = ((x * 71 + y * 37) % 4096).astype(np.uint16)
    grey = (deep // 16).astype(np.uint8)
    colour = np.stack([grey, grey[::-1], grey[:, ::-1]], -1)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(grey).save(folder / "grey.png")
    Image.fromarray(deep).save(folder / "deep.png")
    Image.fromarray(colour).save(folder / "colour.png")
    Image.fromarray(grey).convert("P").save(folder / "palette.png")
    Image.fromarray(grey).save(folder / "grey.jpg", exif=exif)
    Image.fromarray(colour).save(folder / "colour.jpg", progressive=True)
    Image.fromarray(grey).save(folder / "raw.tif", tiffinfo={274: 6})
    Image.fromarray(deep).save(folder / "lzw.tif", compression="tiff_lzw")
    Image.fromarray(deep.astype(np.float32)).save(folder / "float.tif", compression="tiff_adobe_deflate")
    Image.fromarray(grey).save(folder / "grey.bmp")
    pages = [Image.fromarray(grey.T.copy()), Image.fromarray(deep)]
    Image.fromarray(grey).save(folder / "pages.tif", save_all=True, append_images=pages)
    Image.fromarray(grey).save(
        folder / "packed.tif", save_all=True, append_images=pages, compression="tiff_lzw"
    )
    for syntax in (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian,
                   RLELossless, JPEG2000Lossless, JPEGLSLossless):  # fmt: skip
        ds = _dataset(deep)
        if syntax in (ExplicitVRLittleEndian, RLELossless, JPEG2000Lossless):
            ds.NumberOfFrames, ds.PixelData = 3, deep.tobytes() * 3
        try:
            if syntax.is_encapsulated:
                ds.compress(syntax, generate_instance_uid=False)
        except Exception:  # the encoder is not installed
            continue
        ds.file_meta.TransferSyntaxUID = syntax
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ds.save_as(folder / f"{syntax.keyword}.dcm", enforce_file_format=True)


def _dataset(deep: np.ndarray) -> pydicom.Dataset:
    ds = pydicom.Dataset()
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = "1.2.3"
    ds.Modality, ds.PatientID, ds.PhotometricInterpretation = "DX", "a", "MONOCHROME1"
    ds.Rows, ds.Columns = deep.shape
    ds.SamplesPerPixel, ds.PixelRepresentation = 1, 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    ds.RescaleSlope, ds.RescaleIntercept = 2, -100
    ds.WindowCenter, ds.WindowWidth, ds.PixelPaddingValue = [2000, 3000], [1500, 900], 0
    item = pydicom.Dataset()
    item.add_new(0x00283002, "SS", [64, -100, 10])
    item.add_new(0x00283006, "US", list(range(0, 1024, 16)))
    ds.VOILUTSequence = [item]
    ds.PixelData = deep.tobytes()
    return ds


def _real(folder: Path, suffixes: tuple[str, ...], each: int = 4) -> list[Path]:
    """A few small files of each type and folder."""
    taken: Counter[tuple[str, str]] = Counter()
    found = []
    for path in sorted(folder.rglob("*")):
        key = (path.suffix.lower(), path.relative_to(folder).parent.as_posix())
        if key[0] in suffixes and taken[key] < each and path.is_file() and path.stat().st_size <= MAX_REAL:
            taken[key] += 1
            found.append(path)
    return found


@cache
def originals_in(folder: Path) -> tuple[Original, ...]:
    return tuple(Original(*fields) for fields in json.loads((folder / "originals.json").read_text()))
