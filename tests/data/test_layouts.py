"""Recognized layouts. Oracle: small trees and tables written by hand, and what a person would say of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from blank import films
from dicoms import dicom
from PIL import Image

from muscle.data.data_file import DataFile
from muscle.data.layouts import class_folders, how_to_label, propose
from muscle.data.texts import read_text
from muscle.datasets.folder import Folder
from muscle.datasets.masks import Masks
from muscle.types import MaskFiles

DOCUMENT = (
    "<annotation><size><width>4</width><height>4</height></size><object><name>tooth</name><bndbox>"
    "<xmin>1</xmin><ymin>1</ymin><xmax>3</xmax><ymax>3</ymax></bndbox></object></annotation>"
)


def sources(root: Path, problems: dict[str, str] | None = None) -> dict[str, dict[str, Any]]:
    """What is proposed, without the roots."""
    found = propose(root, problems or {}).sources
    return {name: {k: v for k, v in fields.items() if k != "root"} for name, fields in found.items()}


def the_source(root: Path) -> dict[str, Any]:
    (found,) = sources(root).values()
    return found


def mask(path: Path, *levels: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.resize(np.array((0, *levels), np.uint8), (4, 4))).save(path)


def pair(root: Path) -> Path:
    """The smallest folder that is recognized."""
    films(root, "images/1.png")
    mask(root / "masks/1.png", 255)
    return root


def table(root: Path, head: str, *rows: str) -> dict[str, Any]:
    """What a table of four films is taken for; each row without the film's name."""
    films(root, *(f"{i}.png" for i in range(len(rows))))
    lines = [f"{i}.png,{row}" for i, row in enumerate(rows)]
    (root / "t.csv").write_text("\n".join((f"film,{head}", *lines)))
    found = the_source(root)
    assert (found.pop("kind"), found.pop("file"), found.pop("image")) == ("table", "t.csv", "film")
    assert found.pop("images", ".") == "."
    return found


def test_what_a_source_holds_is_counted(tmp_path: Path) -> None:
    films(tmp_path / "all/bare", "1.png", "2.png", "3.png")
    for place in ("told", "some"):
        films(tmp_path / "all" / place, "1.png", "2.png", "3.png", "4.png")
        rows = ["film,patient,finding", "1.png,a,well", "2.png,a,ill", "3.png,b,ill", "4.png,b,"]
        rows = rows if place == "told" else [row.replace(",b,", ",,") for row in rows]
        (tmp_path / "all" / place / "t.csv").write_text("\n".join(rows))
    found = propose(tmp_path / "all", {})
    assert sorted(found.notes) == [
        "bare: folder, 3 images, no person named; images alone",
        "some: table, 4 images, 1 persons or groups, 2 images of nobody named; some (labels, known in 3)",
        "told: table, 4 images, 2 persons or groups; told (labels, known in 3)",
    ]
    assert found.nameless == ["bare"]  # of a table the column is there, but empty in some rows


def test_layouts_are_found_down_to_three_folders_and_have_names_of_their_own(tmp_path: Path) -> None:
    for place in ("a/x", "b/x", "c/d/x", "__MACOSX/x", ".hidden/x"):
        pair(tmp_path / "all" / place)
    assert {name: fields["kind"] for name, fields in sources(tmp_path / "all").items()} == {
        "x": "masks",
        "x-2": "masks",
        "x-3": "masks",
    }
    pair(tmp_path / "deep/1/2/3/4")
    assert the_source(tmp_path / "deep")["kind"] == "folder"


def test_what_lies_beside_something_recognized_stands_for_itself(tmp_path: Path) -> None:
    """Its problems are named from the root; hidden files are nobody's pictures."""
    pair(tmp_path / "all/x")
    films(tmp_path / "all", "other/1.png", "other/bad.png", "plain/1.png", "loose.png", "._loose.png")
    (tmp_path / "all/notes.txt").write_text("x")
    problems = {"other/bad.png": "tiny"}
    assert sources(tmp_path / "all", problems).keys() == {"x", "other", "plain"}
    assert sources(tmp_path / "all", problems)["other"] == {"kind": "folder", "exclude": ("bad.png",)}
    assert sources(tmp_path / "all", problems)["plain"] == {"kind": "folder"}
    notes = propose(tmp_path / "all", problems).notes
    assert [note.partition(": ")[2] for note in notes if "belong to no source" in note] == [
        "1 pictures directly in it belong to no source; give them a folder"
    ]


