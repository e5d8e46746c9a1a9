"""Figures. Oracles: pixels read back from the PNG, letters that are in the SVG, counts by hand."""

from __future__ import annotations

import base64
from typing import Any

import cv2
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from sklearn.metrics import roc_curve

from muscle.predictions import Predictions
from muscle.report import figures
from muscle.report.figures import (
    Picture,
    boxes,
    colours,
    contact_sheet,
    forest,
    new_figure,
    overlays,
    render,
    roc_curves,
    short,
)

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


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[list[Axes]]:
    """The panels of each figure as matplotlib holds them before they become a picture."""
    kept: list[list[Axes]] = []

    def keep(figure: Any, *words: Any, **more: Any) -> Picture:
        kept.append(figure.axes)
        return render(figure, *words, **more)

    monkeypatch.setattr(figures, "render", keep)
    return kept


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


def test_labels_are_cut_where_they_would_run_out_and_never_hidden() -> None:
    assert short("a" * 42) == "a" * 42 and short("a" * 43) == "a" * 41 + "…"
    assert short("abcdef", 4) == "abc…" and short("a\n b") == "a b" and short("_a") == " _a"


def test_each_name_has_one_look_and_neighbours_differ_in_both() -> None:
    names = [f"r{i}" for i in range(20)]
    found = colours(["r0", *names])
    assert list(found) == names and found == colours(names)
    for one, other in zip(names, names[1:], strict=False):
        assert found[one][0] != found[other][0] and found[one][1] != found[other][1]


def test_a_picture_knows_its_size_and_letters_that_the_font_lacks_are_no_error() -> None:
    figure, (axis,) = new_figure(2, 1)
    axis.set_title("肺")
    picture = render(figure, "alt", 0)
    assert (picture.width, picture.height) == (192, 96)  # CSS has 96 pixels an inch


def three(n: int, seed: int) -> Predictions:
    """Truth of three classes that do not exclude each other; the first of them in every case."""
    rng = np.random.default_rng(0)
    truth = (rng.random((n, 4)) < 0.5).astype(np.float32)
    truth[:, 0] = 1
    output = np.random.default_rng(seed).random((n, 4)).astype(np.float32)
    ids = [str(i) for i in range(n)]
    return Predictions(task="t", kind="labels", classes=("all", "x", "y", "z"), exclusive=False, ids=ids,
                       patients=ids, truth=truth, output=output)  # fmt: skip


def test_each_class_has_its_curve(drawn: list[list[Axes]]) -> None:
    """Oracle: scikit-learn; a class that every case has is left out."""
    p = three(30, 1)
    names = {name: f"A {name}" for name in p.classes}
    roc_curves([("a", names, [p])], LOOK, "AUC")
    (axes,) = drawn
    assert [axis.get_title(loc="left") for axis in axes] == ["x", "y", "z"]
    truth, output = p.arrays
    for c, axis in enumerate(axes, start=1):
        across, up, _ = roc_curve(truth[:, c], output[:, c], drop_intermediate=False)
        np.testing.assert_allclose(axis.lines[-1].get_xydata(), np.stack([across, up], 1))
        legend = axis.get_legend()
        assert legend is not None and [text.get_text() for text in legend.get_texts()] == [
            f"A {p.classes[c]}"
        ]
        assert legend.get_title().get_text() == "AUC"
        assert (axis.get_xlabel(), axis.get_ylabel()) == ("1 - specificity", "sensitivity")


def test_several_seeds_are_thin_lines_and_their_mean_thick(drawn: list[list[Axes]]) -> None:
    """Oracle: at each specificity the mean of the highest sensitivities that the seeds reach there."""
    seeds = [three(30, seed) for seed in (1, 2, 3)]
    roc_curves([("a", {name: name for name in seeds[0].classes}, seeds)], LOOK)
    _, *thin, mean = drawn[0][0].lines
    assert len(thin) == 3 and all(line.get_linewidth() < mean.get_linewidth() for line in thin)
    grid, height = np.asarray(mean.get_xydata()).T
    for at in (0.0, 0.25, 0.6):
        reached = []
        for p in seeds:
            across, up, _ = roc_curve(p.arrays[0][:, 1], p.arrays[1][:, 1], drop_intermediate=False)
            steps = sorted({x: up[across == x].max() for x in across}.items())
            reached.append(np.interp(at, *zip(*steps, strict=True)))
        assert height[np.abs(grid - at).argmin()] == pytest.approx(np.mean(reached))


