"""The figures of a report, drawn without a display and returned as data URIs.

Line drawings are SVG (letters as outlines, so that they look the same everywhere), radiographs PNG.
"""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from muscle.metrics import roc, score
from muscle.predictions import Predictions
from muscle.report.regions import disagreement

CASES = 3  # rows of radiographs shown; the first ones of the test part, not chosen
SHOWN_FROM = 0.25  # score from which a predicted box is drawn
SHOWN_BOXES = 12  # predicted boxes drawn on one image, best first
_GRID = np.linspace(0, 1, 201)

# Okabe and Ito's colours (told apart by the colour-blind), in an order that also differs in lightness.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#444444", "#8c6bb1", "#a6761d")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.5, 1, 1.5)))
_TRUTH, _FOUND = "#2ee66b", "#ff5a4d"
_REGION = ("#3d9bff", "#ff9d2e")  # the paper's: blue round the largest difference, orange round the next
_CLASS = ("#ff5a4d", "#4da3ff", "#ffc94d", "#c77dff", "#4dffd2", "#ff8ad8")

_STYLE: Any = {
    "font.family": "DejaVu Sans", "font.size": 8, "axes.spines.top": False, "axes.spines.right": False,
    "axes.linewidth": 0.6, "axes.edgecolor": "#555555", "xtick.major.width": 0.6, "ytick.major.width": 0.6,
    "axes.titlesize": 8.5, "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.grid": True,
    "grid.color": "#e4e4e4", "grid.linewidth": 0.5, "axes.axisbelow": True, "legend.frameon": False,
    "legend.fontsize": 7, "svg.hashsalt": "muscle", "text.parse_math": False, "axes.unicode_minus": False,
}  # fmt: skip
styled = mpl.rc_context(_STYLE)  # decorates what makes a figure: letters take their style when they are made


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawing: its data URI, what it shows in words, how many points, cases or boxes are in it, its size in px."""

    uri: str
    alt: str
    points: int
    width: int
    height: int
    film: bool = False  # radiographs keep their greys in dark mode


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure of so many inches, and its panels row by row."""
    figure = Figure((width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(rows, columns, squeeze=False).ravel())


def render(figure: Figure, alt: str, points: int, film: bool = False) -> Picture:
    """The drawing as SVG, or as PNG where it is of films."""
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*[Gg]lyph.*")  # a name in letters that the font lacks
        if film:
            figure.savefig(out, format="png", dpi=190, facecolor="white")
        else:
            figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None}, facecolor="white")
    kind = "png" if film else "svg+xml"
    width, height = (round(96 * side) for side in figure.get_size_inches())
    uri = f"data:image/{kind};base64,{base64.b64encode(out.getvalue()).decode()}"
    return Picture(uri, alt, points, width, height, film)


def short(text: str, most: int = 42) -> str:
    """A label that matplotlib neither hides (leading underscore) nor lets run out of the picture."""
    text = " ".join(str(text).split())
    text = text if len(text) <= most else f"{text[: most - 1]}…"
    return f" {text}" if text.startswith("_") else text


def colours(names: Sequence[str]) -> dict[str, tuple[str, Any]]:
    """A colour and a dash for each name; the same wherever the name occurs in a report."""
    return {
        n: (COLOURS[i % len(COLOURS)], DASHES[i % len(DASHES)]) for i, n in enumerate(dict.fromkeys(names))
    }


# --- scores ---------------------------------------------------------------------------------------------------


