"""RSNA's tables, by rows made by hand; oracle of the films: what was drawn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from muscle.data.decode import Decode, decode
from muscle.datasets._example import drawn
from muscle.datasets.rsna_pneumonia import RsnaPneumonia
from muscle.errors import UserError
from muscle.types import BoxList, Labels, Sample

HEAD = "patientId,x,y,width,height,Target"
MAPPING = "pneumonia-challenge-dataset-mappings_2018.json"


def lay(root: Path, labels: list[str], details: list[str], train: str = "abc", test: str = "z") -> Path:
    for folder, films in (("train", train), ("test", test)):
        for film in films:
            path = root / f"stage_2_{folder}_images" / f"{film}.dcm"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
    (root / "stage_2_train_labels.csv").write_text("\n".join([HEAD, *labels]))
    (root / "stage_2_detailed_class_info.csv").write_text("\n".join(["patientId,class", *details]))
    return root


LABELS = ["a,,,,,0", "b,10.0,20.0,30.0,40.0,1", "c,,,,,0", "b,1,2,3,4,1"]
DETAILS = ["a,Normal", "b,Lung Opacity", "b,Lung Opacity", "c,No Lung Opacity / Not Normal"]


def read(root: Path) -> dict[str, Sample]:
    samples, _ = RsnaPneumonia(root=root.as_posix()).read("r")
    return {Path(s.path).stem: s for s in samples}


@pytest.mark.parametrize("top", ["", "rsna-pneumonia-detection-challenge"])
def test_rows_of_one_film_are_its_boxes_with_corners(tmp_path: Path, top: str) -> None:
    lay(tmp_path / top, LABELS, DETAILS)
    found = read(tmp_path)
    assert found["b"].annotations == {
        "lung_opacity": Labels((0.0, 1.0)),
        "rsna_class": Labels((0.0, 0.0, 1.0)),
        "opacity": BoxList(((10.0, 20.0, 40.0, 60.0), (1.0, 2.0, 4.0, 6.0)), (1, 1)),
    }
    assert found["a"].annotations == {
        "lung_opacity": Labels((1.0, 0.0)),
        "rsna_class": Labels((1.0, 0.0, 0.0)),
        "opacity": BoxList((), ()),
    }
    assert found["c"].annotations["rsna_class"] == Labels((0.0, 1.0, 0.0))


def test_the_test_part_and_films_without_row_are_unknown(tmp_path: Path) -> None:
    found = read(lay(tmp_path, LABELS[:2], DETAILS[:2], train="abd"))
    assert not found["z"].annotations and not found["d"].annotations
    assert {key: s.split for key, s in found.items()} == dict.fromkeys("abd", "train") | {"z": "test"}


def test_a_patient_id_is_a_film_until_the_mapping_says_the_person(tmp_path: Path) -> None:
    lay(tmp_path, LABELS, DETAILS)
    assert {s.patient for s in read(tmp_path).values()} == {f"rsna_pneumonia:{k}" for k in "abcz"}
    rows = [{"subset_img_id": k, "img_id": f"00000007_00{i}.png"} for i, k in enumerate("ab")]
    (tmp_path / MAPPING).write_text(json.dumps(rows))
    found = read(tmp_path)
    assert found["a"].patient == found["b"].patient == "nih:00000007"
    assert found["c"].patient == "rsna_pneumonia:c"
    (tmp_path / MAPPING).write_text("[1]")
    with pytest.raises(UserError, match="not RSNA's mapping: TypeError"):
        read(tmp_path)


def test_wrong_cells_and_foreign_tables_are_named(tmp_path: Path) -> None:
    for i, (labels, details, message) in enumerate(
        (
            (["a,1,2,x,4,1"], DETAILS, "labels.csv line 2 column width: given 'x'; allowed: a number"),
            (["a,1,2,3,4,2"], DETAILS, "labels.csv line 2: Target '2'; allowed: 0, 1"),
            (LABELS, ["a,Sick"], "class_info.csv line 2: unknown label 'Sick'; allowed: Normal, No Lung"),
            (["q,,,,,0"], ["q,Normal"], "labels.csv: none of its 1 films is there, such as q"),
        )
    ):
        with pytest.raises(UserError, match=message):
            read(lay(tmp_path / str(i), labels, details))


def test_the_example_is_compressed_and_boxed_as_drawn(tmp_path: Path) -> None:
    RsnaPneumonia.write_example(tmp_path, 8, seed=1)
    samples, _ = RsnaPneumonia(root=tmp_path.as_posix()).read("r")
    (boxed,) = [s for s in samples if "00010003-" in s.path]
    phantom = drawn("chest", 1 + 3, pneumonia=1)
    found = decode(tmp_path / boxed.path, Decode())
    assert "JPEG Baseline" in found.steps[0]
    assert np.abs(found.pixels.astype(int) - phantom.image).mean() < 3
    boxes = boxed.annotations["opacity"]
    assert isinstance(boxes, BoxList)
    assert [pytest.approx(b) for b in boxes.xyxy] == [tuple(b[1:]) for b in phantom.boxes]
    rows = (tmp_path / "stage_2_train_labels.csv").read_text("utf-8-sig").splitlines()
    assert len(rows) - 1 > sum(s.split == "train" for s in samples)  # a film with two boxes has two rows
    assert len({s.patient for s in samples}) == 4
