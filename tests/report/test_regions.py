"""Regions where models differ. Oracle: masks drawn by hand."""

from __future__ import annotations

import numpy as np

from muscle.report.regions import MARGIN, disagreement


def drawn(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    mask = np.zeros((60, 50), np.uint8)
    for x0, y0, x1, y1 in boxes:
        mask[y0:y1, x0:x1] = 1
    return mask


LUNG = (10, 10, 20, 50)


def test_the_two_largest_regions_largest_first() -> None:
    small, large, tiny = (30, 5, 34, 9), (30, 30, 40, 40), (45, 55, 47, 57)
    one, two, three = drawn(LUNG, small), drawn(LUNG, large), drawn(LUNG, tiny)
    m = MARGIN
    assert disagreement(np.stack([one, two, three])) == [
        (30 - m, 30 - m, 40 + m, 40 + m),
        (30 - m, 5 - m, 34 + m, 9 + m),
    ]


def test_an_outline_that_is_a_pixel_off_does_not_join_all() -> None:
    shifted = (11, 10, 21, 50)  # two columns differ, each a pixel wide
    hole = (12, 20, 18, 26)
    mask = drawn(LUNG)
    holed = drawn(shifted)
    holed[hole[1] : hole[3], hole[0] : hole[2]] = 0
    (box,) = disagreement(np.stack([mask, holed]))
    assert box == (12 - MARGIN, 20 - MARGIN, 18 + MARGIN, 26 + MARGIN)


def test_boxes_stay_within_the_film_and_like_masks_have_none() -> None:
    (box,) = disagreement(np.stack([drawn(), drawn((0, 0, 5, 60))]))
    assert box == (0, 0, 5 + MARGIN, 60)
    assert disagreement(np.stack([drawn(LUNG)] * 3)) == []
    assert disagreement(np.stack([drawn(), drawn((4, 4, 6, 6))])) == []  # four pixels are no region


def test_other_classes_at_a_place_differ_too() -> None:
    two = 2 * drawn(LUNG)
    (box,) = disagreement(np.stack([drawn(LUNG), two]))
    assert box == (10 - MARGIN, 10 - MARGIN, 20 + MARGIN, 50 + MARGIN)


def test_of_many_models_one_that_strays_is_no_region_where_more_do() -> None:
    one, three = (5, 5, 25, 25), (30, 30, 40, 40)
    masks = [drawn(one)] + [drawn(three)] * 3 + [drawn()] * 5
    assert disagreement(np.stack(masks)) == [(30 - MARGIN, 30 - MARGIN, 40 + MARGIN, 40 + MARGIN)]
