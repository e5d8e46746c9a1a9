"""What a training step takes of a device's memory, and what to set where that is too much."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from muscle.errors import UserError
from muscle.tasks import Task

GIB = 2**30
SPARE = 0.15  # of a device: its context, its libraries' workspaces, what lies in pieces


class Peak(TorchDispatchMode):
    """Inside, counts the bytes of tensors that are made: ``now`` those that live, ``most`` the most at a time.

    The same on any device, for it counts what torch asks for: not what libraries take for themselves, nor what is lost
    between pieces.
    """

    def __init__(self) -> None:
        """Nothing is counted before it is entered."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.most = 0
        self._alive: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs an operation and counts its results, but for those in memory that it was given."""
        given = {one._cdata for one in _storages((args, kwargs))}
        found = func(*args, **(kwargs or {}))
        for storage in _storages(found):
            if storage._cdata not in given:
                self._count(storage)
        return found

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._alive:
            return

        def gone(_: object) -> None:
            del self._alive[key]
            self.now -= size

        self._alive[key] = weakref.ref(storage, gone)
        self.now += size
        self.most = max(self.most, self.now)


def _storages(tree: Any) -> list[torch.UntypedStorage]:
    return [leaf.untyped_storage() for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


class Need(NamedTuple):
    """Bytes of a step: whatever the batch, and more for each image computed at once."""

    fixed: float
    each: float

    def of(self, images: int) -> float:
        """Bytes of a step on so many images at once."""
        return self.fixed + self.each * images


def need(train: Callable[[int], None], least: int = 2) -> Need:
    """What training takes, from its peaks at two sizes.

    Args:
        train: builds everything and takes two steps on so many images at once; the second has the optimizer's state.
        least: images of the smaller one; the other takes twice as many.
    """
    peaks = []
    for images in (least, 2 * least):
        with Peak() as peak:
            train(images)
        peaks.append(peak.most)
    return Need(2 * peaks[0] - peaks[1], (peaks[1] - peaks[0]) / least)


def in_parts(task: Task, batch: int, room: float, need: Need) -> int | None:
    """The fewest parts of a batch, as ``accumulate`` wants them, of which each has room; None where none has.

    Args:
        task: says in how many parts at least, and whether it can be computed in parts at all.
        batch: images of a step.
        room: bytes.
    """
    parts = task.accumulate
    while need.of(-(-batch // parts)) > room:
        parts *= 2
        if batch // parts < task.least or not task.divisible:
            return None
    return parts


def remedy(task: Task, recompute: bool) -> str:
    """What to set where a step of this task has no room."""
    parts = 2 * task.accumulate
    possible = task.batch_size // parts >= task.least and task.divisible
    ways = ["" if recompute else "--recompute", f"accumulate={parts} of that task" if possible else ""]
    return ", ".join([*filter(None, ways), "a smaller batch_size or size"])


@contextmanager
def told(task: Task, recompute: bool) -> Iterator[None]:
    """Inside, a step that has no room ends as a UserError with what to set."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        reason = (str(error).splitlines() or ["the machine's"])[0]
        asked = f"batch_size {task.batch_size}" + (
            f" in {task.accumulate} parts" if task.accumulate > 1 else ""
        )
        raise UserError(
            f"{task.kind}: out of memory at {asked} ({reason}); what is finished is kept: try "
            f"{remedy(task, recompute)}; --plan --memory GIB prints which options fit"
        ) from None
