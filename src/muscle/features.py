"""What a backbone's frozen features are worth, without training anything."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from muscle.backbones import BackboneModule
from muscle.data.normalization import Normalization
from muscle.data.rows import Rows
from muscle.data.sampling import blocks
from muscle.metrics import auc
from muscle.types import Batch


class _Embeds(Protocol):
    def embed_views(self, backbone: BackboneModule, batch: Batch) -> tuple[Tensor, Tensor]: ...


@contextlib.contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Eval mode inside, the modes as they were after."""
    was = [(m, m.training) for module in modules for m in module.modules()]
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for m, training in was:
            m.training = training


@torch.no_grad()
def extract(
    backbone: BackboneModule, rows: Rows, normalization: Normalization, device: torch.device
) -> NDArray[np.float32]:
    """Pooled features [N, D] float32 of images as stored, in eval mode and float32, in fixed blocks."""
    with evaluating(backbone):
        found = [
            backbone(rows.batch(block, normalization, None).to(device).normalized()).pooled.float().cpu()
            for block in blocks(len(rows))
        ]
    return torch.cat(found).numpy()


def knn_score(
    train: NDArray[np.float32],
    labels: NDArray[np.float32],
    valid: NDArray[np.float32],
    truth: NDArray[np.float32],
    k: int = 20,
) -> float | None:
    """k-nearest-neighbour AUC: ``mean_auc`` of ``knn_outputs``; ``truth`` [M, C] 1 / 0 / NaN."""
    return mean_auc(truth, knn_outputs(train, labels, valid, k))


def knn_outputs(
    train: NDArray[np.float32], labels: NDArray[np.float32], valid: NDArray[np.float32], k: int = 20
) -> NDArray[np.float32]:
    """The vote of the k nearest neighbours by cosine similarity, each weighted by exp(similarity / 0.07).

    Args:
        train: [N, D] features; labels: [N, C] 1 / 0 / NaN.
        valid: [M, D] features.
        k: neighbours, at most N (20 and 0.07: Wu et al. 2018 use 200 on ImageNet; our choice for small sets).

    Returns:
        [M, C] float32 in 0 to 1: the weighted share of positives among neighbours whose label is known, 0 if of none.
    """
    far, near = _unit(valid), _unit(train).T
    found = np.empty((len(valid), labels.shape[1]), np.float32)
    for rows in blocks(len(valid), 1024):  # all similarities at once may not fit the memory
        similarity = far[rows] @ near
        nearest = np.argsort(-similarity, axis=1, kind="stable")[:, : min(k, len(train))]
        weight = np.exp(np.take_along_axis(similarity, nearest, axis=1) / 0.07)
        for c in range(labels.shape[1]):
            votes = labels[nearest, c]
            known = np.isfinite(votes)
            vote = np.where(known, votes, 0.0) * weight
            found[rows, c] = vote.sum(1) / np.maximum((weight * known).sum(1), 1e-12)
    return found


def mean_auc(truth: NDArray[np.float32], output: NDArray[np.float32], exclusive: bool = True) -> float | None:
    """The mean AUC of the classes that have both values in ``truth`` [M, C]; None if none has.

    Of two classes that exclude each other the second's: the other's is the same.
    """
    scores = []
    for c in [1] if exclusive and truth.shape[1] == 2 else range(truth.shape[1]):
        mine = np.isfinite(truth[:, c])
        if 0 < truth[mine, c].sum() < mine.sum():
            scores.append(float(auc(truth[mine, c], output[mine, c])[0]))
    return float(np.mean(scores)) if scores else None


