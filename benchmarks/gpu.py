"""What only a GPU can show: the step against its floor, reading against training, kernels against the clock, budgets.

    python benchmarks/gpu.py [--backbone resnet50] [--size 800 500] [--films 400] [--steps 50] [--budgets 8 12]

- *Floor*: MoCo from the store beside the same arithmetic on tensors that lie on the device, in turns.
- *Reading*: batches from the store to the device, and nothing done with them, beside the rate of training.
- *Kernels*: the share of ``steps`` steps in which a kernel runs, from torch's profiler; the kernels themselves go to
  ``results/gpu-kernels.json.gz`` (name, start and length in microseconds).
- *Budgets*: ``steps`` steps of each task of MUSCLE's paper preset on a device that may give out so many GiB
  (``set_per_process_memory_fraction``), with the settings that ``muscle run --plan --memory`` proposes
  for the task alone. Drawn films are few, so MoCo's queue is short: one of 65,536 keys has 32 MiB more.

Films are drawn. Writes ``results/gpu.json``. Without a GPU everything but the kernels runs on the CPU, budgets unbound,
so that the script is known to work; ``bars.py`` takes no figure from that.
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from muscle.backbones.resnet import ResNet
from muscle.bench import in_turns, rate
from muscle.bench_steps import Bench, Step, read_ahead
from muscle.data.corpus import Corpus
from muscle.data.data_file import DataFile
from muscle.data.decode import Decode
from muscle.demo import write_phantoms
from muscle.errors import UserError
from muscle.machine import DTYPES, Machine
from muscle.memory import GIB, told
from muscle.provenance import provenance
from muscle.recipe import Recipe, Stage, assign_roles
from muscle.recipes import recipe
from muscle.tasks import Task
from muscle.tasks.moco import MoCo
from muscle.trial import Fits, Trial

RESULTS = Path(__file__).resolve().parent / "results"
BATCH, REPEATS, SLOT = 24, 5, 3.0  # of the paper preset; interleaved looks, seconds each


def floor(bench: Bench, task: Task) -> dict[str, Any]:
    """Ours beside the bare arithmetic."""
    return _beside(bench.ours(task), bench.floor(task), task)


def reading(bench: Bench, task: Task) -> dict[str, Any]:
    """Batches to the device alone, beside training."""
    ready = iter(read_ahead(bench.corpus.pool, None, task.batch_size))
    return _beside(lambda: next(ready).to(bench.device), bench.ours(task), task)


def _beside(one: Callable[[], object], other: Step, task: Task) -> dict[str, Any]:
    sides = [partial(rate, step, SLOT, task.batch_size) for step in (one, other)]
    return in_turns(*sides, REPEATS)


def kernels(step: Step, steps: int) -> dict[str, Any] | None:
    """The share of the clock in which a kernel runs; None without a GPU."""
    if not torch.cuda.is_available():
        return None
    for _ in range(5):
        step()
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        start = time.perf_counter()
        for _ in range(steps):
            step()
        torch.cuda.synchronize()
        wall = 1e6 * (time.perf_counter() - start)
    with tempfile.TemporaryDirectory() as scratch:
        seen.export_chrome_trace(f"{scratch}/trace.json")
        events = json.loads(Path(scratch, "trace.json").read_text())["traceEvents"]
    ran = sorted((e["ts"], e["dur"], e["name"]) for e in events if e.get("cat") == "kernel")
    with gzip.open(RESULTS / "gpu-kernels.json.gz", "wt") as file:
        json.dump([[name, round(at - ran[0][0], 1), took] for at, took, name in ran], file)
    return {"steps": steps, "wall us": wall, "kernel us": covered(ran), "share": covered(ran) / wall}


def covered(events: Sequence[tuple[float, float, str]]) -> float:
    """The time in which at least one event runs; ``events``: (start, length, name), by start."""
    total, end = 0.0, float("-inf")
    for at, took, _ in events:
        total += max(0.0, at + took - max(at, end))
        end = max(end, at + took)
    return total


def budgets(
    corpus: Corpus, backbone: ResNet, size: tuple[int, int], gib: float, steps: int
) -> list[dict[str, Any]]:
    """So many steps of each task within a budget, with the settings that fit."""
    paper = recipe("muscle", "paper").with_(backbone=backbone, size=size)
    assert paper.finetune is not None
    found = []
    stages = [*paper.stages, Stage(name="finetune", tasks=paper.finetune.tasks)]
    for stage in stages:
        for name, task in assign_roles(stage.tasks, corpus.targets, corpus.file).items():
            row: dict[str, Any] = {"GiB": gib, "stage": stage.name, "task": name, "batch": task.batch_size}
            try:
                found.append(row | _within(corpus, paper, stage, name, task, gib, steps))
            except UserError as error:
                found.append(row | {"failed": str(error)})
            print(json.dumps(found[-1]), flush=True)
    return found


def _within(
    corpus: Corpus, paper: Recipe, stage: Stage, name: str, task: Task, gib: float, steps: int
) -> dict[str, Any]:
    rows = len(corpus.pool) if task.needs is None else len(corpus.tasks[task.data].train)
    if isinstance(task, MoCo):
        task = task.with_(queue="auto").resolve(rows)
    machine = Machine(memory=gib)
    fits = Fits(machine)
    fits.told(Trial(paper, stage, name, task, rows, corpus, machine), name)
    chosen = fits.choice()
    if chosen is None:
        raise UserError("no setting has room")
    recompute, parts = chosen
    machine, task = machine.with_(recompute=recompute), task.with_(accumulate=parts[name])
    trial = Trial(paper, stage, name, task, rows, corpus, machine)
    with capped(gib), told(task, recompute):
        seconds, _ = trial.seconds(steps)
        peak = torch.cuda.max_memory_reserved() / GIB if torch.cuda.is_available() else None
    return {"recompute": recompute, "accumulate": parts[name], "steps": steps,
            "images/s": round(trial.batch / seconds, 1), "reserved GiB": peak}  # fmt: skip


@contextmanager
def capped(gib: float) -> Iterator[None]:
    """Inside, a GPU gives out so many GiB; a CPU as many as it has."""
    if not torch.cuda.is_available():
        yield
        return
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    torch.cuda.set_per_process_memory_fraction(gib * GIB / torch.cuda.get_device_properties(0).total_memory)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def main() -> None:
    """Measures everything, and writes it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--size", type=int, nargs=2, default=[800, 500])
    parser.add_argument("--films", type=int, default=400, help="of each part of the body")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--budgets", type=float, nargs="*", default=[8.0, 12.0])
    asked = parser.parse_args()
    size, backbone = (asked.size[0], asked.size[1]), ResNet(name=asked.backbone)
    machine = Machine()
    machine.settle()
    result: dict[str, Any] = {
        "provenance": provenance(machine), "device": machine.torch_device().type,
        "what": f"MoCo, {asked.backbone}, {size[0]}x{size[1]}, batch {BATCH}, {machine.precision('auto')}",
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="muscle-gpu-") as scratch:
        file = DataFile.load(write_phantoms(Path(scratch) / "films", asked.films, asked.films))
        corpus = Corpus.prepare(file, size, Decode(), "stretch", Path(scratch) / "store")
        bench = Bench(corpus, DTYPES[machine.precision("auto")], machine.torch_device(), backbone)
        task = MoCo(batch_size=BATCH, queue="auto")
        for name, measure in (("floor", floor), ("reading", reading)):
            result[name] = measure(bench, task)
            print(name, json.dumps(result[name]), flush=True)
        result["kernels"] = kernels(bench.ours(task), asked.steps)
        print("kernels", json.dumps(result["kernels"]), flush=True)
        result["budgets"] = [
            row for gib in asked.budgets for row in budgets(corpus, backbone, size, gib, asked.steps)
        ]
    (RESULTS / "gpu.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
