"""Oracle: the same synthetic patient without the finding; what differs is where the finding is, and only there."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from muscle.errors import UsageError
from muscle.phantom import PARTS, Phantom, draw

SIZE = (128, 96)
LABEL = {"chest": "pneumonia", "hand": "fracture", "long_bone": "fracture"}


def _with_boxes(part: str, n: int, size: tuple[int, int] = SIZE) -> list[tuple[int, Phantom]]:
    drawn = ((seed, draw(part, seed, size)) for seed in range(4 * n))
    return [(seed, phantom) for seed, phantom in drawn if phantom.boxes][:n]


def _inside(phantom: Phantom, grow: int = 0) -> NDArray[np.bool_]:
    inside = np.zeros(phantom.image.shape, np.bool_)
    for _, x0, y0, x1, y1 in phantom.boxes:
        inside[max(int(y0) - grow, 0) : int(y1) + grow, max(int(x0) - grow, 0) : int(x1) + grow] = True
    return inside


@pytest.mark.parametrize("part", PARTS)
def test_the_same_seed_is_the_same_film(part: str) -> None:
    one, two = draw(part, 7, SIZE), draw(part, 7, SIZE)
    np.testing.assert_array_equal(one.image, two.image)
    assert one.boxes == two.boxes and one.labels == two.labels
    assert all((one.masks[name] == two.masks[name]).all() for name in one.masks)
    assert (one.image != draw(part, 8, SIZE).image).any()


@pytest.mark.parametrize("part", PARTS)
def test_the_same_seed_at_another_size_is_the_same_patient(part: str) -> None:
    large, small = draw(part, 3, (256, 192)), draw(part, 3, SIZE)
    halved = large.image.reshape(128, 2, 96, 2).mean((1, 3))
    same = np.corrcoef(halved.ravel(), small.image.ravel())[0, 1]
    other = np.corrcoef(halved.ravel(), draw(part, 4, SIZE).image.ravel())[0, 1]
    assert same > 0.98 and same > other
    assert large.labels == small.labels and [b[0] for b in large.boxes] == [b[0] for b in small.boxes]
    np.testing.assert_allclose(
        [b[1:] for b in large.boxes], [[2 * v for v in b[1:]] for b in small.boxes], atol=4.0
    )


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_bit_depth(part: str, bits: int) -> None:
    image = draw(part, 1, SIZE, bits).image
    assert image.shape == SIZE and image.dtype == (np.uint8 if bits == 8 else np.uint16)
    assert 2 ** (bits - 1) < image.max() < 2**bits
    eight = draw(part, 1, SIZE).image
    assert np.abs(image / (2**bits - 1) - eight / 255).max() < 0.005


@pytest.mark.parametrize("part", PARTS)
def test_truth_lies_inside_the_film(part: str) -> None:
    for seed in range(40):
        phantom = draw(part, seed, (40, 32))
        assert all(
            m.shape == (40, 32) and m.dtype == np.bool_ and 0.02 < m.mean() < 0.9
            for m in phantom.masks.values()
        )
        for _, x0, y0, x1, y1 in phantom.boxes:
            assert 0 <= x0 < x1 <= 32 and 0 <= y0 < y1 <= 40


@pytest.mark.parametrize("part", PARTS)
def test_what_differs_without_the_finding_is_in_the_box(part: str) -> None:
    for seed, phantom in _with_boxes(part, 6):
        healthy = draw(part, seed, SIZE, findings=False)
        assert not healthy.boxes and not any(healthy.labels.values())
        change = np.abs(phantom.image.astype(np.float64) - healthy.image)
        noise = draw(part, seed, SIZE, findings=False).image - ndimage.median_filter(healthy.image, 3).astype(
            np.float64
        )
        for _, x0, y0, x1, y1 in phantom.boxes:
            box = change[int(y0) : int(y1), int(x0) : int(x1)]
            assert box.mean() > 3.0 * np.median(np.abs(noise)) and box.max() > 15.0
            strong = (
                box > 0.06 * box.max()
            )  # tight: the finding reaches every side of its box, give or take the blur
            assert strong[:3].any() and strong[-3:].any() and strong[:, :3].any() and strong[:, -3:].any()
        assert change[~_inside(phantom, 4)].max() <= 0.25 * change.max()
        assert change[~_inside(phantom, 4)].sum() < 0.02 * change.sum()


@pytest.mark.parametrize("part", ["chest", "hand", "long_bone"])
def test_half_are_ill_and_mean_grey_does_not_tell(part: str) -> None:
    phantoms = [draw(part, seed, (40, 32)) for seed in range(200)]
    ill = np.array([p.labels[LABEL[part]] for p in phantoms])
    assert 0.4 < ill.mean() < 0.6
    assert all(bool(p.boxes) == bool(i) for p, i in zip(phantoms, ill))
    area = roc_auc_score(ill, [p.image.mean() for p in phantoms])
    assert max(area, 1 - area) < 0.75


def test_germs() -> None:
    phantoms = [draw("chest", seed, (40, 32)) for seed in range(200)]
    germs = [p.labels["virus"] for p in phantoms if p.labels["pneumonia"]]
    assert 0.35 < np.mean(germs) < 0.65
    for p in phantoms:
        assert ("virus" in p.labels) == (p.labels["pneumonia"] == 1)
        assert len(p.boxes) == (0 if not p.labels["pneumonia"] else 2 if p.labels["virus"] else 1)


def test_consolidations_lie_in_the_lung_fields() -> None:
    for seed, phantom in _with_boxes("chest", 12):
        if phantom.labels["virus"] == 0:
            change = draw("chest", seed, SIZE, 16).image > draw("chest", seed, SIZE, 16, findings=False).image
            assert (change & phantom.masks["lungs"]).sum() > 0.6 * change.sum()


def test_every_finding_of_the_teeth_occurs_and_findings_are_large_enough() -> None:
    names = [b[0] for seed in range(12) for b in draw("teeth", seed, (40, 64)).boxes]
    assert set(names) == {"filling", "cavity", "impacted", "implant"}
    for part in LABEL:
        for _, phantom in _with_boxes(part, 20):
            for _, x0, y0, x1, y1 in phantom.boxes:
                assert (x1 - x0) / SIZE[1] > 0.1 and (y1 - y0) / SIZE[0] > 0.1


def test_bone_is_brighter_than_flesh_and_lung_darker() -> None:
    for part, name, sign in (
        ("hand", "bone", 1),
        ("long_bone", "bone", 1),
        ("teeth", "teeth", 1),
        ("chest", "lungs", -1),
    ):
        for seed in range(8):
            phantom = draw(part, seed, SIZE)
            mask = phantom.masks[name]
            around = ndimage.binary_dilation(mask, iterations=4) & ~mask
            assert sign * (phantom.image[mask].mean() - phantom.image[around].mean()) > 10.0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"part": "foot"}, "'foot'; allowed: chest, hand, long_bone, teeth"),
        ({"size": (8, 200)}, "8x200; allowed: at least 32x32"),
        ({"bits": 7}, "7 bits; allowed: 8 to 16"),
        ({"seed": -1}, "seed -1; allowed: 0 and above"),
    ],
)
def test_mistakes_are_named(given: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        draw(**({"part": "chest", "seed": 0} | given))  # type: ignore[arg-type]