def test_films_that_v7_annotates_have_their_classes_too(tmp_path: Path) -> None:
    """Its folder of annotations is no source; what is not recognized beside it is one, once."""
    films(tmp_path / "v7", *(f"chest_xray/train/{c}/1.png" for c in ("NORMAL", "PNEUMONIA")), "more/1.png")
    own = tmp_path / "v7/covid-19-xray-dataset"
    mask(own / "annotations/all-images-semantic-masks/7.png", 255)
    (own / "mask_to_image.csv").write_text("mask_id,image\n7,chest_xray/train/NORMAL/1.png\n")
    found = {name: fields["kind"] for name, fields in sources(tmp_path / "v7").items()}
    assert found == {"v7": "v7_lungs", "chest_xray": "kermany", "more": "folder"}
    shutil.rmtree(tmp_path / "v7/chest_xray/train/PNEUMONIA")
    found = {name: fields["kind"] for name, fields in sources(tmp_path / "v7").items()}
    assert found == {"v7": "v7_lungs", "chest_xray": "folder", "more": "folder"}


@pytest.mark.parametrize(
    ("paths", "classes"),
    [
        (("b/1.png", "b/2.png", "a/1.png", "a/2.png"), ["a", "b"]),
        (("x/b/1.png", "x/b/2.png", "x/a/1.png", "x/a/2.png"), ["a", "b"]),  # the nearest folder
        (("b/1.png", "b/2.png", "a/1.png"), []),  # of one picture: a person
        (("b/1.png", "b/2.png"), []),
        (("b/1.png", "b/2.png", "1.png", "2.png"), []),
        (("b/1.png", "b/2.png", "Train/1.png", "Train/2.png"), []),  # parts
        ([f"c{i:02}/{k}.png" for i in range(20) for k in (1, 2)], [f"c{i:02}" for i in range(20)]),
        ([f"c{i:02}/{k}.png" for i in range(21) for k in (1, 2)], []),  # persons
    ],
)
def test_which_folders_may_be_classes(paths: tuple[str, ...], classes: list[str]) -> None:
    assert class_folders(paths) == classes


def test_classes_are_those_of_the_films_that_can_be_used(tmp_path: Path) -> None:
    films(tmp_path / "x", "a/1.png", "a/2.png", "b/1.png", "b/2.png")
    assert the_source(tmp_path / "x") == {"kind": "folder", "labels": "folder"}
    assert propose(tmp_path / "x", {}).notes[1:] == [
        f"{tmp_path / 'x'}: its folders are taken for classes; if they are none, set labels: none"
    ]
    one = propose(tmp_path / "x", {"b/2.png": "a mask"})
    assert "labels" not in one.sources["x"] and len(one.notes) == 1
    every = dict.fromkeys(("a/1.png", "a/2.png", "b/1.png", "b/2.png"), "a mask")
    assert propose(tmp_path / "x", every).sources == {}


def test_folders_of_nothing_good_are_left_out_as_one_whatever_their_names(tmp_path: Path) -> None:
    """Oracle: the proposed source holds the good films and no other."""
    good, bad = ["[a]/1.png", "a/1.png"], ["[a]/[2].png", "[b]/x/1.png", "[b]/y/1.png", "a/2.png"]
    films(tmp_path / "x", *good, *bad)
    (name,) = (found := sources(tmp_path / "x", dict.fromkeys(bad, "tiny")))
    assert len(found[name]["exclude"]) == 3
    source = Folder(root=(tmp_path / "x").as_posix(), exclude=found[name]["exclude"])
    assert [s.path for s in source.read("x")[0]] == good
    films(tmp_path / "y", "b/1.png", "[b]/1.png")  # a folder that an open pattern would leave out too
    exclude = sources(tmp_path / "y", {"[b]/1.png": "tiny"})["y"]["exclude"]
    assert [s.path for s in Folder(root=(tmp_path / "y").as_posix(), exclude=exclude).read("y")[0]] == [
        "b/1.png"
    ]


def test_how_to_label_names_four_folders_and_a_command_that_can_be_pasted(tmp_path: Path) -> None:
    root = films(tmp_path / "my hands", *(f"c{i}/{k}.png" for i in range(4) for k in (1, 2)))
    bare = Folder(root=root.as_posix())
    said = how_to_label(DataFile(sources={"hands": bare}))
    assert "the folders c0, c1, c2, c3 of source hands" in said
    assert f"`muscle data scan '{root}' --write hands.yaml`" in said
    films(root, "c4/1.png", "c4/2.png")
    assert "the folders c0, c1, c2, c3, ... of source" in how_to_label(DataFile(sources={"hands": bare}))
    gone = Folder(root=(tmp_path / "gone").as_posix())
    for other in (bare.with_(labels="folder"), gone):
        assert how_to_label(DataFile(sources={"hands": other})) == "add an annotated source to the data file"


