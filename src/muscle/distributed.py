"""Several processes that train one model, and all that this package asks of torch.distributed.

Under torchrun rank 0 runs the program. The others wait until it calls something ``together``: a stage, a
prediction. So there is one writer and one log, and what is not computed in parallel has no second path.
Every rank must see the same files: stores, weights to start from, checkpoints.
"""

from __future__ import annotations

import contextlib
import os
import time
import traceback
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from muscle.errors import UserError
from muscle.interrupt import Interrupted, die

Result = TypeVar("Result")

PATIENCE = timedelta(hours=1)  # of a rank for the others' part of a step
IDLE = timedelta(days=30)  # of the followers, while rank 0 decodes or writes


@dataclass(frozen=True, slots=True)
class World:
    """This process among those that compute the same thing; alone outside of ``together``."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    def lead(self, call: Callable[[], Result]) -> Result:
        """What ``call`` gives on rank 0, on every rank; nobody goes on before. An error for the user is raised on all.

        The result travels, so it must be something to pickle.
        """
        if self.size == 1:
            return call()
        said: list[Any] = [None, None]
        if self.leads:
            try:
                said[0] = call()
            except UserError as error:
                said[1] = str(error)
        dist.broadcast_object_list(said, src=0, group=_control)
        if said[1] is not None:
            raise UserError(said[1])
        result: Result = said[0]
        return result

    def gathered(self, mine: Sequence[Result]) -> list[Result]:
        """Items that are dealt out one by one, rank by rank, in their order again: item i is of rank i modulo size."""
        if self.size == 1:
            return list(mine)
        every: list[Any] = [None] * self.size
        dist.all_gather_object(every, list(mine), group=_control)
        return [every[i % self.size][i // self.size] for i in range(sum(map(len, every)))]

    def sum(self, value: Tensor) -> Tensor:
        """The sum over ranks, without gradient."""
        if self.size > 1:
            value = value.detach().clone()
            dist.all_reduce(value)
        return value

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replaces the gradients that there are by their sums over ranks: one message for all of one dtype.

        A head whose task is not in training has none on any rank, and costs nothing.
        """
        if self.size == 1:
            return
        kinds: dict[torch.dtype, list[Tensor]] = {}
        for parameter in parameters:
            if parameter.grad is not None:
                kinds.setdefault(parameter.grad.dtype, []).append(_as_it_lies(parameter.grad))
        for gradients in kinds.values():
            flat = torch.cat([g.flatten() for g in gradients])
            dist.all_reduce(flat)
            parts = flat.split([g.numel() for g in gradients])
            torch._foreach_copy_(gradients, [p.view(g.shape) for p, g in zip(parts, gradients, strict=True)])


def _as_it_lies(gradient: Tensor) -> Tensor:
    """A view with the axes in the order of memory, so that it is copied from one end to the other: twice as fast."""
    last = gradient.ndim == 4 and gradient.is_contiguous(memory_format=torch.channels_last)
    return gradient.permute(0, 2, 3, 1) if last else gradient


ALONE = World()
_here: World = ALONE  # in `together`
_joined: World = ALONE  # of the process group
_control: Any = None  # a group of its own, on the CPU, with patience


def world() -> World:
    """This process among those that compute the same thing now."""
    return _here


# --- a batch in parts ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shard:
    """Which images of a step's batch a rank holds: ``first`` up to ``stop``, of ``total``, that ``ranks`` share."""

    first: int
    stop: int
    total: int
    ranks: int

    @classmethod
    def of(cls, images: int) -> Shard:
        """This rank's part of a batch: near-equal ones, the larger first.

        Raises:
            UserError: fewer images than ranks.
        """
        size, rank = _here.size, _here.rank
        if images < size:
            raise UserError(
                f"a batch of {images} images on {size} ranks; give a batch_size of at least {size}"
            )
        each, more = divmod(images, size)
        first = rank * each + min(rank, more)
        return cls(first, first + each + (rank < more), images, size)

    @property
    def slice(self) -> slice:
        """The place of these images in the whole batch."""
        return slice(self.first, self.stop)

    def gathered(self, mine: Tensor) -> Tensor:
        """One row for each image of the whole batch, in its order; gradients flow back to the rank of each."""
        whole = mine.new_zeros((self.total, *mine.shape[1:]))
        whole[self.slice] = mine
        found: Tensor = _Sum.apply(whole)
        return found


