"""GRAZPEDWRI-DX' layout, by names and label files made by hand: films of 200 x 100."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from muscle.data.decode import Decode, decode
from muscle.datasets.grazpedwri import CLASSES, GrazPedWri
from muscle.errors import UserError
from muscle.types import BoxList

A, B = "0001_1297860395_01_WRI-L1_M014", "0001_1297860435_02_WRI-R2_F009"
C = "0002_0354485735_01_WRI-R1_F006"


def lay(root: Path, **texts: str) -> GrazPedWri:
    for i, stem in enumerate((A, B, C), start=1):
        (root / f"images_part{i}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((100, 200), 2**15, np.uint16)).save(root / f"images_part{i}/{stem}.png")
    labels = root / "folder_structure/yolov5/labels"
    labels.mkdir(parents=True)
    for name, text in texts.items():
        (labels / f"{globals()[name]}.txt").write_text(text)
    return GrazPedWri(root=root.as_posix())


def test_names_give_person_study_and_view(tmp_path: Path) -> None:
    source = lay(tmp_path, A="3 .5 .5 .1 .2\n8 .1 .1 .1 .1\n", B="")
    (tmp_path / "images_part1" / f"._{A}.png").write_bytes(b"\0\5\26\7")
    (tmp_path / "cover.png").write_bytes(b"x")
    samples, targets = source.read("g")
    assert targets[0].classes == CLASSES
    assert [(s.patient, s.study, s.view, s.body_part) for s in samples] == [
        ("grazpedwri:0001", "grazpedwri:0001/01", "WRI-L1", "wrist"),
        ("grazpedwri:0001", "grazpedwri:0001/02", "WRI-R2", "wrist"),
        ("grazpedwri:0002", "grazpedwri:0002/01", "WRI-R1", "wrist"),
    ]
    first, second, third = (s.annotations.get("findings") for s in samples)
    assert isinstance(first, BoxList)
    assert first.label == (4, 9)
    assert np.allclose(first.xyxy, ((90, 40, 110, 60), (10, 5, 30, 15)))
    assert second == BoxList((), ())  # read, and nothing on it
    assert third is None  # not read


def test_fractures_alone(tmp_path: Path) -> None:
    source = lay(tmp_path, A="3 .5 .5 .1 .2\n8 .1 .1 .1 .1\n", B="8 .1 .1 .1 .1\n").with_(
        classes=("fracture",)
    )
    samples, targets = source.read("g")
    assert targets[0].classes == ("fracture",)
    assert [len(s.annotations["findings"].label) for s in samples[:2]] == [1, 0]  # type: ignore[union-attr]


def test_films_have_sixteen_bits(tmp_path: Path) -> None:
    GrazPedWri.write_example(tmp_path, 4, seed=0)
    samples, _ = GrazPedWri(root=tmp_path.as_posix()).read("g")
    assert {decode(tmp_path / s.path, Decode()).bits for s in samples} == {16}
    assert np.asarray(Image.open(tmp_path / samples[0].path)).max() > 255


def test_parts_that_were_not_fetched_do_nothing_and_one_folder_will_do(tmp_path: Path) -> None:
    source = lay(tmp_path, A="3 .5 .5 .1 .2\n", C="3 .5 .5 .1 .2\n")
    (tmp_path / "images_part1" / f"{A}.png").unlink()
    (tmp_path / "images_part2").rename(tmp_path / "images")
    assert [s.path for s in source.read("g")[0]] == [f"images/{B}.png", f"images_part3/{C}.png"]


def test_a_film_twice_and_a_wrong_line_are_named(tmp_path: Path) -> None:
    source = lay(tmp_path / "a", A="3 .5 .5 .1 .2\n9 .5 .5 .1 .1\n")
    with pytest.raises(UserError, match=rf"{A}.txt line 2: unknown label 9"):
        source.read("g")
    source = lay(tmp_path / "b")
    Image.fromarray(np.zeros((100, 200), np.uint8)).save(tmp_path / "b/images_part2" / f"{A}.png")
    with pytest.raises(UserError, match=r"images_part1/0001.* and images_part2/0001.* are one film"):
        source.read("g")
