"""Batch norm of a batch that several ranks share: the statistics are those of the whole batch.

torch's own SyncBatchNorm refuses the CPU, where this can be tested.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from muscle.distributed import shard, splitting, world
from muscle.errors import UserError

_BN = nn.modules.batchnorm._BatchNorm


def synchronize(module: nn.Module) -> None:
    """Lets every batch norm below ``module`` look over all ranks, in place; names and weights stay.

    Raises:
        UserError: one of a kind that cannot.
    """
    for name, norm in module.named_modules():
        if isinstance(norm, _BN) and type(norm) not in _SYNCED.values():
            if type(norm) not in _SYNCED:
                raise UserError(
                    f"{name}: {type(norm).__name__} cannot be trained on several ranks; allowed: "
                    f"{', '.join(kind.__name__ for kind in _SYNCED)}; choose another backbone, or one process"
                )
            norm.__class__ = _SYNCED[type(norm)]


@contextlib.contextmanager
def grouped(*modules: nn.Module) -> Iterator[None]:
    """Inside, each pass is a group of the batch with statistics of its own; each rank has as many, in order.

    The running statistics hear of all groups when it ends, in the order of ranks, as one process would tell them.
    """
    norms = [m for module in modules for m in module.modules() if isinstance(m, _Synced) and m.training]
    for norm in norms:
        norm.heard = []
    try:
        with splitting(None):
            yield
        for norm in norms:
            norm.hear()
    finally:
        for norm in norms:
            norm.heard = None


class _Synced(_BN):
    """As its parent, but for a batch in training of which this rank computes a part (``distributed.splitting``)."""

    heard: list[Tensor] | None = None  # (mean, variance) [2, C] of each group so far

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.heard is not None:
            found = torch.zeros(2, x.shape[1], dtype=self.weight.dtype, device=x.device)
            out = F.batch_norm(x, found[0], found[1], self.weight, self.bias, True, 1.0, self.eps)
            self.heard.append(found)
            return out
        if not self.training or shard() is None:
            return super().forward(x)
        out, mean, var, count = _Normalize.apply(x, self.weight, self.bias, self.eps)
        self._run(mean, var * count / (count - 1).clamp(min=1))
        normalized: Tensor = out
        return normalized

    def hear(self) -> None:
        """Moves the running statistics by the groups of all ranks."""
        if not self.heard:
            return
        mine = torch.stack(self.heard)
        every = mine.new_zeros((world().size, *mine.shape))
        every[world().rank] = mine
        for mean, var in world().sum(every).flatten(0, 1):
            self._run(mean, var)

    def _run(self, mean: Tensor, var: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(var, share)


class _Synced1d(_Synced, nn.BatchNorm1d):
    pass


class _Synced2d(_Synced, nn.BatchNorm2d):
    pass


class _Synced3d(_Synced, nn.BatchNorm3d):
    pass


_SYNCED: dict[type, type] = {
    nn.BatchNorm1d: _Synced1d,
    nn.BatchNorm2d: _Synced2d,
    nn.BatchNorm3d: _Synced3d,
}


def _statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance (of n, not n - 1) of each channel, [C] each, float32 at least; by the kernel of batch norm.

    ``var_mean`` takes fifty times as long where the channels lie last.
    """
    dtype = x.dtype if x.dtype == torch.float64 else torch.float32
    running = torch.zeros(2, x.shape[1], dtype=dtype, device=x.device)  # in this dtype the sums are taken
    mean, var = torch.batch_norm_update_stats(x, running[0], running[1], 0.0)
    return mean, var


class _Normalize(torch.autograd.Function):
    """(x - mean) / sqrt(var + eps) * weight + bias with mean and variance over the images of all ranks.

    Gives x normalized, and mean [C], variance [C] (of n, not n - 1) and n, of which no gradient flows.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, ...]:
        mean, var = _statistics(x)
        count = mean.new_full((1,), x.numel() / x.shape[1])
        # Each rank's own row, then the rows combined: a sum of squares would cancel.
        rows = mean.new_zeros(world().size, 2 * len(mean) + 1)
        rows[world().rank] = torch.cat([mean, var, count])
        means, variances, counts = world().sum(rows).split([len(mean), len(mean), 1], 1)
        total = counts.sum()
        mean = (means * counts).sum(0) / total
        var = ((variances + (means - mean).square()) * counts).sum(0) / total
        out = F.batch_norm(x, mean, var, weight, bias, training=False, eps=eps)
        ctx.save_for_backward(x, weight, mean, var, total)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, var, total)
        return out, mean, var, total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, var, total = ctx.saved_tensors
        (dy, *_) = gradients
        dx, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            dy, x, weight, mean, var, None, None, False, ctx.eps, [True, True, True]
        )
        # So far as if the statistics were constants; what they owe to x is affine in x normalized.
        by_weight, by_bias = world().sum(torch.stack([of_weight, of_bias])) / total
        scale = -weight * (var + ctx.eps).rsqrt()
        dx += F.batch_norm(x, mean, var, scale * by_weight, scale * by_bias, training=False, eps=ctx.eps)
        return dx, of_weight, of_bias, None
