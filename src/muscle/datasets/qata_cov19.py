"""QaTa-COV19 v2: outlined COVID-19 infection on chest films."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import ClassVar

from muscle.data.files import images
from muscle.data.source import Source
from muscle.datasets._example import drawn, save
from muscle.datasets._trees import top
from muscle.types import MaskFiles, Sample, SplitName, Target

INFECTION = Target(name="covid_infection", kind="mask", classes=("infection",))
LEVELS = tuple((level, 1) for level in range(128, 256))
_PARTS: dict[str, SplitName] = {"Train Set": "train", "Test Set": "test"}


class QataCov19(Source):
    """``QaTa-COV19-v2/{Train Set,Test Set}/{Images,Ground-truths}``; the mask of ``x.png`` is ``mask_x.png``.

    Every film shows an infection. The films were gathered from public collections and their names say no person, so
    each film counts as one; the published parts are not known to keep persons apart. A film without mask is unknown.
    """

    kind: ClassVar[str] = "qata_cov19"
    citation: ClassVar[str] = "Degerli et al., OSegNet, IEEE ICIP 2022; Health Inf. Sci. Syst. 9:15, 2021"
    licence: ClassVar[str] = "research; the publisher asks for citation"
    url: ClassVar[str] = "https://www.kaggle.com/datasets/aysendegerli/qatacov19-dataset"
    shows: ClassVar[tuple[str, ...]] = ("chest",)
    published: ClassVar[Mapping[str, int]] = {
        "images": 9258, "part:train": 7145, "part:test": 2113, "mask:covid_infection": 9258,
    }  # fmt: skip
    shares: ClassVar[Mapping[str, str]] = {
        "covid_images": "gathered from public COVID-19 collections, this one among them; which films is not published",
        "covid_radiography": "gathered from the same public COVID-19 collections; which films is not published",
    }

    def records(self, name: str) -> tuple[list[Sample], list[Target]]:
        """Every film of both parts with its mask."""
        root = top(self.folder, "{Train Set,Test Set}/{Images,Ground-truths}", "Train Set")
        found = []
        for folder, part in _PARTS.items():
            masks = {PurePosixPath(file).name: file for file in images(root / folder / "Ground-truths")}
            for file in images(root / folder / "Images"):
                path = (root / folder / "Images" / file).relative_to(self.folder).as_posix()
                mask = masks.get(f"mask_{PurePosixPath(file).name}")
                beside = f"{PurePosixPath(path).parents[1]}/Ground-truths/{mask}"
                truth = {"covid_infection": MaskFiles(((beside, LEVELS),))} if mask else {}
                found.append(Sample(id=f"{name}/{path}", path=path, source=name, body_part="chest", split=part,
                                    patient=f"qata_cov19:{part}/{Path(file).stem}", annotations=truth))  # fmt: skip
        return found, [INFECTION]

    @classmethod
    def write_example(cls, root: Path, n: int, seed: int) -> None:
        """Both parts in the publisher's top folder; equal file names in both, and one film without mask."""
        top = root / "QaTa-COV19-v2"
        for i in range(n):
            phantom = drawn("chest", seed + i)
            folder = top / ("Test Set" if i % 4 == 3 else "Train Set")
            save(folder / "Images" / f"covid_{i - i % 4 // 3}.png", phantom.image)
            if i != 1:
                save(folder / "Ground-truths" / f"mask_covid_{i - i % 4 // 3}.png", phantom.masks["lungs"])
