"""Kind resnet. Oracles: timm's keys, He et al.'s variance of the weights, arithmetic of the batch-norm buffers."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
from torch import nn

from muscle.backbones.resnet import ResNet
from muscle.errors import UserError
from muscle.parts import override


@pytest.mark.parametrize(
    ("name", "channels"), [("resnet18", (64, 128, 256, 512)), ("resnet50", (256, 512, 1024, 2048))]
)
def test_keys_are_timms_and_maps_have_the_strides(name: str, channels: tuple[int, ...]) -> None:
    module = ResNet.parse({"name": name}).build().eval()
    assert (
        module.net.state_dict().keys()
        == timm.create_model(name, in_chans=1, num_classes=0).state_dict().keys()
    )
    assert (module.channels, module.width) == (channels, channels[-1])
    for output_stride in (32, 16, 8):
        with torch.no_grad():
            maps = module(torch.randn(1, 1, 64, 96), output_stride).maps
        sizes = [(64 // min(s, output_stride), 96 // min(s, output_stride)) for s in (4, 8, 16, 32)]
        assert [tuple(m.shape[2:]) for m in maps] == sizes
        assert [m.shape[1] for m in maps] == list(channels)


@pytest.mark.parametrize("last", [True, False])
def test_initial_weights_are_kaiming_normal_and_a_block_may_begin_as_the_identity(last: bool) -> None:
    torch.manual_seed(0)
    for name, part in ResNet(zero_init_last=last).build().net.named_modules():
        if isinstance(part, nn.Conv2d):
            expected = (2 / (part.out_channels * part.kernel_size[0] ** 2)) ** 0.5
            assert part.weight.std().item() == pytest.approx(expected, rel=0.05), name
        if isinstance(part, nn.BatchNorm2d):
            gain = 0 if last and name.endswith("bn2") else 1  # two convolutions a block
            assert (part.weight == gain).all() and (part.bias == 0).all(), name


def test_a_dilated_pass_leaves_the_network_as_it_was_even_when_it_fails() -> None:
    module = ResNet().build().eval()
    x = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        before = module.net(x)
        module(x, 8)
        torch.testing.assert_close(module.net(x), before, rtol=0, atol=0)
        with pytest.raises(RuntimeError):
            module(torch.randn(1, 2, 64, 64), 16)
        torch.testing.assert_close(module.net(x), before, rtol=0, atol=0)
    with pytest.raises(UserError, match="resnet18: given output stride 4; allowed: 32, 16, 8"):
        module(x, 4)


def test_one_batch_norm_counts_for_every_stride() -> None:
    module = ResNet().build().train()
    bn = module.net.get_submodule("layer4.1.bn2")
    seen = []
    for output_stride in (32, 16, 8):
        module(torch.randn(2, 1, 64, 64), output_stride)
        seen.append(bn.running_mean.clone())  # type: ignore[union-attr,operator]
    assert bn.num_batches_tracked == 3
    assert not torch.equal(seen[0], seen[1]) and not torch.equal(seen[1], seen[2])


def test_gradients_of_a_dilated_pass_reach_the_one_set_of_weights() -> None:
    module = ResNet().build().train()
    loss = (
        module(torch.randn(2, 1, 64, 64), 32).pooled.sum()
        + module(torch.randn(2, 1, 64, 64), 8).maps[-1].sum()
    )
    loss.backward()
    assert all(p.grad is not None for p in module.parameters())
    assert len(list(module.parameters())) == len(
        list(timm.create_model("resnet18", num_classes=0).parameters())
    )


def test_copies_are_independent_and_dilate_too() -> None:
    module = ResNet().build().eval()
    twin = copy.deepcopy(module)
    x = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(twin(x, 16).maps[-1], module(x, 16).maps[-1], rtol=0, atol=0)
        next(twin.parameters()).zero_()
        assert not torch.equal(twin(x, 16).pooled, module(x, 16).pooled)


def test_another_network_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UserError, match="resnet34.*'resnet18' or 'resnet50'"):
        override(ResNet(), ["name=resnet34"])
