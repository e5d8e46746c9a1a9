"""A synthetic hand from the front: wrist, metacarpals, phalanges; sometimes one of them is broken."""

from __future__ import annotations

import math

import numpy as np

from muscle.phantom.long_bone import MARROW, SOFT, bone, break_at, callus
from muscle.phantom.physics import Array, Canvas, Point, Scene, ellipsoid, shaft, texture

# Digits from the thumb to the little finger: base of the metacarpal, its direction (radians from straight up, to the
# right), lengths of metacarpal and phalanges, radius of the metacarpal; for a hand in a field of view of 2 x 2 units.
DIGITS = (
    ((-0.25, 0.40), -0.80, (0.36, 0.27, 0.21), 0.062),
    ((-0.17, 0.27), -0.20, (0.50, 0.31, 0.20, 0.14), 0.062),
    ((-0.03, 0.24), -0.03, (0.48, 0.34, 0.23, 0.15), 0.061),
    ((0.10, 0.27), 0.13, (0.43, 0.31, 0.22, 0.15), 0.056),
    ((0.21, 0.33), 0.32, (0.39, 0.25, 0.16, 0.13), 0.053),
)
CARPALS = (
    (-0.20, 0.44),
    (-0.08, 0.39),
    (0.05, 0.38),
    (0.17, 0.43),
    (-0.16, 0.58),
    (-0.02, 0.55),
    (0.12, 0.57),
)


def scene(rng: np.random.Generator, canvas: Canvas, findings: bool) -> Scene:
    """A synthetic left or right hand, fingers up; half of them with a broken metacarpal or proximal phalanx."""
    fractured = bool(rng.random() < 0.5)
    digit, link = int(rng.integers(5)), int(rng.integers(2))
    mirror, tilt = float(rng.choice([-1.0, 1.0])), rng.uniform(-0.2, 0.2)
    middle, scale = (rng.uniform(-0.08, 0.08), rng.uniform(0.04, 0.14)), rng.uniform(0.92, 1.04)
    stout, thick = rng.uniform(0.9, 1.2), rng.uniform(0.8, 1.2)
    core = rng.uniform(0.5, 0.7)
    jitter = rng.uniform(-1.0, 1.0, (5, 8)).tolist()
    flesh = rng.uniform(1.7, 2.1)
    radius = DIGITS[digit][3] * scale * stout * (0.86**link)
    crack = break_at(rng, radius * 1.25, rng.uniform(0.14, 0.17) * scale)
    grain = texture(canvas, rng, 48)

    def at(x: float, y: float) -> Point:
        x, y = x * math.cos(tilt) - y * math.sin(tilt), x * math.sin(tilt) + y * math.cos(tilt)
        return middle[0] + mirror * scale * x, middle[1] + scale * y

    plain, tissue, outline = canvas.zeros(), canvas.zeros(), np.zeros(canvas.shape, np.bool_)
    found: list[tuple[str, Array]] = []
    for k, (base, direction, lengths, r) in enumerate(DIGITS):
        x, y = base
        heading = direction + 0.05 * jitter[k][0]
        chain = [(x, y)]
        r = r * scale * stout
        for n, length in enumerate(lengths):
            length = length * (1.0 + 0.06 * jitter[k][n + 1])
            start = at(x, y)
            x, y = x + length * math.sin(heading), y - length * math.cos(heading)
            stop = at(x, y)
            shape = (r, r * 0.85), 0.4, 0.012 * jitter[k][5], core
            whole = bone(canvas, start, stop, *shape)
            if fractured and findings and (k, n) == (digit, link):
                split = bone(canvas, start, stop, *shape, crack)
                cloud = callus(canvas, start, stop, r, shape[2], crack)
                found.append(("fracture", ((split - whole) * (1.0 + 0.04 * grain) + cloud) * thick))
                outline |= split > 0.0
            else:
                outline |= whole > 0.0
            plain += whole * thick * (1.0 + 0.04 * grain)
            x, y = x + 0.022 * math.sin(heading), y - 0.022 * math.cos(heading)  # the joint space
            chain.append((x, y))
            heading += 0.04 * jitter[k][6] - 0.25 * direction * (n == 0) * (k > 0)
            r *= 0.86
        for n in range(len(chain) - 1):
            wide = flesh * DIGITS[k][3] * scale * stout * (0.93**n)
            (x0, y0), (x1, y1) = chain[n], chain[n + 1]
            gx, gy = 0.12 * (x1 - x0), 0.12 * (y1 - y0)  # the flesh of one link runs into the next
            body, _ = shaft(canvas, at(x0 - gx, y0 - gy), at(x1 + gx, y1 + gy), (wide, wide * 0.93))
            tissue = np.maximum(tissue, body)
    palm = ellipsoid(canvas, at(-0.01, 0.16), (0.36 * scale, 0.42 * scale, 0.17), mirror * tilt, 2.6)
    wrist, _ = shaft(canvas, at(0.0, 0.25), at(0.0, 1.6), (0.29 * scale, 0.33 * scale))
    tissue = np.maximum(np.maximum(tissue, palm), wrist)

    for n, (cx, cy) in enumerate(CARPALS):
        a = 0.072 * scale * (1.0 + 0.12 * jitter[n % 5][7])
        small = ellipsoid(canvas, at(cx, cy), (a, a * 0.88, a * 0.8), jitter[n % 5][3], 2.5)
        outline |= small > 0.0
        plain += MARROW * 1.5 * thick * small
    for foot, top, r in ((-0.1, 0.68, 0.1), (0.15, 0.71, 0.065)):
        r = r * scale
        below = bone(canvas, at(foot, top), at(foot * 0.9, top + 1.0), (r * 1.2, r * 0.8), 0.3, 0.0, core)
        outline |= below > 0.0
        plain += 0.75 * below * thick * (1.0 + 0.04 * grain)
    plain += SOFT * 1.2 * tissue * (1.0 + 0.03 * grain)
    return Scene(plain, found, {"bone": outline}, {"fracture": int(fractured and findings)})
