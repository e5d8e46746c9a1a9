"""How near our steps come to the least that they can cost, both timed in the same run."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from muscle import bench_prepare
from muscle.bench_steps import Bench, Step, tasks
from muscle.data.corpus import Corpus
from muscle.data.data_file import DataFile
from muscle.data.decode import Decode
from muscle.demo import write_phantoms
from muscle.errors import UsageError, among
from muscle.machine import DTYPES, Machine
from muscle.progress import SILENT, Progress

SIZE, BATCH, REPEATS = (160, 256), 32, 5
FILMS = 160  # of each part of the body
FILMS_A_SECOND, PREPARED = 100, 5  # what a core or two decode; repeats of prepare
STEPS = ("MoCo", "SimCLR", "classification", "evaluation", "segmentation", "detection")
MATRIX, LOOKS = 4096, 5  # rows and columns of matrices that show what arithmetic units can do; how often


def bench(
    seconds: float = 8.0, threads: int = 0, only: str = "", progress: Progress = SILENT
) -> list[dict[str, Any]]:
    """The speed table: each of our steps beside the least that it can cost, timed in turns in one run.

    Training steps (ResNet-18, 160x256, batch 32, from a store on the disk) beside the same arithmetic on random tensors
    that lie in memory: forward, loss, backward and AdamW, with MoCo's key encoder and its update, in the same precision
    and memory format. *Evaluation*: predictions of a classification with their truth, beside the forward pass.
    ``prepare`` beside a loop that decodes and resizes the same files. About ``seconds`` each side; the ratio is the
    median over repeats, with its range. ``GFLOP``: 10^9 multiplications and additions that an image takes, as torch
    counts them; ``peak``: as many a second of the best matrix product of this machine in that precision; ``of peak``:
    how near the floor comes to it.

    Args:
        only: rows whose name holds this text; all by default.

    Raises:
        UsageError: no row does.
    """
    kinds = f"prepare, {bench_prepare.SIDE}-pixel PNG, JPEG, DICOM, {bench_prepare.WORKERS} processes"
    if not any(only.lower() in name.lower() for name in (*STEPS, kinds)):
        raise UsageError(f"only {only!r}: in the name of no row; {among(only, (*STEPS, 'prepare'))}")
    machine = Machine(threads=threads)
    machine.settle()
    precision, device = DTYPES[machine.precision("auto")], machine.torch_device()
    about = {"threads": torch.get_num_threads(), "device": str(device)}
    slot, found = seconds / REPEATS, []
    with tempfile.TemporaryDirectory(prefix="muscle-bench-") as scratch:
        file = DataFile.load(write_phantoms(Path(scratch) / "films", FILMS, FILMS))
        corpus = Corpus.prepare(file, SIZE, Decode(), "stretch", Path(scratch) / "store")
        for name, (ours, floor, format_) in _steps(Bench(corpus, precision, device)).items():
            if only.lower() in name.lower():
                progress.message(f"measuring {name}")
                bare = floor()
                work, peak = flops(bare) / BATCH, matmul(format_, device)
                turns = in_turns(
                    partial(rate, ours(), slot, BATCH), partial(rate, bare, slot, BATCH), REPEATS
                )
                step = f"{name}, ResNet-18, {SIZE[0]}x{SIZE[1]}, batch {BATCH}"
                near = {"GFLOP": work / 1e9, "peak": peak / 1e9, "of peak": turns["floor"] * work / peak}
                format_name = str(format_).removeprefix("torch.")
                found.append({"step": step, "precision": format_name, **about, **turns, **near})
        if only.lower() in kinds.lower():
            progress.message(f"measuring {kinds}")
            films = max(8, int(seconds * FILMS_A_SECOND / PREPARED))
            decoded = in_turns(*bench_prepare.sides(Path(scratch), films), PREPARED)
            found.append({"step": kinds, **about, "films": films, **decoded})
    return found


def _steps(made: Bench) -> dict[str, tuple[Callable[[], Step], Callable[[], Step], torch.dtype]]:
    """Our step, its floor and their precision, by name; each is built when it is called."""
    known = {target.kind: name for name, target in made.corpus.targets.items()}
    found: dict[str, tuple[Callable[[], Step], Callable[[], Step], torch.dtype]] = {}
    for name, task in tasks(BATCH, known).items():
        found[name] = partial(made.ours, task), partial(made.floor, task), made.precision
        if name == "classification":  # predictions are in float32, so that scores do not hang on the device
            found["evaluation"] = partial(made.predicted, task), partial(made.forward, task), torch.float32
    return found


def in_turns(ours: Callable[[], float], floor: Callable[[], float], repeats: int) -> dict[str, Any]:
    """Both sides in images a second, and their ratio, after a first turn of each that does not count."""
    ours(), floor()
    pairs = [(ours(), floor()) for _ in range(repeats)]
    ratios = sorted(mine / bare for mine, bare in pairs)
    return {
        "repeats": repeats,
        "ours": statistics.median(mine for mine, _ in pairs), "floor": statistics.median(bare for _, bare in pairs),
        "ratio": statistics.median(ratios), "low": ratios[0], "high": ratios[-1],
    }  # fmt: skip


def flops(step: Callable[[], object]) -> int:
    """Multiplications and additions of products of matrices and convolutions, by torch's count."""
    with FlopCounterMode(display=False) as counter:
        step()
    return int(counter.get_total_flops())


@cache
def matmul(precision: torch.dtype, device: torch.device) -> float:
    """The most multiplications and additions a second that this machine shows, in a product of large matrices."""
    left, right = (torch.randn(MATRIX, MATRIX, device=device).to(precision) for _ in range(2))
    return max(rate(lambda: left @ right, 0.2, 2 * MATRIX**3) for _ in range(LOOKS))


def rate(step: Callable[[], object], seconds: float, images: int) -> float:
    """Images a second of steps of so many, over at least ``seconds``."""
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < seconds or not done:
        step()
        done += 1
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return done * images / (time.perf_counter() - start)
