"""How near our steps come to the least that they can cost, both timed in the same run."""

from __future__ import annotations

import copy
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from muscle import bench_prepare
from muscle.backbones.resnet import ResNet
from muscle.data.corpus import Corpus
from muscle.data.data_file import DataFile
from muscle.data.decode import Decode
from muscle.data.normalization import ZScore
from muscle.data.prefetch import Prefetch
from muscle.data.sampling import batches
from muscle.demo import write_phantoms
from muscle.learner import Learner
from muscle.losses import info_nce
from muscle.machine import DTYPES, Machine
from muscle.optim import Optimizer
from muscle.projector import projector
from muscle.recipe import Stage
from muscle.schedules import Sequential
from muscle.tasks.moco import MoCo

SIZE, BATCH, REPEATS = (160, 256), 32, 7
FILMS_A_SECOND, PREPARED = 100, 5  # what a core or two decode; repeats of prepare


def bench(seconds: float = 8.0, threads: int = 0) -> list[dict[str, Any]]:
    """The speed table: each of our steps beside the least that it can cost, timed in turns in one run.

    The MoCo step (ResNet-18, 160x256, batch 32, from a store on the disk) beside the same arithmetic on random tensors
    that lie in memory: forward and backward of the query encoder, forward of the key encoder, InfoNCE, AdamW and the
    momentum update, in the same precision and memory format. ``prepare`` beside a loop that decodes and resizes the
    same files. About ``seconds`` each side; the ratio is the median over repeats, with its range.
    """
    machine = Machine(threads=threads)
    machine.settle()
    precision, device = DTYPES[machine.precision("auto")], machine.torch_device()
    about = {"threads": torch.get_num_threads(), "device": str(device)}
    with tempfile.TemporaryDirectory(prefix="muscle-bench-") as scratch:
        file = DataFile.load(write_phantoms(Path(scratch) / "films", 160, 160))
        corpus = Corpus.prepare(file, SIZE, Decode(), "stretch", Path(scratch) / "store")
        ours, floor = _ours(corpus, precision, device), _floor(precision, device)
        slot = seconds / REPEATS
        step = _in_turns(lambda: _rate(ours, slot), lambda: _rate(floor, slot), REPEATS)
        films = max(8, int(seconds * FILMS_A_SECOND / PREPARED))
        decoded = _in_turns(*bench_prepare.sides(Path(scratch), films), PREPARED)
    name = f"MoCo, ResNet-18, {SIZE[0]}x{SIZE[1]}, batch {BATCH}"
    kinds = f"prepare, {bench_prepare.SIDE}-pixel PNG, JPEG, DICOM, {bench_prepare.WORKERS} processes"
    return [
        {"step": name, "precision": str(precision).removeprefix("torch."), **about, **step},
        {"step": kinds, **about, "films": films, **decoded},
    ]


def _in_turns(ours: Callable[[], float], floor: Callable[[], float], repeats: int) -> dict[str, Any]:
    """Both sides in images a second, and their ratio, after a first turn of each that does not count."""
    ours(), floor()
    pairs = [(ours(), floor()) for _ in range(repeats)]
    ratios = sorted(mine / bare for mine, bare in pairs)
    return {
        "repeats": repeats,
        "ours": statistics.median(mine for mine, _ in pairs), "floor": statistics.median(bare for _, bare in pairs),
        "ratio": statistics.median(ratios), "low": ratios[0], "high": ratios[-1],
    }  # fmt: skip


def _rate(step: Callable[[], None], seconds: float) -> float:
    """Images a second over at least ``seconds``."""
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < seconds or not done:
        step()
        done += 1
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return done * BATCH / (time.perf_counter() - start)


def _ours(corpus: Corpus, precision: torch.dtype, device: torch.device) -> Callable[[], None]:
    task = MoCo(batch_size=BATCH, queue=BATCH * 4)
    stage = Stage(name="bench", tasks=(task,), schedule=Sequential())
    learner = Learner(ResNet(name="resnet18").build(), stage, {"moco": task}, {}, {"moco": len(corpus.pool)})
    learner.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    learner.train()
    optimizer = Optimizer().build(learner.backbone, learner.others(), [])

    def rows() -> Any:
        epoch = 0
        while True:
            yield from batches(len(corpus.pool), BATCH, ("bench", epoch))
            epoch += 1

    ready = iter(Prefetch(rows(), lambda index: corpus.pool.batch(np.asarray(index), ZScore(), None)))

    def step() -> None:
        losses = learner.losses("moco", next(ready).to(device), precision)
        sum(losses.values(), torch.zeros((), device=device)).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        learner.module("moco").after_step(learner.backbone)

    return step


def _floor(precision: torch.dtype, device: torch.device) -> Callable[[], None]:
    query = torch.nn.ModuleList([ResNet(name="resnet18").build(), projector(512, 128, mlp=True)])
    query.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    key = copy.deepcopy(query).requires_grad_(False)
    optimizer = Optimizer().build(query[0], [query[1]], [])
    views = [
        torch.randn(BATCH, 1, *SIZE, device=device).to(memory_format=torch.channels_last) for _ in range(2)
    ]
    queue = F.normalize(torch.randn(BATCH * 4, 128, device=device), dim=1)

    def embed(modules: torch.nn.ModuleList, images: Tensor) -> Tensor:
        return F.normalize(modules[1](modules[0](images).pooled).float(), dim=1)

    def step() -> None:
        with torch.autocast(device.type, dtype=precision, enabled=precision != torch.float32):
            mine = embed(query, views[0])
            with torch.no_grad():
                other = embed(key, views[1])
            loss = info_nce(mine, other, queue, 0.2)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            torch._foreach_lerp_(list(key.parameters()), list(query.parameters()), 0.01)

    return step