def _unit(x: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    return unit


def effective_rank(features: NDArray[np.float32]) -> float:
    """The exponential of the entropy of the centred features' normalized singular values (Roy and Vetterli 2007)."""
    values = np.linalg.svd(features - features.mean(0), compute_uv=False)
    if values.sum() <= 0:
        return 1.0
    p = values / values.sum()
    p = p[p > 0]
    return float(np.exp(-(p * np.log(p)).sum()))


@torch.no_grad()
def contrast(
    module: _Embeds, backbone: BackboneModule, rows: Rows, normalization: Normalization, device: torch.device
) -> dict[str, float]:
    """How hard the contrastive game is on these rows: can a view find its twin among the others' views?

    Returns:
        ``top1``: among all images; ``top1_same_source``: among images of its own source, where knowing the source
        does not help; ``embedding_sd``: mean deviation of the embedding's coordinates times sqrt(dim): 1 for
        directions spread evenly, 0 for a collapse.
    """
    pairs, sources = [], []
    for block in blocks(len(rows)):
        batch = rows.batch(block, normalization, None).to(device)
        pairs.append(module.embed_views(backbone, batch))
        sources.append(batch.source)
    first, second = (torch.cat(z) for z in zip(*pairs, strict=True))
    source = torch.cat(sources)
    similarity = first @ second.t()
    twin = torch.arange(len(source), device=source.device)
    within = similarity.masked_fill(source[:, None] != source[None, :], float("-inf"))
    both = F.normalize(torch.cat([first, second]), dim=1)
    return {
        "top1": float((similarity.argmax(1) == twin).float().mean()),
        "top1_same_source": float((within.argmax(1) == twin).float().mean()),
        "embedding_sd": float(both.std(0, correction=0).mean() * both.shape[1] ** 0.5),
    }


@torch.no_grad()
def dense_probe(
    backbone: BackboneModule,
    train: Rows,
    valid: Rows,
    target: str,
    normalization: Normalization,
    device: torch.device,
) -> float | None:
    """AUC of a ridge regression from the stride-8 map to "inside the mask, or a box": for targets without labels.

    Closed form, penalty 1 % of the mean eigenvalue; each cell of the map is a case. None where one side is empty.
    """
    x, y = _cells(backbone, train, target, normalization, device)
    v, t = _cells(backbone, valid, target, normalization, device)
    if not 0 < t.sum() < len(t) or not 0 < y.sum() < len(y):
        return None
    mean, sd = x.mean(0), x.std(0).clamp_min(1e-6)
    x, v = (x - mean) / sd, (v - mean) / sd
    gram = x.t() @ x
    ridge = gram + torch.eye(len(gram), dtype=gram.dtype) * gram.diagonal().mean() * 0.01
    weight = torch.linalg.solve(ridge, x.t() @ (y - y.mean()))
    return float(auc(t.numpy(), (v @ weight).numpy())[0])


def _cells(
    backbone: BackboneModule, rows: Rows, target: str, normalization: Normalization, device: torch.device
) -> tuple[Tensor, Tensor]:
    meaning = next(t for store in rows.stores for t in store.targets if t.name == target)
    xs, ys = [], []
    for block in blocks(len(rows)):
        batch = rows.batch(block, normalization, meaning).to(device)
        with evaluating(backbone):
            maps = backbone(batch.normalized()).maps[1].float().cpu()
        inside = foreground(batch)
        ys.append((F.adaptive_avg_pool2d(inside[:, None], maps.shape[-2:])[:, 0] > 0.5).flatten())
        xs.append(maps.permute(0, 2, 3, 1).flatten(0, 2))
    return torch.cat(xs).double(), torch.cat(ys).double()


def foreground(batch: Batch) -> Tensor:
    """Where a mask or a box says there is something: [B, H, W] float32 on the CPU, 1 inside and 0 outside."""
    if isinstance(batch.target, Tensor):
        mask = batch.target.cpu()
        return ((mask > 0) & (mask < 255)).float()
    inside = torch.zeros(len(batch), *batch.image.shape[-2:])
    if batch.target is not None:
        for corner, row in zip(
            batch.target.xyxy.round().long().tolist(), batch.target.row.tolist(), strict=True
        ):
            inside[row, corner[1] : corner[3], corner[0] : corner[2]] = 1.0
    return inside
