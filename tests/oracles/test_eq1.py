"""Eq. 1 of MUSCLE, the cyclic cosine. Oracle: its values at start, quarter, half and end, worked out by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from muscle.optim import CyclicCosine, Optimizer, Position, set_rates

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
