from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from blake3 import blake3

from muscle.data.decode import Decode
from muscle.data.film import Film, Job, film, shrink


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


def job(root: Path, pixels: np.ndarray, size: tuple[int, int], fit: str = "stretch", **given: object) -> Job:
    cv2.imwrite(str(root / "a.png"), pixels)
    return Job(str(root), "a.png", size, Decode(), fit, **given)  # type: ignore[arg-type]


def made(job: Job) -> Film:
    found = film(job)
    assert isinstance(found, Film), found
    return found


def test_shrinking_averages_areas() -> None:
    """Oracle: the mean of each block, to the half level of rounding."""
    pixels = noise(12, 20)
    blocks = pixels.reshape(4, 3, 4, 5).mean((1, 3))
    assert np.abs(shrink(pixels, (4, 4)) - blocks).max() <= 0.51
    one_side = pixels.reshape(4, 3, 20).mean(1)
    tall = shrink(pixels, (4, 40))  # one side shrinks, the other grows: still averaged over three rows
    assert np.abs(tall[:, 0] - one_side[:, 0]).max() <= 0.51 and tall.shape == (4, 40)


def test_growing_interpolates() -> None:
    """Oracle: linear interpolation between pixel centres by NumPy."""
    pixels = np.array([[0, 100, 40]], np.uint8)
    wanted = np.interp((np.arange(9) + 0.5) / 3 - 0.5, np.arange(3), [0, 100, 40])
    assert np.abs(shrink(pixels, (1, 9))[0] - wanted).max() <= 1


def test_equal_size_changes_nothing(tmp_path: Path) -> None:
    pixels = noise(9, 7)
    found = made(job(tmp_path, pixels, (9, 7)))
    assert np.array_equal(found.pixels, pixels)
    record = found.record
    assert record["file_hash"] == blake3((tmp_path / "a.png").read_bytes()).hexdigest()
    assert record["row_hash"] == blake3(pixels.tobytes()).hexdigest()
    assert (record["height"], record["width"]) == (9, 7)
    assert record["pixel_sum"] == pixels.sum() and record["pixel_count"] == 63
    assert record["pixel_square_sum"] == (pixels.astype(int) ** 2).sum()


def test_hash_is_of_the_picture_not_of_the_file(tmp_path: Path) -> None:
    pixels = noise(9, 7)
    one = made(job(tmp_path, pixels, (4, 4))).record
    cv2.imwrite(str(tmp_path / "a.png"), pixels, [cv2.IMWRITE_PNG_COMPRESSION, 0])
    two = made(Job(str(tmp_path), "a.png", (4, 4), Decode(), "stretch")).record
    assert one["image_hash"] == two["image_hash"] and one["file_hash"] != two["file_hash"]
    other = made(job(tmp_path, pixels.reshape(7, 9), (4, 4))).record
    assert other["image_hash"] != one["image_hash"]


@pytest.mark.parametrize("fit", ["stretch", "pad"])
def test_truth_stays_on_what_it_marks(tmp_path: Path, fit: str) -> None:
    """Oracle: a white rectangle is drawn into the image itself; box and mask must end where its pixels end."""
    pixels = np.zeros((40, 80), np.uint8)
    pixels[8:24, 16:48] = 255
    cv2.imwrite(str(tmp_path / "m.png"), pixels)
    masks = {"m": (("m.png", ((255, 3),)),)}
    box = ((16.0, 8.0, 48.0, 24.0),)
    found = made(
        job(tmp_path, pixels, (20, 20), fit, masks=masks, boxes={"b": box}, points={"p": ((16.0, 8.0),)})
    )
    y, x = np.nonzero(found.pixels > 127)
    extent = [x.min(), y.min(), x.max() + 1, y.max() + 1]
    assert found.record["boxes"]["b"] == [pytest.approx(extent)]
    assert found.record["points"]["p"] == [pytest.approx(extent[:2])]
    assert np.array_equal(found.masks["m"], np.where(found.pixels > 127, 3, 0))
    if fit == "pad":
        assert extent == [4, 7, 12, 11]
        assert (
            found.record["pixel_count"] == 200 and not found.pixels[:5].any() and not found.pixels[15:].any()
        )


def test_later_masks_win_and_no_class_is_invented(tmp_path: Path) -> None:
    one, two = np.zeros((30, 30), np.uint8), np.zeros((30, 30), np.uint8)
    one[:20], two[10:] = 255, 255
    cv2.imwrite(str(tmp_path / "one.png"), one)
    cv2.imwrite(str(tmp_path / "two.png"), two)
    masks = {"m": (("one.png", ((255, 1),)), ("two.png", ((255, 4),)))}
    found = made(job(tmp_path, noise(30, 30), (7, 7), masks=masks)).masks["m"]
    assert (found[:2] == 1).all() and (found[3:] == 4).all()
    cv2.imwrite(str(tmp_path / "one.png"), np.where(noise(30, 30) > 127, 255, 0))
    fine = {"m": (("one.png", ((255, 1), (0, 4))),)}
    for size in ((7, 7), (41, 37)):
        found = made(job(tmp_path, noise(30, 30), size, masks=fine)).masks["m"]
        assert set(np.unique(found)) == {1, 4}


