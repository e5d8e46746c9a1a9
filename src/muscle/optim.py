"""Optimizers, and the curves that their rates follow."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from muscle.parts import Part


@dataclass(frozen=True, slots=True)
class Position:
    """Where a step stands: (steps done, steps in all) of its turn, its round and its stage."""

    turn: tuple[int, int]
    round: tuple[int, int]
    stage: tuple[int, int]


class Curve(Part):
    """Root of the family: the factor on every rate, as a function of the position."""

    home: ClassVar[str] = "muscle.optim"

    def factor(self, at: Position) -> float:
        """A number in [0, 1]."""
        raise TypeError(f"{type(self).__name__} must define factor")


class Constant(Curve):
    """The same rate throughout."""

    kind: ClassVar[str] = "constant"

    value: float = Field(1.0, gt=0, le=1)

    def factor(self, at: Position) -> float:
        """``value``."""
        return self.value


class CyclicCosine(Curve):
    """Eq. 1 of MUSCLE: eta_min + (eta_max - eta_min) (1 + cos(t / T 2 pi)) / 2, over and over.

    ``full`` is the equation as printed: the rate falls to its minimum at T / 2 and is back at its maximum at T.
    ``half`` takes pi for 2 pi, as SGDR does: the period ends at the minimum. ``period`` is what T spans; the paper
    does not say (METHODS 7.2), one iterate of a task is our choice.
    """

    kind: ClassVar[str] = "cyclic_cosine"

    floor: float = Field(0.01, ge=0, le=1)  # eta_min / eta_max; not in the paper, our choice
    shape: Literal["full", "half"] = "full"
    period: Literal["turn", "round", "stage"] = "turn"

    def factor(self, at: Position) -> float:
        """Eq. 1 divided by eta_max."""
        done, total = getattr(at, self.period)
        angle = done / total * math.pi * (2 if self.shape == "full" else 1)
        return self.floor + (1 - self.floor) * (1 + math.cos(angle)) / 2


class CyclicMean(CyclicCosine):
    """The mean of Eq. 1 over each of its periods, throughout that period: schedules compare at equal mean rate only.

    A constant at the peak would train at about twice the rate (METHODS 10). The mean is that of the steps there
    are: for ``half`` it lies (1 - floor) / (2 steps) above (1 + floor) / 2.
    """

    kind: ClassVar[str] = "cyclic_mean"

    def factor(self, at: Position) -> float:
        """The same at every step of one period."""
        return _mean(self.floor, self.shape, getattr(at, self.period)[1])


@cache
def _mean(floor: float, shape: Literal["full", "half"], steps: int) -> float:
    cosine = CyclicCosine(floor=floor, shape=shape)
    places = [Position(turn=(step, steps), round=(0, 1), stage=(0, 1)) for step in range(steps)]
    return math.fsum(cosine.factor(place) for place in places) / steps


class WarmCosine(Curve):
    """Linear warm-up, then half a cosine down to ``floor`` over the stage."""

    kind: ClassVar[str] = "warm_cosine"

    warm: float = Field(0.05, ge=0, lt=1)  # share of the stage
    floor: float = Field(0.0, ge=0, le=1)

    def factor(self, at: Position) -> float:
        """The warm-up ends at 1 with its last step."""
        done, total = at.stage
        warm = round(self.warm * total)
        if done < warm:
            return (done + 1) / warm
        angle = math.pi * (done - warm) / max(1, total - warm)
        return self.floor + (1 - self.floor) * (1 + math.cos(angle)) / 2


class StepDecay(Curve):
    """A fall by ``factor_each`` at each of the ``milestones`` (paper section 2.3; where and how far: our choice)."""

    kind: ClassVar[str] = "step_decay"

    milestones: tuple[float, ...] = (0.6, 0.85)  # shares of the stage
    factor_each: float = Field(0.1, gt=0, le=1)

    def factor(self, at: Position) -> float:
        """``factor_each`` to the power of the milestones passed."""
        done, total = at.stage
        return self.factor_each ** sum(done >= m * total for m in self.milestones)


class Optimizer(Part):
    """Which optimizer, at which peak rates.

    ``rate`` is for heads and everything new; ``backbone_rate`` for the backbone (None: the same). Decay falls on
    kernels only, never on biases, normalization, or what a regularizer already pulls (METHODS section 3).
    """

    name: Literal["adamw", "adam", "sgd"] = "adamw"
    rate: float = Field(1e-3, gt=0)
    backbone_rate: float | None = None
    weight_decay: float = Field(1e-4, ge=0)
    momentum: float = Field(0.9, ge=0, lt=1)  # sgd; the first beta of adam
    second_beta: float = Field(0.999, ge=0, lt=1)

    def build(
        self, backbone: nn.Module, others: Iterable[nn.Module], penalized: Iterable[Tensor]
    ) -> torch.optim.Optimizer:
        """An optimizer over every parameter that wants a gradient; each group keeps its peak in ``peak``."""
        pulled = {id(p) for p in penalized}
        groups = []
        for modules, rate in (([backbone], self.backbone_rate or self.rate), (list(others), self.rate)):
            parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
            decayed = [p for p in parameters if p.ndim > 1 and id(p) not in pulled]
            chosen = {id(p) for p in decayed}
            for members, decay in (
                (decayed, self.weight_decay),
                ([p for p in parameters if id(p) not in chosen], 0.0),
            ):
                if members:
                    groups.append({"params": members, "lr": rate, "peak": rate, "weight_decay": decay})
        if self.name == "sgd":
            # Not fused: where heads begin at different steps, some momenta are there and others not, which it refuses.
            return torch.optim.SGD(groups, lr=self.rate, momentum=self.momentum, foreach=True)
        make = torch.optim.AdamW if self.name == "adamw" else torch.optim.Adam
        return make(groups, lr=self.rate, betas=(self.momentum, self.second_beta), fused=True)


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> float:
    """Sets every group's rate to its peak times ``factor``; gives the last group's (the heads') rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor
    return float(optimizer.param_groups[-1]["lr"])
