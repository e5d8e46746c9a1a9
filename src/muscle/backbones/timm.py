"""Kind ``timm``: any convolutional network of timm that gives maps at strides 4, 8, 16 and 32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, ClassVar, Literal, NamedTuple

import timm
import torch
from torch import Tensor, nn

from muscle.backbones import Backbone, BackboneModule
from muscle.errors import UsageError, UserError
from muscle.recompute import recomputing
from muscle.types import Features

STRIDES = (4, 8, 16, 32)


class Geometry(NamedTuple):
    """How a convolution steps over its input; nothing that is learnt."""

    stride: Any
    padding: Any
    dilation: Any


class TimmModule(BackboneModule):
    """A timm network without classifier, at output stride 32, 16 or 8 with one set of weights and buffers.

    Strided and dilated networks differ only in the geometry of some convolutions. It is switched for the length
    of one forward pass and switched back, so that there is one network: ``net`` stays timm's own at stride 32, and
    copying, moving, saving and loading need no care. (The gradient does not look at it again; what is recomputed in
    the backward pass is computed under the same geometry.)

    Raises:
        UsageError: the network is unknown to timm, or does not give maps at strides 4, 8, 16 and 32.
    """

    def __init__(self, name: str, in_chans: int, **options: Any) -> None:
        super().__init__()
        with torch.device("meta"):
            plain = _create(name, in_chans, **options)
            found = _probe(plain, name, in_chans)
            dilated = {stride: _geometry(plain, name, in_chans, stride, **options) for stride in (16, 8)}
        self.name = name
        self.in_chans = in_chans
        self.indices, self.channels, self.width = found
        self.geometry = {stride: plan for stride, plan in dilated.items() if plan is not None}
        self.net = _create(name, in_chans, **options)

    def forward(self, x: Tensor, output_stride: int = 32) -> Features:
        """As `BackboneModule.forward`; a network with three channels in sees the grey image three times.

        Raises:
            UserError: the network cannot be dilated to ``output_stride``.
        """
        if x.shape[1] == 1 and self.in_chans > 1:
            x = x.expand(-1, self.in_chans, -1, -1)
        stepping = partial(self._stepping, output_stride)
        little = self.recompute and torch.is_grad_enabled()
        with stepping(), recomputing(self.net, stepping) if little else nullcontext():
            last, maps = self.net.forward_intermediates(x, indices=self.indices)  # type: ignore[operator]
            pooled = self.net.forward_head(last)  # type: ignore[operator]
        return Features(pooled, tuple(maps))

    @contextmanager
    def _stepping(self, output_stride: int) -> Iterator[None]:
        if output_stride == 32:
            yield
            return
        if output_stride not in self.geometry:
            allowed = ", ".join(str(s) for s in (32, *self.geometry))
            raise UserError(f"backbone {self.name}: given output stride {output_stride}; allowed: {allowed}")
        before = {}
        try:
            for name, geometry in self.geometry[output_stride].items():
                convolution = self.net.get_submodule(name)
                before[name] = _of(convolution)
                _step(convolution, geometry)
            yield
        finally:
            for name, geometry in before.items():
                _step(self.net.get_submodule(name), geometry)


def _of(convolution: nn.Module) -> Geometry:
    return Geometry(*(getattr(convolution, field) for field in Geometry._fields))


def _step(convolution: nn.Module, geometry: Geometry) -> None:
    for field, value in zip(Geometry._fields, geometry, strict=True):
        setattr(convolution, field, value)


def _create(name: str, in_chans: int, **options: Any) -> Any:
    if not timm.is_model(name.split(".")[0]):
        close = ", ".join(timm.list_models(f"{name[:6]}*")[:5])
        raise UsageError(
            f"backbone: timm has no network {name!r}; give one of timm.list_models(), such as {close}"
        )
    return timm.create_model(name, in_chans=in_chans, num_classes=0, **options)


def _probe(net: Any, name: str, in_chans: int) -> tuple[list[int], tuple[int, ...], int]:
    """Which intermediates are the maps, their channels, and the length of the pooled feature (on shapes alone)."""
    side = 256
    try:
        last, maps = net.eval().forward_intermediates(torch.zeros(1, in_chans, side, side))
        width = net.forward_head(last).shape[1]
    except (AttributeError, AssertionError, RuntimeError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"backbone {name}: gives no maps ({reason}); give a convolutional network") from None
    at = {side / m.shape[-1]: (i, m.shape[1]) for i, m in enumerate(maps)}
    if not set(STRIDES) <= set(at):
        raise UsageError(
            f"backbone {name}: gives maps at strides {', '.join(f'{s:g}' for s in at)}; needed: 4, 8, 16, 32"
        )
    return [at[s][0] for s in STRIDES], tuple(at[s][1] for s in STRIDES), width


def _geometry(
    plain: nn.Module, name: str, in_chans: int, stride: int, **options: Any
) -> dict[str, Geometry] | None:
    """The convolutions that timm's network of this output stride steps through differently.

    None where timm has no such network, or where it differs in more than that.
    """
    try:
        other = _create(name, in_chans, output_stride=stride, **options)
    except (TypeError, AssertionError, ValueError):
        return None
    ours, theirs = dict(plain.named_modules()), dict(other.named_modules())
    if ours.keys() != theirs.keys():
        return None
    changed = {}
    for key, mine in ours.items():
        if type(mine) is not type(theirs[key]):
            return None
        if isinstance(mine, nn.Conv2d):
            if _of(mine) != _of(theirs[key]):
                changed[key] = _of(theirs[key])
        elif mine.extra_repr() != theirs[key].extra_repr():
            return None
    return changed


class Timm(Backbone):
    """Any convolutional network of timm with maps at strides 4 to 32, by timm's name (``efficientnet_b0``).

    ``in_chans``: 1, or 3 for a network that is to be handed on to others who feed it colour; it then sees the
    grey image three times. It starts from timm's own random initialization for that network.
    """

    kind: ClassVar[str] = "timm"

    name: str
    in_chans: Literal[1, 3] = 1

    def build(self) -> TimmModule:
        """A freshly initialized network.

        Raises:
            UsageError: timm does not have it, or it does not give the maps.
        """
        return TimmModule(self.name, self.in_chans)
