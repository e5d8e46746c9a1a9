"""QaTa-COV19 v2, by names made by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from muscle.datasets.qata_cov19 import LEVELS, QataCov19
from muscle.errors import UserError
from muscle.types import MaskFiles, Sample

FILES = (
    "Train Set/Images/covid_1.png", "Train Set/Ground-truths/mask_covid_1.png", "Train Set/Images/covid_2.png",
    "Train Set/Ground-truths/._mask_covid_2.png", "Test Set/Images/covid_1.png",
    "Test Set/Ground-truths/mask_covid_1.png",
)  # fmt: skip


def lay(root: Path) -> Path:
    for file in FILES:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(b"x")
    return root


def read(root: Path) -> dict[str, Sample]:
    samples, _ = QataCov19(root=root.as_posix()).read("q")
    return {s.path: s for s in samples}


@pytest.mark.parametrize("top", ["", "QaTa-COV19-v2"])
def test_the_mask_has_the_name_of_its_film_with_a_prefix(tmp_path: Path, top: str) -> None:
    lay(tmp_path / top)
    base = f"{top}/" if top else ""
    found = read(tmp_path)
    masks = {p: s.annotations.get("covid_infection") for p, s in found.items()}
    assert masks == {
        f"{base}Train Set/Images/covid_1.png": MaskFiles(((f"{base}{FILES[1]}", LEVELS),)),
        f"{base}Train Set/Images/covid_2.png": None,
        f"{base}Test Set/Images/covid_1.png": MaskFiles(((f"{base}{FILES[5]}", LEVELS),)),
    }


def test_equal_names_in_both_parts_are_two_persons(tmp_path: Path) -> None:
    found = read(lay(tmp_path)).values()
    assert sorted((s.split, s.patient) for s in found if "covid_1" in s.path) == [
        ("test", "qata_cov19:test/covid_1"),
        ("train", "qata_cov19:train/covid_1"),
    ]


def test_another_layout_is_named(tmp_path: Path) -> None:
    (tmp_path / "Train_Folder").mkdir()
    with pytest.raises(UserError, match=r"not this layout, no Train Set; it holds \{Train Set,Test Set\}"):
        read(tmp_path)