@styled
def roc_curves(
    lines: Sequence[tuple[str, Mapping[str, str], Sequence[Predictions]]],
    look: Mapping[str, tuple[str, Any]],
    said: str = "",
) -> Picture | None:
    """ROC curves: a panel for each class (of two: the positive), a line for each init.

    ``lines``: (recipe, class -> label, predictions of each seed). Several seeds: thin lines, their mean sensitivity at
    each specificity thick. ``said``: what the labels have beside the name, above them. None where no class has both
    positives and negatives.
    """
    first = lines[0][2][0]
    one = len(first.classes) == 1 or (len(first.classes) == 2 and first.exclusive)
    truths = [np.asarray(first.truth)[:, i] for i in range(len(first.classes))]
    usable = [i for i, t in enumerate(truths) if (t == 1).any() and (t == 0).any()]
    shown = usable[-1:] if one else usable[:9]
    if not shown:
        return None
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    figure, axes = new_figure(3.6 * columns, (3.7 + legend_height(len(lines))) * rows, rows, columns)
    points = 0
    for axis, c in zip(axes, shown, strict=False):
        axis.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=0.7)
        for recipe, labels, seeds in lines:
            colour, dash = look[recipe]
            curves = [roc(np.asarray(p.truth)[:, c], np.asarray(p.output)[:, c]) for p in seeds]
            points += sum(len(x) for x, _ in curves)
            if len(curves) == 1:
                x, y = curves[0]
            else:
                for x, y in curves:
                    axis.plot(x, y, color=colour, linewidth=0.5, alpha=0.45)
                x, y = _GRID, np.mean([_at(*curve) for curve in curves], axis=0)
            axis.plot(
                x, y, color=colour, linestyle=dash, linewidth=1.5, label=short(labels[first.classes[c]])
            )
        axis.set(
            xlim=(-0.01, 1), ylim=(0, 1.01), aspect="equal", xlabel="1 - specificity", ylabel="sensitivity"
        )
        axis.set_title(short(first.classes[c]))
        legend_below(axis, said)
    for axis in axes[len(shown) :]:
        axis.set_axis_off()
    return render(figure, f"ROC curves, {first.task}", points)


def legend_below(axis: Axes, title: str = "") -> None:
    """The names of the lines under an axis, where no line can cross them."""
    axis.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.15), handlelength=2.6, borderaxespad=0, title=title or None,
        title_fontsize=7, alignment="left",
    )  # fmt: skip


def legend_height(lines: int) -> float:
    """Inches that a legend of so many lines and a title takes."""
    return 0.165 * (lines + 1) + 0.12


