"""Elastic weight consolidation (Kirkpatrick et al., PNAS 2017), in its online form (Schwarz et al., ICML 2018)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from muscle.backbones import BackboneModule
from muscle.continual.regularizers import Films, Regularizer, RegularizerModule, Step, Tasks
from muscle.features import evaluating
from muscle.tasks import TaskModule
from muscle.types import Batch, Turn


class EWC(Regularizer):
    """weight / 2 sum F (w - w*)^2 over the backbone: what earlier tasks' outputs hang on may move least.

    After each turn the diagonal Fisher information of its task is added, F = gamma F + F_task, and w* becomes the
    weights there (Schwarz et al. 2018, section 3.2). Weight decay stays where it is: it is the prior that Laplace's
    approximation adds to. Cost: ``films`` passes forward and back, one film each, after every turn.

    Differs: Kirkpatrick et al. keep one Fisher and one w* a task; rounds bring tasks back, which one sum serves.
    Differs: detection has no distribution to draw labels from: its Fisher is the empirical one, of the training
    losses on the true boxes.
    """

    kind: ClassVar[str] = "ewc"
    annotated: ClassVar[bool] = True

    weight: float = Field(0.1, ge=0)  # our choice: with `normalize` the mean pull is that of L2-SP's alpha
    gamma: float = Field(0.9, ge=0, le=1)  # our choice; 1 counts a task that comes back ten times tenfold
    films: int = Field(64, ge=1)  # training films of the task that its Fisher is estimated on; our choice
    normalize: bool = (
        True  # each task's Fisher by its mean (Schwarz et al.): losses of different kinds count alike
    )

    def build(self, backbone: BackboneModule, tasks: Tasks) -> RegularizerModule:
        """A module whose Fisher and anchors are float32 buffers."""
        return _EWC(self, backbone)


class _EWC(RegularizerModule):
    def __init__(self, config: EWC, backbone: nn.Module) -> None:
        super().__init__()
        self.config = config
        for name, parameter in backbone.named_parameters():
            self.register_buffer(_key("anchor", name), parameter.detach().float().clone())
            self.register_buffer(_key("fisher", name), torch.zeros_like(parameter, dtype=torch.float32))

    def losses(self, backbone: BackboneModule, step: Step) -> dict[str, Tensor]:
        """``penalty``; nothing at weight 0."""
        return super().losses(backbone, step) if self.config.weight else {}

    def penalty(self, backbone: nn.Module, head: nn.Module) -> Tensor:
        """0 until a turn has ended."""
        terms = [
            (
                self.get_buffer(_key("fisher", n)) * (p.float() - self.get_buffer(_key("anchor", n))).pow(2)
            ).sum()
            for n, p in backbone.named_parameters()
        ]
        return self.config.weight / 2 * torch.stack(terms).sum()

    def end_turn(self, backbone: BackboneModule, turn: Turn, tasks: Tasks, films: Films) -> None:
        """Adds the Fisher of what was learned, and moves the anchors."""
        if not self.config.weight:
            return
        for number, task in enumerate(turn.tasks):
            found = fisher(backbone, tasks[task], films(task, self.config.films))
            if self.config.normalize:
                mean = sum(float(f.double().sum()) for f in found.values()) / sum(
                    f.numel() for f in found.values()
                )
                found = {name: f / mean for name, f in found.items()} if mean > 0 else found
            for name, value in found.items():
                self.get_buffer(_key("fisher", name)).mul_(1.0 if number else self.config.gamma).add_(value)
        with torch.no_grad():
            for name, parameter in backbone.named_parameters():
                self.get_buffer(_key("anchor", name)).copy_(parameter)


def fisher(backbone: BackboneModule, module: TaskModule, films: Iterable[Batch]) -> dict[str, Tensor]:
    """The diagonal Fisher information of the backbone's parameters, by name, float32; in eval mode.

    The mean over films of the squared gradient of log p(y | film), y drawn from the model itself: with the true
    labels it would be the empirical Fisher, which is another matrix (Kunstner et al., NeurIPS 2019).

    Args:
        films: batches of one image.
    """
    names, parameters = zip(*backbone.named_parameters(), strict=True)
    total = [torch.zeros_like(p, dtype=torch.float32) for p in parameters]
    count = 0
    with evaluating(backbone, module):
        for film in films:
            surprise = _surprise(backbone, module, film)
            for sum_, gradient in zip(
                total, torch.autograd.grad(surprise, parameters, allow_unused=True), strict=True
            ):
                if gradient is not None:  # stages that this head does not see
                    sum_.add_(gradient.float().pow(2))
            count += 1
    return {name: sum_ / max(1, count) for name, sum_ in zip(names, total, strict=True)}


def _surprise(backbone: BackboneModule, module: TaskModule, film: Batch) -> Tensor:
    """-log p of labels drawn from the model; of n pixels or labels divided by sqrt(n).

    Squared, that is 1 / n of the Fisher of all of them: the curvature of the mean that the task trains on.
    """
    outputs = module.outputs(backbone, film)
    if outputs.kind == "maps":
        module.train()  # a detector has losses in train mode only; it holds no statistics that would move
        try:
            return torch.stack(list(module.losses(backbone, film).values())).sum()
        finally:
            module.eval()
    (logits,) = outputs.tensors
    if outputs.kind == "softmax":
        rows = logits.movedim(1, -1).flatten(0, -2)
        drawn = torch.multinomial(rows.detach().softmax(1), 1)[:, 0]
        return F.cross_entropy(rows, drawn, reduction="sum") / math.sqrt(len(rows))
    drawn = torch.bernoulli(logits.detach().sigmoid())
    return F.binary_cross_entropy_with_logits(logits, drawn, reduction="sum") / math.sqrt(logits.numel())


def _key(what: str, name: str) -> str:
    return f"{what}/{name.replace('.', '/')}"
