"""VinDr-CXR from Kaggle and PhysioNet, by rows made by hand; oracle of the films: what was drawn."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from muscle.data.decode import Decode, decode
from muscle.datasets.vindr_cxr import GLOBAL, KAGGLE, LOCAL, VindrCxr
from muscle.errors import UserError
from muscle.phantom import draw
from muscle.types import BoxList, Labels, Sample

HEAD = "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max"
ROWS = [
    "a,Cardiomegaly,3,R8,691.0,1375.0,1653.0,1831.0",
    "b,No finding,14,R8,,,,",
    "a,Cardiomegaly,3,R9,690,1370,1650,1830",
    "a,Nodule/Mass,8,R9,1,2,3,4",
    "b,No finding,14,R9,,,,",
    "a,No finding,14,R10,,,,",
    "b,No finding,14,R10,,,,",
    "a,Nodule/Mass,8,R9,5,6,7,8",
]


def lay(root: Path, rows: list[str], train: str = "ab", test: str = "z") -> Path:
    for folder, films in (("train", train), ("test", test)):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for film in films:
            (root / folder / f"{film}.dicom").write_bytes(b"x")
    (root / "train.csv").write_text("\n".join([HEAD, *rows]))
    return root


def read(root: Path, **fields: Any) -> dict[str, Sample]:
    samples, _ = VindrCxr(root=root.as_posix(), **fields).records("v")
    return {Path(s.path).stem: s for s in samples}


def present(sample: Sample, classes: tuple[str, ...] = KAGGLE) -> set[str]:
    truth = sample.annotations["vindr_findings"]
    assert isinstance(truth, Labels)
    return {c for c, v in zip(classes, truth.values, strict=True) if v == 1}


def test_the_majority_of_readers_decides_or_any(tmp_path: Path) -> None:
    """Two of three saw a large heart; one saw nodules, twice."""
    lay(tmp_path, ROWS)
    assert present(read(tmp_path)["a"]) == {"Cardiomegaly"}
    assert present(read(tmp_path, readers="any")["a"]) == {"Cardiomegaly", "Nodule/Mass"}


def test_who_found_nothing_has_a_vote_and_no_box(tmp_path: Path) -> None:
    found = read(lay(tmp_path, ROWS))
    assert found["b"].annotations == {
        "vindr_findings": Labels((0.0,) * 14),
        "vindr_boxes": BoxList((), ()),
    }
    alone = [row for row in ROWS if row.startswith("a,No")] + ROWS[:1] + ROWS[1:2] + ["b,ILD,5,R9,1,2,3,4"]
    assert present(read(lay(tmp_path, alone))["a"]) == set()  # one of two is not more than half


def test_boxes_are_those_of_every_reader_in_pixels_of_the_film(tmp_path: Path) -> None:
    truth = read(lay(tmp_path, ROWS))["a"].annotations["vindr_boxes"]
    heart, nodule = KAGGLE.index("Cardiomegaly") + 1, KAGGLE.index("Nodule/Mass") + 1
    assert truth == BoxList(
        ((691, 1375, 1653, 1831), (690, 1370, 1650, 1830), (1, 2, 3, 4), (5, 6, 7, 8)),
        (heart, heart, nodule, nodule),
    )


def test_only_dicom_is_read_and_kaggles_test_part_is_unknown(tmp_path: Path) -> None:
    lay(tmp_path, ROWS)
    (tmp_path / "train/a.png").write_bytes(b"another size")
    found, _ = VindrCxr(root=tmp_path.as_posix()).read("v")
    assert [(s.path, s.split, s.patient) for s in found] == [
        ("test/z.dicom", "test", "vindr_cxr:z"),
        ("train/a.dicom", "train", "vindr_cxr:a"),
        ("train/b.dicom", "train", "vindr_cxr:b"),
    ]
    assert not found[0].annotations


def test_monochrome1_and_twelve_bits_look_alike(tmp_path: Path) -> None:
    VindrCxr.write_example(tmp_path, 4, seed=6)
    films = sorted((tmp_path / "train").glob("*.dicom"))
    steps = []
    for i, file in enumerate(films):
        found = decode(file, Decode())
        drawing = draw("chest", 6000 + i, (160, 128), bits=12).image
        assert np.corrcoef(found.pixels.ravel(), drawing.ravel())[0, 1] > 0.99
        steps += found.steps[:1]
    assert ["MONOCHROME1" in s for s in steps] == [False, True, False, True]
    assert all("12 of 16" in s for s in steps)


@pytest.fixture
def physionet(tmp_path: Path) -> Path:
    root = tmp_path / "1.0.0"
    VindrCxr.write_physionet(root, 8, seed=6)
    return root


def test_physionet_adds_classes_and_a_read_test_part(physionet: Path) -> None:
    samples, targets = VindrCxr(root=physionet.parent.as_posix()).read("v")
    assert [t.classes for t in targets] == [LOCAL + GLOBAL, LOCAL]
    assert len(samples) == 8 and all(len(s.annotations) == 2 for s in samples)
    assert [s.split for s in samples].count("test") == 1
    drawn = {f"{6000 + i:032x}": draw("chest", 6000 + i, (160, 128), bits=12) for i in range(8)}
    for i, (key, phantom) in enumerate(drawn.items()):
        (sample,) = [s for s in samples if key in s.path]
        seen = 1 if sample.split == "test" else i % 3 + 1  # readers who marked the drawn opacities
        boxes = sample.annotations["vindr_boxes"]
        assert isinstance(boxes, BoxList)
        assert boxes.xyxy == tuple(tuple(b[1:]) for b in phantom.boxes) * seen
        wanted = phantom.boxes and (sample.split == "test" or seen > 1)
        assert present(sample, LOCAL + GLOBAL) == ({"Lung Opacity", "Pneumonia"} if wanted else set())


def test_one_class_has_two_names_and_a_blank_is_unknown(physionet: Path) -> None:
    heads = [
        (physionet / f"annotations/image_labels_{part}.csv").read_text("utf-8-sig")
        for part in ("train", "test")
    ]
    assert ",Other diseases," in heads[0].splitlines()[0] and ",Other disease," in heads[1].splitlines()[0]
    found = read(physionet)
    values = {}
    for i in (0, 1, 6):
        truth = found[f"{6000 + i:032x}"].annotations["vindr_findings"]
        assert isinstance(truth, Labels)
        values[i] = truth.values[-1]
    assert values[0] == values[6] == 0 and math.isnan(values[1])


def test_a_vote_is_one_zero_or_blank(physionet: Path) -> None:
    table = physionet / "annotations/image_labels_test.csv"
    table.write_bytes(table.read_bytes().replace(b",0,", b",7,", 1))
    with pytest.raises(UserError, match="image_labels_test.csv line 2: given '7'; allowed: 1 .seen., 0"):
        read(physionet)


def test_what_makes_no_sense_is_named(tmp_path: Path) -> None:
    for i, (rows, message) in enumerate(
        (
            (["a,Gout,3,R8,1,2,3,4"], "train.csv line 2: unknown label 'Gout'; allowed: Aortic"),
            (["a,ILD,5,R8,1,2,,4"], "train.csv line 2 column x_max: given ''; allowed: a number"),
            (["q,ILD,5,R8,1,2,3,4"], "none of its 1 films is there, such as q"),
        )
    ):
        with pytest.raises(UserError, match=message):
            read(lay(tmp_path / str(i), rows))
