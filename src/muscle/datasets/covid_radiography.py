"""COVID-19 Radiography Database (release of 2021): four classes, and lungs outlined by a network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from muscle.data.files import images
from muscle.data.source import Source
from muscle.datasets._example import drawn, save
from muscle.datasets._trees import top
from muscle.types import Annotation, Labels, MaskFiles, Sample, Target

_FOLDERS = ("Normal", "COVID", "Lung_Opacity", "Viral Pneumonia")
CLASSES = Target(name="covid_class", kind="labels", classes=_FOLDERS)
LUNGS = Target(name="covid_lungs", kind="mask", classes=("lung",))
LEVELS = tuple((level, 1) for level in range(128, 256))


class CovidRadiography(Source):
    """``{COVID,Lung_Opacity,Normal,Viral Pneumonia}/{images,masks}/*.png``; a mask has the name of its film.

    Masks are of another size than their films (256 and 299 pixels) and were drawn by a network, hence a target of
    their own and not ``lungs``. Nothing says which films show one person, so each film counts as one.
    """

    kind: ClassVar[str] = "covid_radiography"
    citation: ClassVar[str] = (
        "Chowdhury et al., IEEE Access 8:132665-132676, 2020; Rahman et al., Comput. Biol. Med. 132:104319, 2021"
    )
    licence: ClassVar[str] = "per source film; the publisher asks for citation"
    url: ClassVar[str] = "https://www.kaggle.com/datasets/tawsifurrahman/covid19-radiography-database"
    shows: ClassVar[tuple[str, ...]] = ("chest",)
    published: ClassVar[Mapping[str, int]] = {
        "images": 21165, "mask:covid_lungs": 21165, "labels:covid_class:COVID": 3616,
        "labels:covid_class:Lung_Opacity": 6012, "labels:covid_class:Normal": 10192,
        "labels:covid_class:Viral Pneumonia": 1345,
    }  # fmt: skip
    shares: ClassVar[Mapping[str, str]] = {
        "kermany": "1,341 of Normal and all of Viral Pneumonia; which films is not published",
        "rsna_pneumonia": "8,851 of Normal and all of Lung_Opacity; which films is not published",
        "nih_chestxray14": "through rsna_pneumonia, whose films are NIH's",
        "covid_images": "part of COVID comes from public collections, this one among them",
    }

    def records(self, name: str) -> tuple[list[Sample], list[Target]]:
        """Every film with its folder's class and its mask."""
        root = top(self.folder, "{COVID,Lung_Opacity,Normal,Viral Pneumonia}/{images,masks}", "COVID/images")
        found = []
        for word in _FOLDERS:
            masks = {Path(file).name.lower(): file for file in images(root / word / "masks")}
            for file in images(root / word / "images"):
                path = (root / word / "images" / file).relative_to(self.folder).as_posix()
                truth: dict[str, Annotation] = {
                    "covid_class": Labels(tuple(float(word == c) for c in _FOLDERS))
                }
                mask = masks.get(Path(file).name.lower())
                if mask is not None:
                    beside = (root / word / "masks" / mask).relative_to(self.folder).as_posix()
                    truth["covid_lungs"] = MaskFiles(((beside, LEVELS),), scaled=True)
                found.append(Sample(id=f"{name}/{path}", path=path, source=name, body_part="chest",
                                    patient=f"covid_radiography:{Path(file).stem}", annotations=truth))  # fmt: skip
        return found, [CLASSES, LUNGS]

    @classmethod
    def write_example(cls, root: Path, n: int, seed: int) -> None:
        """In the publisher's top folder; three-channel masks of another size, tables beside the folders."""
        top = root / "COVID-19_Radiography_Dataset"
        for i in range(n):
            word = _FOLDERS[i % 4]
            phantom = drawn("chest", seed + i, pneumonia=int(i % 4 > 0))
            file = f"{word}-{i // 4 + 1}.png"
            save(top / word / "images" / file, phantom.image)
            lungs = phantom.masks["lungs"][::2, ::2].astype(np.uint8) * 255
            save(top / word / "masks" / file, np.repeat(lungs[..., None], 3, axis=2))
        for word in _FOLDERS:
            (top / f"{word}.metadata.xlsx").write_bytes(b"PK\3\4")
        (top / "README.md.txt").write_text("COVID-19 CHEST X-RAY DATABASE\n")
