"""Oracle: SciPy's erosion and Euclidean distance transform of whole images; disks whose distances are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import binary_erosion, distance_transform_edt, gaussian_filter

from muscle.metrics import score, scorer, surface_distances
from muscle.predictions import Predictions
from muscle.statistics.intervals import intervals


def blobs(rng: np.random.Generator, shape: tuple[int, int], share: float) -> np.ndarray:
    """Smooth blobs that may touch the rim and have holes; never empty."""
    field = gaussian_filter(rng.normal(size=shape), rng.uniform(0, 3))
    mask: np.ndarray = field >= np.quantile(field, 1 - share)
    return mask


def by_transform(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    edges = [m & ~binary_erosion(m) for m in (a, b)]
    there, back = (distance_transform_edt(~goal)[start] for start, goal in (edges, edges[::-1]))
    return max(np.percentile(there, 95), np.percentile(back, 95)), np.concatenate([there, back]).mean()


@pytest.mark.oracle
@pytest.mark.parametrize("seed", range(60))
def test_hd95_and_asd_are_those_of_the_distance_transform(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(1, 40)), int(rng.integers(1, 40)))
    a, b = (blobs(rng, shape, rng.uniform(0.02, 0.6)) for _ in range(2))
    if seed % 5 == 0:
        b = a.copy()
        b[rng.integers(0, shape[0]), rng.integers(0, shape[1])] = True
    assert surface_distances(a, b) == pytest.approx(by_transform(a, b), abs=1e-9)
    assert surface_distances(b, a) == pytest.approx(surface_distances(a, b), abs=1e-12)
    assert surface_distances(a, a) == (0, 0)


@pytest.mark.oracle
def test_concentric_disks_are_the_difference_of_their_radii_apart() -> None:
    y, x = np.mgrid[:200, :200] - 100
    inner, outer = (x**2 + y**2 <= r**2 for r in (50, 70))
    assert surface_distances(inner, outer) == pytest.approx((20, 20), abs=0.8)


@pytest.mark.oracle
def test_pixels_that_are_ignored_by_hand() -> None:
    """Two bars in a row of pixels; the further end of the output lies where the truth is not known."""
    truth = np.array([[0, 1, 1, 0, 0, 0, 0, 0, 0, 0]], bool)
    output = np.array([[0, 1, 1, 0, 0, 0, 0, 0, 1, 0]], bool)
    counted = np.arange(10)[None] < 7
    assert surface_distances(truth, output) == pytest.approx((np.percentile([0, 0, 6], 95), 6 / 5))
    assert surface_distances(truth, output, counted) == (0, 0)
    truth[0, 2] = output[0, 1] = False  # one pixel beside the other, and the one that is not known
    assert surface_distances(truth, output, counted) == (1, 1)


@pytest.mark.oracle
def test_means_over_cases_and_classes() -> None:
    """Both have the class: the transform; one alone: the diagonal; neither: not counted. Classes, then their mean."""
    rng = np.random.default_rng(3)
    truth, output = (rng.choice([0, 1, 2], (5, 9, 12)).astype(np.uint8) for _ in range(2))
    truth[0][truth[0] == 1] = 0  # alone in the output
    output[1][output[1] == 1] = 0  # alone in the truth
    for part in (truth[2], output[2]):
        part[part == 1] = 0  # in neither
    ids = list("vwxyz")
    p = Predictions(task="t", kind="mask", classes=("a", "b", "never"), exclusive=True, ids=ids, patients=ids,
                    truth=truth, output=output)  # fmt: skip
    found = score(p)
    both = np.array([by_transform(truth[i] == 1, output[i] == 1) for i in (3, 4)])
    a = (both.sum(0) + 2 * np.hypot(9, 12)) / 4
    b = np.mean([by_transform(t == 2, o == 2) for t, o in zip(truth, output, strict=True)], axis=0)
    assert (found["hd95:a"], found["asd:a"]) == pytest.approx(tuple(a))
    assert (found["hd95"], found["asd"]) == pytest.approx(tuple((a + b) / 2))
    assert found["one_empty"] == pytest.approx((2 / 4 + 0) / 2)
    assert "hd95:never" not in found


@pytest.mark.oracle
@pytest.mark.parametrize("seed", range(20))
def test_millimetres_of_pixels_that_are_not_square(seed: int) -> None:
    """From every pixel of one outline to every pixel of the other, with each axis in its own millimetres."""
    rng = np.random.default_rng(seed)
    a, b = (blobs(rng, (17, 11), rng.uniform(0.1, 0.6)) for _ in range(2))
    spacing = float(rng.uniform(0.1, 2)), float(rng.uniform(0.1, 2))
    places = [np.argwhere(m & ~binary_erosion(m)) * spacing for m in (a, b)]
    apart = np.array([[np.hypot(*(x - y)) for y in places[1]] for x in places[0]])
    there, back = apart.min(1), apart.min(0)
    expected = max(np.percentile(there, 95), np.percentile(back, 95)), np.concatenate([there, back]).mean()
    assert surface_distances(a, b, None, spacing) == pytest.approx(expected)


@pytest.mark.oracle
def test_millimetres_stand_on_the_cases_whose_spacing_is_known() -> None:
    """Square pixels of 2 mm double every distance, the diagonal of a missed mask too; a case without spacing is out."""
    rng = np.random.default_rng(0)
    truth, output = (
        np.stack([blobs(rng, (9, 12), 0.4) for _ in range(4)]).astype(np.uint8) for _ in range(2)
    )
    output[1] = 0
    ids = list("abcd")
    p = Predictions(task="t", kind="mask", classes=("a",), exclusive=True, ids=ids, patients=ids, truth=truth,
                    output=output, spacing=np.array([[2, 2], [2, 2], [np.nan, 2], [2, 2]], np.float32))  # fmt: skip
    known = score(p.take(np.array([0, 1, 3])))
    found, of = score(p), scorer(p)
    for name in ("hd95", "asd"):
        assert found[f"{name}_mm"] == found[f"{name}_mm:a"] == pytest.approx(2 * known[name])
        assert of.cases[f"{name}_mm"] == 3 and of.bounds[f"{name}_mm:a"] == pytest.approx((0, 2 * 15))
    assert intervals(p)["hd95_mm"].n == 3
    assert "hd95_mm" not in score(replace(p, spacing=np.full((4, 2), np.nan, np.float32)))


@pytest.mark.oracle
def test_a_missed_class_is_as_far_as_the_corners_and_one_pixel_is_a_mask() -> None:
    """Two classes: of the first one pixel is missed, of the second it is found; a pixel is 1 x 3 mm."""
    truth = np.array([[[1, 0, 2], [0, 0, 0]]], np.uint8)
    output = np.array([[[0, 0, 2], [0, 0, 0]]], np.uint8)
    p = Predictions(task="t", kind="mask", classes=("a", "b"), exclusive=True, ids=["v"], patients=["v"], truth=truth,
                    output=output, spacing=np.array([[1, 3]], np.float32))  # fmt: skip
    found = score(p)
    assert (found["hd95:a"], found["hd95_mm:a"]) == pytest.approx((np.hypot(2, 3), np.hypot(2, 9)))
    assert found["hd95:b"] == found["hd95_mm:b"] == 0 and found["one_empty"] == 0.5
    assert found["asd_mm"] == pytest.approx(np.hypot(2, 9) / 2)
