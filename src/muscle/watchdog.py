"""Losses and gradients that are not finite: which, of which films, and their batch kept, before a weight is moved."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from muscle.distributed import world
from muscle.learner import Learner
from muscle.paths import atomic_write
from muscle.types import Batch, Boxes


@dataclass
class Watchdog:
    """Watches the steps of one stage.

    Attributes:
        forgives: whether steps may be left out, so that what a forward pass changes must be copied before each.
        folder: where batches are kept.
    """

    learner: Learner
    forgives: bool
    folder: Path
    _buffers: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def before(self, task: str) -> None:
        """Before a step: copies what its forward pass changes, where that may be undone: statistics of batch norm."""
        if self.forgives:
            parts = (self.learner.backbone, self.learner.module(task))
            self._buffers = [(buffer, buffer.clone()) for part in parts for buffer in part.buffers()]

    def sound(self, losses: Mapping[str, Tensor], scaler: torch.amp.GradScaler) -> bool:
        """Whether all losses and gradients of a step are finite, on every rank.

        Gradients that were scaled up for fp16 may overflow: the scaler leaves the step out and scales down.
        """
        scaled = scaler.is_enabled() and scaler.get_scale() > 1
        numbers = [torch.stack([*losses.values()]).sum()]
        if not scaled:
            gradients = [p.grad for p in self.learner.parameters() if p.grad is not None]
            numbers += [norm.to(numbers[0]) for norm in torch._foreach_norm(gradients, inf)]
        return not world().sum((~torch.isfinite(torch.stack(numbers))).sum())

    def report(self, step: int, losses: Mapping[str, Tensor], batches: Sequence[Batch]) -> str:
        """What is not finite and in which films, in words; of several ranks each keeps its part of the batch.

        Raises:
            UserError: the batch cannot be written.
        """
        here = world()
        file = self.folder / f"not-finite-{step}{f'-rank{here.rank}' if here.size > 1 else ''}.npz"
        keep(file, batches)
        every = here.gathered([[name for batch in batches for name in batch.ids]])
        ids = [name for one in every for name in one]
        return f"{self._what(losses)}; {films(ids)}; the batch is kept in {file}"

    def _what(self, losses: Mapping[str, Tensor]) -> str:
        said = [f"loss {name} is {float(loss)}" for name, loss in losses.items() if not torch.isfinite(loss)]
        learned = self.learner.named_parameters()
        names = [n for n, p in learned if p.grad is not None and not torch.isfinite(p.grad).all()]
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            said.append(f"the gradient of {names[0]}{more} is not finite")
        return ", ".join(said) or "not finite on another rank"

    def undo(self, task: str) -> None:
        """After a step that is left out: what its forward pass changed is as before."""
        for buffer, copy in self._buffers:
            buffer.copy_(copy)
        self.learner.module(task).drop_step()


def films(ids: Sequence[str], most: int = 5) -> str:
    """How many images of which source, and the first of them."""
    sources = Counter(name.partition("/")[0] for name in ids)
    counted = ", ".join(f"{number} of {source}" for source, number in sources.items())
    more = f" and {len(ids) - most} more" if len(ids) > most else ""
    return f"images: {counted} ({', '.join(ids[:most])}{more})"


def keep(file: Path, batches: Sequence[Batch]) -> None:
    """Writes batches as one .npz: of the first ``0.ids``, ``0.image`` [B, 1, H, W] uint8, ``0.mean``, ``0.sd``, target.

    Raises:
        UserError: the place cannot be written to.
    """
    arrays: dict[str, Any] = {}
    for i, batch in enumerate(batches):
        parts: dict[str, Tensor | None] = {name: getattr(batch, name) for name in ("image", "mean", "sd")}
        if isinstance(batch.target, Boxes):
            parts |= {f"box_{name}": getattr(batch.target, name) for name in ("xyxy", "label", "row")}
        else:
            parts["target"] = batch.target
        arrays[f"{i}.ids"] = np.array(batch.ids, dtype=np.str_)
        arrays |= {f"{i}.{name}": part.cpu().numpy() for name, part in parts.items() if part is not None}
    whole = io.BytesIO()
    np.savez_compressed(whole, **arrays)
    atomic_write(file, whole.getvalue())
