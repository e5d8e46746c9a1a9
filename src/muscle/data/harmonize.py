"""Steps that make pictures of different sources alike after decoding, each named and recorded.

A step may cut the picture: what is kept is a rectangle in source pixels, so that masks, boxes and points follow.
Lines along the edges are judged on the picture itself, circles on a copy of at most 256 pixels.

Differs: the levels are the decoder's 0..255, not the detector's: a percentile window after an already narrow
display window brings no lost level back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from muscle.data.grey import Crop, Decoded, Pixels, to_bytes
from muscle.parts import Part

Stepped = tuple[Pixels, int, int]

_SHARE = 0.98  # of the pixels of a line that must be margin: specks and the ends of letters are let through
_SMALL = 256  # pixels of the copy that circles are looked for in
_STEP, _STRIP = (
    12,
    4,
)  # levels between field and shadow; lines averaged on either side of the edge between them


class HarmonizeStep(Part):
    """Root of the family."""

    home: ClassVar[str] = "muscle.data.harmonize"

    def step(self, pixels: Pixels, said: list[str]) -> Stepped:
        """The picture [H, W] uint8 after this step, cut or not, and the (x, y) at which what is left began.

        What was done is appended to ``said``; where there was nothing to do, nothing is.
        """
        raise TypeError(f"{type(self).__name__} must define step")


def harmonized(decoded: Decoded, steps: tuple[HarmonizeStep, ...]) -> Decoded:
    """A decoded picture after all steps, in order, with what they did and what they cut."""
    if not steps:
        return decoded
    pixels, said, left, top = decoded.pixels, list(decoded.steps), 0, 0
    height, width = pixels.shape
    for step in steps:
        pixels, x, y = step.step(pixels, said)
        left, top = left + x, top + y
    crop = Crop(left, top, left + pixels.shape[1], top + pixels.shape[0], width, height)
    return Decoded(np.ascontiguousarray(pixels), tuple(said), decoded.bits, crop)


class PercentileWindow(HarmonizeStep):
    """Two percentiles of each picture become 0 and 255, linear and clipped; a flat picture stays as it is.

    Attributes:
        low, high: percentiles, 0..100.
    """

    kind: ClassVar[str] = "percentile"

    low: float = Field(0.5, ge=0, le=100)
    high: float = Field(99.5, ge=0, le=100)

    @model_validator(mode="after")
    def _ordered(self) -> PercentileWindow:
        if self.low >= self.high:
            raise ValueError(f"low {self.low:g} is not below high {self.high:g}")
        return self

    def step(self, pixels: Pixels, said: list[str]) -> Stepped:
        """Stretched, not cut."""
        low, high = (float(v) for v in np.percentile(pixels, (self.low, self.high)))
        if low == high:
            said.append("percentile: the picture is flat, left as it is")
            return pixels, 0, 0
        said.append(f"percentile: {self.low:g} and {self.high:g}, {low:g}..{high:g}, to 0..255")
        return to_bytes(pixels, low, high), 0, 0


class Border(HarmonizeStep):
    """Cuts plain margins, black, white or grey, off all four sides; frames within frames too.

    Attributes:
        tolerance: grey levels by which a margin may vary.
        most: share of the width, or of the height, above which nothing is cut: that is no margin but a dark film.
    """

    kind: ClassVar[str] = "border"

    tolerance: int = Field(6, ge=0, le=127)
    most: float = Field(0.6, gt=0, lt=1)

    def step(self, pixels: Pixels, said: list[str]) -> Stepped:
        """What lies within the margins."""
        return _within(pixels, self.kind, self.most, self._margin, said)

    def _margin(self, lines: Pixels) -> int:
        level = np.median(lines[0])
        return _leading((np.abs(lines.astype(np.int16) - level) <= self.tolerance).mean(1) >= _SHARE)


class Collimation(HarmonizeStep):
    """Cuts the shadow of collimator blades parallel to the edges: plain, and ended by a straight line.

    Differs: turned blades, and blades whose shadow is as varied as the body, are left in.

    Attributes:
        smooth: grey levels (standard deviation along the line) that the shadow of a blade may vary by.
        most: share of the width, or of the height, above which nothing is cut.
    """

    kind: ClassVar[str] = "collimation"

    smooth: float = Field(10.0, gt=0)
    most: float = Field(0.6, gt=0, lt=1)

    def step(self, pixels: Pixels, said: list[str]) -> Stepped:
        """What lies between the blades."""
        return _within(pixels, self.kind, self.most, self._shadow, said)

    def _shadow(self, lines: Pixels) -> int:
        """The depth of a shadow that begins at line 0: up to the one straight edge behind smooth lines."""
        values = lines[: max(1, int(len(lines) * self.most))].astype(np.float32)
        smooth = _leading(values.std(1) <= self.smooth)
        if smooth < _STRIP or len(values) < smooth + 2 * _STRIP:
            return 0
        sums = np.cumsum(np.vstack([np.zeros((1, values.shape[1]), np.float32), values]), 0)
        means = (sums[_STRIP:] - sums[:-_STRIP]) / _STRIP  # [i]: mean of lines i .. i + STRIP - 1
        edges = range(max(_STRIP, smooth - _STRIP), smooth + _STRIP + 1)
        jumps = [means[i] - means[i - _STRIP] for i in edges if i < len(means)]
        best = int(np.argmax([float(np.abs(j).mean()) for j in jumps]))
        return edges[best] if max(_straight(jumps[best] > _STEP), _straight(jumps[best] < -_STEP)) else 0


class Vignette(HarmonizeStep):
    """Finds a film shown through a disc (image intensifiers, mounted pictures) by its plain corners.

    Attributes:
        action: ``mark``: only recorded; ``crop``: the rectangle around the disc is kept, what is outside the disc
            becomes black.
        tolerance: grey levels by which the corners may vary.
    """

    kind: ClassVar[str] = "vignette"

    action: Literal["mark", "crop"] = "crop"
    tolerance: int = Field(12, ge=0, le=127)

    def step(self, pixels: Pixels, said: list[str]) -> Stepped:
        """The disc on black, or all."""
        disc = self._disc(pixels)
        if disc is None:
            return pixels, 0, 0
        x, y, a, b = disc
        found = f"vignette: a disc of {2 * a:.0f} x {2 * b:.0f} around ({x:.0f}, {y:.0f})"
        if self.action == "mark":
            said.append(f"{found}, left as it is")
            return pixels, 0, 0
        said.append(f"{found}, cut around it, black outside")
        rows, columns = np.ogrid[: pixels.shape[0], : pixels.shape[1]]
        inside = ((columns + 0.5 - x) / a) ** 2 + ((rows + 0.5 - y) / b) ** 2 <= 1
        alone: Pixels = np.where(inside, pixels, 0).astype(np.uint8)
        left, top = max(0, round(x - a)), max(0, round(y - b))
        return alone[top : round(y + b), left : round(x + a)], left, top

    def _disc(self, pixels: Pixels) -> tuple[float, float, float, float] | None:
        """Centre and half axes of the ellipse that plain corners leave free, in pixels; None where there is none."""
        import cv2

        scale = min(1.0, _SMALL / max(pixels.shape))
        small = np.asarray(
            cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8
        )
        height, width = small.shape
        if min(height, width) < 32:
            return None
        corners = ((0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1))
        level = float(np.median([small[y, x] for x, y in corners]))
        plain = (np.abs(small.astype(np.int16) - level) <= self.tolerance).astype(np.uint8)
        names = cv2.connectedComponents(plain, connectivity=4)[1]
        if not all(plain[y, x] for x, y in corners):
            return None
        outside = np.isin(names, [names[y, x] for x, y in corners])
        free = ~outside
        rows, columns = np.flatnonzero(free.mean(1) > 0.01), np.flatnonzero(free.mean(0) > 0.01)
        if not (len(rows) and len(columns)):
            return None
        x0, x1, y0, y1 = columns[0], columns[-1] + 1, rows[0], rows[-1] + 1
        x, y, a, b = (x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 2, (y1 - y0) / 2
        gy, gx = np.ogrid[:height, :width]
        ellipse = ((gx + 0.5 - x) / a) ** 2 + ((gy + 0.5 - y) / b) ** 2 <= 1
        common = float((ellipse & free).sum()) / float((ellipse | free).sum())
        if common < 0.95 or a < width / 8 or b < height / 8:
            return None
        return x / scale, y / scale, a / scale, b / scale


def _within(
    pixels: Pixels, kind: str, most: float, depth: Callable[[Pixels], int], said: list[str]
) -> Stepped:
    """Cuts ``depth(lines)`` off each side, lines going inwards, until nothing more goes or too much would."""
    height, width = pixels.shape
    x0, y0, x1, y1 = 0, 0, width, height
    for _ in range(8):  # a frame within a frame within a frame
        part = pixels[y0:y1, x0:x1]
        views = (part.T, part.T[::-1], part, part[::-1])  # left, right, top, bottom
        left, right, top, bottom = (depth(view) for view in views)
        if not (left or right or top or bottom):
            break
        x0, x1, y0, y1 = x0 + left, x1 - right, y0 + top, y1 - bottom
        if x1 - x0 < (1 - most) * width or y1 - y0 < (1 - most) * height:
            said.append(f"{kind}: more than {most:.0%} of a side would go, left as it is")
            return pixels, 0, 0
    if (x0, y0, x1, y1) != (0, 0, width, height):
        said.append(f"{kind}: cut {x0} left, {width - x1} right, {y0} top, {height - y1} bottom")
    return pixels[y0:y1, x0:x1], x0, y0


def _straight(edge: NDArray[np.bool_]) -> bool:
    """Whether an edge runs on without gaps for half of a line at least: other blades may end it on both sides."""
    there = np.flatnonzero(edge)
    if len(there) < len(edge) / 2:
        return False
    return bool(len(there) >= 0.9 * (there[-1] - there[0] + 1))


def _leading(good: NDArray[np.bool_]) -> int:
    """How many are true before the first that is not."""
    return len(good) if good.all() else int(np.argmin(good))
