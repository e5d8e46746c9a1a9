"""Harmonizing steps: pictures built so that what must be cut, and what must become of each level, is known."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from muscle.data.decode import Decode, decode
from muscle.data.film import Film, Job, film
from muscle.data.grey import Decoded
from muscle.data.harmonize import (
    Border,
    Collimation,
    HarmonizeStep,
    PercentileWindow,
    Vignette,
    harmonized,
)
from muscle.errors import UsageError
from muscle.parts import known
from muscle.yaml_text import from_yaml


def body(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A smooth, varied picture of levels 60 to 200."""
    rough = np.random.default_rng(seed).uniform(60, 200, (8, 8))
    return cv2.resize(rough, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.uint8)


def after(pixels: np.ndarray, *steps: HarmonizeStep) -> Decoded:
    return harmonized(Decoded(pixels, ("read",), 8), steps)


@pytest.mark.oracle
def test_percentile_is_numpys() -> None:
    """Oracle: np.percentile, then the line through its two values, clipped."""
    pixels = body(50, 60)
    low, high = np.percentile(pixels, (2, 95))
    wanted = np.clip((pixels.astype(float) - low) / (high - low) * 255, 0, 255)
    found = after(pixels, PercentileWindow(low=2.0, high=95.0))
    assert (
        np.abs(found.pixels - wanted).max() <= 0.51 and found.pixels.min() == 0 and found.pixels.max() == 255
    )
    assert found.steps[-1].startswith("percentile: 2 and 95, ")
    flat = after(np.full((9, 9), 7, np.uint8), PercentileWindow())
    assert (flat.pixels == 7).all() and "flat" in flat.steps[-1]
    with pytest.raises(UsageError, match="low 9 is not below high 3"):
        PercentileWindow.parse({"low": 9.0, "high": 3.0})


@pytest.mark.parametrize("level", [0, 128, 255])
def test_margins_of_any_grey_are_cut(level: int) -> None:
    pixels = np.full((100, 140), level, np.uint8)
    pixels += np.random.default_rng(1).integers(0, 4, pixels.shape, np.uint8) * (level < 250)
    pixels[20:90, 30:135] = body(70, 105)
    found = after(pixels, Border())
    assert found.crop is not None
    assert (found.crop.x0, found.crop.y0, found.crop.x1, found.crop.y1) == (30, 20, 135, 90)
    assert (found.crop.width, found.crop.height) == (140, 100)
    assert np.array_equal(found.pixels, pixels[20:90, 30:135])
    assert found.steps == ("read", "border: cut 30 left, 5 right, 20 top, 10 bottom")


def test_a_frame_within_a_frame_goes_too_and_a_film_without_margins_stays() -> None:
    pixels = np.zeros((100, 100), np.uint8)
    pixels[10:90, 10:90] = 255
    pixels[15:85, 12:88] = body(70, 76)
    found = after(pixels, Border())
    assert np.array_equal(found.pixels, pixels[15:85, 12:88])
    whole = after(body(40, 50), Border(), Collimation(), Vignette())
    assert whole.steps == ("read",) and np.array_equal(whole.pixels, body(40, 50))


def test_nearly_all_margin_is_a_dark_film_and_stays() -> None:
    pixels = np.zeros((100, 100), np.uint8)
    pixels[45:55, 45:55] = body(10, 10)
    found = after(pixels, Border())
    assert np.array_equal(found.pixels, pixels) and "left as it is" in found.steps[-1]


@pytest.mark.parametrize("shadow", [20, 245])
def test_the_shadow_of_blades_is_cut_and_a_soft_edge_is_not(shadow: int) -> None:
    """Scatter makes the shadow uneven, so that it is no plain margin."""
    slope = np.linspace(0, 20, 160)[:, None] * np.ones((1, 200))
    pixels = np.abs(shadow - slope).astype(np.uint8)
    pixels[25:160, 40:170] = body(135, 130, 3)
    found = after(pixels, Collimation())
    assert found.crop is not None
    kept = (found.crop.x0, found.crop.y0, found.crop.x1, found.crop.y1)
    assert np.abs(np.array(kept) - (40, 25, 170, 160)).max() <= 1
    soft = np.tile(np.linspace(20, 200, 200), (160, 1)).astype(np.uint8)
    assert after(soft, Collimation()).steps == ("read",)


def test_a_disc_is_found_and_what_is_outside_becomes_black() -> None:
    """Oracle: the equation of the ellipse that was drawn."""
    y, x = np.ogrid[:300, :400]
    inside = ((x + 0.5 - 190) / 150) ** 2 + ((y + 0.5 - 160) / 120) ** 2 <= 1
    pixels = np.where(inside, body(300, 400), 255).astype(np.uint8)
    found = after(pixels, Vignette())
    assert found.crop is not None
    kept = (found.crop.x0, found.crop.y0, found.crop.x1, found.crop.y1)
    assert np.abs(np.array(kept) - (40, 40, 340, 280)).max() <= 3
    assert (found.pixels[:5, :5] == 0).all() and found.pixels[120, 150] == pixels[
        120 + kept[1], 150 + kept[0]
    ]
    marked = after(pixels, Vignette(action="mark"))
    assert np.array_equal(marked.pixels, pixels) and "disc of " in marked.steps[-1]
    square = np.full((300, 400), 255, np.uint8)
    square[40:280, 40:340] = body(240, 300)
    assert after(square, Vignette()).steps == ("read",)


