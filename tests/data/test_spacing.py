"""Millimetres of a stored pixel. Oracle: a ruler: a film is as wide and as high after scaling as before."""

from __future__ import annotations

from pathlib import Path

import dicoms
import numpy as np
import pytest
from PIL import Image

from muscle.data.corpus import Corpus
from muscle.data.data_file import DataFile
from muscle.data.decode import Decode
from muscle.data.dicom import dicom_spacing
from muscle.data.harmonize import Border, PercentileWindow
from muscle.data.spacing import stored_spacing
from muscle.datasets.jsrt import Jsrt
from muscle.datasets.masks import Masks

TALL, WIDE = 40, 20  # pixels of each film
PLAIN = Decode()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A PNG, a DICOM file that states 0.2 mm down and 0.1 across, one that states nothing; a mask of each."""
    film = np.random.default_rng(0).integers(100, 3000, (TALL, WIDE)).astype(np.uint16)
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    Image.fromarray((film // 16).astype(np.uint8)).save(tmp_path / "images/a.png")
    dicoms.dicom(tmp_path / "images/b.dcm", film, 12, PixelSpacing=[0.2, 0.1], ImagerPixelSpacing=[9, 9])
    dicoms.dicom(tmp_path / "images/c.dcm", film, 12)
    for name in "abc":
        Image.fromarray((film > 1500).astype(np.uint8) * 255).save(tmp_path / f"masks/{name}.png")
    return tmp_path


def spacing(
    root: Path, fit: str = "stretch", decode: Decode = PLAIN, told: float | None = None
) -> np.ndarray:
    corpus = Corpus.prepare(
        DataFile(sources={"s": Masks(root=str(root), spacing=told)}), (10, 10), decode,
        "pad" if fit == "pad" else "stretch", root / "store", 0,
    )  # fmt: skip
    known = {name: about.spacing for name, about in corpus.unstored.items()}
    return stored_spacing(corpus.all_rows, known, corpus.file.sources, decode)


def test_a_stretched_film_is_as_wide_and_high_as_before(root: Path) -> None:
    found = spacing(root)
    assert 10 * found[1] == pytest.approx((TALL * 0.2, WIDE * 0.1))  # down before across
    assert np.isnan(found[[0, 2]]).all()


def test_a_padded_film_is_scaled_alike_on_both_sides(root: Path) -> None:
    assert spacing(root, "pad")[1] == pytest.approx((4 * 0.2, 4 * 0.1))


def test_the_data_file_says_it_of_all(root: Path) -> None:
    assert spacing(root, told=0.5) == pytest.approx(np.array([(2.0, 1.0)] * 3))


def test_what_was_cut_has_no_spacing(root: Path) -> None:
    assert np.isnan(spacing(root, decode=Decode(harmonize=(Border(),)))).all()
    assert np.isfinite(spacing(root, decode=Decode(harmonize=(PercentileWindow(),)))[1]).all()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"ImagerPixelSpacing": [0.14, 0.15]}, (0.14, 0.15)),
        ({"PixelSpacing": [0, 0], "ImagerPixelSpacing": [0.14, 0.15]}, (0.14, 0.15)),
        ({"PixelSpacing": [0.1]}, None),
        ({}, None),
    ],
)
def test_headers(
    tmp_path: Path, fields: dict[str, list[float]], expected: tuple[float, float] | None
) -> None:
    values = np.zeros((4, 4), np.uint16)
    assert dicom_spacing(dicoms.dicom(tmp_path / "f.dcm", values, 12, **fields)) == expected


def test_an_adapter_that_knows_it(tmp_path: Path) -> None:
    Jsrt.write_example(tmp_path, 8, 0)
    assert {sample.spacing for sample in Jsrt(root=str(tmp_path)).read("j")[0]} == {(0.175, 0.175)}
