"""Kind timm. Oracle: timm itself, and what each network says of its own maps."""

from __future__ import annotations

import pytest
import torch

from muscle.backbones.timm import Timm
from muscle.errors import UsageError, UserError


@pytest.mark.parametrize("name", ["efficientnet_b0", "regnety_002", "mobilenetv3_small_050"])
def test_maps_come_at_strides_4_to_32_with_the_channels_announced(name: str) -> None:
    module = Timm(name=name).build().eval()
    with torch.no_grad():
        given = module(torch.randn(2, 1, 96, 64))
    assert [tuple(m.shape[1:]) for m in given.maps] == [
        (c, 96 // s, 64 // s) for c, s in zip(module.channels, (4, 8, 16, 32), strict=True)
    ]
    assert given.pooled.shape == (2, module.width)


def test_the_pooled_feature_is_timms_own() -> None:
    module = Timm(name="regnety_002").build().eval()
    x = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(module(x).pooled, module.net(x), rtol=0, atol=0)


def test_three_channels_see_the_grey_image_three_times() -> None:
    module = Timm(name="regnety_002", in_chans=3).build().eval()
    x = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(module(x).pooled, module.net(x.repeat(1, 3, 1, 1)), rtol=0, atol=0)


def test_a_network_that_timm_cannot_dilate_says_so() -> None:
    with pytest.raises(UserError, match=r"densenet121: given output stride 16; allowed: 32$"):
        Timm(name="densenet121").build()(torch.zeros(1, 1, 64, 64), 16)


def test_unknown_and_unfit_networks_are_refused_in_one_line() -> None:
    with pytest.raises(UsageError, match="no network 'resnet81'.*such as resnet"):
        Timm(name="resnet81").build()
    with pytest.raises(UsageError, match="vit_tiny_patch16_224: gives "):
        Timm(name="vit_tiny_patch16_224").build()