def test_masks_boxes_and_points_follow_the_cut(tmp_path: Path) -> None:
    """Oracle: the film that was cut by hand before it was read gives the same row."""
    pixels = np.zeros((100, 140), np.uint8)
    pixels[20:90, 30:135] = body(70, 105)
    mask = np.zeros_like(pixels)
    mask[40:60, 50:100] = 255
    given = {"masks": {"m": (("m.png", ((255, 1),)),)}}
    truths = {
        "boxes": {"b": ((50.0, 40.0, 100.0, 60.0), (10.0, 30.0, 40.0, 50.0))},
        "points": {"p": ((50.0, 40.0),)},
    }
    cut = {
        "boxes": {"b": ((20.0, 20.0, 70.0, 40.0), (0.0, 10.0, 10.0, 30.0))},
        "points": {"p": ((20.0, 20.0),)},
    }
    rows = []
    for name, part, where, steps in (
        ("whole", np.s_[:, :], truths, (Border(),)),
        ("cut", np.s_[20:90, 30:135], cut, ()),
    ):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / "a.png"), pixels[part])
        cv2.imwrite(str(tmp_path / name / "m.png"), mask[part])
        for fit in ("stretch", "pad"):
            job = Job(str(tmp_path / name), "a.png", (64, 48), Decode(harmonize=steps), fit, **given, **where)  # type: ignore[arg-type]
            made = film(job)
            assert isinstance(made, Film), made
            rows.append(made)
    for whole, alone in zip(rows[:2], rows[2:], strict=True):
        assert np.array_equal(whole.pixels, alone.pixels) and np.array_equal(
            whole.masks["m"], alone.masks["m"]
        )
        assert whole.record["boxes"]["b"] == [pytest.approx(box) for box in alone.record["boxes"]["b"]]
        assert whole.record["points"]["p"] == [pytest.approx(p) for p in alone.record["points"]["p"]]
        assert (whole.record["width"], whole.record["height"]) == (140, 100)
        assert whole.record["steps"][-1] == "border: cut 30 left, 5 right, 20 top, 10 bottom"


def test_a_mask_of_half_the_size_follows_the_cut_too(tmp_path: Path) -> None:
    """Oracle: what lies where in the source, by hand: the left half of what is kept is the mask."""
    pixels = np.zeros((100, 140), np.uint8)
    pixels[20:90, 30:130] = body(70, 100)
    mask = np.zeros((50, 70), np.uint8)
    mask[:, 15:40] = 255  # columns 30 to 80 of the source
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    cv2.imwrite(str(tmp_path / "m.png"), mask)
    masks = {"m": (("m.png", ((255, 1),)),)}
    job = Job(
        str(tmp_path), "a.png", (14, 20), Decode(harmonize=(Border(),)), "stretch", masks, frozenset({"m"})
    )
    made = film(job)
    assert isinstance(made, Film), made
    assert (made.masks["m"][:, :10] == 1).all() and not made.masks["m"][:, 10:].any()


@pytest.mark.parametrize(
    ("truth", "why"),
    [
        (
            {"boxes": {"b": ((2.0, 2.0, 9.0, 9.0),)}},
            r"box \(2, 2, 9, 9\) lies outside the part that harmonize keeps",
        ),
        ({"points": {"p": ((2.0, 2.0),)}}, r"point \(2, 2\) lies outside the part that harmonize keeps"),
        ({"boxes": {"b": ((2.0, 2.0, 150.0, 9.0),)}}, r"empty or outside its image of 140x100"),
    ],
)
def test_a_truth_that_was_cut_off_sets_the_film_aside(tmp_path: Path, truth: dict, why: str) -> None:
    pixels = np.zeros((100, 140), np.uint8)
    pixels[20:90, 30:135] = body(70, 105)
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    job = Job(str(tmp_path), "a.png", (64, 48), Decode(harmonize=(Border(),)), "stretch", **truth)
    found = film(job)
    assert isinstance(found, str)
    with pytest.raises(AssertionError, match=why):
        raise AssertionError(found)


def test_steps_are_parts_of_the_decoder_and_change_its_key() -> None:
    assert set(known(HarmonizeStep)) == {"border", "collimation", "percentile", "vignette"}
    data = Decode.parse({"harmonize": ["border", {"kind": "percentile", "low": 1.0}]})
    assert data.harmonize == (Border(), PercentileWindow(low=1.0))
    assert Decode.parse(from_yaml(data.yaml())) == data
    assert len({Decode().key(), data.key(), Decode(harmonize=(Border(),)).key()}) == 3


@pytest.mark.real
def test_the_round_dental_films_and_the_square_chests(real_data: Path) -> None:
    """Of panoramic films shown through a white disc nearly all are found, of chests none."""
    step = Decode(harmonize=(Vignette(),))
    round_ = sorted((real_data / "dev/dental-xray-roboflow/test/images").iterdir())
    square = sorted((real_data / "dev/chest_xray/val/NORMAL").iterdir())
    found = [[decode(p, step).crop is not None and "vignette" in decode(p, step).steps[-1] for p in part]
             for part in (round_, square)]  # fmt: skip
    assert sum(found[0]) >= len(round_) - 1 and not any(found[1])
