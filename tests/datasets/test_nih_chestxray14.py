"""ChestX-ray14's layouts and the traps of its tables, by values written by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from muscle.data.decode import Decode, decode
from muscle.datasets._example import drawn
from muscle.datasets.nih_chestxray14 import BOXES, FINDINGS, NihChestXray14
from muscle.errors import UserError
from muscle.types import BoxList, Labels, Sample

TAIL = "View Position,OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
NEW = f"Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Sex,{TAIL}"
OLD = f"Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,{TAIL},"
ROWS = (
    "00000001_000.png,Cardiomegaly|Emphysema,0,1,57,M,PA,2682,2749,0.143,0.143",
    "00000001_001.png,No Finding,1,1,58,M,AP,2894,2729,0.143,0.143",
    "00000013_002.png,Pleural_Thickening,2,13,81,F,PA,2500,2048,0.171,0.171",
)
BBOX = "Image Index,Finding Label,Bbox [x,y,w,h],,,"


def picture(path: Path, side: int = 8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((side, side), np.uint8)).save(path)


def lay(
    root: Path, header: str = NEW, table: str = "Data_Entry_2017_v2020.csv", place: str = "images"
) -> Path:
    for row in ROWS:
        picture(root / place / row.partition(",")[0])
    comma = "," if header.endswith(",") else ""
    (root / table).write_text("\n".join((header, *(row + comma for row in ROWS))) + "\n")
    (root / "train_val_list.txt").write_text("00000001_000.png\n00000001_001.png\n")
    (root / "test_list.txt").write_text("00000013_002.png")
    return root


def read(root: Path) -> dict[str, Sample]:
    return {Path(s.path).stem: s for s in NihChestXray14(root=root.as_posix()).read("n")[0]}


def present(sample: Sample) -> set[str]:
    truth = sample.annotations["findings"]
    assert isinstance(truth, Labels)
    assert set(truth.values) <= {0.0, 1.0}
    return {name for name, value in zip(FINDINGS.classes, truth.values, strict=True) if value}


@pytest.mark.parametrize("header", [NEW, OLD, NEW + ",", OLD.rstrip(",")])
@pytest.mark.parametrize(
    "place", ["images", "images_001/images", "archive/images_012/images", "images-224/images-224"]
)
def test_films_findings_views_parts_and_persons(tmp_path: Path, header: str, place: str) -> None:
    """The publisher's archives and Kaggle's, with each header of the table."""
    found = read(lay(tmp_path, header, place=place))
    assert {k: (s.patient, s.view, s.split, s.body_part, present(s)) for k, s in found.items()} == {
        "00000001_000": ("nih:00000001", "PA", "train", "chest", {"Cardiomegaly", "Emphysema"}),
        "00000001_001": ("nih:00000001", "AP", "train", "chest", set()),
        "00000013_002": ("nih:00000013", "PA", "test", "chest", {"Pleural_Thickening"}),
    }


def test_the_newer_table_goes_first_and_the_older_one_is_enough(tmp_path: Path) -> None:
    lay(tmp_path, OLD, "Data_Entry_2017.csv")
    assert present(read(tmp_path)["00000001_000"]) == {"Cardiomegaly", "Emphysema"}
    row = ROWS[0].replace("Cardiomegaly|Emphysema", "Hernia")
    (tmp_path / "Data_Entry_2017_v2020.csv").write_text(f"{NEW}\n{row}\n{ROWS[2]}\n")
    found = read(tmp_path)
    assert present(found["00000001_000"]) == {"Hernia"}
    assert not found["00000001_001"].annotations  # a film that the table does not list
    (tmp_path / "Data_Entry_2017_v2020.csv").unlink()
    (tmp_path / "Data_Entry_2017.csv").unlink()
    with pytest.raises(UserError, match=r"neither Data_Entry_2017_v2020.csv nor Data_Entry_2017.csv"):
        read(tmp_path)


@pytest.mark.parametrize("side", [1024, 512, 8])
def test_boxes_measured_at_1024_fit_films_of_any_size(tmp_path: Path, side: int) -> None:
    lay(tmp_path)
    picture(tmp_path / "images/00000001_000.png", side)
    boxes = ("00000001_000.png,Infiltrate,256,512,128,64,,,", "00000001_000.png,Mass,1000,0,24.5,1024,,,",
             "00000077_000.png,Mass,1,1,1,1,,,")  # fmt: skip
    (tmp_path / "BBox_List_2017.csv").write_text("\n".join((BBOX, *boxes)))
    found = {
        k: s.annotations["findings_boxes"]
        for k, s in read(tmp_path).items()
        if "findings_boxes" in s.annotations
    }
    f = side / 1024
    xyxy = ((256 * f, 512 * f, 384 * f, 576 * f), (1000 * f, 0.0, float(side), float(side)))
    assert found == {"00000001_000": BoxList(xyxy, (4, 5))}  # the other films are unknown, not without box
    assert BOXES.classes[3:5] == ("Infiltration", "Mass")


def test_the_published_counts_agree_with_each_other() -> None:
    published = NihChestXray14.published
    assert published["part:train"] + published["part:test"] == published["images"] == 112120
    assert {key: n for key, n in published.items() if key.startswith("boxes:")} == {
        "boxes:findings_boxes": 984
    }
    assert published["labels:findings:Infiltration"] == 19894
    assert published["labels:findings:Hernia"] == 227
    assert published["labels:findings:Pleural_Thickening"] == 3385


def test_copies_forks_masks_and_films_that_were_not_fetched(tmp_path: Path) -> None:
    lay(tmp_path)
    for path in ("kaggle/images_001/images/00000001_000.png", "heart/00000001_000.png", "images/cover.png",
                 "images/00000001_000_mask.png"):  # fmt: skip
        picture(tmp_path / path)
    (tmp_path / "images/._00000001_000.png").write_bytes(b"\0\5\26\7")
    (tmp_path / "images/00000001_001.png").rename(tmp_path / "images/00000001_001.PNG")
    (tmp_path / "images/00000013_002.png").unlink()
    (tmp_path / "test_list.txt").unlink()
    assert {(s.path, s.split) for s in read(tmp_path).values()} == {
        ("images/00000001_000.png", "train"),
        ("images/00000001_001.PNG", "train"),
    }


def test_the_examples_films_look_as_drawn_whatever_their_channels(tmp_path: Path) -> None:
    """519 of the published films carry alpha. Oracle: the drawing itself."""
    NihChestXray14.write_example(tmp_path, 6, seed=2)
    modes = set()
    for i in range(6):
        path = next((tmp_path / "images").glob(f"{i // 4 + 1:08d}_{i % 4:03d}.*"))
        with Image.open(path) as image:
            modes.add(image.mode)
        np.testing.assert_array_equal(
            decode(path, Decode()).pixels, drawn("chest", 2 + i, pneumonia=i % 2).image
        )
    assert modes == {"L", "LA", "RGBA"}


def test_the_example_is_read_as_drawn(tmp_path: Path) -> None:
    """Byte-order marks, CRLF, a copy, a fork, an older table of other labels; boxes back in pixels as drawn."""
    NihChestXray14.write_example(tmp_path, 8, seed=2)
    found = read(tmp_path)
    assert len(found) == 8
    for i, sample in enumerate(found.values()):
        phantom = drawn("chest", 2 + i, pneumonia=i % 2)
        name = "Infiltration" if phantom.labels.get("virus") else "Pneumonia"
        assert present(sample) - {"Consolidation"} == ({name} if i % 2 else set())
        boxes = sample.annotations.get("findings_boxes")
        assert (boxes is not None) == (i % 2 == 1)
        if isinstance(boxes, BoxList):
            np.testing.assert_allclose(boxes.xyxy, [box[1:] for box in phantom.boxes], atol=1e-6)
            assert {BOXES.classes[label - 1] for label in boxes.label} == {name}


@pytest.mark.parametrize(
    ("file", "old", "new", "reason"),
    [
        (
            "Data_Entry_2017_v2020.csv",
            "Emphysema",
            "Emfysema",
            "line 2: unknown label 'Emfysema'; allowed: Atel",
        ),
        ("Data_Entry_2017_v2020.csv", "No Finding", "No Finding|Mass", "line 3: unknown label 'No Finding'"),
        ("test_list.txt", "00000013_002", "00000001_001", "00000001_001.png is in both lists"),
        ("BBox_List_2017.csv", "Mass", "Lump", "line 2: unknown label 'Lump'; allowed: Atelectasis, "),
        ("BBox_List_2017.csv", ",9,", ",nine,", "line 2: a box is four numbers"),
        ("BBox_List_2017.csv", ",9,", ",0,", "line 2: the box has no area"),
        ("BBox_List_2017.csv", ",9,", ",nan,", "line 2: the box has no area"),
        ("BBox_List_2017.csv", ",9,", ",inf,", "line 2: the box has no area"),
        ("BBox_List_2017.csv", ",7,", ",2000,", "line 2: the box has no area inside a film of 1024 x 1024"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, file: str, old: str, new: str, reason: str) -> None:
    lay(tmp_path)
    (tmp_path / "BBox_List_2017.csv").write_text(f"{BBOX}\n00000001_000.png,Mass,7,7,9,9,,,\n")
    text = (tmp_path / file).read_text()
    assert old in text
    (tmp_path / file).write_text(text.replace(old, new))
    with pytest.raises(UserError, match=reason) as error:
        read(tmp_path)
    assert "\n" not in str(error.value)
