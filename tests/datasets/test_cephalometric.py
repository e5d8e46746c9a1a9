"""ISBI's cephalograms, by texts made by hand: films of 200 x 100."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from muscle.datasets.cephalometric import LANDMARKS, Cephalometric
from muscle.errors import UserError
from muscle.types import Points

POINTS = [f"{3 * i + 10},{2 * i + 5}" for i in range(19)]
CLASSES = ["1", "2", "1", "3", "3", "1", "2", "1"]


def lay(root: Path, junior: list[str] | None = None, senior: list[str] | None = None) -> Cephalometric:
    for film in ("TrainingData/001.bmp", "Test1Data/151.BMP", "Test2Data/301.jpg"):
        (root / "RawImage" / film).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((100, 200), np.uint8)).save(root / "RawImage" / film)
    for reader, lines in (("400_junior", junior), ("400_senior", senior)):
        if lines is not None:
            (root / reader).mkdir()
            (root / reader / "001.txt").write_bytes("\r\n".join(lines).encode())
    return Cephalometric(root=root.as_posix())


def test_the_truth_is_the_mean_of_two_readers_with_its_halves(tmp_path: Path) -> None:
    other = ["11,5", *POINTS[1:18], "65 42 "]  # some mirrors write blanks
    samples, targets = lay(tmp_path, POINTS + CLASSES, other + CLASSES).read("c")
    assert targets[0].classes == LANDMARKS
    assert (LANDMARKS[0], LANDMARKS[18], len(set(LANDMARKS))) == ("sella", "articulare", 19)
    last = samples[-1]
    assert (last.patient, last.split, last.body_part) == ("cephalometric:001", "train", "head")
    truth = last.annotations["landmarks"]
    assert isinstance(truth, Points)
    assert truth.xy[0] == (10.5, 5.0)
    assert truth.xy[1:18] == tuple((3.0 * i + 10, 2.0 * i + 5) for i in range(1, 18))
    assert truth.xy[18] == (64.5, 41.5)
    assert [(s.split, dict(s.annotations)) for s in samples[:2]] == [("test", {}), ("test", {})]


def test_deeper_folders_and_other_pictures(tmp_path: Path) -> None:
    lay(tmp_path / "cepha400", POINTS, POINTS)
    (tmp_path / "cepha400/RawImage/TrainingData/._001.bmp").write_bytes(b"\0\5\26\7")
    (tmp_path / "cepha400/400_junior/._001.txt").write_bytes(b"\0\5\26\7")
    (tmp_path / "cepha400/cover.jpg").write_bytes(b"x")
    (tmp_path / "cepha400/400_senior").rename(tmp_path / "400_senior")
    samples, _ = Cephalometric(root=tmp_path.as_posix()).read("c")
    assert len(samples) == 3
    assert "landmarks" in samples[-1].annotations


@pytest.mark.parametrize(
    ("junior", "reason"),
    [
        (None, r"400_senior/001.txt: only one of the two readers"),
        (POINTS[:18], r"400_junior/001.txt: 18 points; it must hold 19"),
        (
            ["201,5", *POINTS[1:]],
            r"400_junior/001.txt line 1: given '201,5'; allowed: x,y inside the film of 200 x 100",
        ),
        (POINTS[:17] + CLASSES, r"400_junior/001.txt line 18: given '1'"),
        (["nan,5", *POINTS[1:]], r"line 1: given 'nan,5'"),
        (["a,b", *POINTS[1:]], r"line 1: given 'a,b'"),
    ],
)
def test_wrong_texts_are_named(tmp_path: Path, junior: list[str] | None, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        lay(tmp_path, junior, POINTS).read("c")