def test_kermany_by_its_classes_in_any_case_and_no_others(tmp_path: Path) -> None:
    films(tmp_path / "x", "Train/Normal/1.jpeg", "Train/pneumonia/2.jpeg")
    assert the_source(tmp_path / "x") == {"kind": "kermany"}
    films(tmp_path / "x", "Train/covid/3.jpeg")
    assert propose(tmp_path / "x", {}).notes[0].startswith("x: folder")  # not even tried


def test_boxes_of_yolo_without_names_say_what_to_write(tmp_path: Path) -> None:
    """Oracle: the folder becomes a source as soon as that is done. Other text files beside films are none."""
    films(tmp_path / "x/train/images", "1.png", "2.png")
    films(tmp_path / "x/other/images", "1.png")
    for place, text in (("train/labels/1.txt", "0 .5 .5 .2 0.2\n"), ("other/labels/1.txt", "a finding\n")):
        (tmp_path / "x" / place).parent.mkdir()
        (tmp_path / "x" / place).write_text(text)
    (note,) = (n for n in propose(tmp_path / "x", {}).notes if "YOLO" in n)
    assert note.startswith(f"{tmp_path / 'x'}: boxes") and "names: [fracture]" in note
    (tmp_path / "x/other/labels/1.txt").unlink()
    (tmp_path / "x/data.yaml").write_text("names: [fracture]")
    found = propose(tmp_path / "x", {})
    assert found.sources["x"]["kind"] == "yolo" and not any("YOLO" in n for n in found.notes)


def test_yolo_by_either_suffix(tmp_path: Path) -> None:
    films(tmp_path / "x", "images/1.png")
    (tmp_path / "x/data.yml").write_text("names: [crack]\n")
    assert the_source(tmp_path / "x") == {"kind": "yolo"}


def coco(**more: Any) -> str:
    """One film of one box."""
    return json.dumps({
        "images": [{"id": 1, "file_name": "1.png", "width": 4, "height": 4}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 2, 2]}],
        "categories": [{"id": 1, "name": "tooth"}],
    } | more)  # fmt: skip


@pytest.mark.parametrize(
    ("file", "place"), [("a.json", "."), ("a.json", "films"), ("annotations/a.json", "films")]
)
def test_coco_wherever_its_json_and_its_films_lie(tmp_path: Path, file: str, place: str) -> None:
    films(tmp_path / "x" / place, "1.png")
    (tmp_path / "x" / file).parent.mkdir(exist_ok=True)
    (tmp_path / "x" / file).write_text("\ufeff" + coco())  # as Windows saves it
    assert the_source(tmp_path / "x") == {"kind": "coco", "file": file, "images": place}


@pytest.mark.parametrize(
    "text",
    [
        coco(images=[]),
        coco(images={}),
        json.dumps({k: v for k, v in json.loads(coco()).items() if k != "categories"}),
        json.dumps([1]),
        "[" * 200_000,  # deeper than a parser goes
        coco(images=[{"id": 1, "file_name": "x" * 300, "width": 4, "height": 4}]),  # longer than a name may be
    ],
)  # fmt: skip
def test_a_json_that_is_no_coco_is_passed_over(tmp_path: Path, text: str) -> None:
    films(tmp_path / "x", "1.png")
    (tmp_path / "x/a.json").write_text(text)
    assert propose(tmp_path / "x", {}).notes == [
        "x: folder, 1 images, no person named; images alone"
    ]  # not even tried


def test_a_json_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    films(tmp_path / "x", "1.png")
    (tmp_path / "x/a.json").write_text(coco())
    monkeypatch.setattr(read_text, "__defaults__", (len(coco()), "strict"))
    assert the_source(tmp_path / "x")["kind"] == "coco"
    monkeypatch.setattr(read_text, "__defaults__", (len(coco()) - 1, "strict"))
    assert the_source(tmp_path / "x")["kind"] == "folder"


def test_coco_beside_masks_is_coco(tmp_path: Path) -> None:
    """Boxes of a file say more than outlines that may have been made of them."""
    pair(tmp_path / "x")
    (tmp_path / "x/a.json").write_text(coco())
    assert the_source(tmp_path / "x")["kind"] == "coco"