class _Sum(torch.autograd.Function):
    """The sum over ranks of a tensor; each gets the sum of the gradients that the ranks have for it."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return _here.sum(value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _here.sum(gradient)


_splitting: ContextVar[Shard | None] = ContextVar("splitting", default=None)


@contextlib.contextmanager
def splitting(shard: Shard | None) -> Iterator[None]:
    """Inside, layers know that their batch is a part: batch norm takes its statistics over all ranks."""
    token = _splitting.set(shard)
    try:
        yield
    finally:
        _splitting.reset(token)


def shard() -> Shard | None:
    """The part that this rank computes now; None: it has the whole batch."""
    return _splitting.get()


def image_seeds(images: int) -> list[int]:
    """A seed for each image here, drawn for the whole batch: what it decides is the same on any number of ranks."""
    part = shard()
    drawn = torch.randint(2**62, (part.total if part else images,))
    seeds: list[int] = (drawn[part.slice] if part else drawn).tolist()
    return seeds


# --- who runs what -------------------------------------------------------------------------------------------


def launched() -> bool:
    """Whether torchrun, or something that sets the same variables, has started several processes."""
    return "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def of_this_attempt(shared: Store, rank: int, size: int) -> Store:
    """A part of torchrun's store that no attempt before this one has written to.

    torchrun keeps one store through its restarts, so a rank would find the addresses of dead ones in it and wait for
    them. Its count of restarts may differ between machines; so rank 0 names the attempt, and tells whoever asks.

    Raises:
        TimeoutError: not all ranks have come.
    """
    name = mine = uuid.uuid4().hex
    if rank:
        shared.set(f"muscle/{rank}", mine)
        name = shared.get(f"muscle/{mine}").decode()  # waits
        shared.set(f"muscle/{name}/{rank}", "here")
    end = time.monotonic() + PATIENCE.total_seconds()
    while rank == 0 and not shared.check([f"muscle/{name}/{other}" for other in range(1, size)]):
        # One that asked in an attempt before is told as well: nobody listens there.
        for other in range(1, size):
            if shared.check([f"muscle/{other}"]):
                shared.set(f"muscle/{shared.get(f'muscle/{other}').decode()}", name)
        if time.monotonic() > end:
            raise TimeoutError(f"not all of {size} ranks have come within {PATIENCE}")
        time.sleep(0.02)
    return PrefixStore(f"muscle/{name}", shared)


@contextlib.contextmanager
def joined() -> Iterator[bool]:
    """Joins the others of ``torchrun``. Inside, rank 0 gets True and runs the program; the others get False at its end.

    What rank 0 calls ``together`` in the meantime, they have computed with it. One process alone leads.
    """
    global _joined, _control
    if not launched():
        yield True
        return
    # Death at once, not an exception that a rank in a message would never see: snapshots are whole at any moment.
    die()
    local = int(os.environ.get("LOCAL_RANK", "0"))
    backends = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(local % torch.cuda.device_count())
        backends = "cpu:gloo,cuda:nccl"
    shared, rank, size = next(rendezvous("env://", timeout=PATIENCE))
    store = of_this_attempt(shared, rank, size)
    dist.init_process_group(backends, store=store, rank=rank, world_size=size, timeout=PATIENCE)
    _control = dist.new_group(backend="gloo", timeout=IDLE)
    _joined = World(dist.get_rank(), dist.get_world_size())
    try:
        if _joined.leads:
            yield True
        else:
            _follow()
            yield False
    finally:
        if _joined.leads:
            _send(None)
        _joined, _control = ALONE, None
        dist.destroy_process_group()


def together(call: Callable[..., Result], *arguments: Any, leader: dict[str, Any] | None = None) -> Result:
    """``call(*arguments)`` on every rank at once, as one ``world``; gives rank 0's result. Alone: just the call.

    An error for the user must be one that every rank meets (``World.lead`` sees to it). Any other ends the process
    and so, by torchrun, all of them: the next start goes on from the last snapshot.

    Args:
        leader: keyword arguments of rank 0 only.
    """
    if _joined.size == 1 or _here.size > 1:
        return call(*arguments, **(leader or {}))
    _send((call, arguments))
    return _in_step(call, arguments, leader or {})


def _in_step(call: Callable[..., Result], arguments: tuple[Any, ...], leader: dict[str, Any]) -> Result:
    global _here
    _here = _joined
    try:
        return call(*arguments, **leader)
    except UserError:
        raise
    except Exception:  # this rank alone: the others wait for it, and would for ever
        traceback.print_exc()
        os._exit(1)
    finally:
        _here = ALONE


def _follow() -> None:
    while (asked := _receive()) is not None:
        call, arguments = asked
        with contextlib.suppress(UserError, Interrupted):  # rank 0 has met it too, and says it
            _in_step(call, arguments, {})


def _send(what: Any) -> None:
    dist.broadcast_object_list([what], src=0, group=_control)


def _receive() -> Any:
    said = [None]
    dist.broadcast_object_list(said, src=0, group=_control)
    return said[0]
