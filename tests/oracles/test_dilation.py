"""Dilated networks on one set of weights. Oracle: timm's own networks of that output stride, and subsampling."""

from __future__ import annotations

import pytest
import timm
import torch

from muscle.backbones.resnet import ResNet

pytestmark = pytest.mark.oracle


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
@pytest.mark.parametrize("output_stride", [16, 8])
def test_a_dilated_resnet_equals_timms(name: str, output_stride: int) -> None:
    module = ResNet.parse({"name": name}).build().eval()
    oracle = timm.create_model(name, in_chans=1, num_classes=0, output_stride=output_stride).eval()
    oracle.load_state_dict(module.net.state_dict())
    x = torch.randn(2, 1, 75, 64)
    with torch.no_grad():
        torch.testing.assert_close(
            module(x, output_stride).maps[-1], oracle.forward_features(x), rtol=0, atol=0
        )
        torch.testing.assert_close(module(x, output_stride).pooled, oracle(x), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_every_second_pixel_of_the_dilated_map_is_the_strided_map(name: str) -> None:
    module = ResNet.parse({"name": name}).build().eval().double()
    x = torch.randn(1, 1, 75, 96, dtype=torch.float64)
    with torch.no_grad():
        strided = module(x, 32).maps[-1]
        torch.testing.assert_close(module(x, 16).maps[-1][..., ::2, ::2], strided, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(module(x, 8).maps[-1][..., ::4, ::4], strided, rtol=1e-12, atol=1e-12)
