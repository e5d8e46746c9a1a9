"""Recomputed activations. Oracle: the same pass with everything kept, bit for bit."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from muscle import recompute
from muscle.backbones import BackboneModule
from muscle.backbones.resnet import ResNet
from muscle.backbones.timm import Timm
from muscle.errors import UserError

Made = tuple[dict[str, Tensor], dict[str, Tensor]]


def one_step(backbone: BackboneModule, output_stride: int, little: bool, train: bool = True) -> Made:
    """Gradients and buffers after a pass there and back of the same images, with dropped paths of the same draws."""
    module = copy.deepcopy(backbone).train(train)
    module.recompute = little
    torch.manual_seed(3)
    features = module(torch.randn(4, 1, 64, 64), output_stride)
    (features.pooled.square().sum() + sum(m.sum() for m in features.maps)).backward()
    gradients = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
    return gradients, dict(module.named_buffers())


def same(one: Made, other: Made) -> None:
    for mine, theirs in zip(one, other, strict=True):
        assert mine.keys() == theirs.keys() and mine
        assert [name for name in mine if not torch.equal(mine[name], theirs[name])] == []


@pytest.mark.parametrize("output_stride", [32, 16, 8])
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_gradients_and_running_statistics_are_those_of_kept_activations(
    name: str, output_stride: int, train: bool
) -> None:
    backbone = ResNet.parse({"name": name, "zero_init_last": False}).build()
    steps = [one_step(backbone, output_stride, little, train) for little in (False, True)]
    same(*steps)


def test_a_network_that_draws_in_its_pass_draws_the_same_again() -> None:
    backbone = Timm(name="efficientnet_b0").build()
    for part in backbone.net.modules():
        if type(part).__name__ == "DropPath":
            part.drop_prob = 0.5  # type: ignore[assignment]
    same(one_step(backbone, 32, False), one_step(backbone, 32, True))


def kept(module: BackboneModule, x: Tensor) -> int:
    """Bytes that a pass keeps for the gradient, of tensors that are neither weights nor the input."""
    held: dict[int, int] = {}
    weights = {p.data_ptr() for p in (*module.parameters(), x)}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in weights:
            held[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        features = module(x)
    assert features.pooled.requires_grad
    return sum(held.values())


def test_of_a_block_its_input_alone_is_kept() -> None:
    module, x = ResNet(name="resnet50").build().train(), torch.randn(2, 1, 128, 128)
    least = kept(module, x)
    module.recompute = True
    assert kept(module, x) < least / 2.5
    with torch.no_grad():
        assert not module(x).pooled.requires_grad
    assert all("forward" not in vars(m) for m in module.modules())


def test_a_whole_method_ends_at_the_same_bits(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contrast, then heads of labels and boxes in turn."""
    passes: list[str] = []

    def counted(*given: Any, **options: Any) -> Any:
        passes.append("")
        return checkpoint(*given, **options)

    monkeypatch.setattr(recompute, "checkpoint", counted)
    corpus = tiny.corpus(tmp_path_factory.getbasetemp() / "tiny")
    bits = []
    for little in (False, True):
        assert not passes
        machine = tiny.MACHINE.with_(recompute=little)
        run = tiny.pipeline(tiny.small("muscle", rounds=1), corpus, tmp_path / str(little), machine=machine)
        bits.append([tiny.bits(made) for made in run.pretrain()])
    assert passes and bits[0] == bits[1]


def test_a_network_without_blocks_is_refused() -> None:
    module = Timm(name="regnetx_002").build()
    module.recompute = True
    with pytest.raises(
        UserError, match="^RegNet has no residual blocks to compute again; leave recompute off"
    ):
        module(torch.zeros(2, 1, 64, 64))
