"""Damaged files by the thousand: pictures to the decoder, tables and annotations to the adapters.

    python tests/faults/fuzz.py --n 20000 [--seed 0] [--workers 2]        real files too where MUSCLE_REAL_DATA is set
    python tests/faults/fuzz.py --only 1234 --keep /tmp/case              one case again, its file kept

Each case takes a sound file, damages it in a way that its number decides, and gives it to a worker process. What may
happen: the file is read, or refused with a ``UserError``, or the worker dies or is killed in its time, and the run
goes on. What may not: another exception, more memory than the limit, or a picture of another shape than the file says.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import struct
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from PIL import Image, ImageOps
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from muscle.data.decode import Decode, decode, frame_count, image_size
from muscle.data.source import Source
from muscle.data.workers import Limits, mapped
from muscle.errors import UserError
from muscle.parts import known, member

LIMITS = Limits(seconds=30)
PICTURES = (".dcm", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", "")
TEXTS = (".csv", ".json", ".xml", ".txt", ".yaml", ".yml", ".tsv")
SIZE = (48, 40)
MAX_REAL = 120_000  # bytes of a real file: larger ones only make it slower
EXTREMES = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
WORDS = (b"-1", b"1e999", b"nan", b"", b"999999999999999999999", b"\x00", b"\xff\xfe", b"../../etc/x", b"/", b"\r\n",
         b'"', b",,,,", b"<!ENTITY a 'b'>", b"{", b"[]", b"null", b"\xf0\x9f\xa6\xb4")  # fmt: skip


@dataclass(frozen=True)
class Original:
    """A sound file: a picture by itself, or a file of an adapter's example tree."""

    path: str
    tree: str = ""  # the tree that is read, empty for pictures
    kind: str = ""
    into: str = ""  # the file of the tree that this one takes the place of; empty: its own

    @property
    def group(self) -> str:
        suffix = Path(self.path).suffix.lower() or ".dcm"
        return f"{self.kind} {suffix}" if self.kind else suffix


@dataclass(frozen=True)
class Outcome:
    """How one case ended: ``verdict`` is accepted, refused, died, or a failure in words."""

    case: int
    group: str
    verdict: str
    said: str = ""
    seconds: float = 0.0
    memory: int = 0


# --- sound files ----------------------------------------------------------------------------------------------


def make_originals(folder: Path, real: Path | None) -> None:
    """Pictures in ``pictures``, an example tree for each adapter in ``trees``, and a list of both."""
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
def _originals(folder: Path) -> tuple[Original, ...]:
    return tuple(Original(*fields) for fields in json.loads((folder / "originals.json").read_text()))


# --- damage ---------------------------------------------------------------------------------------------------


def damaged(content: bytes, rng: np.random.Generator, text: bool) -> bytes:
    """Damaged once, or up to three times."""
    kinds: list[Callable[[bytearray, np.random.Generator], None]]
    kinds = [_flip, _extreme, _cut, _drop, _repeat, _zero]
    kinds += [_word, _word, _lines] if text else [_extreme]
    data = bytearray(content)
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        if data:
            kinds[int(rng.integers(len(kinds)))](data, rng)
    return bytes(data)


def _span(data: bytearray, rng: np.random.Generator, most: int) -> tuple[int, int]:
    """A place; half of them in the first 512 bytes, where headers are."""
    end = len(data) if rng.random() < 0.5 else min(len(data), 512)
    start = int(rng.integers(end))
    return start, min(len(data), start + int(rng.integers(1, most + 1)))


def _flip(data: bytearray, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(1, 9))):
        start, _ = _span(data, rng, 1)
        data[start] ^= 1 << int(rng.integers(8))


def _extreme(data: bytearray, rng: np.random.Generator) -> None:
    start, _ = _span(data, rng, 1)
    width = int(rng.choice([1, 2, 4]))
    value = int(rng.choice(EXTREMES)) & (256**width - 1)
    data[start : start + width] = value.to_bytes(width, "little" if rng.random() < 0.5 else "big")


