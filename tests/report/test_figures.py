"""Figures. Oracles: pixels read back from the PNG, letters that are in the SVG, counts by hand."""

from __future__ import annotations

import base64
from typing import Any

import cv2
import numpy as np

from muscle.predictions import Predictions
from muscle.report.figures import Picture, boxes, colours, contact_sheet, forest, overlays, roc_curves

LOOK = colours(["a", "b"])


def pixels(picture: Picture | None) -> np.ndarray:
    assert picture is not None and picture.film
    kind, data = picture.uri.split(",", 1)
    assert kind == "data:image/png;base64"
    image = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image[..., ::-1].astype(int)


def predictions(kind: Any, truth: Any, output: Any, classes: tuple[str, ...] = ("lungs",)) -> Predictions:
    ids = [str(i) for i in range(len(truth))]
    grey = np.full((len(truth), 40, 30), 90, np.uint8)
    return Predictions(task="t", kind=kind, classes=classes, exclusive=True, ids=ids, patients=ids, truth=truth,
                       output=output, pictures=grey)  # fmt: skip


def greenish(image: np.ndarray) -> int:
    return int(((image[..., 1] > image[..., 0] + 60) & (image[..., 1] > image[..., 2] + 30)).sum())


def reddish(image: np.ndarray) -> int:
    return int(((image[..., 0] > image[..., 1] + 25) & (image[..., 0] > image[..., 2] + 25)).sum())


def test_truth_is_a_green_line_and_prediction_a_red_area() -> None:
    nothing = np.zeros((1, 40, 30), np.uint8)
    square = nothing.copy()
    square[:, 10:30, 5:25] = 1
    both = pixels(overlays([("a", predictions("mask", square, square))]))
    only_truth = pixels(overlays([("a", predictions("mask", square, nothing))]))
    only_found = pixels(overlays([("a", predictions("mask", nothing, square))]))
    assert greenish(both) > 500 and reddish(both) > 20_000
    assert greenish(only_truth) > 500 and reddish(only_truth) < 100
    assert greenish(only_found) == 0 and reddish(only_found) > 20_000
    # a line, not an area: far fewer green pixels than the square has
    assert greenish(only_truth) < 0.2 * reddish(only_found)
    empty = pixels(overlays([("a", predictions("mask", nothing, nothing))]))
    assert greenish(empty) == reddish(empty) == 0


def test_boxes_of_truth_and_of_what_was_found() -> None:
    box, none = np.array([[5, 5, 25, 30]], np.float32), np.zeros((0, 4), np.float32)
    one, no = np.array([1]), np.zeros(0, np.int64)
    sure, unsure = np.array([0.9], np.float32), np.array([0.1], np.float32)
    true = [(box, one)]
    assert greenish(pixels(boxes([("a", predictions("boxes", true, [(none, unsure[:0], no)]))]))) > 300
    found = pixels(boxes([("a", predictions("boxes", [(none, no)], [(box, sure, one)]))]))
    assert reddish(found) > 150 and greenish(found) == 0
    assert reddish(pixels(boxes([("a", predictions("boxes", [(none, no)], [(box, unsure, one)]))]))) == 0


def test_no_pictures_no_figure() -> None:
    p = predictions("mask", np.zeros((0, 40, 30), np.uint8), np.zeros((0, 40, 30), np.uint8))
    assert overlays([("a", p)]) is None


def test_roc_has_a_line_for_each_init_and_none_for_one_class() -> None:
    rng = np.random.default_rng(0)
    truth = np.eye(2, dtype=np.float32)[np.arange(20) % 2]
    p = predictions("labels", truth, rng.dirichlet([1, 1], 20).astype(np.float32), ("well", "$sick_{"))
    names = {name: f"_{name}$" for name in p.classes}
    one, two = (
        roc_curves([("a", names, [p])], LOOK),
        roc_curves([("a", names, [p]), ("b", names, [p, p])], LOOK),
    )
    assert one is not None and two is not None and two.points == 3 * one.points == 3 * 21
    sick = predictions("labels", truth[1::2], truth[1::2], ("well", "sick"))
    assert roc_curves([("a", names, [sick])], LOOK) is None


def test_every_seed_is_a_point_also_without_any() -> None:
    seeds = [(0.8, 0.7, 0.9), (0.7, 0.6, 0.8)]
    picture = forest(
        [("lungs: Dice", [("a", "A", seeds), ("b", "B", [])]), ("x", [("a", "A", seeds[:1])])], LOOK
    )
    assert picture.points == 3 and not picture.film


def test_contact_sheet_shows_the_films_as_stored() -> None:
    films = [np.full((20, 20), grey, np.uint8) for grey in (0, 60, 120)]
    picture = contact_sheet("s", films)
    found = {
        int(v)
        for v, n in zip(*np.unique(pixels(picture)[..., 0], return_counts=True), strict=True)
        if n > 5000
    }
    assert picture.points == 3 and {0, 60, 120} <= found
