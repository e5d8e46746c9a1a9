"""Two ranks of one thread against one process of two threads: the same MoCo steps on the same batch, side by side.

    python benchmarks/ranks.py [--repeats 5] [--seconds 6] [--batch 64 32] [--ways "one message" DDP]

Gradients summed two ways: in one message (``World.sum_gradients``, what the engine does), and by DDP with buffers left
alone. Runs alternate; ratios are of images per second to one process. 64 is the batch of the preset ``small``; what a
step costs whatever its batch (the message, and each rank's own optimizer step and momentum encoder) weighs less the
larger it is. Writes benchmarks/results/ranks.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from muscle.backbones.resnet import ResNet
from muscle.batch_norm import synchronize
from muscle.distributed import Shard, joined, together, world
from muscle.learner import Learner
from muscle.machine import Machine
from muscle.optim import Optimizer
from muscle.provenance import provenance
from muscle.recipe import Stage
from muscle.schedules import Sequential
from muscle.tasks.moco import MoCo
from muscle.types import Batch

SIZE, IMAGES = (160, 256), 256
WAYS = ("one process", "one message", "DDP")


class _Losses(nn.Module):
    """The learner's losses as DDP wants them."""

    def __init__(self, learner: Learner) -> None:
        super().__init__()
        self.learner = learner

    def forward(self, batch: Batch) -> Tensor:
        return torch.stack([*self.learner.losses("moco", batch, torch.bfloat16).values()]).sum()


def rate(way: str, seconds: float, images: int) -> float:
    """Images a second of batches of so many images, on this and the other ranks together."""
    Machine(device="cpu", threads=2 // world().size).settle()
    torch.manual_seed(0)
    task = MoCo(batch_size=images, queue=IMAGES).resolve(IMAGES)
    stage = Stage(name="bench", tasks=(task,), schedule=Sequential(epochs_per_task=1))
    learner = Learner(ResNet().build(), stage, {"moco": task}, {}, {"moco": IMAGES})
    learner.to(memory_format=torch.channels_last)
    shard = Shard.of(images) if world().size > 1 else None
    n = shard.stop - shard.first if shard else images
    if shard:
        synchronize(learner)
    learner.begin_training()
    optimizer = Optimizer().build(learner.backbone, learner.others(), [])
    image = torch.randint(0, 256, (n, 1, *SIZE), dtype=torch.uint8)
    level = torch.full((n,), 120.0), torch.full((n,), 50.0)
    batch = replace(Batch(image, *level, torch.zeros(n, dtype=torch.long), ("",) * n), shard=shard)
    losses: nn.Module = _Losses(learner)
    if way == "DDP":
        losses = DistributedDataParallel(losses, broadcast_buffers=False, gradient_as_bucket_view=True)
    began: list[float] = []
    steps = 0

    def over() -> bool:
        return time.monotonic() - began[0] > seconds

    while not began or not world().lead(over):
        losses(batch).backward()
        if way == "one message":
            world().sum_gradients(learner.parameters())
        optimizer.step()
        optimizer.zero_grad(set_to_none=way != "DDP")
        learner.module("moco").after_step(learner.backbone)
        steps += 1
        if not began and steps == 2:  # the first are slower
            began.append(time.monotonic())
            steps = 0
    return steps * images / (time.monotonic() - began[0])


def main() -> None:
    """Runs itself once for each measurement."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--batch", type=int, nargs="+", default=[64, 32])
    parser.add_argument("--ways", choices=WAYS[1:], nargs="+", default=WAYS[1:])
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        with joined() as leads:
            if leads:
                print(together(rate, given.way, given.seconds, given.batch[0]))
        return
    said: dict[str, Any] = {
        "what": f"MoCo, ResNet-18, {SIZE[0]}x{SIZE[1]}, bf16",
        "provenance": provenance(Machine(threads=2)),
        "rows": [_row(batch, given.ways, given.repeats, given.seconds) for batch in given.batch],
    }
    place = Path(__file__).resolve().parent / "results" / "ranks.json"
    place.write_text(json.dumps(said, indent=1) + "\n")


def _row(batch: int, ways: Sequence[str], repeats: int, seconds: float) -> dict[str, Any]:
    """These ways beside one process, on batches of so many images."""
    rates: dict[str, list[float]] = {way: [] for way in (WAYS[0], *ways)}
    for _ in range(repeats):
        for way, found in rates.items():
            found.append(_measured(way, seconds, batch))
    ratio = {}
    for way in ways:
        r = [other / one for other, one in zip(rates[way], rates["one process"], strict=True)]
        ratio[way] = {"median": statistics.median(r), "low": min(r), "high": max(r)}
    row = {"batch": batch, "images_per_second": rates, "ratio": ratio}
    print(json.dumps(row), flush=True)
    return row


def _measured(way: str, seconds: float, batch: int) -> float:
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"] if way != WAYS[0] else []
    asked = ["--way", way, "--seconds", str(seconds), "--batch", str(batch)]
    command = [sys.executable, *launch, __file__, *asked]
    ended = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    if ended.returncode:
        sys.exit(ended.stderr)
    return float(ended.stdout.split()[-1])


if __name__ == "__main__":
    main()
