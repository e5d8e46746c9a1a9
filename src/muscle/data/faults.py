"""What can be wrong with the annotations of one image, as far as sizes, numbers and mask levels tell."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from muscle.data.decode import decode_mask, image_size
from muscle.data.film import SLACK
from muscle.errors import UserError
from muscle.types import Annotation, BoxList, Labels, MaskFiles, MaskRuns, Points, Sample, Target, Value

_EVERY = tuple((level, level) for level in range(1, 256))
_LOSSY = (".jpg", ".jpeg")


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong (``error``) or odd (``warning``): what, where, what was seen, and what to do."""

    level: Literal["error", "warning"]
    what: str
    path: str
    seen: str
    do: str


def refused(level: Literal["error", "warning"], what: str, path: str, said: str, otherwise: str) -> Fault:
    """A fault out of a message that ends, after a semicolon, in what to do; ``otherwise`` is done where it does not."""
    seen, _, do = said.partition("; ")
    return Fault(level, what, path, seen, do or otherwise)


def annotation_faults(
    root: Path, sample: Sample, targets: Mapping[str, Target], size: tuple[int, int]
) -> Iterator[Fault]:
    """What is wrong with the annotations of an image of ``size`` (width, height), without decoding anything."""
    for name, truth in sample.annotations.items():
        target = targets.get(name)
        if target is not None:
            for level, what, seen, do in _truth(root, truth, target, size):
                yield Fault(level, what, sample.picture, f"{name}: {seen}", do)


_Said = tuple[Literal["error", "warning"], str, str, str]


def _truth(root: Path, truth: Annotation, target: Target, size: tuple[int, int]) -> Iterator[_Said]:
    if isinstance(truth, Labels):
        yield from _labels(truth, target)
    elif isinstance(truth, BoxList):
        yield from _boxes(truth, target, size)
    elif isinstance(truth, MaskFiles):
        yield from _mask_files(root, truth, size)
    elif isinstance(truth, MaskRuns):
        yield from _mask_runs(truth, size)
    elif isinstance(truth, Points):
        yield from _points(truth, target, size)
    elif isinstance(truth, Value) and not math.isfinite(truth.value):
        yield "error", "value", f"{truth.value} is no number", "correct it, or leave it blank"


def _labels(truth: Labels, target: Target) -> Iterator[_Said]:
    do = "correct it: 1 present, 0 absent, blank unknown"
    if len(truth.values) != len(target.classes):
        yield "error", "label value", f"{len(truth.values)} values for {len(target.classes)} classes", do
    for value in truth.values:
        if value not in (0.0, 1.0) and not math.isnan(value):
            yield "error", "label value", f"{value:g}", do
    if target.exclusive and not any(map(math.isnan, truth.values)) and sum(truth.values) != 1:
        seen = f"{sum(truth.values):g} of {len(target.classes)} classes that exclude each other"
        yield "error", "label value", seen, "name exactly one class"


def _boxes(truth: BoxList, target: Target, size: tuple[int, int]) -> Iterator[_Said]:
    width, height = size
    do = "correct or delete it; the film is set aside as it is"
    for box in truth.xyxy:
        x0, y0, x1, y1 = box
        given = f"({', '.join(f'{v:g}' for v in box)})"
        if not (x0 < x1 and y0 < y1):
            yield "error", "empty box", given, do
        elif min(x0, y0) < -SLACK or x1 > width + SLACK or y1 > height + SLACK:
            yield "error", "box outside its image", f"{given} of {width}x{height}", do
    for label in truth.label:
        if not 1 <= label <= len(target.classes):
            yield "error", "box label", f"{label}; allowed: 1 to {len(target.classes)}", "correct it"
    pairs = list(zip(truth.xyxy, truth.label, strict=False))
    if len(set(pairs)) < len(pairs):
        yield (
            "warning",
            "box given twice",
            f"{len(pairs) - len(set(pairs))} of {len(pairs)}",
            "delete the copies",
        )


def _mask_files(root: Path, truth: MaskFiles, size: tuple[int, int]) -> Iterator[_Said]:
    for path, _ in truth.files:
        file = root / path
        if not file.is_file():
            yield "error", "missing mask", path, "get it again"
            continue
        try:
            found = image_size(file)
        except UserError as error:
            yield "error", "unreadable mask", str(error).replace(str(file), path), "get it again"
            continue
        if found != size and not truth.scaled:
            seen = f"{path} is {found[0]}x{found[1]}, its image {size[0]}x{size[1]}"
            yield "error", "mask of another size", seen, "get both from one source; do not stretch it blindly"


def _mask_runs(truth: MaskRuns, size: tuple[int, int]) -> Iterator[_Said]:
    if (truth.width, truth.height) != size:
        seen = f"{truth.width}x{truth.height}, its image {size[0]}x{size[1]}"
        yield "error", "mask of another size", seen, "get both from one source; do not stretch it blindly"
    for first, length in truth.runs:
        if not 0 <= first < first + length <= truth.width * truth.height:
            yield (
                "error",
                "mask run",
                f"({first}, {length}) of {truth.width * truth.height} pixels",
                "correct it",
            )


def _points(truth: Points, target: Target, size: tuple[int, int]) -> Iterator[_Said]:
    if target.classes and len(truth.xy) != len(target.classes):
        yield (
            "error",
            "points",
            f"{len(truth.xy)} for {len(target.classes)} names",
            "give one each, NaN where absent",
        )
    for x, y in truth.xy:
        inside = -SLACK <= x <= size[0] + SLACK and -SLACK <= y <= size[1] + SLACK
        if not inside and not (math.isnan(x) or math.isnan(y)):
            yield "error", "point outside its image", f"({x:g}, {y:g}) of {size[0]}x{size[1]}", "correct it"


def mask_level_faults(root: Path, sample: Sample) -> Iterator[Fault]:
    """Masks, decoded, that are empty or hold levels that the data file does not list; unreadable ones give nothing."""
    for name, truth in sample.annotations.items():
        if not isinstance(truth, MaskFiles):
            continue
        some = False
        for path, listed in truth.files:
            try:
                levels = {int(level) for level in np.unique(decode_mask(root / path, _EVERY))} - {0}
            except UserError:
                return
            some |= bool(levels)
            other = levels - {level for level, _ in listed}
            if other and Path(path).suffix.lower() not in _LOSSY:
                seen = f"{name}: {path}: {', '.join(map(str, sorted(other)[:5]))} taken for background"
                do = "right if they are background; else name them in the data file (classes, or ignore)"
                yield Fault("warning", "mask levels not listed", sample.picture, seen, do)
        if not some:
            do = "right if there is nothing to outline; else draw it"
            yield Fault("warning", "empty mask", sample.picture, f"{name}: nothing but background", do)
