"""A synthetic panoramic film: two rows of teeth in their jaws, with fillings, cavities, impacted teeth, implants."""

from __future__ import annotations

import math

import numpy as np

from muscle.phantom.physics import Array, Canvas, Point, Scene, ellipsoid, shaft, texture

SOFT, JAW, DENTIN, ENAMEL, METAL, PULP = 1.0, 1.2, 4.2, 4.6, 9.0, 3.2  # attenuation per unit


def tooth(
    canvas: Canvas, neck: Point, up: Point, wide: float, crown: float, root: float, molar: bool
) -> tuple[Array, Array]:
    """Attenuation [H, W] of one synthetic tooth, and the path through its crown; ``up`` points to the biting edge."""
    ux, uy = up
    angle = math.atan2(uy, ux) - math.pi / 2.0

    def at(along: float, across: float) -> Point:
        return neck[0] + along * ux - across * uy, neck[1] + along * uy + across * ux

    cap = ellipsoid(canvas, at(crown * 0.45, 0.0), (wide, crown * 0.66, 0.12), angle, 2.8)
    feet = (-0.45, 0.45) if molar else (0.0,)
    roots, pulp = canvas.zeros(), canvas.zeros()
    for foot in feet:
        r = wide * (0.52 if molar else 0.72)
        leg, _ = shaft(canvas, at(crown * 0.35, foot * wide), at(-root, foot * wide * 1.1), (r, r * 0.45))
        roots = np.maximum(roots, leg)
        canal, _ = shaft(
            canvas, at(crown * 0.4, foot * wide * 0.8), at(-root * 0.8, foot * wide), (r * 0.3, r * 0.1)
        )
        pulp = np.maximum(pulp, canal)
    whole = np.maximum(DENTIN * roots * 1.2, ENAMEL * cap) - PULP * pulp
    return np.maximum(whole, 0.0), cap


def scene(rng: np.random.Generator, canvas: Canvas, findings: bool) -> Scene:
    """A synthetic upper and lower row of teeth on the arch of a panoramic film, with some of the four findings."""
    count = int(rng.integers(9, 12))
    smile, gap = rng.uniform(0.14, 0.26), rng.uniform(0.03, 0.07)
    middle = rng.uniform(-0.05, 0.05), rng.uniform(-0.1, 0.1)
    span, long = rng.uniform(0.68, 0.75), rng.uniform(0.9, 1.1)
    kinds = rng.choice(4, size=(2, count), p=(0.72, 0.11, 0.09, 0.08))
    impacted = rng.random((2, 2)) < 0.3
    jitter = rng.uniform(-1.0, 1.0, (2, count, 6)).tolist()
    lean = rng.uniform(0.3, 0.75, (2, 2)).tolist()
    grain, fine = texture(canvas, rng, 10), texture(canvas, rng, 56)

    def bite(x: float) -> float:
        return middle[1] + smile * (1.0 - (x / 0.8) ** 2) - 0.08

    bow = middle[1] + smile * (1.0 - ((canvas.x - middle[0]) / 0.8) ** 2) - 0.08
    depth = canvas.y - bow
    inside = np.clip(1.0 - ((canvas.x - middle[0]) / 0.97) ** 4, 0.0, 1.0)
    jaw = np.exp(-(((np.abs(depth) - 0.3) / 0.3) ** 4)) * inside
    plain = SOFT * (0.55 + 0.25 * np.sqrt(inside)) + JAW * 0.45 * jaw * (1.0 + 0.12 * fine) + 0.05 * grain
    # the bright lower border of the jaw, its rising branches, the spine's shadow in the middle, the dark mouth
    rim = np.exp(-(((depth - 0.66) / 0.05) ** 2)) * inside
    plain += 0.5 * rim + 0.35 * np.exp(-(((canvas.x - middle[0]) / 0.16) ** 2))
    for sign in (-1.0, 1.0):
        branch, _ = shaft(
            canvas, (middle[0] + sign * 0.86, 0.5), (middle[0] + sign * 0.97, -0.9), (0.13, 0.1)
        )
        plain += JAW * 1.6 * branch
        plain -= 0.9 * ellipsoid(
            canvas, (middle[0] + sign * 0.34, bite(0.0) - 0.75), (0.25, 0.13, 0.16), sign * 0.2
        )
    plain -= 0.2 * np.exp(-((depth / 0.03) ** 2)) * inside
    plain = plain.astype(np.float32)

    outline = np.zeros(canvas.shape, np.bool_)
    found: list[tuple[str, Array]] = []
    for row, sign in ((0, -1.0), (1, 1.0)):  # upper: roots point up; lower: roots point down
        for k in range(count):
            place = (k + 0.5) / count * 2.0 - 1.0
            x = span * place
            wide = (
                span
                / count
                * (0.93 + 0.04 * jitter[row][k][0])
                * (1.0 if abs(place) > 0.35 or row == 0 else 0.85)
            )
            crown = (0.16 + 0.01 * jitter[row][k][1]) * long
            root = (0.30 + 0.03 * jitter[row][k][2]) * long * (1.15 if 0.2 < abs(place) < 0.45 else 1.0)
            turn = sign * 0.25 * place + 0.06 * jitter[row][k][3]
            up = math.sin(turn) * -1.0, -sign * math.cos(turn)
            neck = middle[0] + x, bite(x) + sign * (gap / 2.0 + crown)
            body, cap = tooth(canvas, neck, up, wide, crown, root, abs(place) > 0.5)
            kind = int(kinds[row, k]) if findings else 0
            centre = neck[0] + up[0] * crown * 0.5, neck[1] + up[1] * crown * 0.5
            side = 0.12 * wide * jitter[row][k][4]
            if (
                kind == 3
            ):  # an implant stands where the tooth was: the row without the finding has a gap there
                post, _ = shaft(
                    canvas, neck, (neck[0] - up[0] * root, neck[1] - up[1] * root), (0.55 * wide, 0.4 * wide)
                )
                along = (canvas.x - neck[0]) * up[0] + (canvas.y - neck[1]) * up[1]
                thread = 1.0 + 0.25 * np.sin(along * (2.0 * math.pi / 0.055))
                found.append(("implant", METAL * (post * thread + 0.7 * cap).astype(np.float32)))
                continue
            if int(kinds[row, k]) == 3:
                continue
            plain += body * (1.0 + 0.04 * fine)
            outline |= body > 0.0
            if kind == 1:
                spot = ellipsoid(
                    canvas,
                    (centre[0] + side, centre[1]),
                    (wide * 0.85, crown * 0.42, 0.12),
                    -sign * turn,
                    2.8,
                )
                found.append(("filling", METAL * np.where(cap > 0.0, spot, 0.0).astype(np.float32)))
            elif kind == 2:
                edge = math.copysign(0.35 * wide, side)  # it eats the tooth from one side
                hole = ellipsoid(
                    canvas, (centre[0] + edge, centre[1]), (wide * 0.85, crown * 0.5, 0.13), -sign * turn, 2.5
                )
                found.append(("cavity", -0.8 * body * np.minimum(hole / 0.15, 1.0)))
    for row, sign in ((0, -1.0), (1, 1.0)):
        for n, out in enumerate((-1.0, 1.0)):
            if not (impacted[row, n] and findings):
                continue
            x = out * (span + 0.1)
            turn = -out * lean[row][n]
            up = math.sin(turn), -sign * math.cos(turn)
            body, _ = tooth(canvas, (middle[0] + x, bite(x) + sign * 0.3), up, 0.085, 0.14, 0.17, True)
            found.append(("impacted", body))
            outline |= body > 0.0
    return Scene(plain, found, {"teeth": outline})
