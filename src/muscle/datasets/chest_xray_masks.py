"""Chest Xray Masks and Labels (Kaggle): the 704 films of Shenzhen and Montgomery that have lung masks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from muscle.data.files import walk
from muscle.data.source import Source
from muscle.datasets._example import RESOURCE_FORK, drawn, put, save, windows_text
from muscle.datasets._nlm import films, masks, patient, save_film, white
from muscle.datasets.v7_lungs import LUNGS
from muscle.types import Sample, Target


class ChestXrayMasks(Source):
    """``Lung Segmentation/CXR_png`` beside ``Lung Segmentation/masks``, in any folder below the root.

    The mask of ``CHNCXR_0001_0.png`` is ``CHNCXR_0001_0_mask.png``, that of ``MCUCXR_0001_0.png`` has the film's name.
    The archive holds everything twice, the second time under ``data/``, and 96 Shenzhen films without a mask, copied
    into ``test/``. Only the 704 pairs are read: a pair counts once, ``test/`` and films without a mask are left out
    (the kind ``shenzhen`` reads them). Patient keys are those of ``shenzhen`` and ``montgomery``, whose films these
    are. One film a person.

    Differs: MUSCLE counts 896 films, which are the 800 of ``CXR_png`` and the 96 copies.
    """

    kind: ClassVar[str] = "chest_xray_masks"
    citation: ClassVar[str] = (
        "Jaeger et al., IEEE TMI 33(2):233-245, 2014; Candemir et al., IEEE TMI 33(2):577-590, 2014; Shenzhen's masks: "
        "Stirenko et al., arXiv 1803.01199, 2018"
    )
    licence: ClassVar[str] = "CC0 by Kaggle's page; its Shenzhen masks were published under CC BY-NC-SA 4.0"
    url: ClassVar[str] = "https://www.kaggle.com/datasets/nikhilpandey360/chest-xray-masks-and-labels"
    shows: ClassVar[tuple[str, ...]] = ("chest",)
    published: ClassVar[Mapping[str, int]] = {"images": 704, "patients": 704, "mask:lungs": 704}
    shares: ClassVar[Mapping[str, str]] = {
        "shenzhen": "566 of its films are these, under the same names",
        "montgomery": "all its 138 films are these, under the same names",
        "tbx11k": "its folder extra/ holds these films",
    }

    def records(self, name: str) -> tuple[list[Sample], list[Target]]:
        """Every film that has a mask."""
        files = walk(self.folder)
        chinese = masks(files, "masks", "_mask")
        lungs = masks(files, "masks") | chinese
        found = []
        for key, path in films(files).items():
            if key in lungs:
                found.append(Sample(id=f"{name}/{path}", path=path, source=name, patient=patient(key),
                                    body_part="chest", annotations={"lungs": white(lungs[key])}))  # fmt: skip
        return found, [LUNGS]

    @classmethod
    def write_example(cls, root: Path, n: int, seed: int) -> None:
        """Both namings, a second tree, a film without mask with its copy in ``test``, notebook checkpoints."""
        top = root / "Lung Segmentation"
        for i in range(n):
            phantom = drawn("chest", seed + i, pneumonia=i % 2)
            key = f"{('CHNCXR', 'MCUCXR')[i // 2 % 2]}_{i + 1:04d}_{i % 2}"
            mask = f"{key}_mask.png" if key.startswith("CHN") else f"{key}.png"
            copies = (top, root / "data" / top.name) if i < 3 else (top,)
            for folder in copies:
                save_film(folder / "CXR_png" / f"{key}.png", phantom, ("palette", "rgb", "grey")[i % 3])
                save(folder / "masks" / mask, phantom.masks["lungs"])
            windows_text(top / "ClinicalReadings" / f"{key}.txt", [("normal", "PTB")[i % 2]])
        phantom = drawn("chest", seed + n)
        for place in ("CXR_png", "test"):
            save_film(top / place / "CHNCXR_0340_1.png", phantom, "rgb")
        for place, copy in (("CXR_png", "CHNCXR_0340_1"), ("masks", "CHNCXR_0340_1_mask")):
            save(top / place / ".ipynb_checkpoints" / f"{copy}.png", phantom.masks["lungs"])
        put(top / "masks" / "._CHNCXR_0340_1_mask.png", RESOURCE_FORK)