@pytest.mark.parametrize(
    ("left", "right"),
    [("images", "masks"), ("image", "mask"), ("imgs", "masks"), ("Images", "Masks"), ("Images", "Ground-truths"),
     ("films", "lung_masks"), ("CXR_png", "ManualMask"), ("x-rays", "segmentations")],
)  # fmt: skip
@pytest.mark.parametrize(
    ("prefix", "suffix"), [("", ""), ("", "_mask"), ("mask_", ""), ("", "-mask"), ("", "_seg")]
)
def test_masks_in_folders_and_under_names_as_they_are_published(
    tmp_path: Path, left: str, right: str, prefix: str, suffix: str
) -> None:
    films(tmp_path / "x" / left, "1.png", "2.png")
    mask(tmp_path / "x" / right / f"{prefix}1{suffix}.png", 1)
    assert the_source(tmp_path / "x") == {
        "kind": "masks", "images": left, "masks": right, "prefix": prefix, "suffix": suffix,
    }  # fmt: skip


@pytest.mark.parametrize(("prefix", "suffix"), [("", "_mask"), ("mask_", ""), ("", "-mask"), ("", "_seg")])
def test_masks_beside_their_films(tmp_path: Path, prefix: str, suffix: str) -> None:
    """Of some films only; deeper folders too, but for folders that look like classes."""
    films(tmp_path / "x", "1.png", "2.png", "3.png")
    mask(tmp_path / f"x/{prefix}1{suffix}.png", 255)
    beside = {"kind": "masks", "images": ".", "masks": ".", "prefix": prefix, "suffix": suffix}
    assert the_source(tmp_path / "x") == beside
    samples, (target,) = Masks(
        root=str(tmp_path / "x"), **{k: v for k, v in beside.items() if k != "kind"}
    ).read("x")
    assert [(s.path, s.annotations.get(target.name)) for s in samples] == [
        ("1.png", MaskFiles(((f"{prefix}1{suffix}.png", ((1, 1), (255, 1))),))), ("2.png", None), ("3.png", None),
    ]  # fmt: skip
    films(tmp_path / "y", "1/1.png", "1/2.png", "2/1.png", "2/2.png")
    mask(tmp_path / f"y/1/{prefix}1{suffix}.png", 255)
    (classes,) = sources(tmp_path / "y", {f"1/{prefix}1{suffix}.png": "mask: 2 levels"}).values()
    assert classes["labels"] == "folder"


