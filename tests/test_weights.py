"""Weights in and out. Oracles: timm opening our file in a process without us, and the state dict that went in."""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors
import torch

from muscle.backbones.resnet import ResNet
from muscle.errors import UserError
from muscle.weights import imagenet, load_backbone, save_backbone

OPENED_BY_TIMM = """
import sys, numpy, torch, timm
net = timm.create_model("resnet18", in_chans=1, num_classes=0, checkpoint_path=sys.argv[1]).eval()
with torch.no_grad():
    numpy.save(sys.argv[3], net(torch.from_numpy(numpy.load(sys.argv[2]))).numpy())
assert not any(name.split(".")[0] == "muscle" for name in sys.modules)
"""


def test_timm_opens_the_file_in_a_process_that_never_imports_us(tmp_path: Path) -> None:
    module = ResNet().build().train()
    module(torch.randn(4, 1, 64, 64))  # buffers off their start
    module.eval()
    save_backbone(module, tmp_path / "backbone.safetensors", {"mean": "122.786"})
    x = torch.randn(2, 1, 64, 64)
    np.save(tmp_path / "x.npy", x.numpy())
    files = [str(tmp_path / name) for name in ("backbone.safetensors", "x.npy", "y.npy")]
    subprocess.run([sys.executable, "-I", "-c", OPENED_BY_TIMM, *files], check=True)
    with torch.no_grad():
        np.testing.assert_allclose(np.load(tmp_path / "y.npy"), module(x).pooled.numpy(), rtol=0, atol=1e-5)


def test_the_same_weights_give_the_same_bytes_whatever_their_memory_format(tmp_path: Path) -> None:
    module = ResNet().build()
    metadata = {name: name for name in "qwertyuiop"}
    first = save_backbone(module, tmp_path / "a.safetensors", metadata)
    second = save_backbone(module.to(memory_format=torch.channels_last), tmp_path / "b.safetensors", metadata)
    data = (tmp_path / "a.safetensors").read_bytes()
    assert first == second == hashlib.sha256(data).hexdigest()
    assert data == (tmp_path / "b.safetensors").read_bytes()
    with safetensors.safe_open(tmp_path / "a.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"} | metadata
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.safetensors", "b.safetensors"]


@pytest.mark.parametrize(
    ("prefix", "nest"),
    [
        ("", None),
        ("module.", "state_dict"),
        ("module.encoder_q.", "state_dict"),
        ("net.", None),
        ("backbone.", "model"),
    ],
)
def test_every_wrapping_is_taken_off(tmp_path: Path, prefix: str, nest: str | None) -> None:
    source, target = ResNet().build(), ResNet().build()
    state = {prefix + k: v for k, v in source.net.state_dict().items()}
    if prefix == "module.encoder_q.":  # MoCo's other half must not win
        state |= {k.replace("_q.", "_k."): torch.zeros_like(v) for k, v in state.items()}
        state |= {"module.queue": torch.zeros(128, 8), "module.encoder_q.fc.0.weight": torch.zeros(8, 8)}
    torch.save(
        {nest: state, "epoch": 3, "args": argparse.Namespace(lr=0.1)} if nest else state,
        tmp_path / "w.pth.tar",
    )
    report = load_backbone(target, tmp_path / "w.pth.tar")
    assert all(torch.equal(v, target.net.state_dict()[k]) for k, v in source.net.state_dict().items())
    assert len(report.matched) == 100 and not report.missing and not report.mismatched
    assert ("module.encoder_q.fc.0.weight" in report.unexpected) == (prefix == "module.encoder_q.")


def test_our_own_file_comes_back(tmp_path: Path) -> None:
    source, target = ResNet().build(), ResNet().build()
    save_backbone(source, tmp_path / "b.safetensors", {})
    load_backbone(target, tmp_path / "b.safetensors")
    assert all(torch.equal(v, target.net.state_dict()[k]) for k, v in source.net.state_dict().items())


