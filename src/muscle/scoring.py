"""Scores of a task on some rows: by sample id, each once, in fixed blocks, in float32."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from muscle.backbones import BackboneModule
from muscle.data.normalization import Normalization
from muscle.data.rows import Rows
from muscle.data.sampling import blocks, seed_of
from muscle.distributed import together, world
from muscle.features import evaluating
from muscle.machine import Machine
from muscle.metrics import score
from muscle.predictions import Predictions
from muscle.tasks import TaskModule
from muscle.types import Target, TargetKind

MAIN: dict[TargetKind, str] = {
    "labels": "auc",
    "mask": "dice",
    "boxes": "ap50",
}  # what selects, and fills matrices
FALLBACK: dict[TargetKind, str] = {
    "labels": "accuracy",
    "mask": "miou",
    "boxes": "ap50",
}  # where a class is absent
PICTURES = 6
COLUMNS = ("source", "body_part", "view")  # of a store that predictions carry along
BLOCK = 32  # films that batch-norm statistics are taken over at a time


@torch.no_grad()
def predict(
    backbone: BackboneModule,
    module: TaskModule,
    rows: Rows,
    target: Target,
    normalization: Normalization,
    device: torch.device,
) -> Predictions:
    """Predictions for every row, in eval mode; the modules' modes are put back. Ranks take blocks in turn."""
    here, found = world(), []
    with evaluating(backbone, module):
        for number, block in enumerate(blocks(len(rows))):
            if number % here.size == here.rank:
                found.append(module.predict(backbone, rows.batch(block, normalization, None).to(device)))
    output = [one for block in here.gathered(found) for one in block]
    first = np.arange(min(PICTURES, len(rows)))
    pictures = (
        rows.batch(first, normalization, None).image[:, 0].numpy()
        if len(first)
        else np.zeros((0, 0, 0), np.uint8)
    )
    return Predictions(
        task=target.name,
        kind=target.kind,
        classes=target.classes,
        exclusive=target.exclusive,
        ids=rows.ids,
        patients=rows.patients,
        truth=rows.masks(np.arange(len(rows)), target) if target.kind == "mask" else rows.truth(target),
        output=output if target.kind == "boxes" else np.stack(output),
        pictures=pictures,
        columns={name: rows.strings(name) for name in COLUMNS},
    )


def predict_together(
    backbone: BackboneModule,
    module: TaskModule,
    rows: Rows,
    target: Target,
    normalization: Normalization,
    machine: Machine,
) -> Predictions:
    """As ``predict`` on the machine's device, by all ranks there are; called on rank 0."""
    return together(_predict_on, machine, backbone.cpu(), module.cpu(), (rows, target, normalization))


def _predict_on(
    machine: Machine, backbone: BackboneModule, module: TaskModule, what: tuple[Rows, Target, Normalization]
) -> Predictions:
    machine.settle()
    device = machine.torch_device()
    return predict(backbone.to(device), module.to(device), *what, device)


def main_score(predictions: Predictions) -> float | None:
    """The one number that selects: AUC, Dice or AP50; where that is undefined its fallback; None where nothing is."""
    found = score(predictions, distances=False)  # asked after every epoch
    value = found.get(MAIN[predictions.kind], found.get(FALLBACK[predictions.kind]))
    return float(value) if value is not None else None


def subset(rows: Rows, most: int, *place: object) -> Rows:
    """At most ``most`` rows, the same ones every time for one place."""
    if len(rows) <= most:
        return rows
    order = np.random.default_rng(seed_of("subset", *place)).permutation(len(rows))[:most]
    return rows.take(np.sort(order))


_BN = nn.modules.batchnorm._BatchNorm


@contextlib.contextmanager
def recomputed_statistics(
    backbone: BackboneModule,
    module: TaskModule,
    rows: Rows,
    normalization: Normalization,
    device: torch.device,
) -> Iterator[None]:
    """Batch-norm statistics of backbone and head recomputed on ``rows`` inside; the shared ones put back after.

    Most of what looks like forgetting is statistics that another task left behind (METHODS section 10).
    """
    norms = [m for part in (backbone, module.head) for m in part.modules() if isinstance(m, _BN)]
    kept = [({k: v.clone() for k, v in m.named_buffers(recurse=False)}, m.momentum) for m in norms]
    try:
        with evaluating(backbone, module), torch.no_grad():
            for m in norms:
                m.reset_running_stats()
                m.momentum = None  # the plain mean over all blocks
                m.train()
            # Near-equal blocks: the plain mean over blocks is then the mean over films.
            for block in np.array_split(np.arange(len(rows)), max(1, round(len(rows) / BLOCK))):
                if len(block) > 1:
                    module.predict(backbone, rows.batch(block, normalization, None).to(device))
        yield
    finally:
        for m, (buffers, momentum) in zip(norms, kept, strict=True):
            m.momentum = momentum
            for name, value in buffers.items():
                m.get_buffer(name).copy_(value)
