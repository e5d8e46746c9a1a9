"""CheXpert's layouts and its uncertain labels, by rows written by hand."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from muscle.datasets.chexpert import OBSERVATIONS, Chexpert
from muscle.errors import UserError
from muscle.types import Labels, Sample

HEADER = "Path,Sex,Age,Frontal/Lateral,AP/PA," + ",".join(OBSERVATIONS.classes)
FRONT, SIDE, NEW = (
    "train/patient00001/study1/view1_frontal.jpg",
    "train/patient00001/study2/view2_lateral.jpg",
    "valid/patient64541/study1/view1_frontal.jpg",
)


def row(path: str, view: str = "Frontal,AP", **marks: str) -> str:
    known = {name.replace("_", " "): mark for name, mark in marks.items()}
    assert set(known) <= set(OBSERVATIONS.classes)
    return ",".join((path, "Female,68", view, *(known.get(name, "") for name in OBSERVATIONS.classes)))


def table(file: Path, *rows: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join((HEADER, *rows)) + "\n")


def lay(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def read(root: Path) -> dict[str, Sample]:
    return {s.path: s for s in Chexpert(root=root.as_posix()).read("c")[0]}


BATCH = "CheXpert-v1.0 batch 1 (validate & csv)"


@pytest.mark.parametrize(
    ("tables", "named", "films"),
    [
        ("CheXpert-v1.0", "CheXpert-v1.0", ("CheXpert-v1.0/",) * 3),
        ("CheXpert-v1.0-small", "CheXpert-v1.0-small", ("CheXpert-v1.0-small/",) * 3),
        (".", "CheXpert-v1.0-small", ("",) * 3),
        (
            BATCH,
            "CheXpert-v1.0",
            ("CheXpert-v1.0 batch 2 (train 1)/", "CheXpert-v1.0 batch 4 (train 3)/", f"{BATCH}/"),
        ),
    ],
)
def test_tables_and_films_meet_however_nested(
    tmp_path: Path, tables: str, named: str, films: tuple[str, str, str]
) -> None:
    bare = [p.removeprefix("train/") if "batch" in tables else p for p in (FRONT, SIDE)] + [NEW]
    paths = [place + path for place, path in zip(films, bare, strict=True)]
    lay(tmp_path, *paths)
    table(tmp_path / tables / "train.csv", row(f"{named}/{FRONT}", Edema="1.0"),
          row(f"{named}/{SIDE}", "Lateral,", Edema="0.0"))  # fmt: skip
    table(tmp_path / tables / "valid.csv", row(f"{named}/{NEW}", "Frontal,PA", Edema="1.0"))
    assert {p: (s.patient, s.study, s.view, s.split, s.body_part) for p, s in read(tmp_path).items()} == {
        paths[0]: ("chexpert:patient00001", "chexpert:patient00001/study1", "AP", "train", "chest"),
        paths[1]: ("chexpert:patient00001", "chexpert:patient00001/study2", "lateral", "train", "chest"),
        paths[2]: ("chexpert:patient64541", "chexpert:patient64541/study1", "PA", "valid", "chest"),
    }


@pytest.mark.parametrize(
    ("marks", "truth"),
    [
        ({"Edema": "-1.0", "Fracture": "0.0"}, {"Fracture": 0.0}),
        ({"Edema": "-1", "Fracture": "0"}, {"Fracture": 0.0}),
        ({"Edema": "1.0"}, {"Edema": 1.0, "No Finding": 0.0}),
        ({"Support_Devices": "1.0"}, {"Support Devices": 1.0}),
        ({"No_Finding": "0.0", "Edema": "0.0"}, {"No Finding": 0.0, "Edema": 0.0}),
        ({"No_Finding": "1.0"}, dict.fromkeys(OBSERVATIONS.classes[1:-1], 0.0) | {"No Finding": 1.0}),
        ({"No_Finding": "1.0", "Support_Devices": "1.0"},
         dict.fromkeys(OBSERVATIONS.classes[1:-1], 0.0) | {"No Finding": 1.0, "Support Devices": 1.0}),
        ({}, None),
        ({"Edema": "-1.0"}, None),
    ],
)  # fmt: skip
def test_uncertain_and_blank_are_unknown_but_for_what_no_finding_says(
    tmp_path: Path, marks: dict[str, str], truth: dict[str, float] | None
) -> None:
    lay(tmp_path, FRONT, SIDE, NEW)
    table(tmp_path / "train.csv", row(FRONT, **marks), row(SIDE, Edema="1.0"))
    table(tmp_path / "valid.csv", row(NEW, Edema="0.0"))
    found = read(tmp_path)[FRONT].annotations.get("observations")
    if truth is None:
        assert found is None
        return
    assert isinstance(found, Labels)
    values = dict(zip(OBSERVATIONS.classes, found.values, strict=True))
    assert {name: value for name, value in values.items() if not math.isnan(value)} == truth


def test_copies_forks_other_tables_and_rows_without_film(tmp_path: Path) -> None:
    upper = FRONT.replace(".jpg", ".JPG")
    lay(tmp_path, upper, SIDE, f"CheXpert-v1.0-small/{FRONT}", "train/patient00001/study1/._view1_frontal.jpg",
        "test/patient64741/study1/view1_frontal.jpg", "train/patient00001/study1/mask.jpg")  # fmt: skip
    table(tmp_path / "train_cheXbert.csv", row(FRONT, Edema="0.0"))
    rows = (row(f"x/{FRONT}", Edema="1.0"), row(f"x/{SIDE}", Edema="0.0"), row(f"x/{NEW}", Edema="1.0"))
    text = "\r\n".join(("\ufeff" + HEADER, *rows))
    (tmp_path / "train.csv").write_bytes(text.encode())
    found = read(tmp_path)
    assert set(found) == {upper, SIDE}
    edema = OBSERVATIONS.classes.index("Edema")
    truth = found[upper].annotations["observations"]
    assert isinstance(truth, Labels)
    assert truth.values[edema] == 1


def test_the_example_lacks_nothing(tmp_path: Path) -> None:
    Chexpert.write_example(tmp_path, 16, seed=0)
    found = read(tmp_path)
    assert len(found) == 16
    assert {s.split for s in found.values()} == {"train", "valid"}
    assert not any(p.startswith(("old/", "test/")) for p in found)
    assert not {s.patient for s in found.values() if s.split == "train"} & {
        s.patient for s in found.values() if s.split == "valid"
    }


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("1.0", "2.0", r"train.csv line 2: given '2.0'; allowed: 1, 0, -1 .uncertain. or blank"),
        (
            "patient00001",
            "p1",
            "train.csv line 2: path 'train/p1/study1/.*; allowed: .../patient00001/study1/view1_",
        ),
        ("Edema", "Oedema", "no column 'Edema'"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, old: str, new: str, reason: str) -> None:
    lay(tmp_path, FRONT)
    table(tmp_path / "train.csv", row(FRONT, Edema="1.0"))
    file = tmp_path / "train.csv"
    file.write_text(file.read_text().replace(old, new, 1))
    with pytest.raises(UserError, match=reason) as error:
        read(tmp_path)
    assert "\n" not in str(error.value)


def test_no_table_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"neither train.csv nor valid.csv"):
        read(lay(tmp_path, FRONT))
