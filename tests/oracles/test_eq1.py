"""Eq. 1 of MUSCLE, the cyclic cosine. Oracle: its values at start, quarter, half and end, worked out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from muscle.optim import CyclicCosine, CyclicMean, Optimizer, Position, set_rates
from muscle.recipes import PRESETS, recipe

pytestmark = pytest.mark.oracle

HIGH, LOW = 1.0, 0.2
AT = {"start": 0, "quarter": 25, "half": 50, "end": 100}
BY_HAND = {
    # cos 0, pi/2, pi, 2 pi: the maximum comes back
    "full": {"start": HIGH, "quarter": (HIGH + LOW) / 2, "half": LOW, "end": HIGH},
    # cos 0, pi/4, pi/2, pi: ends at the minimum
    "half": {
        "start": HIGH,
        "quarter": LOW + (HIGH - LOW) * (1 + 0.5**0.5) / 2,
        "half": (HIGH + LOW) / 2,
        "end": LOW,
    },
}


@pytest.mark.parametrize("period", ["turn", "round", "stage"])
@pytest.mark.parametrize("shape", ["full", "half"])
@pytest.mark.parametrize("where", AT)
def test_eq1_at_start_quarter_half_and_end(where: str, shape: str, period: str) -> None:
    elsewhere = {"turn": (3, 7), "round": (3, 7), "stage": (3, 7)}
    at = Position(**elsewhere | {period: (AT[where], 100)})
    curve = CyclicCosine.parse({"floor": LOW, "shape": shape, "period": period})
    assert curve.factor(at) == pytest.approx(BY_HAND[shape][where], abs=1e-12)


def test_the_rates_of_the_optimizer_are_eq1_between_eta_min_and_eta_max() -> None:
    backbone, head = nn.Linear(2, 2), nn.Linear(2, 2)
    optimizer = Optimizer(rate=1e-2, backbone_rate=1e-3).build(backbone, [head], [])
    curve = CyclicCosine(floor=0.01)
    for done, factor in ((0, 1.0), (50, 0.01), (25, 0.505), (0, 1.0)):  # going back must not compound
        at = Position(turn=(done, 100), round=(0, 1), stage=(0, 1))
        assert set_rates(optimizer, curve.factor(at)) == pytest.approx(1e-2 * factor, rel=1e-9)
        rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
        assert rates[id(backbone.weight)] == pytest.approx(1e-3 * factor, rel=1e-9)
        assert rates[id(head.weight)] == pytest.approx(1e-2 * factor, rel=1e-9)
    assert isinstance(optimizer, torch.optim.AdamW)


STEPS = {"pneumonia": 7, "lungs": 3, "boxes": 1, "hand": 50}


def _rates(name: str, preset: str) -> dict[str, list[float]]:
    """The factor of every optimizer step of the continual stage, by task."""
    stage = recipe(name, preset).stages[-1]
    found: dict[str, list[float]] = {task: [] for task in STEPS}
    for turn in stage.schedule.turns(STEPS, seed=0):
        for step in range(turn.steps):
            at = Position(turn=(step, turn.steps), round=(0, 1), stage=(0, 1))
            found[turn.task].append(stage.curve.factor(at))
    return found


@pytest.mark.parametrize("name", ["muscle-no-memory", "muscle-constant", "muscle-rounds", "muscle-naive"])
@pytest.mark.parametrize("preset", PRESETS)
def test_the_ablation_compares_at_equal_mean_rate(name: str, preset: str) -> None:
    """Over all optimizer steps, and over those of each task: a constant at the peak would have twice the mean."""
    full, other = _rates("muscle", preset), _rates(name, preset)
    for task in STEPS:
        assert len(full[task]) == len(other[task]) == STEPS[task] * PRESETS[preset].rounds
        assert sum(full[task]) == pytest.approx(sum(other[task]), rel=1e-9)
    every = [factor for factors in full.values() for factor in factors]
    assert sum(every) / len(every) == pytest.approx(
        sum(f for factors in other.values() for f in factors) / len(every), rel=1e-9
    )
    assert len(set(other["hand"])) == (50 if name == "muscle-no-memory" else 1) or preset == "paper"


@pytest.mark.parametrize("shape", ["full", "half"])
def test_the_mean_of_eq1_is_that_of_its_steps(shape: str) -> None:
    """By hand, of four steps: cosines 1, 0, -1, 0 of a whole period; 1, r, 0, -r with r = cos(pi / 4) of half."""
    curve = CyclicMean.parse({"floor": 0.2, "shape": shape, "period": "round"})
    wanted = 0.6 if shape == "full" else 0.2 + 0.8 * (1 + 0.25) / 2
    for done in range(4):
        assert curve.factor(Position(turn=(0, 9), round=(done, 4), stage=(0, 9))) == pytest.approx(
            wanted, abs=1e-12
        )
