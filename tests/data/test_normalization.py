from __future__ import annotations

import numpy as np
import pytest

from muscle.data.normalization import Normalization, PerImage, PerSource, Unit, ZScore
from muscle.errors import UsageError
from muscle.parts import Part

SOURCE = np.array([100, 50], np.float32), np.array([20, 0.1], np.float32)
IMAGE = np.array([7, 9], np.float32), np.array([3, 0], np.float32)


class Holder(Part):
    normalization: Normalization = ZScore()


def test_the_paper_pair() -> None:
    """Oracle: METHODS by hand: (0 - 122.786) / 18.390 = -6.677, (255 - 122.786) / 18.390 = 7.189(5)."""
    mean, sd = ZScore().levels(SOURCE, IMAGE)
    assert ((0 - mean) / sd).tolist() == pytest.approx([-6.677] * 2, abs=5e-4)
    assert ((255 - mean) / sd).tolist() == pytest.approx([7.190] * 2, abs=1e-3)


@pytest.mark.parametrize(
    ("kind", "mean", "sd"),
    [("source", [100, 50], [20, 1]), ("image", [7, 9], [3, 1]), ("unit", [0, 0], [255, 255])],
)
def test_kinds(kind: str, mean: list[float], sd: list[float]) -> None:
    found = Holder.parse({"normalization": kind}).normalization.levels(SOURCE, IMAGE)
    assert [f.tolist() for f in found] == [mean, sd] and {f.dtype for f in found} == {np.dtype(np.float32)}


def test_every_kind_has_its_class_and_key() -> None:
    assert len({part().key() for part in (ZScore, PerSource, PerImage, Unit)}) == 4
    with pytest.raises(UsageError, match="known: image, source, unit, zscore"):
        Holder.parse({"normalization": "z"})
