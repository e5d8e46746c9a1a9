"""The physics behind the synthetic radiographs: path lengths through bodies, and the film made of them.

Everything here is synthetic: no patient was ever in front of this X-ray tube. A drawing accumulates the line
integral of attenuation in closed form, body by body, and ``film`` turns it into grey levels as a detector would:
Beer-Lambert transmission, scatter, quantum noise, detector blur, logarithm (so that bone is white, as in
MONOCHROME2), and the window, contrast and levels of some scanner.

The field of view is the square [-1, 1] x [-1, 1], x to the right and y down, whatever the size of the image: another
size is the same synthetic patient on another raster, another aspect stretches. Beams run along z, parallel. One unit
is half the field of view; attenuation coefficients are per unit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[np.float32]
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Canvas:
    """Pixel centres of a synthetic film: ``x`` [1, W], ``y`` [H, 1] float32 in [-1, 1]."""

    x: Array
    y: Array

    @classmethod
    def of(cls, size: tuple[int, int]) -> Canvas:
        """The raster of a film of (height, width) pixels."""
        y, x = ((np.arange(n, dtype=np.float32) + 0.5) * (2.0 / n) - 1.0 for n in size)
        return cls(x[None, :], y[:, None])

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.y.shape[0], self.x.shape[1]

    def zeros(self) -> Array:
        """Nothing in the beam: [H, W] float32."""
        return np.zeros(self.shape, np.float32)

    def window(self, centre: Point, reach: Point) -> tuple[slice, slice]:
        """The pixels within ``reach`` (x, y) of a point: rows and columns."""
        spans = []
        for axis, n in ((1, self.shape[0]), (0, self.shape[1])):
            low, high = ((centre[axis] + s * reach[axis] + 1.0) * n / 2.0 for s in (-1.0, 1.0))
            spans.append(slice(min(max(math.floor(low), 0), n), min(max(math.ceil(high), 0), n)))
        return spans[0], spans[1]


def ellipsoid(
    canvas: Canvas, centre: Point, semi: tuple[float, float, float], angle: float = 0.0, power: float = 2.0
) -> Array:
    """Path length [H, W] through a synthetic ellipsoid, its axes turned by ``angle`` (radians) in the image plane.

    The chord of the ellipsoid with semi-axes (a, b, c) at in-plane coordinates (u, v) is
    2 c sqrt(1 - (u/a)^2 - (v/b)^2); for a sphere 2 sqrt(r^2 - d^2). ``power`` other than 2 makes the outline in the
    image plane a superellipse.
    """
    a, b, c = semi
    out = canvas.zeros()
    cos, sin = math.cos(angle), math.sin(angle)
    grow = 1.0 if power == 2.0 else math.sqrt(2.0)  # the corners of a superellipse stick out of the ellipse
    reach = grow * math.hypot(a * cos, b * sin), grow * math.hypot(a * sin, b * cos)
    rows, columns = canvas.window(centre, reach)
    x, y = canvas.x[:, columns] - centre[0], canvas.y[rows] - centre[1]
    u, v = (x * cos + y * sin) / a, (y * cos - x * sin) / b
    inside = 1.0 - (u * u + v * v if power == 2.0 else np.abs(u) ** power + np.abs(v) ** power)
    out[rows, columns] = 2.0 * c * np.sqrt(np.maximum(inside, 0.0))
    return out


@dataclass(frozen=True, slots=True)
class Crack:
    """A synthetic fracture of a shaft.

    ``at`` is its place along the axis (0..1), ``slant`` the slope of the line against the perpendicular, ``zone`` how
    far (in units) the two ends bend away from the axis, ``step`` by how much the ends miss each other, ``apex`` by how
    much both leave the axis on one side, ``gap`` half the width of the line. Outside the zone the bone is untouched, so
    the finding has exact bounds.
    """

    at: float
    slant: float
    zone: float
    step: float
    apex: float
    gap: float


def shaft(
    canvas: Canvas,
    start: Point,
    stop: Point,
    radius: tuple[float, float],
    flare: float = 0.0,
    bend: float = 0.0,
    core: float = 0.6,
    crack: Crack | None = None,
) -> tuple[Array, Array]:
    """Path lengths [H, W] through a round synthetic shaft and through its marrow.

    The chord at distance s from the axis is 2 sqrt(r^2 - s^2), the radius r going from ``radius[0]`` to ``radius[1]``,
    wider by ``flare`` at the rounded ends. ``bend`` bows the axis sideways (units at the middle). The marrow has
    ``core`` of the radius in the middle and nearly all of it at the ends, as in long bones.
    """
    outer, inner = canvas.zeros(), canvas.zeros()
    dx, dy = stop[0] - start[0], stop[1] - start[1]
    length = math.hypot(dx, dy)
    dx, dy = dx / length, dy / length
    side = max(radius) * (1.0 + flare) + abs(bend) + (abs(crack.step) + abs(crack.apex) if crack else 0.0)
    middle = (start[0] + stop[0]) / 2.0, (start[1] + stop[1]) / 2.0
    reach = abs(dx) * length / 2.0 + abs(dy) * side, abs(dy) * length / 2.0 + abs(dx) * side
    rows, columns = canvas.window(middle, reach)
    x, y = canvas.x[:, columns] - start[0], canvas.y[rows] - start[1]
    t, s = x * dx + y * dy, y * dx - x * dy
    u = np.clip(t / length, 0.0, 1.0)
    s = s - bend * 4.0 * u * (1.0 - u)
    whole = (t > 0.0) & (t < length)
    if crack is not None:
        from_line = t - crack.at * length - crack.slant * s
        v = from_line / crack.zone
        s = s - (np.sign(v) * crack.step + crack.apex) * np.maximum(1.0 - np.abs(v), 0.0)
        whole &= np.abs(from_line) > crack.gap
    end = np.abs(2.0 * u - 1.0)
    r = (radius[0] + (radius[1] - radius[0]) * u) * (1.0 + flare * end**4)
    cap = min(2.0 * max(radius) / length, 1.0)
    z = np.maximum((end - (1.0 - cap)) / cap, 0.0)
    r = np.where(whole, r * np.sqrt(np.maximum(1.0 - z**6, 0.0)), 0.0)
    r_core = r * (core + (0.92 - core) * end**3)
    outer[rows, columns] = 2.0 * np.sqrt(np.maximum(r * r - s * s, 0.0))
    inner[rows, columns] = 2.0 * np.sqrt(np.maximum(r_core * r_core - s * s, 0.0))
    return outer, inner


def hoop(
    canvas: Canvas, centre: Point, semi: Point, angle: float, radius: float, keep: tuple[float, float]
) -> Array:
    """Path length [H, W] through a synthetic rib: a tube along an ellipse seen from the front.

    The distance to the ellipse is |F - 1| / |grad F| to first order, and the chord 2 sqrt(r^2 - d^2). The back of the
    rib (upper arc) and its front (lower arc) run from the outer end, local u = +1, in to ``keep`` = (back, front).
    Negative ``semi[0]`` mirrors it.
    """
    a, b = semi
    cos, sin = math.cos(angle), math.sin(angle)
    out = canvas.zeros()
    reach = math.hypot(a * cos, b * sin) + radius, math.hypot(a * sin, b * cos) + radius
    rows, columns = canvas.window(centre, reach)
    x, y = canvas.x[:, columns] - centre[0], canvas.y[rows] - centre[1]
    u, v = (x * cos + y * sin) / a, (y * cos - x * sin) / b
    slope = 2.0 * np.sqrt((u / a) ** 2 + (v / b) ** 2) + 1e-6
    d = (u * u + v * v - 1.0) / slope
    chord = 2.0 * np.sqrt(np.maximum(radius * radius - d * d, 0.0))
    back, front = (np.clip((u - k) / 0.15, 0.0, 1.0) for k in keep)
    out[rows, columns] = chord * np.where(v < 0.0, back, 0.8 * front)
    return out


def texture(canvas: Canvas, rng: np.random.Generator, cells: int) -> Array:
    """Smooth synthetic noise [H, W] of about zero mean and unit variance, ``cells`` grains across, at any size."""
    grains = rng.standard_normal((cells + 4, cells + 4)).astype(np.float32)
    parts = []
    for places in (canvas.y[:, 0], canvas.x[0]):
        at = (places + 1.0) * (cells / 2.0) + 0.5
        low = np.clip(np.floor(at).astype(np.int64), 0, cells)
        f = at - low
        rows = np.zeros((len(places), cells + 4), np.float32)
        spline = (1.0 - f) ** 3, 3.0 * f**3 - 6.0 * f**2 + 4.0, 3.0 * (f + f**2 - f**3) + 1.0, f**3
        for n, weight in enumerate(spline):  # cubic B-spline
            rows[np.arange(len(places)), low + n] = weight
        parts.append(rows / np.linalg.norm(rows, axis=1, keepdims=True))
    woven: Array = parts[0] @ grains @ parts[1].T
    return woven


@dataclass(slots=True)
class Scene:
    """What stands in the beam of one synthetic film.

    ``plain`` [H, W] is the attenuation (line integral, no unit) without findings; each of ``findings`` is a name and
    what it adds to ``plain``. ``masks`` bool [H, W] and ``labels`` hold the truth.
    """

    plain: Array
    findings: list[tuple[str, Array]] = field(default_factory=list)
    masks: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)


def bounds(delta: Array) -> tuple[float, float, float, float]:
    """Tight bounds (x0, y0, x1, y1) in pixels, outer corners, of where a finding is seen.

    Seen is where it changes the attenuation by more than a tenth of its greatest change.
    """
    size = np.abs(delta)
    seen = size > 0.1 * size.max()
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def film(
    scene: Scene, scanner: np.random.Generator, noise: np.random.Generator, bits: int
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Grey levels [H, W] of the synthetic film: uint8 for 8 bits, else uint16 in 0 .. 2^bits - 1; bone is white.

    ``scanner`` decides exposure, scatter, blur and window, ``noise`` the quanta. The window is set on the attenuation
    without findings, so a film with and one without differ only where the finding is.

    Differs: Poisson noise in its normal limit (variance = mean), which the same quanta can serve for both films.
    """
    quanta = math.exp(scanner.uniform(math.log(1.5e4), math.log(1.2e5)))
    scatter, sigma = scanner.uniform(0.01, 0.03), scanner.uniform(0.35, 0.6)
    low, high = scanner.uniform(0.5, 4.0), scanner.uniform(97.5, 99.9)
    gamma = math.exp(scanner.uniform(-0.3, 0.3))
    dark, bright = scanner.uniform(0.0, 0.12), scanner.uniform(0.82, 1.0)

    attenuation = scene.plain.copy()
    for _, delta in scene.findings:
        attenuation += delta
    transmitted = np.exp(-np.maximum(attenuation, 0.0))
    floor = scatter * float(np.exp(-scene.plain).mean())
    expected = quanta * (transmitted + floor)
    counted = expected + np.sqrt(expected) * noise.standard_normal(expected.shape, dtype=np.float32)
    counted = ndimage.gaussian_filter(counted, sigma, mode="nearest")
    measured = -np.log(np.maximum(counted, 1.0) / quanta)
    a, b = np.percentile(-np.log(np.exp(-scene.plain) + floor), (low, high))
    grey = np.clip((measured - a) / (b - a), 0.0, 1.0) ** gamma
    levels: Array = np.rint((dark + (bright - dark) * grey) * (2**bits - 1))
    return levels.astype(np.uint8) if bits == 8 else levels.astype(np.uint16)
