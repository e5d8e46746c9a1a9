"""FracAtlas' layout, by files made by hand: films of 200 x 100."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from muscle.datasets.fracatlas import FracAtlas
from muscle.errors import UserError
from muscle.types import BoxList, Labels

JSON = "Annotations/COCO JSON/COCO_fracture_masks.json"
TABLE = (
    "image_id,hand,leg,hip,shoulder,mixed,hardware,multiscan,fractured,fracture_count,frontal,lateral,oblique\r\n"
    "IMG0000001.jpg,1,0,0,0,0,0,0,1,1,1,0,0\r\n"
    "IMG0000002.jpg,1,1,0,0,1,0,1,0,0,1,1,0\r\n"
)


def lay(root: Path, **image: Any) -> FracAtlas:
    for film in ("Fractured/IMG0000001.jpg", "Fractured/IMG0000003.jpg", "Non_fractured/IMG0000002.jpg"):
        (root / "images" / film).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((100, 200), np.uint8)).save(root / "images" / film)
    images = [{"id": 4, "file_name": "IMG0000001.jpg", "width": 200, "height": 100} | image]
    data = {"images": images, "categories": [{"id": 1, "name": "fractured"}],
            "annotations": [{"id": 1, "image_id": 4, "category_id": 1, "bbox": [10, 20, 30, 40]}]}  # fmt: skip
    (root / JSON).parent.mkdir(parents=True)
    (root / JSON).write_text(json.dumps(data))
    (root / "dataset.csv").write_bytes(("\ufeff" + TABLE).encode())
    split = root / "Utilities/Fracture Split"
    split.mkdir(parents=True)
    (split / "valid.csv").write_bytes(b"\xef\xbb\xbfimage_id\r\nIMG0000001.jpg\r\n")
    return FracAtlas(root=root.as_posix())


def test_classes_boxes_parts_and_views(tmp_path: Path) -> None:
    lay(tmp_path / "FracAtlas")
    (tmp_path / "FracAtlas/images/Fractured/._IMG0000001.jpg").write_bytes(b"\0\5\26\7")
    samples, targets = FracAtlas(root=tmp_path.as_posix()).read("f")
    assert [(t.name, t.kind, t.classes) for t in targets] == [
        ("fracture", "labels", ("not fractured", "fractured")),
        ("fractures", "boxes", ("fractured",)),
    ]
    found = {Path(s.path).stem[-1]: (dict(s.annotations), s.body_part, s.view, s.split) for s in samples}
    one = BoxList(((10.0, 20.0, 40.0, 60.0),), (1,))
    broken, whole = Labels((0.0, 1.0)), Labels((1.0, 0.0))
    assert found == {
        "1": ({"fracture": broken, "fractures": one}, "hand", "frontal", "valid"),
        "2": ({"fracture": whole, "fractures": BoxList((), ())}, "", "", None),  # read; two parts and views in one
        "3": ({"fracture": broken}, "", "", None),  # fractured and in no list: unknown where
    }  # fmt: skip


def test_the_folder_itself_may_be_the_root(tmp_path: Path) -> None:
    assert len(lay(tmp_path).read("f")[0]) == 3


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"image 4: .*IMG0000001.jpg is 200 x 100, but was 400 x 200"):
        lay(tmp_path / "a", width=400, height=200).read("f")
    source = lay(tmp_path / "b")
    (tmp_path / "b/images/Fractured/IMG0000001.jpg").unlink()
    with pytest.raises(
        UserError, match=r"1 of 1 images are missing, such as images/Fractured/IMG0000001.jpg"
    ):
        source.read("f")
    source = lay(tmp_path / "c")
    (tmp_path / "c/images/Non_fractured").rename(tmp_path / "c/images/Whole")
    with pytest.raises(UserError, match=r"unknown label 'whole'; allowed folders: Fractured, Non_fractured"):
        source.read("f")
