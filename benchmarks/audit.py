"""Does the audit find planted duplicates among real radiographs, and how fast is it on many films?

    export MUSCLE_REAL_DATA=DIR PYTHONPATH=tests/support OMP_NUM_THREADS=1
    python benchmarks/audit.py [--films 300] [--sizes 10000,30000,100000,200000]

Writes ``benchmarks/results/audit.json``, whole, at the end of one run of both parts. *Duplicates*: originals of two
halves of the patients; copies are made of the original file's pixels, encoded as PNG, and stored as films of another
source. The threshold is set on the first half; recall and false pairs are measured on the second, at the constants
that ``muscle`` ships. *Speed*: stores of drawn mixtures of two warped chest films, 64 x 64 pixels, 1 % of them planted
copies; hashing to audited pairs, in one process with one thread. A mixture is to 60 to 90 % of its first film, of some
3,500 there are: of 200,000 mixtures some 6 million pairs have their first film in common, and some of these are one
picture but for their warps and a tenth of their grey. These are counted apart, ``of one film``; what remains of
``other pairs`` is wrong.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import copies  # of tests/support
import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from muscle.data import duplicates, hashing
from muscle.data.audit import audit
from muscle.data.corpus import Corpus
from muscle.data.data_file import DataFile
from muscle.data.decode import Decode, decode
from muscle.data.index import FILE, Line, write_index
from muscle.data.rows import all_rows
from muscle.data.splits import chance
from muscle.data.store import MANIFEST, VERSION, Store, file_sha256
from muscle.machine import Machine
from muscle.paths import atomic_write
from muscle.provenance import provenance
from muscle.types import Sample, SplitName

SIZE = (256, 160)  # of the preset `small`
SOURCES = {
    "chest": {"kind": "kermany", "root": "dev/chest_xray"},
    "chest-224": {"kind": "kermany", "root": "chest_xray_224"},
    "bones": {"kind": "yolo", "root": "dev/bone-fracture-roboflow", "target": "fracture"},
    "teeth": {"kind": "yolo", "root": "dev/dental-xray-roboflow", "target": "teeth"},
}


def interval(hits: int, of: int) -> list[float]:
    """Clopper-Pearson, 95 % two-sided."""
    low = float(beta.ppf(0.025, hits, of - hits + 1)) if hits else 0.0
    high = float(beta.ppf(0.975, hits + 1, of - hits)) if hits < of else 1.0
    return [low, high]


def planted(root: Path, films: int, work: Path) -> dict[str, Any]:
    """Recall by way of copying, and false pairs; thresholds set on one half of the patients, measured on the other."""
    given = {name: {**fields, "root": str(root / fields["root"])} for name, fields in SOURCES.items()}
    halves: dict[str, Any] = {}
    for half in ("calibration", "measurement"):
        halves[half] = _half(DataFile.parse({"sources": given}), half, films, work / half)
    alike = halves["calibration"].pop("scores"), halves["measurement"].pop("scores")
    true, false = (np.array([s for s, t in alike[0] if t is wanted]) for wanted in (True, False))
    chosen = {
        "shipped threshold": duplicates.ALIKE,
        "bits": hashing.NEAR,
        "calibration: 1 % of true copies below": round(float(np.quantile(true, 0.01)), 3),
        "calibration: highest of chest films of two patients": round(float(false.max()), 3)
        if len(false)
        else None,
    }
    return {"threshold": chosen, **halves}


def _half(file: DataFile, half: str, films: int, work: Path) -> dict[str, Any]:
    wanted = half == "calibration"
    originals = [
        (Path(file.sources[name].root) / s.path, s)
        for name, (samples, _) in file.read().items()
        for s in samples
        if (chance(1, s.patient) < 0.5) == wanted
    ]
    rng = np.random.default_rng(0 if wanted else 1)
    patient, chest = {}, {}
    for number, (path, sample) in enumerate(originals):
        name = f"{number:05d}.png"
        _png(work / "originals" / name, decode(path, Decode()).pixels)
        patient[f"originals/{name}"] = sample.patient
        chest[f"originals/{name}"] = sample.source.startswith("chest")
    asked: dict[str, dict[str, str]] = {}
    for way, copy in copies.WAYS.items():
        asked[way] = {}
        for number in rng.permutation(len(originals))[:films]:
            name = f"{way.replace(' ', '-').replace('%', 'pc')}-{number:05d}.png"
            pixels = cv2.imread(str(work / "originals" / f"{number:05d}.png"), cv2.IMREAD_GRAYSCALE)
            _png(work / "copies" / name, copy(pixels, rng))
            asked[way][f"copies/{name}"] = f"originals/{number:05d}.png"
    roots = {name: {"kind": "folder", "root": str(work / name)} for name in ("originals", "copies")}
    corpus = Corpus.prepare(DataFile.parse({"sources": roots}), SIZE, Decode(), "stretch", work / "stores", 2)
    of: dict[str, list[str]] = {}
    for i, image in zip(corpus.all_rows.ids, corpus.all_rows.image_hashes, strict=True):
        of.setdefault(image, []).append(i)
    near = [(a, b) for one, two, _ in corpus.near for a in of[one] for b in of[two]]
    found = {frozenset(pair) for pair in near}
    same = {frozenset((a, b)) for group in of.values() for a in group for b in group if a != b}
    recall = {}
    for way, pairs in asked.items():
        hits = sum(frozenset(pair) in found | same for pair in pairs.items())
        recall[way] = {"found": hits, "of": len(pairs), "recall": round(hits / len(pairs), 4),
                       "interval": [round(v, 4) for v in interval(hits, len(pairs))]}  # fmt: skip
    origin = {name: original for pairs in asked.values() for name, original in pairs.items()}
    people = {name: patient[origin.get(name, name)] for name in [*patient, *origin]}
    kind = {name: chest[origin.get(name, name)] for name in [*patient, *origin]}
    false = [(a, b) for a, b in near if people[a] != people[b]]
    wrong = [pair for pair in false if all(kind[name] for name in pair)]
    pairs_of = {}
    for name, mine in (
        ("chest films of two patients", True),
        ("bones and teeth, of two source names", False),
    ):
        keys = [people[n] for n in people if kind[n] == mine]
        counts = np.unique(np.array(keys), return_counts=True)[1]
        total = int((len(keys) * (len(keys) - 1) - (counts * (counts - 1)).sum()) // 2)
        hits = len(wrong) if mine else len(false) - len(wrong)
        pairs_of[name] = {"pairs": total, "taken for one picture": hits,
                          "rate, upper 95 % bound": interval(hits, total)[1]}  # fmt: skip
    if not wanted:
        pairs_of["bones and teeth, of two source names"]["originals"] = sorted(
            f"{originals[int(a[10:15])][1].id} = {originals[int(b[10:15])][1].id}"
            for a, b in false if a.startswith("originals") and b.startswith("originals") and (a, b) not in wrong
        )  # fmt: skip
    return {"films": len(originals), "copies": len(origin), "recall": recall, "pairs of others": pairs_of,
            "scores": _scores(corpus, people, kind)}  # fmt: skip


def _scores(corpus: Corpus, people: dict[str, str], chest: dict[str, bool]) -> list[tuple[float, bool]]:
    """(agreement, whether a true copy) of every candidate that is a copy or two chest films of two patients."""
    some = duplicates._thumbs(corpus.stores, corpus.progress)[0]
    ids, found = corpus.all_rows.ids, []
    may = hashing.candidates(some)
    for i, j, look in zip(may.first, may.second, may.look, strict=True):
        same = people[ids[i]] == people[ids[j]]
        if same and ids[i].startswith("copies") == ids[j].startswith("copies"):
            continue
        if same or (chest[ids[i]] and chest[ids[j]]):
            first, second = hashing.tones(some[[i, j]])
            found.append((hashing.agreement(first, second, hashing.Look.of(int(look))), same))
    return found


def _png(path: Path, pixels: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), pixels):
        raise OSError(f"cannot write {path}")


# --- speed ----------------------------------------------------------------------------------------------------


def drawn(base: NDArray[np.uint8], n: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """[n, 64, 64]: mixtures of two films, warped, about as like each other as chest films are; of which film most is.

    The last hundredth are copies of the first, by every way in turn.
    """
    rng = np.random.default_rng(seed)
    found, most = np.empty((n, 64, 64), np.uint8), np.empty(n, np.int64)
    y, x = np.mgrid[:80, :80].astype(np.float32)
    ways, films = list(copies.WAYS.values()), n // 100
    for i in range(n - films):
        chosen = rng.integers(len(base), size=2)
        most[i] = chosen[0]
        first, second = base[chosen].astype(np.float32)
        share = np.float32(rng.uniform(0.6, 0.9))
        bend = cv2.resize(
            rng.normal(0, 1.4, (5, 5, 2)).astype(np.float32), (80, 80), interpolation=cv2.INTER_CUBIC
        )
        mixed = cv2.remap(share * first + (1 - share) * second, x + 8 + bend[..., 0], y + 8 + bend[..., 1],
                          cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT).astype(np.uint8)  # fmt: skip
        found[i] = cv2.resize(mixed, (64, 64), interpolation=cv2.INTER_AREA)
        if i < films:
            copy = ways[i % len(ways)](mixed, rng)
            found[n - films + i] = cv2.resize(copy, (64, 64), interpolation=cv2.INTER_AREA)
            most[n - films + i] = most[i]
    return found, most


def store(path: Path, images: NDArray[np.uint8]) -> Store:
    """A store of these rows, each of a person of its own; nine in ten for training."""
    n = len(images)
    path.mkdir(parents=True)
    np.save(path / "images.npy", images)
    lines = (_line(f"{i:07d}.png") for i in range(n))
    write_index(path / FILE, lines, ())
    sha = file_sha256(path / "images.npy")
    about = {"version": VERSION, "name": "films", "rows": n, "size": [64, 64], "fit": "stretch", "targets": [],
             "arrays": {"": {"file": "images.npy", "sha256": sha}},
             "index": {"file": FILE}, "mean": 0, "sd": 1, "quarantine": [], "digest": sha}  # fmt: skip
    (path / MANIFEST).write_text(json.dumps(about))
    return Store.open(path)


def _line(name: str) -> Line:
    sample = Sample(id=f"films/{name}", path=name, source="films", patient=name)
    part: SplitName = "test" if chance(0, sample.id) < 0.1 else "train"
    entry = dict.fromkeys(("image_hash", "file_hash", "row_hash"), name) | dict.fromkeys(
        ("width", "height"), 64
    )
    levels = {"pixel_count": 64 * 64, "pixel_sum": 0, "pixel_square_sum": 0, "steps": []}
    return sample, part, entry | levels, ("", "")


def peak() -> float:
    """GB of this process at most so far."""
    line = next(r for r in Path("/proc/self/status").read_text().splitlines() if r.startswith("VmHWM"))
    return round(int(line.split()[1]) / 1e6, 2)


def measured(path: Path, most: NDArray[np.int64]) -> dict[str, Any]:
    """Time and memory of hashing a store of ``drawn`` films to audited pairs; runs in a process of its own."""
    cv2.setNumThreads(1)
    before, met = peak(), []
    found = Store.open(path)
    n, films = len(found), len(found) // 100
    start, cpu = time.perf_counter(), time.process_time()

    def counted(some: hashing.Thumbs) -> hashing.Candidates:
        met.append(hashing.candidates(some))
        return met[-1]

    duplicates.candidates = counted
    near = duplicates.near_duplicates([found])
    hashed = time.perf_counter() - start
    pairs = audit(all_rows([found]), near).pairs
    seconds = time.perf_counter() - start
    place = {name: i for i, name in enumerate(all_rows([found]).ids)}
    places = [(place[p.first], place[p.second]) for p in pairs]
    others = [(i, j) for i, j in places if abs(i - j) != n - films]
    same = sum(bool(most[i] == most[j]) for i, j in others)
    return {
        "films": n, "seconds": round(seconds, 1), "cpu seconds": round(time.process_time() - cpu, 1),
        "of them near-duplicates": round(hashed, 1), "peak GB": peak(), "GB before": before, "candidates": len(met[0]),
        "planted": films, "planted found": len(places) - len(others), "other pairs": len(others) - same,
        "of one film": same,
    }  # fmt: skip


def growth(base: NDArray[np.uint8], n: int, work: Path) -> dict[str, Any]:
    """The measurement of one size."""
    folder = work / f"films-{n}"
    images, most = drawn(base, n, n)
    store(folder, images)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply(measured, (folder, most)) | {"load average": round(os.getloadavg()[0], 1)}
    print(json.dumps(found), flush=True)
    return found


def real_films(root: Path, most: int | None = None) -> NDArray[np.uint8]:
    """[N, 96, 96] of the real chest films."""
    given = {n: {**f, "root": str(root / f["root"])} for n, f in SOURCES.items() if f["kind"] == "kermany"}
    file = DataFile.parse({"sources": given})
    paths = [Path(file.sources[n].root) / s.path for n, (samples, _) in file.read().items() for s in samples]
    films = [decode(path, Decode()).pixels for path in paths[:most]]
    return np.stack([cv2.resize(film, (96, 96), interpolation=cv2.INTER_AREA) for film in films])


def exponent(rows: list[dict[str, Any]]) -> float:
    """Slope of the logarithm of CPU seconds over that of films."""
    x, y = (np.log([row[name] for row in rows]) for name in ("films", "cpu seconds"))
    return round(float(np.polyfit(x, y, 1)[0]), 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--films", type=int, default=300, help="copies of each way and half")
    parser.add_argument("--sizes", default="10000,30000,100000,200000", help="two at least")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "audit.json")
    asked = parser.parse_args()
    sizes = [int(size) for size in asked.sizes.split(",") if size.isdigit()]
    if asked.films < 1 or len(sizes) < 2:
        parser.error("one run measures both parts: --films 1 or more, --sizes N,N or more of them")
    root = Path(os.environ["MUSCLE_REAL_DATA"])
    about = provenance(Machine(device="cpu", threads=1))
    result: dict[str, Any] = {name: about[name] for name in ("command", "commit", "machine", "started")} | {
        "versions": {k: about["versions"][k] for k in ("numpy", "python")} | {"opencv": cv2.__version__},
        "threads": 1, "niceness": os.nice(0), "load average at the start": round(os.getloadavg()[0], 1),
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        result["duplicates"] = planted(root, asked.films, Path(folder))
        base = real_films(root)
        rows = [growth(base, size, Path(folder)) for size in sizes]
    result["speed"] = {"CPU seconds grow with films to the power": exponent(rows), "rows": rows}
    atomic_write(asked.out, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
