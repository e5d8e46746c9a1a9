"""Blocks that keep their input alone and compute the rest again in the backward pass (Chen 2016, arXiv 1604.06174)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

from muscle.distributed import shard, splitting
from muscle.errors import UserError


@contextmanager
def recomputing(net: nn.Module, again: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
    """Inside, a pass of ``net`` keeps little; the numbers are the same, the arithmetic of its blocks is done twice.

    Args:
        again: entered around what is computed again, when the pass itself is long over.

    Raises:
        UserError: a network without residual blocks.
    """
    part = shard()

    @contextmanager
    def as_before(block: nn.Module) -> Iterator[None]:
        with ExitStack() as stack:
            # A variable of a context does not reach the threads of the backward pass.
            for one in (again(), splitting(part), _unheard(block)):
                stack.enter_context(one)
            yield

    blocks = list(_blocks(net))
    if not blocks:
        raise UserError(f"{type(net).__name__} has no residual blocks to compute again; leave recompute off")
    for block in blocks:
        keep_little = partial(
            checkpoint, block.forward, use_reentrant=False,
            context_fn=partial(lambda one: (nullcontext(), as_before(one)), block),
        )  # fmt: skip
        block.forward = keep_little
    try:
        yield
    finally:
        for block in blocks:
            del block.forward  # the class's own again


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    """The members of sequences that hold more than one convolution: residual blocks, by any name."""
    for child in module.children():
        sequence = isinstance(module, nn.Sequential)
        if sequence and not isinstance(child, nn.Sequential) and _convolutions(child) > 1:
            yield child
        else:
            yield from _blocks(child)


def _convolutions(module: nn.Module) -> int:
    return sum(isinstance(m, nn.Conv2d) for m in module.modules())


@contextmanager
def _unheard(block: nn.Module) -> Iterator[None]:
    """Running statistics hear of a batch once, not again when it is computed again."""
    buffers = [m._buffers for m in block.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    before = [dict(held) for held in buffers]
    for held in buffers:
        held.update({name: buffer.clone() for name, buffer in held.items() if buffer is not None})
    try:
        yield
    finally:
        for held, kept in zip(buffers, before, strict=True):
            held.update(kept)