def test_a_box_a_pixel_over_the_edge_is_cut(tmp_path: Path) -> None:
    found = made(job(tmp_path, noise(10, 10), (10, 10), boxes={"b": ((-0.5, 2.0, 10.9, 10.0),)}))
    assert found.record["boxes"]["b"] == [[0.0, 2.0, 10.0, 10.0]]


@pytest.mark.parametrize("box", [(2.0, 2.0, 12.0, 4.0), (4.0, 4.0, 4.0, 8.0), (10.5, 1.0, 10.9, 4.0)])
def test_boxes_that_cannot_be_are_told(tmp_path: Path, box: tuple[float, float, float, float]) -> None:
    reason = film(job(tmp_path, noise(20, 10), (8, 8), boxes={"b": (box,)}))
    assert isinstance(reason, str) and "outside its image of 10x20" in reason and f"{box[2]:g}" in reason


def test_reasons_are_one_line_and_name_both_sizes(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "m.png"), np.zeros((6, 5), np.uint8))
    reason = film(job(tmp_path, noise(9, 7), (4, 4), masks={"m": (("m.png", ((255, 1),)),)}))
    assert reason == "mask m.png is 5x6 but its image is 7x9"
    missing = film(Job(str(tmp_path), "none.png", (4, 4), Decode(), "stretch"))
    (tmp_path / "torn.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    torn = film(Job(str(tmp_path), "torn.png", (4, 4), Decode(), "stretch"))
    no_mask = film(job(tmp_path, noise(9, 7), (4, 4), masks={"m": (("gone.png", ((255, 1),)),)}))
    for found in (missing, torn, no_mask):
        assert isinstance(found, str) and "\n" not in found
    assert isinstance(no_mask, str) and "gone.png" in no_mask


def test_runs_count_down_the_columns(tmp_path: Path) -> None:
    """Oracle: the pixels of the runs marked one by one, first all rows of a column, then the next column."""
    runs = ((3, 4), (5, 6), (40, 1))
    wanted = np.zeros((9, 7), np.uint8)
    for first, length in runs:
        for pixel in range(first, first + length):
            wanted[pixel % 9, pixel // 9] = 2
    found = made(job(tmp_path, noise(9, 7), (9, 7), runs={"m": (9, 7, runs, 2)}))
    assert np.array_equal(found.masks["m"], wanted)
    empty = made(job(tmp_path, noise(9, 7), (4, 4), runs={"m": (9, 7, (), 1)}))
    assert not empty.masks["m"].any()


@pytest.mark.parametrize("run", [(-1, 2), (60, 4), (5, 0)])
def test_runs_that_cannot_be_are_told(tmp_path: Path, run: tuple[int, int]) -> None:
    reason = film(job(tmp_path, noise(9, 7), (4, 4), runs={"m": (9, 7, (run,), 1)}))
    assert isinstance(reason, str) and "outside its image of 7x9" in reason
    other = film(job(tmp_path, noise(9, 7), (4, 4), runs={"m": (7, 9, (), 1)}))
    assert other == "mask is 9x7 but its image is 7x9"


def test_a_scaled_mask_covers_the_same_field(tmp_path: Path) -> None:
    """Oracle: the same halves at the size of the image; without ``scaled`` another size is refused."""
    small = np.zeros((10, 20), np.uint8)
    small[:, 10:] = 255
    cv2.imwrite(str(tmp_path / "m.png"), small)
    cv2.imwrite(str(tmp_path / "n.png"), small[:5])
    given = {"m": (("m.png", ((255, 1),)),)}
    found = made(job(tmp_path, noise(40, 60), (8, 6), masks=given, scaled=frozenset({"m"}))).masks["m"]
    assert (found[:, 3:] == 1).all() and not found[:, :3].any()
    assert isinstance(film(job(tmp_path, noise(40, 60), (8, 6), masks=given)), str)
    two = {"m": (*given["m"], ("n.png", ((255, 1),)))}
    reason = film(job(tmp_path, noise(40, 60), (8, 6), masks=two, scaled=frozenset({"m"})))
    assert reason == "mask n.png is 20x5 but mask m.png is 20x10"


@pytest.mark.parametrize(
    ("name", "levels", "said"),
    [
        ("masks/a.png", (0, 255), "mask: 2 levels; no film"),
        ("a_mask.png", (0, 1, 2, 255), "mask: 4 levels; no film"),
        ("films/a.png", (0, 255), ""),  # nothing calls it a mask
        ("masks/a.png", tuple(range(0, 250, 10)), ""),  # a film that lies in the wrong folder
    ],
)
def test_a_picture_called_mask_that_is_one_is_no_film(
    tmp_path: Path, name: str, levels: tuple[int, ...], said: str
) -> None:
    pixels = np.random.default_rng(0).choice(np.array(levels, np.uint8), (40, 30))
    root = tmp_path / "data"  # the root's own name counts, and pytest's is that of the test
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(root / name), pixels)
    row = film(Job(str(root), name, (8, 8), Decode(), "stretch"))
    assert isinstance(row, Film) if not said else str(row).startswith(said)
