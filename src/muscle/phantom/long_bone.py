"""A synthetic forearm or lower leg: two long bones in soft tissue, sometimes broken."""

from __future__ import annotations

import math

import numpy as np

from muscle.phantom.physics import Array, Canvas, Crack, Point, Scene, ellipsoid, shaft, texture

SOFT, CORTEX, MARROW, CALLUS = (
    0.9,
    7.0,
    1.6,
    1.6,
)  # attenuation per unit; bone on top of the soft tissue it replaces


def bone(
    canvas: Canvas,
    start: Point,
    stop: Point,
    radius: tuple[float, float],
    flare: float,
    bend: float,
    core: float,
    crack: Crack | None = None,
) -> Array:
    """Attenuation [H, W] of a synthetic long bone: bright cortex around darker marrow; 0 exactly outside."""
    outer, inner = shaft(canvas, start, stop, radius, flare, bend, core, crack)
    return CORTEX * (outer - inner) + MARROW * inner


def break_at(rng: np.random.Generator, radius: float, zone: float) -> Crack:
    """A synthetic fracture that shows: a gap, and ends that miss each other or meet at an angle."""
    step, apex = rng.uniform(0.45, 0.8) * radius, rng.uniform(0.0, 0.9) * radius
    return Crack(
        at=rng.uniform(0.3, 0.7),
        slant=rng.uniform(-0.7, 0.7),
        zone=zone,
        step=step * float(rng.choice([-1.0, 1.0])),
        apex=apex * float(rng.choice([-1.0, 1.0])),
        gap=rng.uniform(0.025, 0.045),
    )


def callus(canvas: Canvas, start: Point, stop: Point, radius: float, bend: float, crack: Crack) -> Array:
    """Attenuation [H, W] of the cloud of young bone around a synthetic fracture."""
    dx, dy = stop[0] - start[0], stop[1] - start[1]
    bow = bend * 4.0 * crack.at * (1.0 - crack.at) / math.hypot(dx, dy)
    place = start[0] + crack.at * dx - bow * dy, start[1] + crack.at * dy + bow * dx
    return CALLUS * ellipsoid(
        canvas, place, (max(1.6 * radius, 0.135), max(1.6 * radius, 0.135), 1.2 * radius)
    )


def scene(rng: np.random.Generator, canvas: Canvas, findings: bool) -> Scene:
    """Two synthetic long bones, one thicker, from joint to joint, at any tilt; half of them with a fracture."""
    fractured = bool(rng.random() < 0.5)
    both = bool(rng.random() < 0.25)
    thick = int(rng.integers(2))
    angle, turn = rng.uniform(-0.45, 0.45), float(rng.choice([1.0, -1.0]))
    middle = rng.uniform(-0.15, 0.15), rng.uniform(-0.12, 0.12)
    half, apart = rng.uniform(0.78, 0.95), rng.uniform(0.17, 0.23)
    radii = [rng.uniform(0.085, 0.115), rng.uniform(0.065, 0.09)]
    flares = [rng.uniform(0.5, 0.9), rng.uniform(0.25, 0.6)]
    bends = [rng.uniform(-0.05, 0.05), rng.uniform(-0.05, 0.05)]
    slide = [rng.uniform(-0.08, 0.08), rng.uniform(-0.08, 0.08)]
    cores = [rng.uniform(0.58, 0.74), rng.uniform(0.5, 0.7)]
    taper = rng.uniform(0.75, 1.0)
    cracks = [break_at(rng, r, rng.uniform(0.2, 0.3)) for r in radii]
    muscle = rng.uniform(0.42, 0.55)
    grain = texture(canvas, rng, 40)
    dx, dy = math.sin(angle), turn * math.cos(angle)

    def at(along: float, across: float) -> Point:
        return middle[0] + along * dx - across * dy, middle[1] + along * dy + across * dx

    envelope, _ = shaft(canvas, at(-1.8, 0.0), at(1.8, 0.0), (muscle, 0.75 * muscle))
    plain = canvas.zeros()
    plain += SOFT * np.where(envelope > 0.0, envelope + 0.02 * grain, 0.0)
    # the joints: condyles of the next bone above, a row of small bones below
    joint = canvas.zeros()
    for across, along, r in (
        (-0.15, -1.16, 0.2),
        (0.15, -1.16, 0.19),
        (-0.2, 1.1, 0.13),
        (0.0, 1.12, 0.14),
        (0.2, 1.1, 0.12),
    ):
        where = at(along * (half + 0.13) / 1.06, across)
        joint = np.maximum(joint, ellipsoid(canvas, where, (r, r * 0.85, r * 0.6), angle))
    above, _ = shaft(canvas, at(-2.2, 0.0), at(-half - 0.22, 0.0), (0.13, 0.14), flare=0.2)
    joint = np.maximum(joint, above)
    plain += MARROW * 1.3 * joint

    outline = joint > 0.0
    found: list[tuple[str, Array]] = []
    hurt = [fractured and (both or k == thick) for k in (0, 1)]
    for k, sign in ((0, -1.0), (1, 1.0)):
        start, stop = at(-half + slide[k] * k, sign * apart * 0.9), at(half + slide[k] * 0.3, sign * apart)
        shape = (radii[k], radii[k] * taper), flares[k], bends[k], cores[k]
        whole = bone(canvas, start, stop, *shape)
        plain += whole * (1.0 + 0.03 * grain)
        if hurt[k] and findings:
            split = bone(canvas, start, stop, *shape, cracks[k])
            cloud = callus(canvas, start, stop, radii[k], bends[k], cracks[k])
            found.append(("fracture", (split - whole) * (1.0 + 0.03 * grain) + cloud))
            whole = split
        outline |= whole > 0.0
    return Scene(plain, found, {"bone": outline}, {"fracture": int(fractured and findings)})