def _cut(data: bytearray, rng: np.random.Generator) -> None:
    del data[_span(data, rng, 1)[0] :]


def _drop(data: bytearray, rng: np.random.Generator) -> None:
    start, end = _span(data, rng, 64)
    del data[start:end]


def _repeat(data: bytearray, rng: np.random.Generator) -> None:
    start, end = _span(data, rng, 256)
    data[start:start] = data[start:end] * int(rng.integers(1, 50))


def _zero(data: bytearray, rng: np.random.Generator) -> None:
    start, end = _span(data, rng, 64)
    data[start:end] = bytes(end - start)


def _word(data: bytearray, rng: np.random.Generator) -> None:
    """Another word where one was: tables and annotations break at words, not at bits."""
    start, end = _span(data, rng, 8)
    data[start:end] = WORDS[int(rng.integers(len(WORDS)))]


def _lines(data: bytearray, rng: np.random.Generator) -> None:
    lines = data.split(b"\n")
    order = rng.permutation(len(lines))[: int(rng.integers(1, len(lines) + 1))]
    data[:] = b"\n".join(lines[i] for i in (np.sort(order) if rng.random() < 0.5 else order))


# --- one case -------------------------------------------------------------------------------------------------


@cache
def _workplace(folder: Path) -> Path:
    """This process's own copy of the trees."""
    own = folder / f"worker-{os.getpid()}"
    shutil.copytree(folder / "trees", own / "trees")
    return own


def attempt(case: int, folder: Path, seed: int) -> Outcome:
    """Damages a file and reads it."""
    rng = np.random.default_rng([seed, case])
    originals = _originals(folder)
    groups = sorted({o.group for o in originals})
    group = groups[case % len(groups)]
    among = [o for o in originals if o.group == group]
    original = among[int(rng.integers(len(among)))]
    began = time.perf_counter()
    verdict, said = (_read if original.tree else _decode)(original, folder, rng)
    return Outcome(case, group, verdict, said, time.perf_counter() - began, peak())


def peak() -> int:
    """The most bytes that this process has held; 0 where the system does not say."""
    status = Path("/proc/self/status")
    return int(status.read_text().partition("VmHWM:")[2].split()[0]) * 1024 if status.exists() else 0


def _decode(original: Original, folder: Path, rng: np.random.Generator) -> tuple[str, str]:
    content = (folder / original.path).read_bytes()
    path = _workplace(folder) / f"case{Path(original.path).suffix or '.dcm'}"
    path.write_bytes(damaged(content, rng, False))
    settings = Decode(
        grey="raw" if rng.random() < 0.2 else "unified", frames="first" if rng.random() < 0.2 else "one"
    )
    frame = int(rng.choice([0, 0, 1, 2, 3]))
    try:
        if frame > (frames := frame_count(path)) and rng.random() < 0.9:
            frame = frames
        found = decode(path, settings, frame).pixels
    except UserError as error:
        if "\n" in str(error) or not str(error).startswith(f"{path}: "):
            return "FAILED: its message is no line with the file's name", str(error)
        return "refused", str(error).removeprefix(f"{path}: ")
    except BaseException as error:
        return f"FAILED: raised {type(error).__name__}", str(error)
    stated = _stated(path, frame)
    if (
        found.ndim != 2
        or found.dtype != np.uint8
        or found.shape[::-1] != stated
        or image_size(path, frame) != stated
    ):
        return "FAILED: accepted in another shape", f"{found.shape[::-1]}, stated {stated}"
    return "accepted", ""


def _stated(path: Path, frame: int) -> tuple[int, int]:
    """Width and height of a frame by the file's own words, read without the decoder."""
    content = path.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if content[128:132] == b"DICM" or path.suffix == ".dcm":
            ds = pydicom.dcmread(io.BytesIO(content), force=True)
            return int(ds.Columns), int(ds.Rows)
        if content[:8] == b"\x89PNG\r\n\x1a\n":
            width, height = struct.unpack(">II", content[16:24])
            with Image.open(path) as image:
                turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
            return (height, width) if turned else (width, height)
        with Image.open(io.BytesIO(content)) as image:
            if frame > 1:
                image.seek(frame - 1)
            if image.format == "TIFF":
                image.load()
                return image.size
            turned_size: tuple[int, int] = ImageOps.exif_transpose(image).size
            return turned_size


