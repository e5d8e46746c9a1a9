"""A synthetic chest film from the front: lungs, heart, ribs, spine, diaphragm; sometimes pneumonia."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from muscle.phantom.physics import Array, Canvas, Point, Scene, ellipsoid, hoop, shaft, texture

_Frame = Callable[[float, float], Point]  # anatomical coordinates -> canvas

SOFT, AIR, BONE = (
    3.0,
    2.5,
    3.2,
)  # attenuation per unit: soft tissue; what a lung takes away of it; bone on top of it


def scene(rng: np.random.Generator, canvas: Canvas, findings: bool) -> Scene:
    """A synthetic chest; half of them with an opacity, half of those focal (bacterial), half diffuse (viral)."""
    pneumonia, virus = bool(rng.random() < 0.5), bool(rng.random() < 0.5)
    middle = rng.uniform(-0.05, 0.05), rng.uniform(-0.04, 0.06)
    wide, tall = rng.uniform(0.92, 1.06), rng.uniform(0.92, 1.06)
    fat, depth = rng.uniform(1.0, 1.2), rng.uniform(0.9, 1.1)
    swell, tilt = rng.uniform(0.85, 1.2), rng.uniform(-0.04, 0.04)
    domes = rng.uniform(-0.06, 0.06, 2).tolist()
    slope, rib_size = rng.uniform(0.2, 0.4), rng.uniform(0.85, 1.15)
    shoulder = rng.uniform(-0.06, 0.06)
    bony = rng.uniform(0.8, 1.2)
    vessels = rng.uniform(-1.0, 1.0, (2, 12, 3)).tolist()
    side, lobe = int(rng.integers(2)), (rng.uniform(-0.35, 0.35), rng.uniform(-0.5, 0.45))
    lumps = rng.uniform(-1.0, 1.0, (7, 4)).tolist()
    size, dense = rng.uniform(0.8, 1.15), rng.uniform(0.55, 0.9)
    hazy = rng.uniform(0.16, 0.3)
    grain, mottle, coarse = texture(canvas, rng, 56), texture(canvas, rng, 28), texture(canvas, rng, 9)

    def at(x: float, y: float) -> Point:
        return (middle[0] + wide * x + tilt * y, middle[1] + tall * y)

    # the trunk: one soft body made of trunk, shoulders and neck (the longest path counts, they are one)
    trunk = ellipsoid(canvas, at(0.0, 0.45), (0.95 * wide * fat, 1.6, 0.62 * depth), 0.0, 2.8)
    for sign in (-1.0, 1.0):
        arm = ellipsoid(canvas, at(sign * 0.72, -0.52 + shoulder), (0.52, 0.3, 0.36), sign * 0.35)
        trunk = np.maximum(trunk, arm)
    neck, _ = shaft(canvas, at(0.0, -1.6), at(0.0, -0.3), (0.26, 0.34))
    body = SOFT * np.maximum(trunk, neck)

    # lungs: air takes the place of soft tissue, except where heart and liver already stand
    lungs = [_lung(canvas, at, sign, wide, tall, depth) for sign in (-1.0, 1.0)]
    heart = ellipsoid(canvas, at(0.13, 0.28), (0.3 * swell * wide, 0.36 * tall, 0.34), -0.62)
    heart = np.maximum(heart, ellipsoid(canvas, at(-0.06, 0.22), (0.17 * swell, 0.3 * tall, 0.25)))
    great = ellipsoid(canvas, at(0.03, -0.22), (0.13, 0.42, 0.28))
    knob = ellipsoid(canvas, at(0.1, -0.28), (0.1, 0.1, 0.2))
    centre = np.maximum(np.maximum(heart, great), knob)
    belly = canvas.zeros()
    for n, sign in enumerate((-1.0, 1.0)):
        top = 0.92 if sign < 0 else 0.98
        dome = ellipsoid(canvas, at(sign * 0.46, top + 0.25 + domes[n]), (0.52 * wide, 0.62 * tall, 0.55))
        belly = np.maximum(belly, dome)
    blocked = centre * 1.3 + belly * 2.0
    air = [np.maximum(lung - blocked, 0.0) for lung in lungs]
    fields = [(lung > 0.0) & (belly == 0.0) & (centre == 0.0) for lung in lungs]
    plain = body - AIR * (air[0] + air[1])
    bubble = ellipsoid(canvas, at(0.42, 0.86 + domes[1]), (0.13, 0.07, 0.12))
    windpipe, _ = shaft(canvas, at(0.0, -1.3), at(0.01, -0.28), (0.055, 0.05))
    plain -= 1.2 * bubble + 1.5 * windpipe

    plain += bony * _bones(canvas, at, wide, slope, rib_size, shoulder)
    for n, sign in enumerate((-1.0, 1.0)):
        plain += _vessels(canvas, at, sign, vessels[n]) * np.minimum(air[n] * 2.0, 1.0)
    plain += 0.03 * (coarse + 0.5 * mottle) * (body > 0.0)

    found: list[tuple[str, Array]] = []
    if pneumonia and findings and virus:
        for n in (0, 1):
            web = 0.6 + 0.35 * np.abs(grain) + 0.7 * np.maximum(mottle, 0.0) + 0.25 * coarse
            found.append(("opacity", (hazy * AIR * air[n] * np.maximum(web, 0.1)).astype(np.float32)))
    elif pneumonia and findings:
        sign = (-1.0, 1.0)[side]
        where = at(sign * (0.47 + 0.25 * lobe[0]), -0.02 + lobe[1])
        patch = canvas.zeros()
        for dx, dy, grow, turn in lumps:
            r = (0.17 + 0.04 * grow) * size
            patch += ellipsoid(canvas, (where[0] + 0.1 * dx, where[1] + 0.12 * dy), (r, r * 1.15, r), turn)
        taken = np.minimum(dense * (1.0 + 0.12 * coarse) * patch * 0.5, 0.9 * air[side])
        found.append(("opacity", (AIR * taken).astype(np.float32)))
    labels = {"pneumonia": int(pneumonia and findings)}
    if labels["pneumonia"]:
        labels["virus"] = int(virus)
    masks = {"lungs": fields[0] | fields[1], "heart": heart > 0.0}
    return Scene(plain.astype(np.float32), found, masks, labels)


def _lung(canvas: Canvas, at: _Frame, sign: float, wide: float, tall: float, depth: float) -> Array:
    """Path [H, W] through one synthetic lung: narrow at the top, wide at the base."""
    upper = ellipsoid(
        canvas, at(sign * 0.37, -0.2), (0.29 * wide, 0.62 * tall, 0.4 * depth), sign * -0.12, 2.3
    )
    lower = ellipsoid(
        canvas, at(sign * 0.44, 0.16), (0.37 * wide, 0.72 * tall, 0.46 * depth), sign * -0.08, 2.6
    )
    return np.maximum(upper, lower)


def _bones(canvas: Canvas, at: _Frame, wide: float, slope: float, size: float, shoulder: float) -> Array:
    """Attenuation [H, W] of the synthetic spine, ribs, collar bones, shoulder blades and upper arms."""
    column, _ = shaft(canvas, at(0.0, -1.6), at(0.0, 1.6), (0.085, 0.11))
    beads = 1.0 + 0.3 * np.cos(canvas.y * (2.0 * math.pi / 0.17))
    bones: Array = 0.6 * BONE * column * beads
    for sign in (-1.0, 1.0):
        for level in range(9):
            down = level / 8.0
            a = (0.24 + 0.2 * math.sin(min(1.0, 0.25 + down) * math.pi / 2.0)) * wide
            y = -0.72 + 1.42 * down
            where, turn = at(sign * (0.06 + a / wide), y + 0.1), sign * (slope + 0.1 * down)
            ends = -0.97, -0.35 + 0.4 * down
            rib = hoop(canvas, where, (sign * a, 0.1 + 0.05 * down), turn, 0.04 * size, ends)
            bones += BONE * 1.25 * rib
        collar, _ = shaft(
            canvas,
            at(sign * 0.09, -0.56),
            at(sign * 0.68, -0.72 + shoulder),
            (0.042, 0.038),
            0.2,
            sign * 0.03,
        )
        blade = ellipsoid(canvas, at(sign * 0.76, -0.3 + shoulder), (0.13, 0.36, 0.05), sign * 0.3)
        head = ellipsoid(canvas, at(sign * 0.93, -0.6 + shoulder), (0.13, 0.14, 0.13))
        arm, _ = shaft(canvas, at(sign * 0.96, -0.6 + shoulder), at(sign * 1.1, 0.4), (0.09, 0.08))
        bones += BONE * (1.4 * collar + 0.9 * blade + np.maximum(head, arm))
    return bones


def _vessels(canvas: Canvas, at: _Frame, sign: float, jitter: list[list[float]]) -> Array:
    """Attenuation [H, W] of the synthetic root of a lung and the vessels that leave it."""
    root = ellipsoid(canvas, at(sign * 0.2, 0.0), (0.08, 0.15, 0.1))
    tree = canvas.zeros()
    for n, (turn, reach, wave) in enumerate(jitter):
        angle = (n - 5.5) / 5.5 * 1.5 + 0.15 * turn
        length = 0.3 + 0.12 * reach
        start, stop = (
            at(sign * 0.18, 0.02),
            at(sign * (0.2 + length * math.cos(angle)), 0.02 + 1.3 * length * math.sin(angle)),
        )
        branch, _ = shaft(canvas, start, stop, (0.028, 0.008), 0.0, 0.04 * wave)
        tree = np.maximum(tree, branch)
    return 0.9 * root + 3.6 * tree
