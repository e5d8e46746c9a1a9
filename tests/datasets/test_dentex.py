"""DENTEX' layout, by JSON made by hand: films of 200 x 100."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from muscle.datasets.dentex import Dentex
from muscle.errors import UserError
from muscle.types import BoxList

QUADRANTS = [{"id": i, "name": str(i + 1)} for i in range(4)]
NUMBERS = [{"id": i, "name": str(i + 1)} for i in range(8)]
DISEASES = [
    {"id": i, "name": n} for i, n in enumerate(("Impacted", "Caries", "Periapical Lesion", "Deep Caries"))
]
THREE = {"categories_1": QUADRANTS, "categories_2": NUMBERS, "categories_3": DISEASES}
SUBSETS = ("quadrant", "quadrant_enumeration", "quadrant-enumeration-disease")


def subset(
    root: Path, folder: str, file: str, lists: dict[str, Any], ids: dict[str, Any], **image: Any
) -> None:
    for film in ("train_0.png", "train_1.png"):
        (root / folder / "xrays").mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((100, 200), np.uint8)).save(root / folder / "xrays" / film)
    images = [{"id": i, "file_name": f"train_{i}.png", "width": 200, "height": 100} | image for i in (0, 1)]
    notes = [{"id": 5, "image_id": 0, "bbox": [10, 20, 30, 40]} | ids] if ids else []
    if file:
        (root / file).write_text(json.dumps({"images": images, "annotations": notes} | lists))


def lay(root: Path) -> Dentex:
    ids = {"category_id_1": 2, "category_id_2": 7, "category_id_3": 3}
    train = "training_data"
    subset(
        root,
        f"{train}/quadrant",
        f"{train}/quadrant/train_quadrant.json",
        {"categories": QUADRANTS},
        {"category_id": 3},
    )
    subset(
        root,
        f"{train}/quadrant_enumeration",
        f"{train}/quadrant_enumeration/train_quadrant_enumeration.json",
        THREE,
        ids,
    )
    subset(
        root,
        f"{train}/{SUBSETS[2]}",
        f"{train}/{SUBSETS[2]}/train_quadrant_enumeration_disease.json",
        THREE,
        ids,
    )
    subset(root, "validation_data/quadrant_enumeration_disease", "validation_triple.json", THREE, ids)
    subset(root, f"{train}/unlabelled", "", {}, {})
    return Dentex(root=root.as_posix())


def test_each_subset_teaches_its_own_target(tmp_path: Path) -> None:
    """Quadrant 3, number 8 is FDI 38; a box of an ill tooth says nothing about the other teeth."""
    samples, targets = lay(tmp_path).read("d")
    assert [(t.name, len(t.classes)) for t in targets] == [("quadrant", 4), ("tooth", 32), ("disease", 4)]
    box = ((10.0, 20.0, 40.0, 60.0),)
    none = BoxList((), ())
    found = {s.path.replace("/xrays/train_", " "): (s.split, dict(s.annotations)) for s in samples}
    assert found == {
        "training_data/quadrant 0.png": ("train", {"quadrant": BoxList(box, (4,))}),
        "training_data/quadrant 1.png": ("train", {"quadrant": none}),
        "training_data/quadrant_enumeration 0.png": ("train", {"tooth": BoxList(box, (24,))}),
        "training_data/quadrant_enumeration 1.png": ("train", {"tooth": none}),
        "training_data/quadrant-enumeration-disease 0.png": ("train", {"disease": BoxList(box, (4,))}),
        "training_data/quadrant-enumeration-disease 1.png": ("train", {"disease": none}),
        "training_data/unlabelled 0.png": ("train", {}),
        "training_data/unlabelled 1.png": ("train", {}),
        "validation_data/quadrant_enumeration_disease 0.png": ("valid", {"disease": BoxList(box, (4,))}),
        "validation_data/quadrant_enumeration_disease 1.png": ("valid", {"disease": none}),
    }
    assert targets[1].classes[23] == "38"


def test_junk_does_not_count(tmp_path: Path) -> None:
    source = lay(tmp_path)
    (tmp_path / "training_data/quadrant/._train_quadrant.json").write_bytes(b"\0\5\26\7")
    for junk in ("xrays/._train_0.png", "xrays/.ipynb_checkpoints/train_0-checkpoint.png", "cover.png"):
        (tmp_path / "training_data/quadrant" / junk).parent.mkdir(exist_ok=True)
        (tmp_path / "training_data/quadrant" / junk).write_bytes(b"x")
    assert len(source.read("d")[0]) == 10


def test_what_is_partly_annotated_is_left_out(tmp_path: Path) -> None:
    ids = {"category_id_1": 2, "category_id_2": 7, "category_id_3": None}
    subset(tmp_path, "validation_data/quadrant_enumeration_disease", "validation_triple.json", THREE, ids)
    samples, _ = Dentex(root=tmp_path.as_posix()).read("d")
    assert [s.annotations["disease"] for s in samples] == [BoxList((), ())] * 2


FILE = "validation_triple.json"
GOOD = {"category_id_3": 1}


@pytest.mark.parametrize(
    ("lists", "ids", "image", "reason"),
    [
        (THREE, {"category_id_3": 9}, {}, "annotation 5: unknown label 9"),
        (
            THREE | {"categories_3": [{"id": 1, "name": "Gold"}]},
            GOOD,
            {},
            "unknown label 'Gold'; allowed: Impacted",
        ),
        (THREE, GOOD | {"image_id": 7}, {}, "annotation 5: its image 7 is not listed"),
        (
            THREE,
            GOOD | {"bbox": [300, 1, 9, 9]},
            {},
            "annotation 5: box .* lies outside its image of 200 x 100",
        ),
        (THREE, {"category_id_1": 1}, {}, "not as DENTEX publishes it: KeyError 'category_id_3'"),
        ({"categories": QUADRANTS}, GOOD, {}, "it must hold images, annotations and categories_3"),
        (THREE, GOOD, {"width": 400}, "image 0: train_0.png is 200 x 100, but was 400 x 100"),
        (THREE, GOOD, {"file_name": "val_9.png"}, "2 of 2 films are missing, such as val_9.png"),
    ],
)
def test_a_wrong_json_is_named(
    tmp_path: Path, lists: dict[str, Any], ids: dict[str, Any], image: dict[str, Any], reason: str
) -> None:
    subset(tmp_path, "validation_data/quadrant_enumeration_disease", FILE, lists, ids, **image)
    with pytest.raises(UserError, match=f"{FILE}.*{reason}") as error:
        Dentex(root=tmp_path.as_posix()).read("d")
    assert "\n" not in str(error.value)
