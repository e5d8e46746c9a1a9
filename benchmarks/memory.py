"""How much memory rows of an index take: in training from a store, and while a store is prepared.

    python benchmarks/memory.py [--rows 100000,1000000] [--prepare 10000,100000]

Writes ``benchmarks/results/memory.json``. *Training*: a store of that many rows, of which 9 in 10 train and the pixels
(32 x 32) are a hole on the disk; a fresh process opens it, checks it for leaks, makes the pool and the task, takes
their digests, and trains ResNet-18 on batches of 64: 20 steps of MoCo, 20 of a classification. *Prepare*: that many
small PNG files, decoded by two processes; memory is that of the parent. Figures are of ``RssAnon``: what a process
holds for itself. Pages of mapped files are the system's cache, which gives them up when it needs them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from muscle.bench_steps import Bench
from muscle.data.corpus import Corpus
from muscle.data.data_file import DataFile
from muscle.data.decode import Decode
from muscle.data.index import FILE, Line, content_sha256, write_index
from muscle.data.splits import chance
from muscle.data.store import MANIFEST, VERSION, Store
from muscle.machine import Machine
from muscle.provenance import provenance
from muscle.tasks.classification import Classification
from muscle.tasks.moco import MoCo
from muscle.types import Labels, Sample, SplitName, Target

TARGET = Target(name="finding", kind="labels", classes=("no", "yes"))
SIDE, BATCH, STEPS = 32, 64, 20
FOLDERS = 1000  # files a folder


def anonymous() -> int:
    """Bytes that this process holds for itself."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


@contextmanager
def watched(found: dict[str, float]) -> Iterator[None]:
    """Notes the most that is held inside, looked at 200 times a second, and what is held at the end."""
    before, most, over = anonymous(), [0], threading.Event()

    def look() -> None:
        while not over.wait(0.005):
            most[0] = max(most[0], anonymous())

    watch = threading.Thread(target=look)
    watch.start()
    try:
        yield
    finally:
        over.set()
        watch.join()
        now = anonymous()
        found |= {"before MB": before / 1e6, "peak MB": max(most[0], now) / 1e6, "at the end MB": now / 1e6}


def _line(i: int) -> Line:
    name, key = f"{i // FOLDERS:04}/{i:07}.png", f"{i:064x}"
    labels = Labels((float(i % 2 == 0), float(i % 2)))
    sample = Sample(id=f"films/{name}", path=name, source="films", patient=f"films:{i // 2}", body_part="chest",
                    annotations={"finding": labels})  # fmt: skip
    part: SplitName = ("test", "valid", *["train"] * 8)[int(10 * chance(0, sample.patient))]  # type: ignore[assignment]
    entry = {"image_hash": key, "file_hash": key, "row_hash": key, "width": 2000, "height": 2000, "steps": ["PNG"],
             "pixel_count": SIDE * SIDE, "pixel_sum": 5000, "pixel_square_sum": 600_000}  # fmt: skip
    return sample, part, entry, (key[:32], key[32:])


def store(rows: int, path: Path) -> None:
    """A finished store whose pixels are a hole."""
    path.mkdir(parents=True)
    images = np.lib.format.open_memmap(path / "images.npy", "w+", np.uint8, (rows, SIDE, SIDE))
    del images
    index = write_index(path / FILE, map(_line, range(rows)), [TARGET])
    about = {"version": VERSION, "name": "films", "rows": rows, "size": [SIDE, SIDE], "fit": "stretch", "targets": [
             {"name": TARGET.name, "kind": TARGET.kind, "classes": TARGET.classes, "exclusive": TARGET.exclusive}],
             "arrays": {"": {"file": "images.npy", "sha256": ""}}, "index": {"file": FILE}, "mean": 80, "sd": 30,
             "quarantine": [], "digest": content_sha256(index)}  # fmt: skip
    (path / MANIFEST).write_text(json.dumps(about))


def trained(path: Path) -> dict[str, float]:
    """What training asks of a store."""
    found: dict[str, float] = {}
    file = DataFile.parse({"sources": {"films": {"kind": "folder", "root": str(path)}}})
    started = time.perf_counter()
    with watched(found):
        corpus = Corpus(file, (Store.open(path),))
        corpus.check_leaks()
        corpus.pool.digest()
        corpus.tasks["finding"].train.digest(TARGET)
        bench = Bench(corpus, torch.float32, torch.device("cpu"))
        for step in map(
            bench.ours, (MoCo(batch_size=BATCH), Classification(batch_size=BATCH, data="finding"))
        ):
            for _ in range(STEPS):
                step()
    return found | {"seconds": round(time.perf_counter() - started, 1), "pool": len(corpus.pool)}


def prepared(rows: int, work: Path) -> dict[str, float]:
    """Files made, then prepared."""
    picture = np.add.outer(np.arange(SIDE), np.arange(SIDE)).astype(np.uint8)
    root = work / "files"
    for i in range(rows):
        if i % FOLDERS == 0:
            (root / f"{i // FOLDERS:04}").mkdir(parents=True)
        good, coded = cv2.imencode(".png", picture * (i % 7) + np.uint8(i % 251))
        assert good
        (root / f"{i // FOLDERS:04}" / f"{i:07}.png").write_bytes(coded.tobytes())
    found: dict[str, float] = {}
    file = DataFile.parse({"sources": {"films": {"kind": "folder", "root": str(root)}}})
    started = time.perf_counter()
    with watched(found):
        Corpus.prepare(file, (SIDE, SIDE), Decode(), "stretch", work / "stores", 2)
    return found | {"seconds": round(time.perf_counter() - started, 1)}


def _apart(function: Callable[..., Any], *given: Any) -> Any:
    """In a process of its own, torch and all."""
    context = multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    process = context.Process(target=_put, args=(results, partial(function, *given)))
    process.start()
    found = results.get()
    process.join()
    return found


def _put(results: Any, function: Callable[[], Any]) -> None:
    results.put(function())


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", default="100000,1000000")
    parser.add_argument("--prepare", default="10000,100000")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "memory.json")
    given = parser.parse_args()
    found: dict[str, Any] = {"training": [], "prepare": []}
    with tempfile.TemporaryDirectory() as work:
        for rows in (int(n) for n in given.rows.split(",") if n):
            path = Path(work) / f"films-{rows}"
            _apart(store, rows, path)
            found["training"].append({"rows": rows} | _apart(trained, path))
            print(found["training"][-1], flush=True)
        for rows in (int(n) for n in given.prepare.split(",") if n):
            found["prepare"].append({"rows": rows} | _apart(prepared, rows, Path(work) / f"prepare-{rows}"))
            print(found["prepare"][-1], flush=True)
    for kind, rows in found.items():
        if len(rows) > 1:
            first, last = rows[0], rows[-1]
            for what in ("peak MB", "at the end MB"):
                first_to_last = last[what] / first[what] - 1
                print(
                    f"{kind}: {what} grows by {first_to_last:.1%} from {first['rows']:,} to {last['rows']:,} rows"
                )
    about = {
        k: v for k, v in provenance(Machine()).items() if k in ("command", "commit", "machine", "versions")
    }
    given.out.write_text(json.dumps(about | found, indent=1) + "\n")


if __name__ == "__main__":
    main()
