"""Shenzhen (China Set): chest films with and without tuberculosis; lung masks of 566 of them from a third party."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from muscle.data.files import walk
from muscle.data.source import Source
from muscle.datasets._example import RESOURCE_FORK, drawn, put, save, windows_text
from muscle.datasets._nlm import films, masks, records, save_film, shares, white
from muscle.types import Sample, Target


class Shenzhen(Source):
    """``CXR_png/CHNCXR_<number>_<class>.png`` (class 0 normal, 1 tuberculosis) in any folder below the root.

    That is ``ChinaSet_AllFiles`` or ``Shenzhen-Hospital-CXR-Set`` of the publisher, the nested folders of Kaggle's
    copies, and ``images/`` of others; a film that lies in several counts once. ``lungs`` where the masks of Kyiv
    Polytechnic (Mendeley Data 8gf9vpkhgy, Kaggle yoctoman/shcxr-lung-mask, CC BY-NC-SA 4.0) lie anywhere below the
    root as ``mask/CHNCXR_<number>_<class>_mask.png``. ``ClinicalReadings`` and ``Annotations`` are not read. One film
    a person.
    """

    kind: ClassVar[str] = "shenzhen"
    citation: ClassVar[str] = (
        "Jaeger et al., Quant. Imaging Med. Surg. 4(6):475-477, 2014; masks: Stirenko et al., arXiv 1803.01199, 2018"
    )
    licence: ClassVar[str] = "NLM, public; cite the paper. Lung masks: CC BY-NC-SA 4.0"
    url: ClassVar[str] = (
        "https://data.lhncbc.nlm.nih.gov/public/Tuberculosis-Chest-X-ray-Datasets/Shenzhen-Hospital-CXR-Set/"
    )
    shows: ClassVar[tuple[str, ...]] = ("chest",)
    published: ClassVar[Mapping[str, int]] = {
        "images": 662, "patients": 662, "labels:tuberculosis:normal": 326, "labels:tuberculosis:tuberculosis": 336,
        "mask:lungs": 566,
    }  # fmt: skip
    shares: ClassVar[Mapping[str, str]] = shares("CHNCXR")

    def records(self, name: str) -> tuple[list[Sample], list[Target]]:
        """Every film with its class, and its lungs where there is a mask."""
        files = walk(self.folder)
        lungs = {key: white(path) for key, path in masks(files, "mask", "_mask").items()}
        return records(name, films(files, "CHNCXR"), lungs)

    @classmethod
    def write_example(cls, root: Path, n: int, seed: int) -> None:
        """Palette and RGB pictures, suffixes in mixed case, a nested copy, lesion masks, some films without lungs."""
        for i in range(n):
            phantom = drawn("chest", seed + i, pneumonia=i % 2)
            key = f"CHNCXR_{i // 2 + (1, 327)[i % 2]:04d}_{i % 2}"
            file = key + (".png", ".PNG")[i % 5 == 4]
            save_film(root / "CXR_png" / file, phantom, ("palette", "rgb", "grey")[i % 3])
            windows_text(root / "ClinicalReadings" / f"{key}.txt", ["male 45yrs", ("normal", "PTB")[i % 2]])
            if i % 4 < 3:
                save(root / "mask" / "mask" / f"{key}_mask.png", phantom.masks["lungs"])
            if i % 2:
                save(root / "Annotations-2" / "masks" / file, phantom.masks["heart"])
            if i == 0:
                save_film(root / "ChinaSet_AllFiles" / "CXR_png" / file, phantom, "grey")
        put(root / "CXR_png" / "._CHNCXR_0001_0.png", RESOURCE_FORK)
        windows_text(root / "ClinicalReadings" / "CHNCXR_0326_0.txt", ["female 30yrs", "normal"])
