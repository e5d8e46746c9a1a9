"""RSNA bone age: three tables with three headers, by values written by hand."""

from __future__ import annotations

from pathlib import Path

import openpyxl
import pytest

from muscle.datasets.rsna_bone_age import RsnaBoneAge
from muscle.errors import UserError
from muscle.types import Value

TRAIN = "boneage-training-dataset"
VALID = "boneage-validation-dataset"
TEST = "boneage-test-dataset"


def films(root: Path, *paths: str) -> RsnaBoneAge:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")
    return RsnaBoneAge(root=root.as_posix())


def tables(root: Path, train: str = "id,boneage,male\r\n1377,180,False\r\n1378,12,True\r\n") -> None:
    (root / VALID).mkdir(exist_ok=True)
    (root / f"{TRAIN}.csv").write_bytes(("\ufeff" + train).encode())
    (root / VALID / "Validation Dataset.csv").write_text("Image ID,male,Bone Age (months)\n1386,TRUE,30\n")
    (root / f"{TEST}.csv").write_text("Case ID,Sex\n4360,M\n")


FILMS = (
    f"{TRAIN}/{TRAIN}/1377.png",
    f"{TRAIN}/{TRAIN}/1378.PNG",
    f"{VALID}/{VALID}-2/1386.png",
    f"{TEST}/4360.png",
)


def test_three_headers_and_folders_in_folders(tmp_path: Path) -> None:
    source = films(tmp_path, *FILMS)
    tables(tmp_path)
    samples, targets = source.read("b")
    assert [(t.name, t.kind) for t in targets] == [("bone_age", "value")]
    assert {Path(s.path).stem: (s.split, s.annotations.get("bone_age")) for s in samples} == {
        "1377": ("train", Value(180.0)),
        "1378": ("train", Value(12.0)),
        "1386": ("valid", Value(30.0)),
        "4360": ("test", None),
    }
    assert {(s.patient, s.body_part) for s in samples} >= {("rsna_bone_age:1377", "hand")}


def test_the_later_release_has_test_ages_in_a_workbook(tmp_path: Path) -> None:
    source = films(tmp_path, *FILMS)
    tables(tmp_path)
    (tmp_path / f"{TEST}.csv").unlink()
    book = openpyxl.Workbook()
    for row in (["Case ID", "Sex", "Ground truth bone age (months)"], [4360, "M", 168.93]):
        book.active.append(row)
    book.save(tmp_path / "Bone age ground truth.xlsx")
    first = source.read("b")[0][0]
    assert (first.patient, first.annotations) == ("rsna_bone_age:4360", {"bone_age": Value(168.93)})


def test_junk_and_other_tables_do_not_count(tmp_path: Path) -> None:
    source = films(tmp_path, *FILMS, f"{TRAIN}/{TRAIN}/._1377.png", f"__MACOSX/{TRAIN}/1377.png", "cover.png")
    tables(tmp_path)
    (tmp_path / "notes.csv").write_text("id,remark\n1386,blurred\n")
    assert [s.split for s in source.read("b")[0]] == ["test", "train", "train", "valid"]


def test_a_part_that_was_not_fetched_does_not_count_and_a_film_that_is_missing_does(tmp_path: Path) -> None:
    source = films(tmp_path, *FILMS[:2])
    tables(tmp_path)
    assert len(source.read("b")[0]) == 2
    (tmp_path / FILMS[1]).unlink()
    with pytest.raises(
        UserError, match=r"boneage-training-dataset.csv: 1 of 2 films are missing, such as 1378.png"
    ):
        source.read("b")


@pytest.mark.parametrize("age", ["x", "nan", "-1", "3000"])
def test_a_wrong_age_is_named(tmp_path: Path, age: str) -> None:
    source = films(tmp_path, FILMS[0])
    tables(tmp_path, f"id,boneage,male\n1377,{age},True\n")
    with pytest.raises(
        UserError, match=f"boneage-training-dataset.csv line 2: bone age '{age}'; allowed: months"
    ):
        source.read("b")


def test_a_film_without_row_is_unknown_and_one_twice_is_named(tmp_path: Path) -> None:
    source = films(tmp_path, *FILMS, f"{TRAIN}/9999.png")
    tables(tmp_path)
    found = {s.path: (s.split, dict(s.annotations)) for s in source.read("b")[0]}
    assert found[f"{TRAIN}/9999.png"] == ("train", {})
    films(tmp_path, f"{TEST}/1377.png")
    with pytest.raises(
        UserError, match=r"boneage-test-dataset/1377.png and .*1377.png are one film; keep one"
    ):
        source.read("b")


def test_no_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no table with the columns id and boneage"):
        films(tmp_path, FILMS[0]).read("b")
