"""Weights in and out: any ResNet-like file into a backbone, and a backbone into a file that timm opens.

A file's keys are brought to timm's by taking off the wrapper's prefix (``module.encoder_q.`` of MoCo). A first
convolution for colour is folded into one for grey by summing over its input channels, which is exactly what the
colour network does to a grey image repeated three times.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import timm
import torch
from torch import Tensor

from muscle.backbones import BackboneModule
from muscle.errors import UserError
from muscle.paths import atomic_write, offline

ENOUGH = 0.95  # of the backbone's tensors must be in the file; fewer means a wrong network, not a rough fit

# Where networks sit inside other people's checkpoints; the first that matches most is taken, so of MoCo's two
# encoders the query encoder.
_PREFIXES = (
    "",
    "net.",
    "backbone.",
    "encoder_q.",
    "base_encoder.",
    "encoder.",
    "model.",
    "backbone.net.",
    "online_network.",
)
_WRAPPERS = ("", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model.")
_NESTS = ("state_dict_ema", "model_ema", "state_dict", "model", "backbone", "net")


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What a file gave a backbone: names in timm's spelling, those in ``unexpected`` in the file's own.

    ``matched`` were loaded; ``missing`` are not in the file; ``mismatched`` are there with another shape;
    ``unexpected`` are in the file and not in the backbone (a classifier, an optimizer's buffers). Counters of
    batches seen (``num_batches_tracked``), which old files lack, are loaded where present and not counted.
    """

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    mismatched: tuple[str, ...]
    unexpected: tuple[str, ...]

    def __str__(self) -> str:
        """One line with the four counts."""
        return (
            f"{len(self.matched)} matched, {len(self.missing)} missing, {len(self.mismatched)} of another shape, "
            f"{len(self.unexpected)} unexpected"
        )


def fold_first_conv(state: Mapping[str, Tensor], key: str = "conv1.weight") -> dict[str, Tensor]:
    """Weights for one grey channel from weights for colour: ``key`` [O, I, h, w] summed over I to [O, 1, h, w].

    On a grey image the result equals the colour network on that image in every channel. Departs from averaging,
    which would shrink the first feature by I.
    """
    return dict(state) | {key: state[key].sum(dim=1, keepdim=True)}


def unfold_first_conv(
    state: Mapping[str, Tensor], channels: int = 3, key: str = "conv1.weight"
) -> dict[str, Tensor]:
    """The reverse of `fold_first_conv`: ``key`` [O, 1, h, w] spread evenly over ``channels`` input channels."""
    return dict(state) | {key: (state[key] / channels).repeat(1, channels, 1, 1)}


def load_backbone(module: BackboneModule, source: Path | str) -> LoadReport:
    """Loads a file's weights into a backbone, in place.

    Args:
        module: any backbone; nothing in it changes unless the file fits.
        source: a ``.safetensors`` file, or a PyTorch checkpoint that holds tensors and plain values only.

    Raises:
        UserError: no such file, not weights, cut short, or under 95 % of the backbone's tensors in it.
    """
    return _load(module, read_state(source), str(source))


def read_state(source: Path | str) -> dict[str, Tensor]:
    """The tensors of a weights file, by the file's own names.

    Raises:
        UserError: no such file, not weights, or cut short (an interrupted download).
    """
    path = Path(source)
    if not path.is_file():
        raise UserError(f"weights {path}: no such file; give a .safetensors or .pth file")
    _check_packed(path)
    try:
        if path.suffix == ".safetensors":
            found: Any = safetensors.torch.load_file(path)
        else:
            # Beside what torch itself allows (tensors, their types, ordered dictionaries): the options that timm's
            # trainer stores, a class that holds values and does nothing when it is made
            with torch.serialization.safe_globals([argparse.Namespace]):
                found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of a file that is no pickle the reader raises anything
        reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        raise UserError(
            f"weights {path}: cannot be read ({reason}); the file is cut short, or holds more than tensors and "
            "plain values: fetch it again or save its state_dict() alone"
        ) from None
    while isinstance(found, dict) and not any(isinstance(v, Tensor) for v in found.values()):
        inside = next((found[name] for name in _NESTS if isinstance(found.get(name), dict)), None)
        if inside is None:
            break
        found = inside
    tensors = {str(k): v for k, v in found.items() if _is_whole(v)} if isinstance(found, dict) else {}
    if not tensors:
        raise UserError(f"weights {path}: holds no tensors by name; save the network's state_dict()")
    return tensors


def _check_packed(path: Path) -> None:
    """Torch writes tensors as they are; an archive that unpacks to much more was made to fill the memory."""
    if path.suffix == ".safetensors" or not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as packed:
            size = sum(member.file_size for member in packed.infolist())
    except (zipfile.BadZipFile, OSError, ValueError):  # whoever reads it says so
        return
    if size > 4 * path.stat().st_size:
        raise UserError(
            f"weights {path}: unpack to {size / 1e6:,.0f} MB, more than 4 times the file; save the network's "
            "state_dict() with torch or as safetensors"
        )


