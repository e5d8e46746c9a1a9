"""What the formats with boxes share: choosing and merging classes, and boxes that do not fit their image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from muscle.data.decode import image_size
from muscle.data.source import Source
from muscle.errors import UsageError, UserError
from muscle.types import Target

Box = tuple[float, float, float, float]


class BoxSource(Source):
    """Base of the adapters with boxes.

    Attributes:
        target: the name of what it teaches; by default the source's.
        merge: published class -> the class it counts as, for instance four kinds of fracture -> fracture.
        classes: which classes (after ``merge``) to use, in this order; None is all. Boxes of others are left out.
        empty: an image that is listed with no box at all: ``unknown``, because collections leave out images that
            nobody looked at, or ``negative`` where every image was read.
        clip: cut what overhangs the image off a box; False makes it an error. A box whose centre lies outside, or
            without area, is an error always.
    """

    target: str = ""
    merge: dict[str, str] = {}
    classes: tuple[str, ...] | None = None
    empty: Literal["unknown", "negative"] = "unknown"
    clip: bool = True

    def taught(self, name: str, published: Sequence[str]) -> tuple[Target, dict[str, int]]:
        """The target, and the label (from 1) of each published class that is used.

        Raises:
            UsageError: ``merge`` or ``classes`` name a class that does not exist.
        """
        for old in self.merge:
            if old not in published:
                raise UsageError(f"source {name}: merge: no class {old!r}; published: {', '.join(published)}")
        merged = {old: self.merge.get(old, old) for old in published}
        classes = self.classes or tuple(dict.fromkeys(merged.values()))
        for wanted in classes:
            if wanted not in merged.values():
                raise UsageError(
                    f"source {name}: classes: no class {wanted!r}; known: {', '.join(dict.fromkeys(merged.values()))}"
                )
        label = {old: classes.index(new) + 1 for old, new in merged.items() if new in classes}
        return Target(name=self.target or name, kind="boxes", classes=classes), label

    def fitted(self, box: Box, width: int, height: int, where: str) -> Box:
        """The box inside its image of this size; ``where`` names the file and line.

        Raises:
            UserError: see ``clip``. Overhang up to half a pixel is rounding and is cut off in any case.
        """
        return fit(box, width, height, where, self.clip)


def fit(box: Box, width: int, height: int, where: str, clip: bool = True) -> Box:
    """``BoxSource.fitted``, for adapters that have no such settings."""
    x0, y0, x1, y1 = box
    shown = ", ".join(f"{v:g}" for v in box)
    if not all(math.isfinite(v) for v in box) or x1 <= x0 or y1 <= y0:
        raise UserError(f"{where}: box {shown} has no area; correct or delete it")
    cut = (max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height)))
    if not (0 <= (x0 + x1) / 2 <= width and 0 <= (y0 + y1) / 2 <= height):
        raise UserError(
            f"{where}: box {shown} lies outside its image of {width} x {height}; correct or delete it"
        )
    if not clip and max(abs(a - b) for a, b in zip(box, cut, strict=True)) > 0.5:
        raise UserError(
            f"{where}: box {shown} overhangs its image of {width} x {height}; correct it or set clip: true"
        )
    return cut


def check_size(file: Path, path: str, said: tuple[int, int], where: str) -> None:
    """Refuses annotations made on an image of another size: their boxes would land elsewhere.

    Args:
        file: the image.
        path: its name in the message.
        said: width and height as the annotations state them.
        where: who states them.

    Raises:
        UserError: the image is of another size. One that is missing or unreadable passes: others say so better.
    """
    try:
        found = image_size(file)
    except UserError:
        return
    if found != said:
        raise UserError(
            f"{where}: {path} is {found[0]} x {found[1]}, but was {said[0]} x {said[1]} when it was annotated; give "
            "the images that were annotated, or correct the size"
        )
