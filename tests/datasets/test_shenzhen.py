"""The China Set's layouts, by names made by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from muscle.data.decode import Decode, decode
from muscle.datasets._example import drawn
from muscle.datasets.shenzhen import Shenzhen
from muscle.types import Labels, MaskFiles, Sample


def lay(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def read(root: Path) -> dict[str, Sample]:
    return {s.path: s for s in Shenzhen(root=root.as_posix()).read("s")[0]}


@pytest.mark.parametrize(
    "place",
    ["CXR_png", "ChinaSet_AllFiles/CXR_png", "ChinaSet_AllFiles/ChinaSet_AllFiles/CXR_png", "images/images"],
)
def test_names_give_class_and_person(tmp_path: Path, place: str) -> None:
    lay(tmp_path, f"{place}/CHNCXR_0001_0.png", f"{place}/CHNCXR_0327_1.PNG", f"{place}/MCUCXR_0001_0.png",
        "ClinicalReadings/CHNCXR_0001_0.txt")  # fmt: skip
    assert {p: (s.patient, s.annotations) for p, s in read(tmp_path).items()} == {
        f"{place}/CHNCXR_0001_0.png": ("shenzhen:CHNCXR_0001", {"tuberculosis": Labels((1.0, 0.0))}),
        f"{place}/CHNCXR_0327_1.PNG": ("shenzhen:CHNCXR_0327", {"tuberculosis": Labels((0.0, 1.0))}),
    }


def test_lung_masks_of_the_third_party_are_found_by_name(tmp_path: Path) -> None:
    lay(tmp_path, "CXR_png/CHNCXR_0001_0.png", "CXR_png/CHNCXR_0327_1.png", "mask/mask/CHNCXR_0327_1_mask.png",
        "mask/mask/CHNCXR_0400_1_mask.png")  # fmt: skip
    found = read(tmp_path)
    assert "lungs" not in found["CXR_png/CHNCXR_0001_0.png"].annotations
    assert found["CXR_png/CHNCXR_0327_1.png"].annotations["lungs"] == MaskFiles(
        (("mask/mask/CHNCXR_0327_1_mask.png", ((255, 1),)),)
    )


def test_copies_forks_and_lesion_masks_do_not_count(tmp_path: Path) -> None:
    films = ("CXR_png/CHNCXR_0001_0.png", "CXR_png/CHNCXR_0327_1.png")
    lay(tmp_path, *films, *(f"ChinaSet_AllFiles/{film}" for film in films))
    lay(tmp_path, "CXR_png/._CHNCXR_0001_0.png", "CXR_png/Thumbs.db", "Annotations-2/masks/CHNCXR_0327_1.png",
        "CXR_png/CHNCXR_0327_1_lesion.png", "Annotations-2/CHNCXR_0328_1.png")  # fmt: skip
    assert set(read(tmp_path)) == set(films)


def test_palette_and_rgb_films_look_as_drawn(tmp_path: Path) -> None:
    """Oracle: the drawing itself; the palette of the example counts backwards."""
    Shenzhen.write_example(tmp_path, 6, seed=1)
    modes = {}
    for path, sample in read(tmp_path).items():
        i = 2 * (int(sample.patient[-4:]) - (1, 327)[path.lower().endswith("_1.png")])
        i += path.lower().endswith("_1.png")
        with Image.open(tmp_path / path) as picture:
            modes[i] = picture.mode
        image = drawn("chest", 1 + i, pneumonia=i % 2).image
        np.testing.assert_array_equal(decode(tmp_path / path, Decode()).pixels, image)
    assert modes == {0: "P", 1: "RGB", 2: "L", 3: "P", 4: "RGB", 5: "L"}
