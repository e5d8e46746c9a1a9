"""YOLO and COCO against boxes worked out by hand on images of 200 x 100."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from muscle.datasets.coco import Coco
from muscle.datasets.yolo import Yolo
from muscle.errors import UserError
from muscle.types import BoxList


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((100, 200), np.uint8)).save(path)


def yolo(root: Path, names: str = "[a, b, c]", **labels: str) -> Path:
    (root / "data.yaml").write_text(f"names: {names}\n")
    for stem, text in labels.items():
        picture(root / "train/images" / f"{stem}.png")
        (root / "train/labels").mkdir(exist_ok=True)
        (root / "train/labels" / f"{stem}.txt").write_text(text)
    return root


def truths(source: Yolo | Coco) -> dict[str, Any]:
    return {Path(s.path).stem: s.annotations.get("y") for s in source.read("y")[0]}


def test_boxes_and_polygons_in_pixels_and_unknown_is_not_negative(tmp_path: Path) -> None:
    yolo(tmp_path, one="1 0.5 0.5 0.1 0.2\r\n0 0.1 0.2 0.3 0.2 0.2 0.4\r\n", none="")
    picture(tmp_path / "test/images/unread.png")
    picture(tmp_path / "docs/cover.png")
    root = tmp_path.as_posix()
    one = BoxList(((90.0, 40.0, 110.0, 60.0), (20.0, 20.0, 60.0, 40.0)), (2, 1))
    found = truths(Yolo(root=root))
    assert found["one"].label == one.label
    assert np.allclose(found["one"].xyxy, one.xyxy)
    assert found["none"] is None
    assert found["unread"] is None
    assert "cover" not in found
    assert truths(Yolo(root=root, empty="negative"))["none"] == BoxList((), ())
    assert truths(Yolo(root=root, empty="negative"))["unread"] is None


def test_classes_are_merged_chosen_and_ordered(tmp_path: Path) -> None:
    yolo(
        tmp_path,
        names="{0: a, 1: b, 2: c}",
        one="0 .5 .5 .1 .2\n1 .5 .5 .1 .2\n2 .5 .5 .1 .2\n",
        two="0 .5 .5 .1 .1\n",
    )
    source = Yolo(root=tmp_path.as_posix(), merge={"c": "b"}, classes=("b",))
    assert source.read("y")[1][0].classes == ("b",)
    assert truths(source)["one"].label == (1, 1)
    assert truths(source)["two"] == BoxList((), ())  # read, and nothing of the chosen classes in it
    for wrong in ({"merge": {"x": "a"}}, {"classes": ("x",)}):
        with pytest.raises(UserError, match="no class 'x'"):
            Yolo.parse({"root": tmp_path.as_posix(), **wrong}).read("y")


def test_copies_of_one_source_are_one_patient(tmp_path: Path) -> None:
    yolo(tmp_path, **{"a_jpg.rf.1": "0 .5 .5 .1 .1", "a_jpg.rf.2": "0 .5 .5 .1 .1", "b": "0 .5 .5 .1 .1"})
    samples, _ = Yolo(root=tmp_path.as_posix()).read("y")
    assert [s.patient for s in samples] == ["y:a_jpg", "y:a_jpg", "y/train/images/b.png"]
    assert {s.split for s in samples} == {"train"}
    assert Yolo(root=tmp_path.as_posix(), collection="clinic").read("y")[0][0].patient == "clinic:a_jpg"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("3 .5 .5 .1 .1", "unknown label 3; data.yaml names 0 to 2"),
        ("0 1.5 .5 .1 .1", "lies outside its image of 200 x 100"),
        ("0 .5 .5 0 .1", "has no area"),
        ("0 .5 nan .1 .1", "has no area"),
        ("0 .5 .5 .1", "3 numbers after the class"),
        ("cat .5 .5 .1 .1", "allowed: class number and fractions"),
    ],
)
def test_a_wrong_yolo_line_is_named(tmp_path: Path, line: str, reason: str) -> None:
    yolo(tmp_path, good="0 .5 .5 .1 .1\n", bad=f"0 .5 .5 .1 .1\n{line}\n")
    with pytest.raises(UserError) as error:
        Yolo(root=tmp_path.as_posix()).read("y")
    assert "bad.txt line 2: " in str(error.value)
    assert reason in str(error.value)


def test_a_label_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    root = yolo(tmp_path, one="0 .5 .5 .1 .1\n")
    (root / "train/labels/one.txt").write_bytes(b"0 .5 .5 .1 .1\n\xff\xfe\x00")
    with pytest.raises(UserError, match="one.txt line 2: .*allowed: class number and fractions"):
        Yolo(root=root.as_posix()).read("y")


def test_overhang_is_cut_or_refused(tmp_path: Path) -> None:
    yolo(tmp_path, one="0 0.05 0.5 0.2 0.5\n")  # from -10 to 30
    assert truths(Yolo(root=tmp_path.as_posix()))["one"].xyxy == ((0.0, 25.0, 30.0, 75.0),)
    with pytest.raises(UserError, match="one.txt line 1: .*overhangs its image"):
        Yolo(root=tmp_path.as_posix(), clip=False).read("y")


def test_a_folder_without_names_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no data.yaml"):
        Yolo(root=tmp_path.as_posix()).read("y")
    with pytest.raises(UserError, match="no class names"):
        Yolo(root=yolo(tmp_path, names="3", one="").as_posix()).read("y")


def coco(root: Path, **changes: Any) -> Path:
    data: dict[str, Any] = {
        "images": [
            {"id": 5, "file_name": "a/1.png", "width": 200, "height": 100},
            {"id": 6, "file_name": "2.png", "width": 200, "height": 100},
        ],
        "annotations": [{"id": 1, "image_id": 5, "category_id": 7, "bbox": [10, 20, 30, 40]}],
        "categories": [{"id": 2, "name": "x"}, {"id": 7, "name": "y"}],
    }
    picture(root / "images/a/1.png")
    picture(root / "images/2.png")
    (root / "annotations.json").write_text(json.dumps(data | changes))
    return root


def test_coco_boxes_are_corners_and_category_ids_may_have_gaps(tmp_path: Path) -> None:
    source = Coco(root=coco(tmp_path).as_posix())
    assert truths(source) == {"1": BoxList(((10.0, 20.0, 40.0, 60.0),), (2,)), "2": None}
    assert truths(source.with_(empty="negative"))["2"] == BoxList((), ())
    one = source.with_(patient_pattern="([0-9])[.]png$", collection="clinic").read("y")[0]
    assert [s.patient for s in one] == ["clinic:2", "clinic:1"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"annotations": [{"id": 1, "image_id": 5, "category_id": 9, "bbox": [1, 1, 1, 1]}]},
            "annotation 1: unknown label 9",
        ),
        (
            {"annotations": [{"id": 1, "image_id": 8, "category_id": 7, "bbox": [1, 1, 1, 1]}]},
            "its image 8 is not listed",
        ),
        (
            {"annotations": [{"id": 1, "image_id": 5, "category_id": 7, "bbox": [300, 1, 9, 9]}]},
            "annotation 1: box .* outside",
        ),
        (
            {"annotations": [{"id": 1, "image_id": 5, "bbox": [1, 1, 1, 1]}]},
            "not COCO: KeyError 'category_id'",
        ),
        (
            {"annotations": [{"id": 1, "image_id": 5, "category_id": 7, "bbox": [1, 1]}]},
            "not COCO: ValueError",
        ),
        (
            {"images": [{"id": 5, "file_name": "../../x.png", "width": 2, "height": 1}]},
            "leaves the source's root",
        ),
        (
            {"images": [{"id": 5, "file_name": "9.png", "width": 200, "height": 100}]},
            "1 of 1 images are missing",
        ),
        ({"categories": None}, "not COCO: TypeError"),
        ({"annotations": [[]]}, "not COCO: AttributeError"),
        (
            {"images": [{"id": 5, "file_name": "a/1.png", "width": float("inf"), "height": 1}]},
            "not COCO: OverflowError",
        ),
        (
            {"images": [{"id": 5, "file_name": "a/1.png", "width": 100, "height": 200}]},
            "image 5: images/a/1.png is 200 x 100, but was 100 x 200 when it was annotated",
        ),
    ],
)
def test_wrong_coco_is_named(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(UserError, match=reason) as error:
        Coco(root=coco(tmp_path, **changes).as_posix()).read("y")
    assert "\n" not in str(error.value)


def test_json_that_is_not_coco(tmp_path: Path) -> None:
    for text, reason in (
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "it must hold images"),
        ("{}", "it must hold images"),
    ):
        (tmp_path / "annotations.json").write_text(text)
        with pytest.raises(UserError, match=reason):
            Coco(root=tmp_path.as_posix()).read("y")
    with pytest.raises(UserError, match="No such file"):
        Coco(root=tmp_path.as_posix(), file="other.json").read("y")


def test_an_alias_bomb_in_data_yaml_is_refused(tmp_path: Path) -> None:
    yolo(tmp_path, names="&a [x, x]\nother: *a", one="0 .5 .5 .1 .1")
    with pytest.raises(UserError, match="data.yaml line 1: .*anchors"):
        Yolo(root=tmp_path.as_posix()).read("y")
