"""Montgomery's layouts, by names made by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from muscle.data.decode import decode_mask
from muscle.datasets._example import drawn
from muscle.datasets.montgomery import Montgomery
from muscle.errors import UserError
from muscle.types import Labels, MaskFiles, Sample

FILMS = ("CXR_png/MCUCXR_0001_0.png", "CXR_png/MCUCXR_0104_1.png")
MASKS = tuple(f"ManualMask/{side}Mask/{Path(film).name}" for film in FILMS for side in ("left", "right"))


def lay(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def read(root: Path) -> dict[str, Sample]:
    return {s.path: s for s in Montgomery(root=root.as_posix()).read("m")[0]}


@pytest.mark.parametrize("above", ["", "MontgomerySet/", "Montgomery/MontgomerySet/"])
def test_class_person_and_the_union_of_two_masks(tmp_path: Path, above: str) -> None:
    found = read(lay(tmp_path, *(above + name for name in FILMS + MASKS)))
    lungs = [
        MaskFiles(tuple((above + mask, ((255, 1),)) for mask in pair)) for pair in (MASKS[:2], MASKS[2:])
    ]
    assert {p.removeprefix(above): (s.patient, s.annotations) for p, s in found.items()} == {
        FILMS[0]: ("montgomery:MCUCXR_0001", {"tuberculosis": Labels((1.0, 0.0)), "lungs": lungs[0]}),
        FILMS[1]: ("montgomery:MCUCXR_0104", {"tuberculosis": Labels((0.0, 1.0)), "lungs": lungs[1]}),
    }  # fmt: skip


def test_one_lung_of_two_is_not_the_lungs(tmp_path: Path) -> None:
    lay(tmp_path, *FILMS, *MASKS[:3])
    with pytest.raises(UserError, match=r"MCUCXR_0104_1.png: the mask of the right lung is missing"):
        read(tmp_path)
    (tmp_path / MASKS[2]).unlink()
    assert "lungs" not in read(tmp_path)[FILMS[1]].annotations


def test_copies_and_forks_do_not_count(tmp_path: Path) -> None:
    lay(tmp_path, *FILMS, *MASKS, *(f"MontgomerySet/{name}" for name in FILMS + MASKS))
    lay(tmp_path, "CXR_png/._MCUCXR_0001_0.png", "ManualMask/leftMask/Thumbs.db")
    assert set(read(tmp_path)) == set(FILMS)


def test_the_example_has_both_lungs_as_drawn(tmp_path: Path) -> None:
    Montgomery.write_example(tmp_path, 5, seed=1)
    found = read(tmp_path)
    assert [Path(path).suffix for path in sorted(found)] == [".png"] * 4 + [".PNG"]
    for i, path in enumerate(sorted(found)):
        truth = found[path].annotations["lungs"]
        assert isinstance(truth, MaskFiles)
        parts = [decode_mask(tmp_path / file, levels) for file, levels in truth.files]
        lungs = drawn("chest", 1 + i, pneumonia=i % 2).masks["lungs"]
        np.testing.assert_array_equal(parts[0] + parts[1], lungs)
        assert 0 < parts[0].sum() < lungs.sum()
        assert found[path].body_part == "chest"
