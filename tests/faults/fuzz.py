"""Damaged files by the thousand: pictures to the decoder, annotations to adapters, the rest to its readers.

    python tests/faults/fuzz.py --n 20000 [--seed 0] [--workers 2]        real files too where MUSCLE_REAL_DATA is set
    python tests/faults/fuzz.py --n 20000 --of documents                  recipes, checkpoints, results ... alone
    python tests/faults/fuzz.py --only 1234 --keep /tmp/case              one case again, its file kept

Each case takes a sound file, damages it in a way that its number decides, and gives it to a worker process. What may
happen: the file is read, or refused with a ``UserError``, or, of a picture, the worker dies or is killed in its time,
and the run goes on. What may not: another exception, more memory than the limit, a picture of another shape than the
file says, or the death of a process that reads anything but pictures.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from PIL import Image, ImageOps

sys.path.insert(0, str(Path(__file__).parent))

from fuzz_damage import damaged
from fuzz_originals import TEXTS, Original, list_originals, make_originals, originals_in

from muscle.data.decode import Decode, decode, frame_count, image_size
from muscle.data.source import Source
from muscle.data.workers import Limits, mapped
from muscle.errors import UserError
from muscle.parts import member

LIMITS = Limits(seconds=30)
# What reads documents holds most of that once it has imported torch, and reserves addresses that it never uses: there
# the most that it has held is judged after each case, and nothing is bounded
UNBOUNDED = Limits(seconds=30, memory=2**34)


@dataclass(frozen=True)
class Outcome:
    """How one case ended: ``verdict`` is accepted, refused, died, or a failure in words."""

    case: int
    group: str
    verdict: str
    said: str = ""
    seconds: float = 0.0
    memory: int = 0


# --- one case -------------------------------------------------------------------------------------------------


@cache
def _workplace(folder: Path) -> Path:
    """This process's own copy of the trees."""
    own = folder / f"worker-{os.getpid()}"
    for name in ("trees", "documents"):
        if (folder / name).exists():
            shutil.copytree(folder / name, own / name)
    return own


def attempt(case: int, folder: Path, seed: int) -> Outcome:
    """Damages a file and reads it."""
    rng = np.random.default_rng([seed, case])
    group = group_of(case, folder)
    among = [o for o in originals_in(folder) if o.group == group]
    original = among[int(rng.integers(len(among)))]
    began = time.perf_counter()
    read = _document if original.kind == "document" else _read if original.tree else _decode
    verdict, said = read(original, folder, rng)
    return Outcome(case, group, verdict, said, time.perf_counter() - began, peak())


def group_of(case: int, folder: Path) -> str:
    """What a case damages."""
    groups = _groups(folder)
    return groups[case % len(groups)]


@cache
def _groups(folder: Path) -> list[str]:
    return sorted({o.group for o in originals_in(folder)})


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


def _document(original: Original, folder: Path, rng: np.random.Generator) -> tuple[str, str]:
    from fuzz_documents import read_document, spoilt

    path = _workplace(folder) / original.path
    content = path.read_bytes()
    path.write_bytes(spoilt(path, content, rng))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read_document(path, original.tree.partition("/")[2])
    except UserError as error:
        return "refused", str(error)
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(where.filename).name}:{where.lineno}"
        return f"FAILED: raised {type(error).__name__}", f"{original.path}: {place}: {error}"
    finally:
        path.write_bytes(content)
    return "accepted", ""


# --- the run --------------------------------------------------------------------------------------------------


def make(folder: Path, real: Path | None, of: str) -> None:
    """The sound files of a campaign ``of`` films and their annotations, of documents, or of all."""
    from fuzz_documents import (
        make_documents,  # torch comes with it, which a worker that decodes does not import
    )

    made = make_originals(folder, real) if of != "documents" else []
    list_originals(folder, made + (make_documents(folder) if of != "films" else []))


def run(
    n: int, folder: Path, seed: int = 0, workers: int = 2, real: Path | None = None, of: str = "all"
) -> Iterator[Outcome]:
    """``n`` cases, documents last; the folder must be empty."""
    make(folder, real, of)
    # The module's own name, also when it was started as a script: the workers must find it
    import fuzz

    groups = [fuzz.group_of(case, folder) for case in range(n)]
    for kind, limits in ((False, LIMITS), (True, UNBOUNDED)):
        cases = [case for case in range(n) if groups[case].startswith("documents") is kind]
        outcomes = mapped(partial(fuzz.attempt, folder=folder, seed=seed), cases, workers, limits)
        for case, made in zip(cases, outcomes, strict=True):
            if isinstance(made, str):
                # Pictures are decoded by workers, whose death is told; all else is read by the process of the command
                made = fuzz.Outcome(case, groups[case], "FAILED: died" if kind else "died", made)
            yield made


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
    parser.add_argument("--of", choices=("all", "films", "documents"), default="all")
    parser.add_argument("--only", type=int, help="this case alone, in this process")
    parser.add_argument("--keep", type=Path, help="with --only: work in this folder and leave it there")
    given = parser.parse_args()
    real = Path(os.environ["MUSCLE_REAL_DATA"]) if os.environ.get("MUSCLE_REAL_DATA") else None
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        if given.only is not None:
            if not (folder / "originals.json").exists():
                make(folder, real, given.of)
            print(attempt(given.only, folder, given.seed))
            return 0
        began = time.perf_counter()
        outcomes = []
        for outcome in run(given.n, folder, given.seed, given.workers, real, given.of):
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
