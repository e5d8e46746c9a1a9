"""How cost grows: with the batch, the size of a film, the queue, the tasks that take turns, and the rows of an index.

    python benchmarks/growth.py [--seconds 3] [--repeats 3]

Steps are ours (ResNet-18, the machine's precision and threads) on batches that lie in memory; points of a curve take
turns. *Rows*: a store of so many films whose pixels (8 x 8) are a hole on the disk: the seconds until its pool is
known, and the milliseconds to read one batch of 64 from it. Writes ``benchmarks/results/growth.json``; ``bars.py``
puts it into docs/speed.md. Growth with the world's size is in ``ranks.py``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from memory import TARGET, store
from muscle.backbones.resnet import ResNet
from muscle.bench import rate
from muscle.data.corpus import Corpus
from muscle.data.data_file import DataFile
from muscle.data.normalization import ZScore
from muscle.data.sampling import batches
from muscle.data.store import Store
from muscle.learner import Learner
from muscle.machine import DTYPES, Machine
from muscle.optim import Optimizer
from muscle.provenance import provenance
from muscle.recipe import Stage
from muscle.schedules import Cyclic, Sequential
from muscle.tasks import Task
from muscle.tasks.classification import Classification
from muscle.tasks.moco import MoCo
from muscle.trial import stepping
from muscle.types import Batch

SIZE, BATCH, QUEUE = (160, 256), 32, 1024
BATCHES, QUEUES, TASKS = (8, 16, 32, 64, 128), (1024, 4096, 16384, 65536), (1, 2, 4, 8)
SIZES = ((80, 128), (160, 256), (320, 512), (800, 500))
SIZE_BATCH = 8  # of the curve over sizes
ROWS = (1_000, 10_000, 100_000, 1_000_000)
READ = 50  # batches

Step = Callable[[], object]


def moco(machine: Machine, size: tuple[int, int], batch: int, queue: int) -> Step:
    """A step of MoCo."""
    task = MoCo(batch_size=batch, queue=queue, batch_norm="plain")
    return _stepped(machine, {"moco": task}, {"moco": queue}, size)


def labels(machine: Machine, tasks: int) -> Step:
    """Steps of so many classifications, one after the other, as the tasks of a cyclic schedule take turns."""
    made = {f"task{i}": Classification(data=f"task{i}", batch_size=BATCH) for i in range(tasks)}
    return _stepped(machine, made, dict.fromkeys(made, BATCH), SIZE)


def _stepped(
    machine: Machine, tasks: Mapping[str, Task], rows: dict[str, int], size: tuple[int, int]
) -> Step:
    torch.manual_seed(0)
    schedule = Cyclic() if len(tasks) > 1 else Sequential()
    stage = Stage(name="growth", tasks=tuple(tasks.values()), schedule=schedule)
    learner = Learner(ResNet().build(), stage, dict(tasks), dict.fromkeys(tasks, TARGET), rows)
    learner.to(machine.torch_device(), memory_format=torch.channels_last)  # type: ignore[call-overload]
    learner.train()
    optimizer = Optimizer().build(learner.backbone, learner.others(), [])
    precision = DTYPES[machine.precision("auto")]
    steps = [stepping(learner, name, optimizer, precision) for name in tasks]
    batch = _batch(next(iter(tasks.values())), size).to(machine.torch_device())

    def once() -> None:
        for step in steps:
            step([batch])

    return once


def _batch(task: Task, size: tuple[int, int]) -> Batch:
    n = task.batch_size
    truth = torch.eye(2)[torch.arange(n) % 2] if task.needs else None
    level = torch.full((n,), 120.0), torch.full((n,), 50.0)
    return Batch(torch.randint(0, 256, (n, 1, *size), dtype=torch.uint8), *level, torch.zeros(n, dtype=torch.long),
                 ("",) * n, truth)  # fmt: skip


def curve(points: Mapping[str, tuple[int, Step]], seconds: float, repeats: int) -> list[dict[str, Any]]:
    """Images a second of each point: steps by name, with the images of one."""
    found: dict[str, list[float]] = {name: [] for name in points}
    for _, step in points.values():
        step()
    for _ in range(repeats):
        for name, (images, step) in points.items():
            found[name].append(rate(step, seconds, images))
    return [
        {"at": name, "images/s": statistics.median(rates), "low": min(rates), "high": max(rates)}
        for name, rates in found.items()
    ]


def rows(count: int) -> dict[str, Any]:
    """What a store of so many films costs to open and to read from."""
    with tempfile.TemporaryDirectory(prefix="muscle-growth-") as scratch:
        path = Path(scratch) / "store"
        store(count, path)
        file = DataFile.parse({"sources": {"films": {"kind": "folder", "root": scratch}}})
        start = time.perf_counter()
        pool = Corpus(file, (Store.open(path),)).pool
        opened = time.perf_counter() - start
        read = []
        for _, index in zip(range(READ), batches(len(pool), 64, ("growth",)), strict=False):
            start = time.perf_counter()
            pool.batch(index, ZScore(), None)
            read.append(time.perf_counter() - start)
    return {"at": f"{count:,}", "pool s": opened, "batch ms": 1000 * statistics.median(read)}


def main() -> None:
    """Measures every curve."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3.0, help="of each look at a point, at least")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    machine = Machine()
    machine.settle()
    how = (given.seconds, given.repeats)
    curves = {
        "batch": curve({str(n): (n, moco(machine, SIZE, n, QUEUE)) for n in BATCHES}, *how),
        "size": curve(
            {f"{h}x{w}": (SIZE_BATCH, moco(machine, (h, w), SIZE_BATCH, QUEUE)) for h, w in SIZES}, *how
        ),
        "queue": curve({f"{n:,}": (BATCH, moco(machine, SIZE, BATCH, n)) for n in QUEUES}, *how),
        "tasks": curve({str(n): (n * BATCH, labels(machine, n)) for n in TASKS}, *how),
        "rows": [rows(count) for count in ROWS],
    }
    about = {
        "provenance": provenance(machine), "precision": machine.precision("auto"), "size": SIZE, "batch": BATCH,
        "queue": QUEUE, "batch of sizes": SIZE_BATCH, "curves": curves,
    }  # fmt: skip
    file = Path(__file__).resolve().parent / "results" / "growth.json"
    file.write_text(json.dumps(about, indent=1) + "\n")
    print(json.dumps(curves, indent=1))


if __name__ == "__main__":
    main()
