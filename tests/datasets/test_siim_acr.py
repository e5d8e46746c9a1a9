"""SIIM-ACR's runs; oracle: pixels marked one by one, and the lungs that were drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from muscle.data.decode import Decode
from muscle.data.film import Film, Job, film
from muscle.datasets._example import drawn
from muscle.datasets.siim_acr import SiimAcr
from muscle.errors import UserError
from muscle.types import Labels, MaskRuns, Sample


def lay(root: Path, rows: list[str], head: str = "ImageId, EncodedPixels") -> Path:
    for file in ("dicom-images-train/1.1/1.2/1.5.dcm", "dicom-images-train/2.1/2.2/1.6.dcm",
                 "dicom-images-train/3.1/3.2/1.7.dcm", "dicom-images-test/4.1/4.2/1.8.dcm"):  # fmt: skip
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(b"x")
    (root / "train-rle.csv").write_text("\n".join([head, *rows]))
    return root


def read(root: Path) -> dict[str, Sample]:
    samples, _ = SiimAcr(root=root.as_posix()).read("s")
    return {Path(s.path).stem: s for s in samples}


@pytest.mark.parametrize("head", ["ImageId, EncodedPixels", "ImageId,EncodedPixels"])
def test_runs_are_relative_to_the_last_and_rows_add_up(tmp_path: Path, head: str) -> None:
    """The second run of ``10 3 5 2`` begins at 10 + 3 + 5."""
    found = read(lay(tmp_path, ["1.5,10 3 5 2", "1.6, -1", "1.5, 100 1"], head))
    assert found["1.5"].annotations == {
        "pneumothorax": Labels((0.0, 1.0)),
        "pneumothorax_region": MaskRuns(1024, 1024, ((10, 3), (18, 2), (100, 1))),
    }


def test_minus_one_is_an_empty_mask_and_no_row_is_unknown(tmp_path: Path) -> None:
    found = read(lay(tmp_path, ["1.5,10 3", "1.6, -1"]))
    assert found["1.6"].annotations == {
        "pneumothorax": Labels((1.0, 0.0)),
        "pneumothorax_region": MaskRuns(1024, 1024, ()),
    }
    assert not found["1.7"].annotations


def test_films_lie_under_their_uids_and_count_once(tmp_path: Path) -> None:
    lay(tmp_path / "siim", ["1.5,10 3", "1.6,-1", "1.8,-1", "9.9,-1"])  # the film of 9.9 was not fetched
    copy = tmp_path / "siim/samples/1.5.dcm"
    copy.parent.mkdir()
    copy.write_bytes(b"x")
    found, _ = SiimAcr(root=tmp_path.as_posix()).read("s")
    assert [(s.path.rpartition("/")[2], s.split, s.patient) for s in found] == [
        ("1.8.dcm", "test", "siim_acr:1.8"),
        ("1.5.dcm", "train", "siim_acr:1.5"),
        ("1.6.dcm", "train", "siim_acr:1.6"),
        ("1.7.dcm", "train", "siim_acr:1.7"),
    ]
    assert all(s.path.startswith("siim/dicom-images-") for s in found)


@pytest.mark.parametrize("cell", ["1 2 3", "a b", "", "-1 4", "1048576 1", f"1 {'9' * 5000}"])
def test_runs_that_make_no_sense_are_named(tmp_path: Path, cell: str) -> None:
    with pytest.raises(UserError, match=r"train-rle.csv line 2: "):
        read(lay(tmp_path, [f"1.5,{cell}"]))


def test_a_foreign_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="none of its 1 films is there, such as 7.7"):
        read(lay(tmp_path, ["7.7,-1"]))


def test_the_mask_lies_on_the_film(tmp_path: Path) -> None:
    """Down the columns: the drawn lungs come back where they were drawn, in a row of the store."""
    SiimAcr.write_example(tmp_path, 2, seed=4)
    sample = read(tmp_path)["1.2.276.0.7230010.3.1.4.8323329.4.1"]
    truth = sample.annotations["pneumothorax_region"]
    assert isinstance(truth, MaskRuns)
    runs = {"m": (truth.height, truth.width, truth.runs, truth.value)}
    found = film(Job(tmp_path.as_posix(), sample.path, (192, 160), Decode(), "stretch", runs=runs))
    assert isinstance(found, Film), found
    phantom = drawn("chest", 5)
    lungs = phantom.masks["lungs"]
    assert (found.masks["m"] == lungs).mean() > 0.99 and lungs.mean() > 0.05
    assert np.corrcoef(found.pixels.ravel(), phantom.image.ravel())[0, 1] > 0.99
