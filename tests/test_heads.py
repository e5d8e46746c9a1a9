"""Heads. Oracle: torchvision's own DeepLabHead with the same weights."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F
from torchvision.models.segmentation.deeplabv3 import DeepLabHead

from muscle.distributed import Shard, splitting
from muscle.heads import DeepLabV3, ImageDropout, classifier


@pytest.mark.parametrize(("output_stride", "rates"), [(16, (6, 12, 18)), (8, (12, 24, 36))])
def test_deeplab_equals_torchvisions_head_then_bilinear(output_stride: int, rates: tuple[int, ...]) -> None:
    ours, theirs = DeepLabV3(32, 3, output_stride).eval(), DeepLabHead(32, 3, rates).eval()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    x = torch.randn(2, 32, 10, 8)
    with torch.no_grad():
        expected = F.interpolate(theirs(x), size=(77, 64), mode="bilinear", align_corners=False)
        torch.testing.assert_close(ours(x, (77, 64)), expected, rtol=0, atol=0)


def test_the_width_option_narrows_every_layer() -> None:
    head = DeepLabV3(32, 3, 16, width=8)
    assert max(p.shape[0] for p in head.parameters()) == 8


def test_the_classifier_starts_near_zero() -> None:
    layer = classifier(4096, 4)
    assert layer.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert (layer.bias == 0).all()


def test_dropout_hangs_on_the_image_and_not_on_who_shares_the_batch() -> None:
    dropout = ImageDropout(0.25).train()
    x = torch.ones(6, 40, 5, 5, requires_grad=True)
    torch.manual_seed(4)
    whole = dropout(x)
    torch.manual_seed(4)
    with splitting(Shard(2, 4, 6, 3)):
        assert torch.equal(dropout(x[2:4]), whole[2:4])
    assert whole.unique().tolist() == pytest.approx([0, 4 / 3])
    assert whole.mean().item() == pytest.approx(1, abs=0.05) and not torch.equal(whole[0], whole[1])
    whole.sum().backward()
    assert x.grad is not None and torch.equal(x.grad, whole.detach())
    assert torch.equal(dropout.eval()(x), x)
