"""Views: random changes of a batch, drawn per sample, computed on the batch at once and where the batch lies.

Geometry is one affine map a view, ``theta`` [B, 2, 3]: where, in pixels of the input, each pixel of the output
comes from. Images, masks and boxes follow the same map, and the stored bytes are sampled once.
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor

from muscle.parts import Part
from muscle.types import Batch, Boxes

Border = Literal["border", "zeros"]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]

VISIBLE = 0.25  # share of a box that must stay inside the view
STEPS = 16.0  # sampled values are rounded to 1/16 grey level, see `_sample`


class Views(Part):
    """What a view may change. The defaults are weak: MUSCLE switches crop, blur and jitter off.

    Attributes:
        flip: probability of a horizontal flip (it moves the heart; 0 turns it off).
        rotate: largest angle in degrees, either way (MoCo-CXR: 10).
        shift: largest shift as a fraction of height and width, either way.
        scale: smallest and largest magnification.
        crop: smallest and largest area of a random resized crop as a fraction of the image (MoCo v2: (.2, 1)),
            aspect 3/4 to 4/3; None: no crop.
        blur: probability of a Gaussian blur, sigma .1 to 2 pixels (MoCo v2: .5).
        jitter: strength of brightness and contrast changes, applied to 80 % of the samples (MoCo v2: .4).
        border: what lies outside the image: its nearest pixel, or black (black corners tell the angle).
    """

    revision: ClassVar[int] = 2  # 1 rounded the shift under bf16

    flip: Share = 0.5
    rotate: Annotated[float, Field(ge=0, le=180)] = 10.0
    shift: Share = 0.05
    scale: tuple[Positive, Positive] = (1.0, 1.0)
    crop: tuple[Positive, Positive] | None = None
    blur: Share = 0.0
    jitter: Annotated[float, Field(ge=0, lt=1)] = 0.0
    border: Border = "border"

    @field_validator("scale", "crop")
    @classmethod
    def _ordered(cls, given: tuple[float, float] | None, field: ValidationInfo) -> tuple[float, float] | None:
        if given and not given[0] <= given[1] <= (1 if field.field_name == "crop" else math.inf):
            raise ValueError(f"given {given}; allowed: (low, high) with low <= high, for crop at most 1")
        return given

    def draw(self, n: int, height: int, width: int) -> Tensor:
        """One map a sample, from torch's global CPU generator.

        The view is the crop, then flipped, turned by the angle, magnified about its centre and shifted. Angles are
        in pixel space, so that films that are not square turn rigidly.

        Differs: a crop whose sides do not fit is cut to the image instead of drawn again, and its aspect is that
        of the output (on a square image the usual one).

        Returns:
            theta [n, 2, 3] float32: output pixel -> input pixel, pixels counted from the outer corner.
        """
        flip = 1.0 - 2.0 * (torch.rand(n) < self.flip).float()
        angle = torch.empty(n).uniform_(-self.rotate, self.rotate) * (math.pi / 180)
        shift = torch.empty(n, 2).uniform_(-self.shift, self.shift) * torch.tensor([width, height])
        scale = torch.exp(torch.empty(n).uniform_(math.log(self.scale[0]), math.log(self.scale[1])))
        cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
        turn = torch.stack([torch.stack([flip * cos, flip * sin], 1), torch.stack([-sin, cos], 1)], 1)
        centre = torch.tensor([width / 2, height / 2])
        offset = centre - (turn * (centre + shift)[:, None]).sum(2)  # not `@`: under autocast that is bf16
        theta = torch.cat([turn, offset[:, :, None]], 2)
        if self.crop is None:
            return theta
        area = torch.empty(n).uniform_(*self.crop)
        aspect = torch.exp(torch.empty(n).uniform_(math.log(3 / 4), math.log(4 / 3)))
        sides = torch.stack([(area * aspect).sqrt(), (area / aspect).sqrt()], 1).clamp(max=1.0)
        corner = torch.rand(n, 2) * (1 - sides) * torch.tensor([width, height])
        theta = sides[:, :, None] * theta
        theta[:, :, 2] += corner
        return theta

    def maps(self, batch: Batch) -> Tensor:
        """A map for every image of a batch [B, 2, 3]; drawn for the whole batch, so that ranks draw as one process."""
        return batch.mine(self.draw(batch.total, *batch.image.shape[-2:]))

    def __call__(self, batch: Batch) -> Tensor:
        """One view of every image of a batch: [B, 1, H, W] float32, normalized, channels last."""
        pixels = _sample(batch.image, self.maps(batch).to(batch.image.device), self.border)
        if self.jitter:
            pixels = _jitter(pixels, self.jitter, batch)
        if self.blur:
            pixels = _blur(pixels, self.blur, batch)
        return _normalize(pixels, batch)


def warp(batch: Batch, theta: Tensor, border: Border = "border") -> Tensor:
    """The images of a batch under one map a sample, bilinear: [B, 1, H, W] float32, normalized, channels last."""
    return _normalize(_sample(batch.image, theta.to(batch.image.device), border), batch)


def warp_mask(mask: Tensor, theta: Tensor, border: Border = "border") -> Tensor:
    """Masks [B, H, W] uint8 under one map a sample, nearest pixel: no class is invented."""
    grid = _grid(theta.to(mask.device), *mask.shape[-2:])
    moved = F.grid_sample(
        mask[:, None].float(), grid, mode="nearest", padding_mode=border, align_corners=False
    )
    return moved[:, 0].to(torch.uint8)


def warp_boxes(boxes: Boxes, theta: Tensor, height: int, width: int) -> Boxes:
    """Boxes under one map a sample: the upright hull of the moved corners, cut to the image.

    Boxes of which less than a quarter stays inside are dropped.
    """
    theta = theta.to(boxes.xyxy.device)
    inverse = torch.linalg.inv(theta[:, :, :2].double())[boxes.row]
    corners = boxes.xyxy.double()[:, [[0, 1], [2, 1], [2, 3], [0, 3]]] - theta[boxes.row, None, :, 2].double()
    moved = (inverse[:, None] @ corners[..., None])[..., 0]
    low, high = moved.amin(1), moved.amax(1)
    limit = torch.tensor([width, height], dtype=torch.float64, device=theta.device)
    inner_low, inner_high = low.clamp(min=0).minimum(limit), high.clamp(min=0).minimum(limit)
    visible = (inner_high - inner_low).prod(1)
    keep = (visible >= VISIBLE * (high - low).prod(1)) & (visible > 0)
    return Boxes(torch.cat([inner_low, inner_high], 1).float()[keep], boxes.label[keep], boxes.row[keep])


def _grid(theta: Tensor, height: int, width: int) -> Tensor:
    """Where ``grid_sample`` is to look, [B, H, W, 2] in its -1..1 coordinates.

    A sum of a row part and a column part: far quicker than ``affine_grid``, which multiplies matrices.
    """
    size = torch.tensor([width, height], dtype=theta.dtype, device=theta.device)
    scaled = theta * (2 / size)[:, None]
    x = torch.arange(width, dtype=theta.dtype, device=theta.device) + 0.5
    y = torch.arange(height, dtype=theta.dtype, device=theta.device) + 0.5
    across = x[None, :, None] * scaled[:, None, :, 0]
    down = y[None, :, None] * scaled[:, None, :, 1] + (scaled[:, None, :, 2] - 1)
    return down[:, :, None] + across[:, None]


def _sample(image: Tensor, theta: Tensor, border: Border) -> Tensor:
    """Bilinear samples [B, 1, H, W] float32 of uint8 images, 0..255 in steps of 1/16 grey level.

    The rounding is far below the film's own quantization, and makes maps that move whole pixels (identity, flips,
    half turns) exact although ``grid_sample``'s coordinates are float32.
    """
    grid = _grid(theta, *image.shape[-2:])
    moved = F.grid_sample(image.float().mul_(STEPS), grid, padding_mode=border, align_corners=False)
    return moved.round_().mul_(1 / STEPS)


def _normalize(pixels: Tensor, batch: Batch) -> Tensor:
    mean, sd = batch.mean.view(-1, 1, 1, 1), batch.sd.view(-1, 1, 1, 1)
    return pixels.sub_(mean).div_(sd).contiguous(memory_format=torch.channels_last)


def _jitter(pixels: Tensor, strength: float, batch: Batch) -> Tensor:
    """Brightness and contrast of 80 % of the samples times 1 +- strength, on the 0..255 scale.

    Differs: brightness always first (the papers shuffle the order); grey films have no saturation and hue.
    """
    chosen = torch.rand(batch.total) < 0.8
    factors = torch.empty(2, batch.total).uniform_(1 - strength, 1 + strength)
    drawn = batch.mine(torch.where(chosen, factors, 1.0).t()).t()
    brightness, contrast = drawn.to(pixels.device).view(2, len(batch), 1, 1, 1)
    pixels = pixels.mul_(brightness).clamp_(0, 255)
    mean = pixels.mean((1, 2, 3), keepdim=True)
    return torch.lerp(mean, pixels, contrast).clamp_(0, 255)


def _blur(pixels: Tensor, probability: float, batch: Batch) -> Tensor:
    """Gaussian blur of some samples, each with its own sigma of .1 to 2 pixels (MoCo v2)."""
    chosen = batch.mine(torch.rand(batch.total) < probability)
    sigma = batch.mine(torch.empty(batch.total).uniform_(0.1, 2.0))[chosen]
    if not len(sigma):
        return pixels
    rows = chosen.nonzero()[:, 0].to(pixels.device)
    reach = 6  # three times the largest sigma
    offset = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernel = torch.softmax(-(offset**2) / (2 * sigma[:, None] ** 2), 1).to(pixels.device)
    some = F.pad(pixels[rows].transpose(0, 1), (reach,) * 4, mode="replicate")
    with torch.autocast(pixels.device.type, enabled=False):
        some = F.conv2d(some, kernel[:, None, None, :], groups=len(sigma))
        some = F.conv2d(some, kernel[:, None, :, None], groups=len(sigma))
    pixels[rows] = some.transpose(0, 1)
    return pixels
