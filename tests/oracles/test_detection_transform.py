"""What goes in comes out: boxes -> padded images -> detector -> boxes. Oracle: the boxes themselves.

A network that proposes the true boxes, is sure of their labels and moves nothing must give them back.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from muscle.detector import Detector, pad, targets
from muscle.types import Boxes

pytestmark = pytest.mark.oracle


class _Sure(nn.Module):
    """Logits that name the label of each region, and no movement."""

    def __init__(self, labels: Tensor, classes: int) -> None:
        super().__init__()
        self.logits = 50 * nn.functional.one_hot(labels, classes + 1).float()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.logits, torch.zeros(len(x), 4 * self.logits.shape[1])


@pytest.mark.parametrize("size", [(128, 80), (90, 50), (33, 65)])
def test_boxes_come_back_to_the_pixel(size: tuple[int, int]) -> None:
    height, width = size
    xyxy = torch.tensor([[0.0, 0, 12.5, 30.25], [20, 3, 41.5, 20], [2, 2, width, height]])
    boxes = Boxes(xyxy, torch.tensor([2, 1, 2]), torch.tensor([0, 0, 1]))
    images = pad(torch.randn(2, 1, height, width))
    truth = targets(boxes, 2, size)
    detector = Detector((8, 8, 8, 8), 2, fpn_channels=8, box_head=8).eval()
    reaching = truth[1]["boxes"] + torch.tensor([0.0, 0, 31, 31])  # into the padding, to be cut away
    proposals = [truth[0]["boxes"], reaching]
    detector.rpn.forward = lambda *_: (proposals, {})
    detector.roi_heads.box_predictor = _Sure(torch.cat([t["labels"] for t in truth]), 2)
    maps = tuple(torch.zeros(2, 8, images.shape[2] // s, images.shape[3] // s) for s in (4, 8, 16, 32))
    with torch.no_grad():
        found = detector(maps, size)
    for one, expected in zip(found, truth, strict=True):
        order = one["boxes"].sum(1).argsort(), expected["boxes"].sum(1).argsort()
        torch.testing.assert_close(one["boxes"][order[0]], expected["boxes"][order[1]], rtol=0, atol=1e-4)
        assert one["labels"][order[0]].tolist() == expected["labels"][order[1]].tolist()


@pytest.mark.parametrize("size", [(128, 80), (90, 50), (64, 64)])
def test_padding_adds_below_and_right_and_nothing_else(size: tuple[int, int]) -> None:
    images = torch.randn(2, 1, *size)
    padded = pad(images)
    assert all(0 <= p - s < 32 and p % 32 == 0 for p, s in zip(padded.shape[2:], size, strict=True))
    assert torch.equal(padded[..., : size[0], : size[1]], images)
    assert padded.count_nonzero() == images.count_nonzero()