def _at(across: NDArray[np.float64], up: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sensitivity at the points of the grid; of the points at one specificity, the highest."""
    keep = np.r_[across[1:] != across[:-1], True]
    found: NDArray[np.float64] = np.interp(_GRID, across[keep], up[keep])
    return found


@styled
def forest(
    panels: Sequence[tuple[str, Sequence[tuple[str, str, Sequence[tuple[float, float, float]]]]]],
    look: Mapping[str, tuple[str, Any]],
) -> Picture:
    """Every seed's score with its interval: a panel for each task, a line of dots for each init.

    ``panels``: (title, ((recipe, label, ((value, low, high) of each seed)), ...)).
    """
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    most = max(len(lines) for _, lines in panels)
    figure, axes = new_figure(3.5 * columns, rows * (0.75 + 0.34 * most), rows, columns)
    points = 0
    for axis, (title, lines) in zip(axes, panels, strict=False):
        for y, (recipe, _, seeds) in enumerate(lines):
            colour, _ = look[recipe]
            for k, (value, low, high) in enumerate(seeds):
                at = y + (k - (len(seeds) - 1) / 2) * 0.6 / max(len(seeds), 3)
                axis.plot([low, high], [at, at], color=colour, linewidth=1, alpha=0.55, solid_capstyle="butt")
                axis.plot([value], [at], "o", color=colour, markersize=3.2)
                points += 1
            if seeds:
                mean = float(np.mean([s[0] for s in seeds]))
                axis.plot([mean, mean], [y - 0.36, y + 0.36], color=colour, linewidth=1.4)
        axis.set_yticks(range(len(lines)), [short(label, 24) for _, label, _ in lines])
        axis.set_ylim(len(lines) - 0.45, -0.55)
        axis.set_title(short(title))
        axis.grid(axis="y", visible=False)
        axis.tick_params(axis="y", length=0)
        axis.locator_params(axis="x", nbins=5)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    return render(figure, "scores of every seed with intervals", points)


# --- radiographs ----------------------------------------------------------------------------------------------


@styled
def overlays(columns: Sequence[tuple[str, Predictions]]) -> Picture | None:
    """Masks on the films: truth as a line, prediction as an area, one column for each init.

    Of several, boxes stand round the regions in which they differ most, in the same place in every column.
    """
    return _films(columns, _draw_mask, _differing)


@styled
def boxes(columns: Sequence[tuple[str, Predictions]]) -> Picture | None:
    """Boxes on the films: truth solid, predictions dashed with their score, one column for each init."""
    return _films(columns, _draw_boxes)


def _differing(columns: Sequence[tuple[str, Predictions]], i: int) -> list[Rectangle]:
    regions = disagreement(np.stack([p.arrays[1][i] for _, p in columns]))
    return [
        Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, fill=False, color=colour, linewidth=1.2)
        for (x0, y0, x1, y1), colour in zip(regions, _REGION, strict=False)
    ]


def _films(
    columns: Sequence[tuple[str, Predictions]], draw: Any, common: Any = lambda columns, i: []
) -> Picture | None:
    first = columns[0][1]
    shown = min(CASES, *(len(p.pictures) for _, p in columns), len(first))
    if shown == 0:
        return None
    height, width = first.pictures.shape[1:]
    side = min(2.1, 10.4 / len(columns))
    figure, axes = new_figure(
        side * len(columns), shown * (side * height / width + 0.22) + 0.2, shown, len(columns)
    )
    for i in range(shown):
        for k, (label, p) in enumerate(columns):
            axis = axes[i * len(columns) + k]
            axis.imshow(p.pictures[i], cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            said = draw(axis, p, i)
            for patch in common(columns, i):
                axis.add_patch(patch)
            axis.set_xlabel(said, fontsize=6.5, labelpad=2)
            axis.set(xticks=[], yticks=[], xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
            axis.grid(visible=False)
            for spine in axis.spines.values():
                spine.set_visible(False)
            if i == 0:
                axis.set_title(short(label, max(8, round(11.5 * side))), loc="center")
    if len(first.classes) > 1:
        handles = [Rectangle((0, 0), 1, 1, color=_colour(c)) for c in range(1, len(first.classes) + 1)]
        names = [short(name, 24) for name in first.classes]
        figure.legend(handles, names, loc="outside lower center", ncols=8, handlelength=0.9, handleheight=0.9)
    return render(figure, f"{first.task}: {shown} test cases", shown * len(columns), film=True)


def _colour(label: int) -> str:
    return _CLASS[(label - 1) % len(_CLASS)]


def _one(p: Predictions, i: int) -> dict[str, float]:
    """The scores of one case."""
    return score(p.take(np.array([i])), distances=False)


def _draw_mask(axis: Axes, p: Predictions, i: int) -> str:
    truth, output = p.arrays
    for c in range(1, len(p.classes) + 1):
        area = np.zeros((*output[i].shape, 4))
        area[output[i] == c] = to_rgba(_colour(c), 0.38)
        axis.imshow(area, interpolation="nearest")
    for c in range(1, len(p.classes) + 1):
        line = truth[i] == c
        if line.any() and not line.all():
            colour = _TRUTH if len(p.classes) == 1 else _colour(c)
            axis.contour(line.astype(float), [0.5], colors=[colour], linewidths=1.0)
    found = _one(p, i)
    return f"Dice {found['dice']:.3f}" if "dice" in found else "nothing to find"


def _draw_boxes(axis: Axes, p: Predictions, i: int) -> str:
    truth, output = p.boxes
    several = len(p.classes) > 1
    for box, label in zip(*truth[i], strict=True):
        axis.add_patch(_rectangle(box, _colour(label) if several else _TRUTH))
    xyxy, confidence, said = output[i]
    order = [k for k in np.argsort(-confidence, kind="stable") if confidence[k] >= SHOWN_FROM]
    for k in order[:SHOWN_BOXES]:
        colour = _colour(said[k]) if several else _FOUND
        patch = _rectangle(xyxy[k], colour)
        patch.set_linestyle((0, (2.5, 1.5)))
        axis.add_patch(patch)
        text = axis.text(
            xyxy[k][0], xyxy[k][1], f"{confidence[k]:.2f}", color="white", fontsize=5, va="bottom"
        )
        text.set_bbox({"facecolor": "black", "alpha": 0.55, "pad": 0.5, "linewidth": 0})
        text.set_clip_on(True)
    return f"{len(truth[i][0])} true, {len(order)} found"


def _rectangle(box: NDArray[Any], colour: str) -> Rectangle:
    """A box in pixel corners, where the centre of the first pixel is drawn at 0."""
    x0, y0, x1, y1 = (float(side) - 0.5 for side in box)
    return Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, color=colour, linewidth=1.0)


@styled
def contact_sheet(name: str, films: Sequence[NDArray[np.uint8]]) -> Picture:
    """Films side by side, as stored."""
    columns = min(8, len(films))
    rows = -(-len(films) // columns)
    height, width = films[0].shape
    side = 10.4 / 8
    figure, axes = new_figure(side * columns, rows * side * height / width, rows, columns)
    for axis in axes:
        axis.set_axis_off()
    for axis, film in zip(axes, films, strict=False):
        axis.imshow(film, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    return render(figure, f"films of {name}", len(films), film=True)
