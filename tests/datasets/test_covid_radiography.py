"""COVID-19 Radiography: folders, and masks of another size; oracle: the lungs that were drawn."""

from __future__ import annotations

from pathlib import Path

import pytest

from muscle.data.decode import Decode
from muscle.data.film import Film, Job, film
from muscle.datasets._example import drawn
from muscle.datasets.covid_radiography import CovidRadiography
from muscle.errors import UserError
from muscle.types import Labels, MaskFiles, Sample

TOP = "COVID-19_Radiography_Dataset"


def read(root: Path) -> dict[str, Sample]:
    samples, _ = CovidRadiography(root=root.as_posix()).read("c")
    return {s.path: s for s in samples}


def lay(root: Path, *files: str) -> Path:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(b"x")
    return root


FILES = (
    "COVID/images/COVID-1.png", "COVID/masks/COVID-1.png", "Normal/images/Normal-1.PNG", "Normal/masks/Normal-1.png",
    "Viral Pneumonia/images/Viral Pneumonia-1.png", "Lung_Opacity/images/Lung_Opacity-1.png", "COVID.metadata.xlsx",
    "Normal/images/._Normal-1.PNG",
)  # fmt: skip


@pytest.mark.parametrize("top", ["", TOP])
def test_masks_are_no_films_though_they_are_called_alike(tmp_path: Path, top: str) -> None:
    found = read(lay(tmp_path / top, *FILES) if not top else lay(tmp_path / top, *FILES).parent)
    base = f"{top}/" if top else ""
    classes = {path.removeprefix(base): s.annotations["covid_class"] for path, s in found.items()}
    assert classes == {
        "COVID/images/COVID-1.png": Labels((0, 1, 0, 0)),
        "Lung_Opacity/images/Lung_Opacity-1.png": Labels((0, 0, 1, 0)),
        "Normal/images/Normal-1.PNG": Labels((1, 0, 0, 0)),
        "Viral Pneumonia/images/Viral Pneumonia-1.png": Labels((0, 0, 0, 1)),
    }
    masks = {p: s.annotations["covid_lungs"] for p, s in found.items() if "covid_lungs" in s.annotations}
    files = {p: m.files[0][0] for p, m in masks.items() if isinstance(m, MaskFiles)}
    assert files == {
        f"{base}COVID/images/COVID-1.png": f"{base}COVID/masks/COVID-1.png",
        f"{base}Normal/images/Normal-1.PNG": f"{base}Normal/masks/Normal-1.png",
    }


def test_a_mask_of_another_size_lies_on_its_film(tmp_path: Path) -> None:
    CovidRadiography.write_example(tmp_path, 4, seed=3)
    path = f"{TOP}/Normal/images/Normal-1.png"
    truth = read(tmp_path)[path].annotations["covid_lungs"]
    assert isinstance(truth, MaskFiles) and truth.scaled
    job = Job(tmp_path.as_posix(), path, (192, 160), Decode(), "stretch", masks={"m": truth.files},
              scaled=frozenset({"m"}))  # fmt: skip
    found = film(job)
    assert isinstance(found, Film), found
    assert (found.masks["m"] == drawn("chest", 3, pneumonia=0).masks["lungs"]).mean() > 0.97


def test_another_release_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not this layout, no COVID/images"):
        read(lay(tmp_path, "COVID-19/1.png", "NORMAL/1.png"))
