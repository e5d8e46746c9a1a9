"""Lung masks that V7 Labs had drawn on Kermany's films."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np

from muscle.data.files import inside, part_of
from muscle.data.source import Source
from muscle.data.tables import read_table
from muscle.datasets._example import save, windows_text
from muscle.datasets.kermany import films, lay_out, patient
from muscle.errors import UserError
from muscle.types import IGNORE, MaskFiles, Sample, Target

LUNGS = Target(name="lungs", kind="mask", classes=("lung",))
LEVELS = ((255, 1), (127, IGNORE))  # white is lung, grey is what the annotators left open
_MASKS = "covid-19-xray-dataset/annotations/all-images-semantic-masks"
_LINK = "covid-19-xray-dataset/mask_to_image.csv"


class V7Lungs(Source):
    """``chest_xray`` (Kermany) beside ``covid-19-xray-dataset``, whose ``mask_to_image.csv`` links mask ids to films.

    The lungs include what lies behind the heart. Patients and published parts are those of ``kermany``. Films
    without a mask are kept with their lungs unknown.
    """

    kind: ClassVar[str] = "v7_lungs"
    shows: ClassVar[tuple[str, ...]] = ("chest",)
    citation: ClassVar[str] = (
        "V7 Labs, COVID-19 X-ray dataset, 2020; films: Kermany et al., Cell 172(5), 2018"
    )
    licence: ClassVar[str] = "CC BY 4.0"
    url: ClassVar[str] = "https://github.com/v7labs/covid-19-xray-dataset"

    def records(self, name: str) -> tuple[list[Sample], list[Target]]:
        """Every film below ``chest_xray``, with the mask that the table links to it."""
        root = self.folder
        masks = self._masks(root)
        found = []
        for file, _ in films(root / "chest_xray"):
            path = file.relative_to(root).as_posix()
            mask = masks.pop(path, None)
            truth = {"lungs": MaskFiles(((mask, LEVELS),))} if mask else {}
            found.append(Sample(id=f"{name}/{path}", path=path, source=name, patient=patient(path, f"{name}/{path}"),
                                split=part_of(path), body_part="chest", annotations=truth))  # fmt: skip
        if masks:
            path, mask = next(iter(masks.items()))
            raise UserError(
                f"{root / mask}: its image {path} is missing; {len(masks)} masks are without an image"
            )
        return found, [LUNGS]

    @staticmethod
    def _masks(root: Path) -> dict[str, str]:
        """Path of a film -> path of its mask."""
        found = {}
        for line, row in read_table(root / _LINK, needed=("mask_id", "image")):
            mask = inside(f"{_MASKS}/{row['mask_id']}.png", f"{root / _LINK} line {line}")
            if not (root / mask).is_file():
                raise UserError(
                    f"{root / _LINK} line {line}: mask {mask} is missing; get it or delete the line"
                )
            found[inside(row["image"], f"{root / _LINK} line {line}")] = mask
        return found

    @classmethod
    def write_example(cls, root: Path, n: int, seed: int) -> None:
        """Kermany's example with a mask for each film and a table with byte-order mark and CRLF."""
        lines = ["mask_id,image"]
        for i, (path, phantom) in enumerate(lay_out(root / "chest_xray", n, seed)):
            levels = phantom.masks["lungs"].astype(np.uint8) * 255
            levels[:1] = 127
            save(root / _MASKS / f"{900000 + i}.png", levels)
            lines.append(f"{900000 + i},{path.relative_to(root).as_posix()}")
        windows_text(root / _LINK, lines)
