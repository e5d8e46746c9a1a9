"""Classification. Oracle: log-likelihoods by NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from muscle.backbones.resnet import ResNet
from muscle.data.augment import Views
from muscle.errors import UserError
from muscle.tasks.classification import Classification, binary_cross_entropy, cross_entropy
from muscle.types import Batch, Target

BINARY = Target(name="sick", kind="labels", classes=("normal", "sick"))
FINDINGS = Target(name="findings", kind="labels", classes=("a", "b", "c"), exclusive=False)
STILL = Views(flip=0, rotate=0, shift=0)


def batch(truth: torch.Tensor, image: torch.Tensor | None = None) -> Batch:
    n = len(truth)
    image = torch.randint(0, 255, (n, 1, 64, 64), dtype=torch.uint8) if image is None else image
    ids = tuple(str(i) for i in range(n))
    return Batch(
        image,
        torch.full((n,), 122.786),
        torch.full((n,), 18.39),
        torch.zeros(n, dtype=torch.int64),
        ids,
        truth,
    )


def test_cross_entropy_is_minus_log_p_over_the_known() -> None:
    logits = torch.randn(4, 3)
    truth = torch.tensor([[0, 0, 1], [1, 0, 0], [0, 1, 0], [float("nan")] * 3])
    z = logits.double().numpy()
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    expected = -np.mean([np.log(p[0, 2]), np.log(p[1, 0]), np.log(p[2, 1])])
    total, count = cross_entropy(logits, truth)
    assert count == 3 and (total / count).item() == pytest.approx(expected, rel=1e-5)


def test_binary_cross_entropy_leaves_the_unknown_out_value_and_gradient() -> None:
    logits = torch.randn(2, 3, requires_grad=True)
    truth = torch.tensor([[1.0, 0.0, float("nan")], [float("nan"), float("nan"), 1.0]])
    p = 1 / (1 + np.exp(-logits.detach().double().numpy()))
    expected = -np.mean([np.log(p[0, 0]), np.log(1 - p[0, 1]), np.log(p[1, 2])])
    loss, count = binary_cross_entropy(logits, truth)
    assert count == 3 and (loss / count).item() == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert logits.grad is not None
    assert ((logits.grad == 0) == truth.isnan()).all()


@pytest.mark.parametrize("loss", [cross_entropy, binary_cross_entropy])
def test_a_batch_of_unknowns_costs_nothing(loss) -> None:  # type: ignore[no-untyped-def]
    logits = torch.randn(2, 3, requires_grad=True)
    truth = torch.full((2, 3), float("nan"))
    value = batch(truth).averaged(*loss(logits, truth))
    value.backward()
    assert value == 0 and (logits.grad == 0).all()


@pytest.mark.parametrize("target", [BINARY, FINDINGS])
def test_predictions_are_probabilities_in_float32_even_under_autocast(target: Target) -> None:
    backbone = ResNet().build().eval()
    module = Classification().build(backbone, target, 10).eval()
    with torch.autocast("cpu", torch.bfloat16):
        given = module.predict(backbone, batch(torch.zeros(3, len(target.classes))))
    assert [p.shape for p in given] == [(len(target.classes),)] * 3
    assert all(p.dtype == np.float32 and (p >= 0).all() and (p <= 1).all() for p in given)
    if target.exclusive:
        np.testing.assert_allclose([p.sum() for p in given], 1, rtol=1e-6)


def test_it_learns_black_from_white_and_moves_only_its_own_head() -> None:
    torch.manual_seed(0)
    backbone = ResNet().build().train()
    module, idle = (Classification(views=STILL).build(backbone, BINARY, 8).train() for _ in range(2))
    label = torch.arange(8) % 2
    image = (label * 120 + 60).to(torch.uint8).view(8, 1, 1, 1) + torch.randint(
        0, 40, (8, 1, 32, 32), dtype=torch.uint8
    )
    given = batch(torch.eye(2)[label], image)
    optimizer = torch.optim.SGD([*backbone.parameters(), *module.parameters(), *idle.parameters()], 0.02)
    values = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = module.losses(backbone, given)["cross_entropy"]
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert values[-1] < 0.3 * values[0]
    assert all(p.grad is None for p in idle.parameters())
    assert not any(p is q for p in module.parameters() for q in backbone.parameters())


def test_one_class_only_and_other_targets_are_refused() -> None:
    backbone = ResNet().build()
    one = Target(name="sick", kind="labels", classes=("normal",))
    with pytest.raises(UserError, match="'sick': one class only \\(normal\\); needed: two"):
        Classification().build(backbone, one, 10)
    with pytest.raises(UserError, match="needs labels, not mask"):
        Classification().build(backbone, Target(name="m", kind="mask", classes=("lung",)), 10)
    with pytest.raises(UserError, match="not images alone"):
        Classification().build(backbone, None, 10)
