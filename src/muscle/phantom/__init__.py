"""Synthetic radiographs with exact truth: a chest, a hand, two long bones, a row of teeth.

They are drawings with some anatomy and some physics, made to test and to demonstrate the program. They are not
patients, and no result on them says anything about patients.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from muscle.errors import UsageError
from muscle.phantom import chest, hand, long_bone, teeth
from muscle.phantom.physics import Canvas, Scene, bounds, film

__all__ = ["PARTS", "Phantom", "draw"]

_SCENES: dict[str, Callable[[np.random.Generator, Canvas, bool], Scene]] = {
    "chest": chest.scene,
    "hand": hand.scene,
    "long_bone": long_bone.scene,
    "teeth": teeth.scene,
}
PARTS = tuple(_SCENES)


@dataclass(frozen=True, slots=True)
class Phantom:
    """A synthetic radiograph and its exact truth.

    ``image`` [H, W] uint8 (8 bits) or uint16 (more). ``masks``: name -> bool [H, W]. ``boxes``: (name, x0, y0, x1, y1)
    in pixels from the outer corner of the image, the tight bounds of a drawn finding. ``labels``: name -> 0 or 1.
    """

    image: NDArray[np.uint8] | NDArray[np.uint16]
    masks: dict[str, NDArray[np.bool_]]
    boxes: list[tuple[str, float, float, float, float]]
    labels: dict[str, int]


def draw(
    part: str, seed: int, size: tuple[int, int] = (256, 256), bits: int = 8, *, findings: bool = True
) -> Phantom:
    """Draws a synthetic radiograph.

    chest: masks lungs and heart; label pneumonia, and where it is 1 also virus (1 = diffuse in both lungs, 0 = one
    focal consolidation, the bacterial kind); boxes "opacity". hand, long_bone: mask bone; label fracture; boxes
    "fracture". teeth: mask teeth; boxes "filling", "cavity", "impacted", "implant"; no label.

    Args:
        part: one of ``PARTS``.
        seed: the synthetic patient, from 0; the same at every size and depth.
        size: (height, width) in pixels, each from 32.
        bits: 8 to 16.
        findings: False draws the same synthetic patient on the same scanner without the findings: all labels 0, no box.

    Raises:
        UsageError: an unknown part, or a size, depth or seed out of range.
    """
    if part not in _SCENES:
        raise UsageError(f"phantom: given part {part!r}; allowed: {', '.join(PARTS)}")
    if min(size) < 32:
        raise UsageError(f"phantom: given size {size[0]}x{size[1]}; allowed: at least 32x32 pixels")
    if not 8 <= bits <= 16:
        raise UsageError(f"phantom: given {bits} bits; allowed: 8 to 16")
    if seed < 0:
        raise UsageError(f"phantom: given seed {seed}; allowed: 0 and above")
    who = [PARTS.index(part), seed]
    seen = _SCENES[part](np.random.default_rng([*who, 0]), Canvas.of(size), findings)
    image = film(seen, np.random.default_rng([*who, 1]), np.random.default_rng([*who, 2, *size]), bits)
    boxes = [(name, *bounds(delta)) for name, delta in seen.findings]
    return Phantom(image, seen.masks, boxes, seen.labels)
