"""Kermany's layout with the traps of its usual archive, by names made by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from muscle.datasets.kermany import Kermany
from muscle.datasets.v7_lungs import V7Lungs
from muscle.errors import UserError
from muscle.types import Labels


def lay(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


FILMS = (
    "train/NORMAL/IM-0117-0001.jpeg",
    "test/NORMAL/NORMAL2-IM-0117-0001-0002.JPEG",
    "train/PNEUMONIA/person98_virus_182.jpeg",
    "val/PNEUMONIA/person98_bacteria_7.jpeg",
    "train/PNEUMONIA/unnamed.jpeg",
)


@pytest.mark.parametrize("above", ["", "chest_xray/"])
def test_names_give_patient_germ_and_part(tmp_path: Path, above: str) -> None:
    lay(tmp_path, *(above + name for name in FILMS))
    samples, targets = Kermany(root=tmp_path.as_posix()).read("k")
    found = {s.path.removeprefix(above): (s.patient, s.split, dict(s.annotations)) for s in samples}
    assert found == {
        FILMS[0]: ("kermany:IM-0117", "train", {"pneumonia": Labels((1.0, 0.0))}),
        FILMS[1]: ("kermany:IM-0117", "test", {"pneumonia": Labels((1.0, 0.0))}),
        FILMS[2]: (
            "kermany:person98",
            "train",
            {"pneumonia": Labels((0.0, 1.0)), "germ": Labels((0.0, 1.0))},
        ),
        FILMS[3]: (
            "kermany:person98",
            "valid",
            {"pneumonia": Labels((0.0, 1.0)), "germ": Labels((1.0, 0.0))},
        ),
        FILMS[4]: (f"k/{above}{FILMS[4]}", "train", {"pneumonia": Labels((0.0, 1.0))}),
    }
    assert [t.classes for t in targets] == [("normal", "pneumonia"), ("bacteria", "virus")]


def test_the_nested_copy_and_resource_forks_do_not_count(tmp_path: Path) -> None:
    lay(tmp_path, *FILMS, *(f"chest_xray/{name}" for name in FILMS), *(f"__MACOSX/{name}" for name in FILMS))
    lay(tmp_path, "train/NORMAL/._IM-0117-0001.jpeg", "train/NORMAL/.DS_Store", "train/.DS_Store")
    assert len(Kermany(root=tmp_path.as_posix()).read("k")[0]) == len(FILMS)


def test_wrong_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not the Kermany layout"):
        Kermany(root=lay(tmp_path / "a", "NORMAL/x.jpeg").as_posix()).read("k")
    with pytest.raises(UserError, match="unknown label 'COVID'; allowed folders: NORMAL, PNEUMONIA"):
        Kermany(root=lay(tmp_path / "b", *FILMS, "train/COVID/x.jpeg").as_posix()).read("k")
    with pytest.raises(UserError, match=r"only one class occurs \(normal\)"):
        Kermany(root=lay(tmp_path / "c", *FILMS[:2]).as_posix()).read("k")


def test_a_lung_mask_without_its_film_or_file_is_named(tmp_path: Path) -> None:
    V7Lungs.write_example(tmp_path, 4, seed=0)
    table = tmp_path / "covid-19-xray-dataset/mask_to_image.csv"
    text = table.read_bytes()
    table.write_bytes(text.replace(b"900003,", b"77,"))
    with pytest.raises(UserError, match=r"mask_to_image.csv line 5: mask .*/77.png is missing"):
        V7Lungs(root=tmp_path.as_posix()).read("v")
    table.write_bytes(text)
    next((tmp_path / "chest_xray").rglob("person1_virus_*.JPEG")).unlink()
    with pytest.raises(UserError, match=r"900003.png: its image chest_xray/.*person1_virus.* is missing"):
        V7Lungs(root=tmp_path.as_posix()).read("v")
    table.write_bytes(text.replace(b",chest_xray/", b",../chest_xray/"))
    with pytest.raises(UserError, match=r"line 2: path '../chest_xray.* leaves the source's root"):
        V7Lungs(root=tmp_path.as_posix()).read("v")