def _is_whole(value: Any) -> bool:
    """Whether this is a tensor whose every number is in the file: a view can claim any shape over one number."""
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.device.type != "cpu":
        return False
    return value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def imagenet(module: BackboneModule, name: str, file: Path | str | None = None) -> LoadReport:
    """Weights pre-trained on ImageNet, from a file or from where timm keeps them.

    Args:
        module: the backbone to load into.
        name: timm's name of the network, with or without the tag of the weights; ``resnet18`` and ``resnet50``
            without one mean ``tv_in1k``, torchvision's first weights by the plain recipe (our choice: what
            "ImageNet" meant when the papers were written).
        file: weights on disk, used instead of the network.

    Raises:
        UserError: the weights cannot be had, with what to give instead.
    """
    if file is not None:
        return load_backbone(module, file)
    remedy = "give a file: --set init.file=WEIGHTS.pth"
    if offline():
        raise UserError(f"ImageNet weights of {name}: not fetched because MUSCLE_OFFLINE is set; {remedy}")
    tagged = f"{name}.tv_in1k" if name in ("resnet18", "resnet50") else name
    chatter = logging.getLogger("huggingface_hub")  # its retries would bury the one line that helps
    level = chatter.level
    chatter.setLevel(logging.CRITICAL)
    try:
        state = timm.create_model(tagged, pretrained=True, num_classes=0).state_dict()
    except Exception as error:  # the network, the hub and its cache fail in too many ways to list
        reason = str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
        raise UserError(f"ImageNet weights of {tagged}: cannot be fetched ({reason}); {remedy}") from None
    finally:
        chatter.setLevel(level)
    return _load(module, state, tagged)


def _load(module: BackboneModule, state: Mapping[str, Tensor], source: str) -> LoadReport:
    own = module.net.state_dict()
    wanted = [k for k in own if not k.endswith("num_batches_tracked")]
    prefix = max(
        (wrapper + inner for wrapper in _WRAPPERS for inner in _PREFIXES),
        key=lambda p: sum(p + k in state for k in wanted),
    )
    given = {k: state[prefix + k] for k in own if prefix + k in state}
    first = _first_convolution(module, given)
    if first is not None:
        ours, theirs = own[first].shape[1], given[first].shape[1]
        if ours == 1 and theirs > 1:
            given = fold_first_conv(given, first)
        elif theirs == 1 and ours > 1:
            given = unfold_first_conv(given, ours, first)
    fits = {k: v for k, v in given.items() if v.shape == own[k].shape}
    report = LoadReport(
        matched=tuple(k for k in wanted if k in fits),
        missing=tuple(k for k in wanted if k not in given),
        mismatched=tuple(k for k in wanted if k in given and k not in fits),
        unexpected=tuple(k for k in state if not (k.startswith(prefix) and k[len(prefix) :] in own)),
    )
    if len(report.matched) < ENOUGH * len(wanted):
        names = ", ".join((report.missing + report.mismatched)[:3])
        has = f"; the file has {', '.join(report.unexpected[:3])}" if report.unexpected else ""
        raise UserError(
            f"weights {source}: {report}; needed: {ENOUGH:.0%} of the backbone's {len(wanted)} tensors; without: "
            f"{names}{has}; give a file of the same network"
        )
    module.net.load_state_dict(own | fits)
    return report


def _first_convolution(module: BackboneModule, given: Mapping[str, Tensor]) -> str | None:
    """The key of the convolution that sees the image, where the file has it as [O, I, h, w]."""
    name = getattr(module.net, "pretrained_cfg", {}).get("first_conv", "conv1")
    key = f"{name}.weight"
    return key if key in given and given[key].ndim == 4 else None


def save_backbone(module: BackboneModule, path: Path, metadata: Mapping[str, str]) -> str:
    """Writes ``net`` as safetensors with timm's keys, whole or not at all; the same weights give the same bytes.

    ``timm.create_model(name, in_chans=1, num_classes=0, checkpoint_path=path)`` opens it.

    Args:
        module: the backbone.
        path: a ``.safetensors`` file; an older one is replaced.
        metadata: text to ride in the file's header.

    Returns:
        The SHA-256 of the file, hex.

    Raises:
        UserError: the file cannot be written.
    """
    tensors = {k: v.detach().cpu().contiguous() for k, v in module.net.state_dict().items()}
    data = _ordered(safetensors.torch.save(tensors, {"format": "pt"} | dict(metadata)))
    atomic_write(path, data)
    return hashlib.sha256(data).hexdigest()


def _ordered(data: bytes) -> bytes:
    """The same safetensors file with its header sorted: the library writes metadata in a random order."""
    size = int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8 : 8 + size]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # the tensors that follow must stay aligned to 8 bytes
    return len(header).to_bytes(8, "little") + header + data[8 + size :]