def test_films_called_like_masks_are_none(tmp_path: Path) -> None:
    """Pictures of many levels or colours are something else; masks in JPEG are blurred and masks all the same."""
    films(tmp_path / "x", "1.png", "2.png")
    grey = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(grey[..., 0]).save(tmp_path / "x/2_seg.png")
    assert the_source(tmp_path / "x")["kind"] == "folder"
    for name in ("y", "z"):
        films(tmp_path / name, "images/1.png", "images/2.png")
        (tmp_path / name / "masks").mkdir()
    Image.fromarray(grey // 128 * 255).save(tmp_path / "y/masks/1.png")
    assert {fields["kind"] for fields in sources(tmp_path / "y").values()} == {"folder"}
    ring = np.hypot(*np.mgrid[-64:64, -64:64]) < 40
    Image.fromarray(ring.astype(np.uint8) * 255).save(tmp_path / "z/masks/1.jpg")
    assert len(np.unique(Image.open(tmp_path / "z/masks/1.jpg"))) > 8
    assert the_source(tmp_path / "z") == {
        "kind": "masks", "images": "images", "masks": "masks", "prefix": "", "suffix": "",
    }  # fmt: skip


def test_every_tenth_mask_is_looked_at_for_its_levels(tmp_path: Path) -> None:
    films(tmp_path / "x/images", *(f"{i:02}.png" for i in range(20)))
    for i in range(20):
        mask(tmp_path / f"x/masks/{i:02}.png", 7 if i == 18 else 9)
    assert the_source(tmp_path / "x")["classes"] == {"level_7": (7,), "level_9": (9,)}


def test_a_folder_for_masks_without_any_is_no_layout_of_masks(tmp_path: Path) -> None:
    films(tmp_path / "x", "images/1.png")
    (tmp_path / "x/masks").mkdir()
    assert propose(tmp_path / "x", {}).notes == ["x: folder, 1 images, no person named; images alone"]


@pytest.mark.parametrize(
    ("head", "rows", "fields"),
    [
        ("PatientID,View_Position", ("a,PA", "b,LL", "b,", "c,PA"), {"patient": "PatientID", "view": "View_Position"}),
        ("patient,projection,finding", (",,a", ",,b", ",,b"), {"label": "finding"}),  # nothing in them
        ("subject,Diagnosis", ("a,x", "b,y", "c,y"), {"patient": "subject", "label": "Diagnosis"}),
        ("finding,edema", ("x,1", "x,0", "x,1"), {"labels": ("edema",)}),  # of one value
        ("finding", tuple("abcdefghijklmnopqrst"), {"label": "finding"}),
        ("finding", tuple("abcdefghijklmnopqrstu"), {}),  # free text
        ("edema,mass,age", ("1,0.0,40", "0,1.0,50", "0,1.0,60"), {"labels": ("edema", "mass")}),
        ("label", ("1", "0", "0"), {"labels": ("label",)}),
        ("label,edema", ("1,0", "0,1", "0,1"), {"labels": ("edema",)}),  # the label may be any of them
        ("label,edema", ("x,0", "y,1", "y,1"), {"label": "label"}),
        ("fold,edema", ("Train,0", "test,1", "VALID,1"), {"labels": ("edema",), "split_column": "fold"}),
        ("split,edema", ("train,0", "test,1", "3,1"), {"labels": ("edema",)}),
    ],
)  # fmt: skip
def test_columns_by_name_and_by_what_stands_in_them(
    tmp_path: Path, head: str, rows: tuple[str, ...], fields: dict[str, Any]
) -> None:
    assert table(tmp_path / "x", head, *rows) == fields


def test_a_table_in_any_format_names_films_in_a_folder_beside_it(tmp_path: Path) -> None:
    """Also with the backslashes of Windows, and after a table that is none."""
    films(tmp_path / "x", "films/a/1.png", "films/a/2.png")
    (tmp_path / "x/0.csv").write_text("")
    columns = {"n": ["1", "2"], "film": ["a\\1.png", "a\\2.png"], "edema": ["0", "1"]}
    pq.write_table(pa.table(columns), tmp_path / "x/t.parquet")
    assert the_source(tmp_path / "x") == {
        "kind": "table", "file": "t.parquet", "image": "film", "images": "films", "labels": ("edema",),
    }  # fmt: skip


@pytest.mark.parametrize(
    "cells",
    [
        ("1.png", "2.png", "gone.png"),  # one of its films is not there
        ("notes.txt", "notes.txt", "notes.txt"),  # there, and no film
        ("1", "2", "2"),  # two names without suffix may be anything
        ("1", "2", "3"),  # one of three is no film
    ],
)
def test_columns_that_name_no_films(tmp_path: Path, cells: tuple[str, ...]) -> None:
    films(tmp_path / "x", "1.png", "2.png")
    (tmp_path / "x/notes.txt").write_text("x")
    (tmp_path / "x/t.csv").write_text(
        "\n".join(("what,edema", *(f"{cell},{i % 2}" for i, cell in enumerate(cells))))
    )
    assert propose(tmp_path / "x", {}).notes == ["x: folder, 2 images, no person named; images alone"]


@pytest.mark.parametrize(("left", "right"), [("JPEGImages", "Annotations"), ("images", "annotations")])
def test_voc_needs_its_xml(tmp_path: Path, left: str, right: str) -> None:
    films(tmp_path / "x" / left, "1.png")
    (tmp_path / "x" / right).mkdir()
    assert propose(tmp_path / "x", {}).notes == ["x: folder, 1 images, no person named; images alone"]
    (tmp_path / "x" / right / "1.XML").write_text(DOCUMENT)
    assert the_source(tmp_path / "x") == {"kind": "voc", "images": left, "annotations": right}


@pytest.mark.parametrize(
    ("by", "column", "last"), [("sop", "SOP Instance UID", ".1"), ("study", "study_instance_uid", "")]
)
def test_dicom_with_a_table_by_uid(tmp_path: Path, by: str, column: str, last: str) -> None:
    """Not by the file names that it has too, which an export changes; and not what an editor left beside it."""
    (tmp_path / "x").mkdir()
    for i in (1, 2):
        uids = {"SOPInstanceUID": f"1.2.{i}.1", "StudyInstanceUID": f"1.2.{i}"}
        dicom(tmp_path / f"x/{i}.dcm", np.zeros((4, 4), np.uint16), 12, **uids)
    rows = [f"{i}.dcm,1.2.{i}{last},p{i},{i - 1},{i}0" for i in (1, 2)]
    for name in ("t.csv", "~t.csv", ".t.csv"):
        (tmp_path / "x" / name).write_text("\n".join((f"film,{column},patient,edema,age", *rows)))
    assert the_source(tmp_path / "x") == {
        "kind": "dicom_folder", "table": "t.csv", "by": by, "id_column": column, "patient": "patient",
        "labels": ("edema",),
    }  # fmt: skip
