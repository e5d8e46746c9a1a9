"""Lateral films of the head with nineteen landmarks: the ISBI challenges of 2014 and 2015."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import ClassVar

from muscle.data.decode import image_size
from muscle.data.files import images, walk
from muscle.data.source import Source
from muscle.data.texts import read_text
from muscle.datasets._example import drawn, save
from muscle.errors import UserError
from muscle.types import Points, Sample, SplitName, Target

LANDMARKS = (
    "sella", "nasion", "orbitale", "porion", "subspinale", "supramentale", "pogonion", "menton", "gnathion", "gonion",
    "lower_incisal_incision", "upper_incisal_incision", "upper_lip", "lower_lip", "subnasale",
    "soft_tissue_pogonion", "posterior_nasal_spine", "anterior_nasal_spine", "articulare",
)  # fmt: skip
TARGET = Target(name="landmarks", kind="points", classes=LANDMARKS)
_READERS = ("400_junior", "400_senior")
_PARTS: dict[str, SplitName] = {"trainingdata": "train", "test1data": "test", "test2data": "test"}


class Cephalometric(Source):
    """``RawImage/{TrainingData,Test1Data,Test2Data}/<nnn>.bmp`` with ``400_{junior,senior}/<nnn>.txt``.

    A text holds nineteen lines ``x,y`` in pixels of the film (1935 x 2400, .1 mm), then eight lines with classes of
    the skull, which are not read. The truth is the mean of the two readers, as is usual; both must be there. Folders
    may lie deeper, as in mirrors. One film is one person.

    Differs: code that is public cuts the mean to whole pixels; here halves are kept.
    """

    kind: ClassVar[str] = "cephalometric"
    shows: ClassVar[tuple[str, ...]] = ("head",)
    citation: ClassVar[str] = "Wang et al., Medical Image Analysis 31:63-76, 2016"
    licence: ClassVar[str] = "for research, as the challenge stated; no licence is published with the files"
    url: ClassVar[str] = "https://doi.org/10.1016/j.media.2016.02.004"
    published: ClassVar[Mapping[str, int]] = {
        "images": 400, "part:train": 150, "part:test": 250, "points:landmarks": 400,
    }  # fmt: skip

    def records(self, name: str) -> tuple[list[Sample], list[Target]]:
        """Every film, with its landmarks where it was read.

        Raises:
            UserError: names the text that is missing, too short, or points outside its film.
        """
        texts: dict[str, dict[str, str]] = {reader: {} for reader in _READERS}
        for path in walk(self.folder):
            file = PurePosixPath(path)
            if file.parent.name.lower() in texts and file.suffix.lower() == ".txt":
                texts[file.parent.name.lower()][file.stem] = path
        found = []
        for path in images(self.folder):
            file = PurePosixPath(path)
            part = _PARTS.get(file.parent.name.lower())
            if part is None:
                continue
            readings = [mine[file.stem] for mine in texts.values() if file.stem in mine]
            if len(readings) == 1:
                raise UserError(
                    f"{self.folder / readings[0]}: only one of the two readers; the other's {file.stem}.txt is missing"
                )
            truth = {"landmarks": self._mean(path, readings)} if readings else {}
            found.append(Sample(id=f"{name}/{path}", path=path, source=name, patient=f"cephalometric:{file.stem}",
                                body_part="head", view="LATERAL", split=part, annotations=truth))  # fmt: skip
        return found, [TARGET]

    def _mean(self, path: str, readings: list[str]) -> Points:
        try:
            size = image_size(self.folder / path)
        except UserError:
            size = (1 << 30, 1 << 30)  # prepare says why this film cannot be used
        first, second = (_points(self.folder / reading, size) for reading in readings)
        return Points(tuple(((a + c) / 2, (b + d) / 2) for (a, b), (c, d) in zip(first, second, strict=True)))

    @classmethod
    def write_example(cls, root: Path, n: int, seed: int) -> None:
        """Films as BMP, some in RGB, in three folders; two readers that differ; classes after the points; CRLF."""
        for i in range(n):
            pixels = drawn("teeth", seed + i).image
            height, width = pixels.shape
            folder = ("TrainingData", "TrainingData", "Test1Data", "Test2Data")[i % 4]
            save(root / "RawImage" / folder / f"{i + 1:03d}{('.bmp', '.BMP')[i // 4 % 2]}",
                 pixels if i % 3 else pixels[..., None].repeat(3, axis=2))  # fmt: skip
            for shift, reader in enumerate(_READERS):
                lines = [
                    f"{(7 * (k + i)) % (width - 4) + shift},{(11 * k) % (height - 4) + shift}"
                    for k in range(19)
                ]
                file = root / reader / f"{i + 1:03d}.txt"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes("\r\n".join([*lines, *"12113312", ""]).encode())


def _points(file: Path, size: tuple[int, int]) -> list[tuple[float, float]]:
    """The landmarks of one reader."""
    lines = read_text(file, errors="replace").splitlines()[: len(LANDMARKS)]
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            x, y = (float(word) for word in re.split(r"[,\s]+", line.strip()))
        except ValueError:
            x = y = math.nan
        if not (0 <= x <= size[0] and 0 <= y <= size[1]):
            raise UserError(
                f"{file} line {number}: given {line[:40]!r}; allowed: x,y inside the film of {size[0]} x {size[1]}"
            )
        found.append((x, y))
    if len(found) < len(LANDMARKS):
        raise UserError(f"{file}: {len(found)} points; it must hold {len(LANDMARKS)}")
    return found