def test_two_classes_are_one_panel_where_they_exclude_each_other(drawn: list[list[Axes]]) -> None:
    truth = np.eye(2, dtype=np.float32)[np.arange(10) % 2]
    p = predictions("labels", truth, truth[::-1], ("well", "sick"))
    names = {"well": "w", "sick": "s"}
    roc_curves([("a", names, [p])], LOOK)
    roc_curves([("a", names, [Predictions(**{**vars(p), "exclusive": False})])], LOOK)
    assert [[axis.get_title(loc="left") for axis in axes] for axes in drawn] == [["sick"], ["well", "sick"]]


def test_of_many_classes_nine_are_shown(drawn: list[list[Axes]]) -> None:
    names = tuple("abcdefghijk")
    truth = np.tile((np.arange(10) % 2)[:, None], (1, 11)).astype(np.float32)
    for n in (11, 4):
        p = predictions("labels", truth[:, :n], truth[:, :n], names[:n])
        roc_curves([("a", dict(zip(names, names, strict=True)), [p])], LOOK)
    assert [axis.get_title(loc="left") for axis in drawn[0]] == list("abcdefghi")
    assert [axis.axison for axis in drawn[1]] == [True] * 4 + [False] * 2  # two rows of three


def test_a_seeds_interval_dot_and_the_mean_stand_where_they_belong(drawn: list[list[Axes]]) -> None:
    seeds = [(0.8, 0.7, 0.95), (0.6, 0.5, 0.75)]
    forest([("one", [("a", "A", seeds)]), ("two", [("a", "A", seeds[:1]), ("b", "B", [])])], LOOK)
    (one, two) = drawn[0]
    ends, dot, other_ends, other_dot, mean = (np.asarray(line.get_xydata()) for line in one.lines)
    assert ends[:, 0].tolist() == [0.7, 0.95] and other_ends[:, 0].tolist() == [0.5, 0.75]
    assert dot[0, 0] == 0.8 and other_dot[0, 0] == 0.6
    assert dot[0, 1] == ends[0, 1] < 0 < other_dot[0, 1] == other_ends[0, 1]  # side by side on their line
    assert mean[:, 0].tolist() == pytest.approx([0.7, 0.7])
    assert [text.get_text() for text in two.get_yticklabels()] == ["A", "B"]
    assert two.get_ylim()[0] > 1 > 0 > two.get_ylim()[1]  # the first on top
    assert [axis.get_title(loc="left") for axis in (one, two)] == ["one", "two"]
    few, many = (forest([("t", [("a", "A", seeds)]), ("u", [("a", "A", seeds)] * n)], LOOK) for n in (1, 9))
    assert many.height > 2 * few.height  # room for the longest


def squares(*corners: tuple[int, int]) -> np.ndarray:
    """A square of 10 pixels a film, its corner at x, y."""
    made = np.zeros((len(corners), 40, 30), np.uint8)
    for film, (x, y) in zip(made, corners, strict=True):
        film[y : y + 10, x : x + 10] = 1
    return made