def test_another_network_is_refused_with_counts_and_changes_nothing(tmp_path: Path) -> None:
    save_backbone(ResNet(name="resnet50").build(), tmp_path / "r50.safetensors", {})
    module = ResNet().build()
    before = {k: v.clone() for k, v in module.net.state_dict().items()}
    with pytest.raises(
        UserError, match=r"\d+ matched, \d+ missing, \d+ of another shape.*95%.*100 tensors.*layer"
    ) as e:
        load_backbone(module, tmp_path / "r50.safetensors")
    assert "\n" not in str(e.value)
    assert all(torch.equal(v, module.net.state_dict()[k]) for k, v in before.items())


def test_ninety_five_percent_is_the_line(tmp_path: Path) -> None:
    state = dict(ResNet().build().net.state_dict())
    wanted = [k for k in state if "tracked" not in k]
    torch.save({k: v for k, v in state.items() if k not in wanted[-5:]}, tmp_path / "95.pth")
    torch.save({k: v for k, v in state.items() if k not in wanted[-6:]}, tmp_path / "94.pth")
    assert load_backbone(ResNet().build(), tmp_path / "95.pth").missing == tuple(wanted[-5:])
    with pytest.raises(UserError, match="94 matched, 6 missing"):
        load_backbone(ResNet().build(), tmp_path / "94.pth")


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_an_interrupted_download_is_one_line(tmp_path: Path, name: str) -> None:
    module, path = ResNet().build(), tmp_path / name
    if name.endswith("pth"):
        torch.save(module.net.state_dict(), path)
    else:
        save_backbone(module, path, {})
    for size in (path.stat().st_size // 2, 10, 0):
        path.write_bytes(path.read_bytes()[:size])
        with pytest.raises(UserError, match=rf"{name}: cannot be read .*fetch it again") as e:
            load_backbone(module, path)
        assert "\n" not in str(e.value)


def test_no_file_no_tensors_and_code_in_a_pickle_are_refused(tmp_path: Path) -> None:
    module = ResNet().build()
    with pytest.raises(UserError, match="no such file"):
        load_backbone(module, tmp_path / "none.pth")
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    with pytest.raises(UserError, match="holds no tensors"):
        load_backbone(module, tmp_path / "empty.pth")
    torch.save({"conv1.weight": torch.zeros(1), "path": tmp_path}, tmp_path / "code.pth")
    with pytest.raises(UserError, match="more than tensors"):
        load_backbone(module, tmp_path / "code.pth")


def test_views_that_claim_a_shape_over_one_number_are_no_weights(tmp_path: Path) -> None:
    """They would fill a network with one number, or memory with anything."""
    module = ResNet().build()
    claimed = {
        k: torch.zeros(1, dtype=v.dtype).expand(v.shape or (1,)) for k, v in module.net.state_dict().items()
    }
    torch.save(claimed, tmp_path / "views.pth")
    with pytest.raises(UserError, match=r"\d+ missing, 0 of another shape"):
        load_backbone(module, tmp_path / "views.pth")


def test_imagenet_from_a_file_or_a_plain_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, module = ResNet(in_chans=3).build(), ResNet().build()
    torch.save(source.net.state_dict(), tmp_path / "i.pth")
    assert len(imagenet(module, "resnet18", tmp_path / "i.pth").matched) == 100
    monkeypatch.setenv("MUSCLE_OFFLINE", "1")
    with pytest.raises(UserError, match="resnet18: not fetched because MUSCLE_OFFLINE is set; .*init.file="):
        imagenet(module, "resnet18")
    monkeypatch.setenv("MUSCLE_OFFLINE", "0")

    def cut_off(*args: object, **kwargs: object) -> None:
        raise ConnectionError("name resolution failed\nlong trace")

    monkeypatch.setattr("timm.create_model", cut_off)
    with pytest.raises(
        UserError, match=r"resnet18.tv_in1k: cannot be fetched \(name resolution failed\); .*init.file="
    ):
        imagenet(module, "resnet18")


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        save_backbone(ResNet().build(), tmp_path / "file" / "b.safetensors", {})