def _read(original: Original, folder: Path, rng: np.random.Generator) -> tuple[str, str]:
    own = _workplace(folder)
    path = own / (original.into or original.path)
    content, given = path.read_bytes(), (folder / original.path).read_bytes()
    path.write_bytes(damaged(given, rng, path.suffix.lower() in TEXTS))
    adapter: Any = member(Source, original.kind)
    try:
        source = adapter.parse({"root": str(own / original.tree), **adapter.example})
        samples, _ = source.read("fuzz")
    except UserError as error:
        return ("FAILED: its message is several lines" if "\n" in str(error) else "refused"), str(error)
    except BaseException as error:
        return f"FAILED: raised {type(error).__name__}", f"{original.path}: {error}"
    finally:
        path.write_bytes(content)
    root = (own / original.tree).resolve()
    if any(not (root / sample.path).resolve().is_relative_to(root) for sample in samples):
        return "FAILED: a sample lies outside the root", original.path
    return "accepted", ""


# --- the run --------------------------------------------------------------------------------------------------


def run(n: int, folder: Path, seed: int = 0, workers: int = 2, real: Path | None = None) -> Iterator[Outcome]:
    """``n`` cases, in order; the folder must be empty."""
    make_originals(folder, real)
    # The module's own name, also when it was started as a script: the workers must find it
    import fuzz

    for case, made in enumerate(
        mapped(partial(fuzz.attempt, folder=folder, seed=seed), range(n), workers, LIMITS)
    ):
        yield fuzz.Outcome(case, "", "died", made) if isinstance(made, str) else made


def failures(outcomes: list[Outcome]) -> list[str]:
    """What must not happen, a line each."""
    found = [
        f"case {o.case} ({o.group}): {o.verdict}: {o.said[:300]}"
        for o in outcomes
        if o.verdict.startswith("FAILED")
    ]
    found += [
        f"case {o.case} ({o.group}): took {o.memory / 1e6:.0f} MB"
        for o in outcomes
        if o.memory > LIMITS.memory
    ]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", type=int, help="this case alone, in this process")
    parser.add_argument("--keep", type=Path, help="with --only: work in this folder and leave it there")
    given = parser.parse_args()
    real = Path(os.environ["MUSCLE_REAL_DATA"]) if os.environ.get("MUSCLE_REAL_DATA") else None
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        if given.only is not None:
            if not (folder / "originals.json").exists():
                make_originals(folder, real)
            print(attempt(given.only, folder, given.seed))
            return 0
        began = time.perf_counter()
        outcomes = []
        for outcome in run(given.n, folder, given.seed, given.workers, real):
            outcomes.append(outcome)
            if len(outcomes) % 1000 == 0:
                print(f"{len(outcomes)} cases, {time.perf_counter() - began:.0f} s", file=sys.stderr)
    table: dict[str, Counter[str]] = {}
    for outcome in outcomes:
        table.setdefault(outcome.group or "worker", Counter())[outcome.verdict] += 1
    for group, counts in sorted(table.items()):
        print(f"{group:24} " + ", ".join(f"{n} {verdict}" for verdict, n in sorted(counts.items())))
    for outcome in outcomes:
        if outcome.verdict == "died":
            print(f"case {outcome.case}: {outcome.said}")
    slowest, largest = max(o.seconds for o in outcomes), max(o.memory for o in outcomes) / 1e6
    print(f"{len(outcomes)} cases in {time.perf_counter() - began:.0f} s, seed {given.seed}")
    print(f"slowest {slowest:.1f} s, largest worker {largest:.0f} MB")
    found = failures(outcomes)
    print("\n".join(found[:50]) or "no failures")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