def test_films_stand_in_rows_and_models_in_columns(drawn: list[list[Axes]]) -> None:
    """Dice by hand: a square that is found, half found, not found, and one film too many."""
    truth = squares((5, 5), (5, 5), (5, 5), (5, 5))
    half = squares((5, 5), (5, 10), (15, 20), (5, 5))
    ps = [predictions("mask", truth, found) for found in (truth, half)]
    for p in ps:
        p.pictures[:] = np.arange(4, dtype=np.uint8)[:, None, None] * 20
    picture = overlays([("A", ps[0]), ("B", ps[1])])
    assert picture is not None and picture.points == 6 and len(drawn[0]) == 6
    assert [axis.get_xlabel() for axis in drawn[0]] == [
        "Dice 1.000", "Dice 1.000", "Dice 1.000", "Dice 0.500", "Dice 1.000", "Dice 0.000",
    ]  # fmt: skip
    assert [axis.get_title() for axis in drawn[0]] == ["A", "B", "", "", "", ""]
    for i, axis in enumerate(drawn[0]):
        film = axis.images[0]
        assert (np.asarray(film.get_array()) == 20 * (i // 2)).all() and film.get_clim() == (0, 255)
        assert axis.get_ylim()[0] > axis.get_ylim()[1]  # the first row of pixels on top
    assert len(drawn[0][0].patches) == 0  # alike
    for left, right in (drawn[0][2:4], drawn[0][4:6]):
        assert (
            [p.get_bbox().bounds for p in left.patches] == [p.get_bbox().bounds for p in right.patches] != []
        )
    (above, below) = sorted(patch.get_bbox().y0 for patch in drawn[0][2].patches)
    assert (above, below) == (5 - 3 - 0.5, 15 - 3 - 0.5)  # three pixels round rows 5 to 10 and 15 to 20
    assert {patch.get_bbox().x0 for patch in drawn[0][2].patches} == {5 - 3 - 0.5}


def test_fewer_pictures_than_cases_and_films_without_anything(drawn: list[list[Axes]]) -> None:
    none, all_ = np.zeros((3, 40, 30), np.uint8), np.ones((3, 40, 30), np.uint8)
    few = predictions("mask", none, none)
    overlays([("A", few), ("B", Predictions(**{**vars(few), "pictures": few.pictures[:2]}))])
    assert len(drawn[0]) == 2 * 2
    assert {axis.get_xlabel() for axis in drawn[0]} == {"nothing to find"}
    overlays([("A", predictions("mask", all_, all_))])  # no line round a film that is mask throughout
    assert not drawn[1][0].collections


def test_each_class_of_masks_has_its_colour(drawn: list[list[Axes]]) -> None:
    truth, found = squares((5, 5)), squares((5, 5)) * 2
    truth[:, 25:35, 5:15], found[:, 25:35, 5:15] = 2, 1
    p = predictions("mask", truth, found, ("heart", "lung"))
    overlays([("A", p)])
    ((axis,),) = drawn
    tints = []
    for c, layer in enumerate(axis.images[1:], start=1):
        area = np.asarray(layer.get_array())
        assert ((area[..., 3] > 0) == (found[0] == c)).all()
        tints.append(tuple(area[found[0] == c][0, :3]))
    lines = {tuple(line.get_edgecolor()[0][:3]): line for line in axis.collections}
    assert tints[0] != tints[1]
    np.testing.assert_allclose(list(lines), tints)
    for c, line in enumerate(lines.values(), start=1):
        corners = np.concatenate([path.vertices for path in line.get_paths()])
        ys, xs = np.nonzero(truth[0] == c)
        assert corners.min(0).tolist() == [xs.min() - 0.5, ys.min() - 0.5]  # between the pixels
        assert corners.max(0).tolist() == [xs.max() + 0.5, ys.max() + 0.5]
    (legend,) = axis.figure.legends  # type: ignore[union-attr]
    assert [text.get_text() for text in legend.get_texts()] == ["heart", "lung"]
    np.testing.assert_allclose([to_rgb(patch.get_facecolor()) for patch in legend.get_patches()], tints)
    overlays([("A", predictions("mask", truth, found))])
    assert not drawn[1][0].figure.legends  # type: ignore[union-attr]


def test_the_best_boxes_are_drawn_with_their_scores_and_all_are_counted(drawn: list[list[Axes]]) -> None:
    true = [(np.array([[5, 7, 25, 32]], np.float32), np.array([1]))]
    corner = np.arange(16, dtype=np.float32)[:, None]
    found = np.concatenate([corner, corner, corner + 5, corner + 9], 1)
    scores = np.r_[0.1, 0.25, np.linspace(0.3, 0.95, 14)].astype(np.float32)
    boxes([("A", predictions("boxes", true, [(found, scores, np.ones(16, np.int64))]))])
    ((axis,),) = drawn
    assert axis.get_xlabel() == "1 true, 15 found"  # from 0.25 on
    first, *others = axis.patches
    assert first.get_bbox().bounds == (4.5, 6.5, 20, 25) and first.get_linestyle() in ("-", "solid")
    assert [patch.get_bbox().bounds for patch in others] == [
        (i - 0.5, i - 0.5, 5, 9) for i in range(15, 3, -1)
    ]
    assert all(patch.get_linestyle() not in ("-", "solid") for patch in others)
    assert [text.get_text() for text in axis.texts] == [f"{scores[i]:.2f}" for i in range(15, 3, -1)]
    assert first.get_edgecolor() != others[0].get_edgecolor()


def test_boxes_of_several_classes_have_their_colours(drawn: list[list[Axes]]) -> None:
    both = np.array([[5, 5, 9, 9], [15, 15, 19, 19]], np.float32)
    sure, label = np.array([0.9, 0.8], np.float32), np.array([1, 2])
    boxes([("A", predictions("boxes", [(both, label)], [(both, sure, label)], ("crack", "metal")))])
    tints = [patch.get_edgecolor() for patch in drawn[0][0].patches]
    assert tints[0] == tints[2] != tints[1] == tints[3]


def test_a_contact_sheet_has_rows_of_eight(drawn: list[list[Axes]]) -> None:
    films = [np.full((20, 20), 10 * i, np.uint8) for i in range(9)]
    contact_sheet("s", films)
    (axes,) = drawn
    assert len(axes) == 16 and [len(axis.images) for axis in axes] == [1] * 9 + [0] * 7
    assert all(axis.images[0].get_clim() == (0, 255) for axis in axes[:9])
    assert not any(axis.axison for axis in axes)
