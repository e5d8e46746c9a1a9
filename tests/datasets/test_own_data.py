"""Folders, tables and masks of one's own, by values written by hand."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from muscle.datasets.folder import Folder
from muscle.datasets.masks import Masks
from muscle.datasets.table import Table
from muscle.errors import UsageError, UserError
from muscle.types import Labels, MaskFiles, Value


def films(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(root / name)
    return root


def test_folder_classes_parts_and_patients(tmp_path: Path) -> None:
    films(tmp_path, "train/fracture/p1_1.png", "test/normal/p1_2.jpg", "test/implant/p2_1.png")
    source = Folder(
        root=tmp_path.as_posix(),
        labels="folder",
        patient_pattern="(p[0-9]+)_",
        target="wrist",
        body_part="wrist",
    )
    samples, targets = source.read("w")
    assert targets[0].name == "wrist"
    assert targets[0].classes == ("normal", "fracture", "implant")
    assert {s.path: (s.patient, s.split, s.body_part, s.annotations["wrist"]) for s in samples} == {
        "train/fracture/p1_1.png": ("w:p1", "train", "wrist", Labels((0.0, 1.0, 0.0))),
        "test/normal/p1_2.jpg": ("w:p1", "test", "wrist", Labels((1.0, 0.0, 0.0))),
        "test/implant/p2_1.png": ("w:p2", "test", "wrist", Labels((0.0, 0.0, 1.0))),
    }
    some, _ = Folder(root=tmp_path.as_posix(), exclude=("test/*/p2*", "train/fracture/p1_1.png")).read("w")
    assert [s.path for s in some] == ["test/normal/p1_2.jpg"]
    alone, none = Folder(root=tmp_path.as_posix()).read("w")
    assert not none
    assert [s.patient for s in alone] == [s.id for s in alone]


def test_wrong_folders_are_named(tmp_path: Path) -> None:
    films(tmp_path / "a", "normal/1.png", "2.png")
    with pytest.raises(UserError, match="2.png has no class folder above it"):
        Folder(root=(tmp_path / "a").as_posix(), labels="folder").read("w")
    films(tmp_path / "b", "normal/1.png", "sick/2.png")
    with pytest.raises(UserError, match="sick/2.png: unknown label 'sick'; allowed: normal, broken"):
        Folder(root=(tmp_path / "b").as_posix(), labels="folder", classes=("normal", "broken")).read("w")
    with pytest.raises(UsageError, match="two or more, all different"):
        Folder(root=(tmp_path / "b").as_posix(), labels="folder", classes=("normal", "sick", "sick")).read(
            "w"
        )
    with pytest.raises(UserError, match="finds no patient in normal/1.png"):
        Folder(root=(tmp_path / "b").as_posix(), patient_pattern="p([0-9]+)").read("w")


TABLE = "\r\n".join(
    (
        "image;patient;part;tb;edema;age",
        "1.png;0012;Train;1;0;120.5",
        "",
        "sub\\2.png;12;test;;1;",
        "3.png;;val;;;7",
        "",
    )
)


def table(root: Path, text: str = TABLE, **fields: Any) -> Table:
    films(root, "1.png", "sub/2.png", "3.png")
    (root / "list.csv").write_bytes(("\ufeff" + text).encode())
    base = {"labels": ("tb", "edema"), "value": "age", "patient": "patient", "split_column": "part"}
    return Table.parse({"root": root.as_posix(), **base, **fields})


def test_a_spreadsheets_table_with_marks_blanks_and_patients_as_text(tmp_path: Path) -> None:
    samples, targets = table(tmp_path, target="chest").read("t")
    assert [(t.name, t.kind, t.classes, t.exclusive) for t in targets] == [
        ("chest", "labels", ("tb", "edema"), False),
        ("age", "value", (), True),
    ]
    one, three, two = samples
    assert one.patient == "t:0012"
    assert two.patient == "t:12"
    assert three.patient == "t/3.png"
    assert (one.split, two.split, three.split) == ("train", "test", "valid")
    assert one.annotations == {"chest": Labels((1.0, 0.0)), "age": Value(120.5)}
    truth = two.annotations["chest"]
    assert isinstance(truth, Labels)
    assert math.isnan(truth.values[0])
    assert truth.values[1] == 1
    assert three.annotations == {"age": Value(7.0)}


def test_parquet_reads_like_csv(tmp_path: Path) -> None:
    films(tmp_path, "1.png", "2.png", "3.png")
    data = {"image": ["1.png", "2.png", "3.png"], "tb": [1.0, 0.0, None], "who": [1, 2, 3]}
    pq.write_table(pa.table(data), tmp_path / "t.parquet")
    samples, _ = Table(root=tmp_path.as_posix(), labels=("tb",), patient="who").read("t")
    assert [s.patient for s in samples] == ["t:1", "t:2", "t:3"]
    assert [s.annotations.get("t") for s in samples] == [Labels((1.0,)), Labels((0.0,)), None]


def test_one_column_of_classes(tmp_path: Path) -> None:
    text = 'image,kind\n1.png,"no, none"\nsub/2.png,yes\n3.png,\n'
    source = table(tmp_path, text, labels=(), label="kind", value="", patient="", split_column="")
    samples, targets = source.read("t")
    assert targets[0].classes == ("no, none", "yes")
    assert [s.annotations.get("t") for s in samples] == [Labels((1.0, 0.0)), None, Labels((0.0, 1.0))]
    with pytest.raises(
        UserError, match="list.csv line 3 column kind: unknown label 'yes'; allowed: no, none, maybe"
    ):
        source.with_(classes=("no, none", "maybe")).read("t")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("tb;edema", "tb;oedema", "no column 'edema'; it has: image, patient, part, tb, oedema, age"),
        (";1;0;", ";2;0;", "line 2 column tb: given '2'; allowed: 1 .present., 0"),
        ("120.5", "old", "line 2 column age: given 'old'; allowed: a number"),
        ("test", "fold3", "line 4 column part: given 'fold3'; allowed: train, valid, test"),
        ("3.png", "4.png", "1 of 3 images are missing, such as 4.png"),
        ("3.png", "1.png", "1.png is listed twice"),
        ("3.png", "../3.png", "line 5: path '../3.png' leaves the source's root"),
        (";;val;;;7", ";;val;;7", "line 5: 5 cells; the header has 6"),
        (TABLE[TABLE.index("1.png") :], "", "the table has no row"),
        ("part;tb", "tb;tb", "two columns have one name"),
    ],
)
def test_a_wrong_cell_is_named(tmp_path: Path, old: str, new: str, reason: str) -> None:
    assert old in TABLE
    with pytest.raises(UserError, match=reason) as error:
        table(tmp_path, TABLE.replace(old, new)).read("t")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("word", ["nan", "NA", "NaN", ""])
def test_an_unknown_class_or_person_is_none(tmp_path: Path, word: str) -> None:
    text = f"image,kind,who\n1.png,a,p1\nsub/2.png,{word},{word}\n3.png,b,{word}\n"
    source = table(tmp_path, text, labels=(), label="kind", value="", patient="who", split_column="")
    samples, targets = source.read("t")
    assert targets[0].classes == ("a", "b")
    assert [s.annotations.get("t") for s in samples] == [Labels((1.0, 0.0)), Labels((0.0, 1.0)), None]
    assert [s.patient for s in samples] == ["t:p1", "t/3.png", "t/sub/2.png"]


def test_sources_of_one_collection_agree_on_who_is_who(tmp_path: Path) -> None:
    films(tmp_path, "images/0012_1.png", "masks/0012_1.png")
    root = tmp_path.as_posix()
    (tmp_path / "list.csv").write_text("image,who\nimages/0012_1.png,0012\n")
    pattern = "([0-9]+)_"
    sources = (
        Folder(root=root, patient_pattern=pattern, exclude=("masks/*",), collection="clinic"),
        Masks(root=root, patient_pattern=pattern, collection="clinic"),
        Table(root=root, patient="who", collection="clinic"),
    )
    for name, source in zip("abc", sources, strict=True):
        assert [s.patient for s in source.read(name)[0]] == ["clinic:0012"]
        assert [s.patient for s in source.with_(collection="").read(name)[0]] == [f"{name}:0012"]


def test_a_dicom_patient_is_one_person_in_every_source(tmp_path: Path) -> None:
    """Oracle: sha256sum. Two persons taken for one cost some films; one taken for two spoils a test set."""
    ds = pydicom.Dataset()
    ds.PatientID = "P7"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.save_as(tmp_path / "x.dcm", enforce_file_format=False)
    key = hashlib.sha256(b"P7").hexdigest()[:16]
    source = Folder(root=tmp_path.as_posix())
    assert {source.read(name)[0][0].patient for name in ("a", "b")} == {f"dicom:{key}"}
    assert source.with_(collection="clinic").read("a")[0][0].patient == f"clinic:{key}"


def test_which_table_must_be_clear(tmp_path: Path) -> None:
    source = table(tmp_path)
    (tmp_path / "other.csv").write_text("image\n")
    with pytest.raises(UserError, match=r"list.csv, other.csv; name one with file:"):
        source.read("t")
    assert source.with_(file="list.csv").read("t")
    (tmp_path / "other.csv").write_bytes("image;naïve".encode("latin-1"))
    with pytest.raises(UserError, match="not UTF-8 text"):
        source.with_(file="other.csv").read("t")
    with pytest.raises(UserError, match="no such table"):
        source.with_(file="none.csv").read("t")
    with pytest.raises(UsageError, match="labels and label are both given"):
        source.with_(label="tb")


def test_masks_are_found_by_place_and_name(tmp_path: Path) -> None:
    films(tmp_path, "cxr/a/1.jpg", "cxr/2.png", "cxr/3.png", "seg/a/mask_1_l.png", "seg/mask_2_l.png")
    source = Masks(root=tmp_path.as_posix(), images="cxr", masks="seg", prefix="mask_", suffix="_l",
                   classes={"lung": (255, 200), "heart": (100,)}, ignore=(7,))  # fmt: skip
    samples, targets = source.read("m")
    levels = ((255, 1), (200, 1), (100, 2), (7, 255))
    assert targets[0].classes == ("lung", "heart")
    assert {s.path: s.annotations.get("m") for s in samples} == {
        "cxr/a/1.jpg": MaskFiles((("seg/a/mask_1_l.png", levels),)),
        "cxr/2.png": MaskFiles((("seg/mask_2_l.png", levels),)),
        "cxr/3.png": None,
    }


def test_wrong_masks_are_named(tmp_path: Path) -> None:
    films(tmp_path, "images/1.png", "masks/1.png", "masks/2.png")
    source = Masks(root=tmp_path.as_posix())
    with pytest.raises(UserError, match=r"mask masks/2.png has no image images/.../2\.\* \(1 such\)"):
        source.read("m")
    with pytest.raises(UserError, match="no folder .*seg; masks: names it"):
        source.with_(masks="seg").read("m")
    with pytest.raises(UserError, match="leaves the source's root"):
        source.with_(masks="../masks").read("m")
    films(tmp_path, "images/1.jpg")
    with pytest.raises(UserError, match="differ in suffix only"):
        source.read("m")
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="no mask in"):
        source.with_(masks="none", images="masks").read("m")
    with pytest.raises(UsageError, match="images and masks are both images: give the prefix or suffix"):
        source.with_(masks="images")
    for classes in ({}, {"a": ()}, {"a": (1,), "b": (1,)}):
        with pytest.raises(UsageError, match="grey levels of its own"):
            source.with_(classes=classes)
