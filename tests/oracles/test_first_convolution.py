"""Folding colour weights into grey. Oracle: the colour network on the grey image repeated three times."""

from __future__ import annotations

import pytest
import timm
import torch

from muscle.backbones.resnet import ResNet
from muscle.weights import fold_first_conv, load_backbone, unfold_first_conv

pytestmark = pytest.mark.oracle


def test_folded_weights_on_grey_equal_colour_weights_on_the_repeated_image(tmp_path) -> None:  # type: ignore[no-untyped-def]
    colour = timm.create_model("resnet18", num_classes=1000).eval()
    torch.save(colour.state_dict(), tmp_path / "colour.pth")
    module = ResNet().build().eval()
    load_backbone(module, tmp_path / "colour.pth")
    x = torch.randn(2, 1, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        expected = colour.double().forward_head(
            colour.forward_features(x.repeat(1, 3, 1, 1)), pre_logits=True
        )
        # the sum itself was rounded to float32 once, so this is equal to about 1e-7 of the largest feature
        torch.testing.assert_close(module.double()(x).pooled, expected, rtol=1e-5, atol=1e-6)


def test_folding_is_exact_and_unfolding_undoes_it() -> None:
    weight = torch.randint(-8, 8, (4, 3, 7, 7)).float()  # integers: sums without rounding
    folded = fold_first_conv({"conv1.weight": weight})["conv1.weight"]
    x = torch.randint(0, 255, (1, 1, 16, 16)).float()
    grey, colour = (
        torch.nn.functional.conv2d(i, w) for i, w in ((x, folded), (x.repeat(1, 3, 1, 1), weight))
    )
    assert torch.equal(grey, colour)
    back = unfold_first_conv({"conv1.weight": folded * 3})["conv1.weight"]
    assert back.shape == (4, 3, 7, 7)
    assert torch.equal(fold_first_conv({"conv1.weight": back})["conv1.weight"], folded * 3)
