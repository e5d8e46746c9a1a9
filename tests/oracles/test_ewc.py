"""EWC. Oracle: logistic regression, whose Fisher information is known: p (1 - p) x^2 (Kirkpatrick et al. 2017)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from muscle.backbones import BackboneModule
from muscle.continual.regularizers.ewc import EWC, fisher
from muscle.tasks import Outputs, TaskModule
from muscle.types import Batch, Features, Turn

pytestmark = pytest.mark.oracle

TURN = Turn(index=0, round=0, task="t", epoch=0, steps=1)
NEXT = Turn(index=1, round=0, task="u", epoch=0, steps=1)


class Line(BackboneModule):
    """Logits that are linear in the pixels: the whole model is the backbone."""

    channels = ()

    def __init__(self, pixels: int, classes: int, seed: int = 0) -> None:
        super().__init__()
        self.width = classes
        self.net = nn.Linear(pixels, classes)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for p in self.net.parameters():
                p.copy_(torch.randn(p.shape, generator=generator) / 2)

    def forward(self, x: Tensor, output_stride: int = 32) -> Features:
        return Features(self.net(x.flatten(1)), ())


class Answer(TaskModule):
    """Says what the backbone says, as exclusive classes, as separate labels, or as a column of pixels."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.head = self.scaffold = nn.Identity()

    def outputs(self, backbone: BackboneModule, batch: Batch) -> Outputs:
        x = batch.normalized()
        if self.kind == "pixels":  # each pixel is a sample of one feature
            logits = torch.stack([backbone(p[:, None]).pooled for p in x.flatten(1).T], 2)
            return Outputs("softmax", (logits[..., None],))
        return Outputs("softmax" if self.kind == "softmax" else "sigmoid", (backbone(x).pooled,))


def films(x: Tensor, times: int = 1) -> Iterator[Batch]:
    """Each row of ``x`` [n, pixels], whole numbers, as a film of its own."""
    for row in x.repeat(times, 1):
        yield Batch(
            row.to(torch.uint8)[None, None, None],
            torch.zeros(1),
            torch.ones(1),
            torch.zeros(1).long(),
            ("i",),
        )


X = torch.tensor([[0.0, 1, 2], [1, 1, 0], [3, 0, 1], [0, 2, 1]])


def _close(found: Tensor, expected: Tensor, rtol: float = 1e-5) -> None:
    torch.testing.assert_close(found, expected, rtol=rtol, atol=1e-7)


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_at_even_odds_every_draw_has_the_fisher_of_logistic_regression(kind: str) -> None:
    """p = 1/2: (y - p)^2 = 1/4 whichever label is drawn, so the estimate is exact: mean of x^2 / 4."""
    classes = 2 if kind == "softmax" else 1
    backbone = Line(3, classes)
    nn.init.zeros_(backbone.net.weight), nn.init.zeros_(backbone.net.bias)
    found = fisher(backbone, Answer(kind), films(X))
    _close(found["net.weight"], (X**2).mean(0).expand(classes, 3) / 4)
    _close(found["net.bias"], torch.full((classes,), 0.25))


@pytest.mark.parametrize(("kind", "classes"), [("softmax", 3), ("sigmoid", 2)])
def test_labels_are_drawn_from_the_model(kind: str, classes: int) -> None:
    """p (1 - p) x^2 in the mean over draws; of n separate labels 1 / n of it, as the loss is their mean."""
    torch.manual_seed(0)
    backbone = Line(3, classes)
    found = fisher(backbone, Answer(kind), films(X, 3000))
    logits = backbone.net(X).detach()
    p = logits.softmax(1) if kind == "softmax" else logits.sigmoid()
    spread = p * (1 - p) / (1 if kind == "softmax" else classes)
    _close(found["net.weight"], torch.einsum("nc,nd->cd", spread, X**2) / len(X), rtol=0.06)
    _close(found["net.bias"], spread.mean(0), rtol=0.06)


def test_of_pixels_it_is_their_mean() -> None:
    """Pixels are drawn apart, so products of two vanish and 1 / n of the film's Fisher is left."""
    torch.manual_seed(0)
    backbone = Line(1, 2)
    found = fisher(backbone, Answer("pixels"), films(X, 3000))
    x = X.flatten()[:, None]
    p = backbone.net(x).detach().softmax(1)
    _close(found["net.weight"], ((p * (1 - p)) * x**2).mean(0)[:, None], rtol=0.06)


def test_penalty_is_the_closed_form_and_fishers_add_up_online() -> None:
    """weight / 2 sum F (w - w*)^2 with F = gamma F + F_task and w* the weights at the last turn's end."""
    backbone = Line(3, 1)
    module = EWC(weight=3.0, gamma=0.5, normalize=False).build(backbone, {})  # anchored elsewhere
    nn.init.zeros_(backbone.net.weight), nn.init.zeros_(backbone.net.bias)
    assert module.penalty(backbone, nn.Identity()).item() == 0
    answer = Answer("sigmoid")
    even = (X**2).mean(0) / 4
    module.end_turn(backbone, TURN, {"t": answer}, lambda task, most: films(X))
    module.end_turn(backbone, NEXT, {"u": answer}, lambda task, most: films(2 * X))
    moved = torch.tensor([[0.3, -0.2, 0.1]])
    with torch.no_grad():
        backbone.net.weight.add_(moved)
    penalty = module.penalty(backbone, nn.Identity())
    total = 0.5 * even + 4 * even
    _close(penalty, 1.5 * (total * moved**2).sum())
    (gradient,) = torch.autograd.grad(penalty, [backbone.net.weight])
    _close(gradient, 3.0 * total * moved)


def test_normalized_each_task_weighs_alike() -> None:
    backbone = Line(3, 1)
    module = EWC(gamma=1.0).build(backbone, {})
    answer = Answer("sigmoid")
    for turn, factor in ((TURN, 1), (NEXT, 5)):
        module.end_turn(
            backbone, turn, {turn.task: answer}, lambda task, most, factor=factor: films(factor * X)
        )
    held = torch.cat([b.flatten() for name, b in module.named_buffers() if name.startswith("fisher")])
    assert held.mean().item() == pytest.approx(2)
