"""Montgomery County: chest films with and without tuberculosis, and the lungs of each, drawn by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from muscle.data.files import walk
from muscle.data.source import Source
from muscle.datasets._example import RESOURCE_FORK, drawn, put, save, windows_text
from muscle.datasets._nlm import films, masks, records, save_film, shares, white
from muscle.errors import UserError
from muscle.types import Sample, Target


class Montgomery(Source):
    """``CXR_png/MCUCXR_<number>_<class>.png`` (class 0 normal, 1 tuberculosis) in any folder below the root.

    That is ``MontgomerySet`` of the publisher and the nested folders of Kaggle's copies; a film that lies in several
    counts once. ``lungs`` is the union of two pictures of the film's name, in ``ManualMask/leftMask`` and
    ``ManualMask/rightMask``. ``ClinicalReadings`` are not read. One film a person.
    """

    kind: ClassVar[str] = "montgomery"
    citation: ClassVar[str] = "Jaeger et al., Quant. Imaging Med. Surg. 4(6):475-477, 2014"
    licence: ClassVar[str] = "NLM, public; cite the paper"
    url: ClassVar[str] = (
        "https://data.lhncbc.nlm.nih.gov/public/Tuberculosis-Chest-X-ray-Datasets/Montgomery-County-CXR-Set/"
    )
    shows: ClassVar[tuple[str, ...]] = ("chest",)
    published: ClassVar[Mapping[str, int]] = {
        "images": 138, "patients": 138, "labels:tuberculosis:normal": 80, "labels:tuberculosis:tuberculosis": 58,
        "mask:lungs": 138,
    }  # fmt: skip
    shares: ClassVar[Mapping[str, str]] = shares("MCUCXR")

    def records(self, name: str) -> tuple[list[Sample], list[Target]]:
        """Every film with its class and its lungs.

        Raises:
            UserError: a film with the mask of one lung only.
        """
        files = walk(self.folder)
        left, right = masks(files, "leftMask"), masks(files, "rightMask")
        there = films(files, "MCUCXR")
        for key, path in there.items():
            if (key in left) != (key in right):
                side = "left" if key in right else "right"
                raise UserError(
                    f"{self.folder / path}: the mask of the {side} lung is missing; get {side}Mask again"
                )
        lungs = {key: white(path, right[key]) for key, path in left.items() if key in right}
        return records(name, there, lungs)

    @classmethod
    def write_example(cls, root: Path, n: int, seed: int) -> None:
        """A mask a lung, suffixes in mixed case, a nested copy, resource forks, a reading without film."""
        for i in range(n):
            phantom = drawn("chest", seed + i, pneumonia=i % 2)
            key = f"MCUCXR_{i + 1:04d}_{i % 2}"
            file = key + (".png", ".PNG")[i % 5 == 4]
            save_film(root / "CXR_png" / file, phantom, "grey")
            lungs = phantom.masks["lungs"]
            on_the_right = (
                np.arange(lungs.shape[1]) >= lungs.shape[1] // 2
            )  # of the picture: the person's left lung
            save(root / "ManualMask" / "leftMask" / f"{key}.png", lungs & on_the_right)
            save(root / "ManualMask" / "rightMask" / f"{key}.png", lungs & ~on_the_right)
            windows_text(
                root / "ClinicalReadings" / f"{key}.txt",
                ["Patient's Sex: F", "Patient's Age: 027Y", "normal"],
            )
            if i == 0:
                save_film(root / "Montgomery" / "MontgomerySet" / "CXR_png" / file, phantom, "grey")
        for folder in ("CXR_png", "ManualMask/leftMask"):
            put(root / folder / "._MCUCXR_0001_0.png", RESOURCE_FORK)
        windows_text(root / "ClinicalReadings" / "MCUCXR_9999_0.txt", ["Patient's Sex: M", "normal"])
