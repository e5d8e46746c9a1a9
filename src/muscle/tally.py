"""Losses between two lines of the log: added up where they were computed, so that no step waits for a number."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from muscle.distributed import World


class Tally:
    """Sums and counts by task and name of the loss."""

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        """Empty, or as another one's ``state`` says."""
        state = state or {}
        self._sums: dict[str, dict[str, Tensor]] = state.get("sums", {})
        self._counts: dict[str, int] = state.get("counts", {})

    def add(self, task: str, losses: dict[str, Tensor]) -> None:
        """The losses of one step, scalars on one device, without gradient."""
        mine = self._sums.setdefault(task, {})
        for name, loss in losses.items():
            mine[name] = mine[name].to(loss.device) + loss if name in mine else loss
        self._counts[task] = self._counts.get(task, 0) + 1

    def means(self, world: World) -> dict[str, dict[str, float]]:
        """The mean of each loss over the steps of its task since the last call, summed over ranks; begins anew."""
        found = {
            task: {name: float(world.sum(total)) / self._counts[task] for name, total in sums.items()}
            for task, sums in self._sums.items()
        }
        self._sums, self._counts = {}, {}
        return found

    def state(self) -> dict[str, Any]:
        """For a snapshot."""
        return {"sums": self._sums, "counts": self._counts}
