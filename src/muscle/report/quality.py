"""Two figures beyond the paper's: whether probabilities mean what they say, and what a true box costs in false ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from muscle.metrics import froc_curves, reliability
from muscle.metrics.boxes import FALSE_ALARMS
from muscle.metrics.labels import judged
from muscle.predictions import Predictions
from muscle.report.figures import Picture, legend_below, legend_height, new_figure, render, short, styled

Lines = Sequence[tuple[str, str, Sequence[Predictions]]]
Look = Mapping[str, tuple[str, Any]]


@styled
def reliability_plot(lines: Lines, look: Look) -> Picture | None:
    """Share of positives against mean probability in each bin, all seeds' cases together; a line for each init.

    ``lines``: (recipe, label, predictions of each seed). More than two exclusive classes: the largest probability, and
    whether its class is right, as in ``ece``. Of several that are not exclusive all are taken together. None where no
    case is known.
    """
    figure, (axis,) = new_figure(3.6, 3.7 + legend_height(len(lines)))
    axis.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=0.7)
    points = 0
    for recipe, label, seeds in lines:
        truth, said = (np.concatenate(side) for side in zip(*map(_decisions, seeds), strict=True))
        x, y, cases = reliability(truth, said)
        points += len(x)
        colour, dash = look[recipe]
        axis.plot(x, y, color=colour, linestyle=dash, linewidth=1.1, label=short(label))
        axis.scatter(x, y, s=6 + 100 * cases / cases.sum(), color=colour, linewidths=0)
    axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal", xlabel="mean probability",
             ylabel="share that is positive")  # fmt: skip
    axis.set_title(short(lines[0][2][0].classes[-1] if len(lines[0][2][0].classes) < 3 else "all classes"))
    legend_below(axis)
    return render(figure, f"reliability, {lines[0][2][0].task}", points) if points else None


def _decisions(p: Predictions) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    truth, said = judged(p)
    if p.exclusive and said.shape[1] > 1:
        best = said.argmax(1)
        rows = np.arange(len(said))
        return truth[rows, best], said[rows, best]
    return truth.ravel(), said.ravel()


@styled
def froc_plot(lines: Lines, look: Look) -> Picture | None:
    """Sensitivity at IoU .5 against false alarms an image: a panel for each class, a line for each init.

    ``lines`` as above; several seeds: each one thin, their mean thick. A curve stays
    level where its model has no more boxes to offer. None where no class has a box.
    """
    curves = [(recipe, label, [froc_curves(p) for p in seeds]) for recipe, label, seeds in lines]
    shown = list(curves[0][2][0])[:9]
    if not shown:
        return None
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    figure, axes = new_figure(3.6 * columns, (3.0 + legend_height(len(lines))) * rows, rows, columns)
    at = np.geomspace(FALSE_ALARMS[0], FALSE_ALARMS[-1], 121)
    points = 0
    for axis, name in zip(axes, shown, strict=False):
        for recipe, label, seeds in curves:
            colour, dash = look[recipe]
            heights = [np.interp(at, *seed[name]) for seed in seeds]
            points += sum(len(seed[name][0]) for seed in seeds)
            for height in heights if len(heights) > 1 else ():
                axis.plot(at, height, color=colour, linewidth=0.5, alpha=0.45)
            mean = np.mean(heights, axis=0)
            axis.plot(at, mean, color=colour, linestyle=dash, linewidth=1.5, label=short(label))
        axis.set_xscale("log", base=2)
        axis.set_xticks(FALSE_ALARMS, ["1/8", "1/4", "1/2", "1", "2", "4", "8"])
        axis.set(ylim=(0, 1.01), xlabel="false alarms an image", ylabel="sensitivity")
        axis.set_title(short(name))
        axis.minorticks_off()
        legend_below(axis)
    for axis in axes[len(shown) :]:
        axis.set_axis_off()
    return render(figure, f"FROC, {lines[0][2][0].task}", points)
