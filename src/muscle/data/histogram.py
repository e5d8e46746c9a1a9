"""Grey levels of each source before and after decoding and normalization, and how far the sources lie apart.

Three stages: ``stored``, the levels of the files over their full range, polarity as stored; ``decoded``, after the
window, the polarity and the harmonizing steps; ``input``, after the normalization, in its units. The distance between
two sources is the first Wasserstein distance of their levels, the mean shift that would turn one histogram into the
other; divided by the deviation of all sources together it can be compared between stages.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from muscle.data.data_file import DataFile
from muscle.data.decode import Decode
from muscle.data.film import Film
from muscle.data.normalization import Normalization, ZScore
from muscle.data.prepare import film_job
from muscle.data.workers import films
from muscle.errors import UserError

STAGES = ("stored", "decoded", "input")
PERCENTILES = (1, 25, 50, 75, 99)
LOW_SD, HIGH_SD = 0.5, 2.0  # of inputs that nothing has to be said of
SIZE = (256, 256)  # pixels that each film is shrunk to, so that all films and sources of one size count alike
_STORED = Decode(grey="raw")
_LEVELS = np.arange(256, dtype=np.float64)

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Greys:
    """The levels of one source at one stage, as values in rising order and the share of pixels that have each."""

    values: Floats
    shares: Floats

    @classmethod
    def of(cls, values: Floats, counts: Floats) -> Greys:
        """From values in any order, some perhaps more than once."""
        order = np.argsort(values.ravel(), kind="stable")
        values, counts = values.ravel()[order], counts.ravel()[order]
        used = counts > 0
        return cls(values[used], counts[used] / counts.sum())

    @property
    def mean(self) -> float:
        """Mean level."""
        return float(self.values @ self.shares)

    @property
    def sd(self) -> float:
        """Standard deviation of the levels."""
        return float(np.sqrt((self.values - self.mean) ** 2 @ self.shares))

    def percentile(self, percent: float) -> float:
        """The lowest level that has at least ``percent`` of the pixels at or below it."""
        at = np.searchsorted(np.cumsum(self.shares), percent / 100 - 1e-12)
        return float(self.values[min(int(at), len(self.values) - 1)])

    def distance(self, other: Greys) -> float:
        """First Wasserstein distance (SciPy)."""
        from scipy.stats import wasserstein_distance

        return float(wasserstein_distance(self.values, other.values, self.shares, other.shares))


@dataclass(frozen=True, eq=False)
class Histograms:
    """What was measured.

    Attributes:
        greys: stage -> source -> levels.
        films: source -> films looked at.
        set_aside: (source, path, why) of films that could not be decoded.
    """

    greys: dict[str, dict[str, Greys]]
    films: dict[str, int]
    set_aside: tuple[tuple[str, str, str], ...]

    def spread(self, stage: str) -> float:
        """The deviation of all sources together, each with equal weight."""
        mine = self.greys[stage].values()
        both = Greys.of(np.concatenate([g.values for g in mine]), np.concatenate([g.shares for g in mine]))
        return both.sd

    def distances(self, stage: str) -> dict[tuple[str, str], float]:
        """Distance of each pair of sources."""
        mine = self.greys[stage]
        return {(a, b): mine[a].distance(mine[b]) for a, b in combinations(mine, 2)}

    def rows(self) -> list[tuple[str, ...]]:
        """A line of numbers for each source and stage: films, mean, deviation, percentiles."""
        return [
            (name, stage, str(self.films[name]), f"{g.mean:.2f}", f"{g.sd:.2f}",
             *(f"{g.percentile(p):.2f}" for p in PERCENTILES))
            for name in self.films for stage in STAGES for g in [self.greys[stage][name]]
        ]  # fmt: skip

    def distance_rows(self) -> list[tuple[str, ...]]:
        """A line for each pair of sources, and their mean: the distance at each stage, and in deviations."""
        tables = {stage: self.distances(stage) for stage in STAGES}
        if not tables[STAGES[0]]:
            return []
        rows = [
            (*pair, *(self._both(stage, tables[stage][pair]) for stage in STAGES))
            for pair in tables[STAGES[0]]
        ]
        means = [self._both(stage, float(np.mean(list(tables[stage].values())))) for stage in STAGES]
        return [*rows, ("mean of all", "pairs", *means)]

    def _both(self, stage: str, distance: float) -> str:
        return f"{distance:.2f} ({distance / max(self.spread(stage), 1e-9):.2f} sd)"

    def remark(self, normalization: Normalization) -> str:
        """What to know where fixed numbers leave the inputs far from a deviation of 1; empty where they do not."""
        sds = {name: greys.sd for name, greys in self.greys["input"].items()}
        odd = {name: sd for name, sd in sds.items() if not LOW_SD <= sd <= HIGH_SD}
        if not odd or not isinstance(normalization, ZScore):
            return ""
        name = max(odd, key=lambda name: abs(math.log(max(odd[name], 1e-9))))
        films = "wider" if odd[name] > 1 else "less"
        return (
            f"input sd {odd[name]:.2f} ({name}): zscore divides by {normalization.sd:g}, the deviation of the paper's "
            f"own pixels, and films spread {films} here; for sd 1 in every source choose normalization: source "
            "(--set normalization=source)"
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        sources = {
            name: {"films": n} | {stage: _numbers(self.greys[stage][name]) for stage in STAGES}
            for name, n in self.films.items()
        }
        distances = [
            {"a": a, "b": b, "stage": stage, "wasserstein": value, "deviations": value / max(self.spread(stage), 1e-9)}
            for stage in STAGES for (a, b), value in self.distances(stage).items()
        ]  # fmt: skip
        aside = [{"source": name, "path": path, "why": why} for name, path, why in self.set_aside]
        return {"sources": sources, "distances": distances, "set_aside": aside}

    def draw(self, file: Path) -> None:
        """Writes a PNG: a panel for each stage, a line for each source.

        Raises:
            UserError: the file cannot be written.
        """
        from matplotlib.figure import Figure

        figure = Figure(figsize=(13, 4), layout="constrained")
        for axes, stage in zip(figure.subplots(1, len(STAGES)), STAGES, strict=True):
            every = self.greys[stage].values()
            low, high = min(g.percentile(0.1) for g in every), max(g.percentile(99.9) for g in every)
            edges = np.linspace(low, high, 65) if stage == "input" else np.linspace(-0.5, 255.5, 65)
            for name, greys in self.greys[stage].items():
                density = np.histogram(greys.values, edges, weights=greys.shares)[0] / np.diff(edges)
                axes.stairs(density, edges, label=name)
            apart = list(self.distances(stage).values())
            said = f", {np.mean(apart) / max(self.spread(stage), 1e-9):.2f} sd apart" if apart else ""
            axes.set_title(f"{stage}{said}")
            axes.set_xlabel("normalized level" if stage == "input" else "grey level")
            axes.set_ylabel("share of pixels")
            top = sorted(patch for line in axes.patches for patch in line.get_data().values)[
                -len(self.films) - 1
            ]
            axes.set_ylim(0, max(1.3 * float(top), 1e-6))  # plain margins would flatten all else
        axes.legend(frameon=False)
        try:
            figure.savefig(file, format="png", dpi=110)
        except OSError as error:
            raise UserError(f"--to {file}: {error.strerror or error}") from None


def _numbers(greys: Greys) -> dict[str, float]:
    return {"mean": greys.mean, "sd": greys.sd} | {f"p{p}": greys.percentile(p) for p in PERCENTILES}


def histograms(
    data: DataFile,
    decode: Decode,
    normalization: Normalization,
    most: int = 200,
    workers: int = 2,
    progress: Callable[[str, int, int], None] | None = None,
) -> Histograms:
    """Looks at films of each source, evenly spread.

    Differs: a normalization by source takes the films that are looked at, not all training films.

    Args:
        data: the sources.
        decode: what ``decoded`` is.
        normalization: what makes ``input`` of it.
        most: films of each source.
        workers: processes that decode.
        progress: called with the source, films done, and films in all.

    Raises:
        UserError: a source cannot be read, or none of its films.
    """
    greys: dict[str, dict[str, Greys]] = {stage: {} for stage in STAGES}
    seen: dict[str, int] = {}
    aside: list[tuple[str, str, str]] = []
    for name, source in data.sources.items():
        samples, _ = source.read(name)
        n = min(most, len(samples))
        some = [samples[i * len(samples) // n] for i in range(n)]
        bare = [replace(sample, annotations={}) for sample in some]  # a wrong box sets no film aside here
        jobs = [
            [film_job(source.folder, sample, SIZE, settings, "stretch") for sample in bare]
            for settings in (_STORED, decode)
        ]
        counts: tuple[list[Floats], list[Floats]] = ([], [])
        made = films([job for pair in zip(*jobs, strict=True) for job in pair], workers)
        for i, (stored, decoded, sample) in enumerate(zip(made, made, some, strict=False), 1):
            if isinstance(stored, Film) and isinstance(decoded, Film):
                for mine, film in zip(counts, (stored, decoded), strict=True):
                    mine.append(np.bincount(film.pixels.ravel(), minlength=256).astype(np.float64))
            else:
                aside.append(
                    (name, sample.picture, next(row for row in (stored, decoded) if isinstance(row, str)))
                )
            if progress is not None:
                progress(name, i, n)
        if not counts[0]:
            raise UserError(
                f"source {name}: none of {n} films can be decoded; {aside[-1][1]}: {aside[-1][2]}"
            )
        seen[name] = len(counts[0])
        before, after = (np.stack(mine) for mine in counts)
        greys["stored"][name] = Greys.of(_LEVELS, before.sum(0))
        greys["decoded"][name] = Greys.of(_LEVELS, after.sum(0))
        greys["input"][name] = Greys.of(_inputs(after, normalization), after)
    return Histograms(greys, seen, tuple(aside))


def _inputs(counts: Floats, normalization: Normalization) -> Floats:
    """What each of 256 levels [N, 256] becomes in each film, by its counts [N, 256]."""
    whole = Greys.of(_LEVELS, counts.sum(0))
    pixels = counts.sum(1)
    means = counts @ _LEVELS / pixels
    sds = np.sqrt(np.maximum(counts @ _LEVELS**2 / pixels - means**2, 0))
    n = len(counts)
    source = np.full(n, whole.mean, np.float32), np.full(n, whole.sd, np.float32)
    mean, sd = normalization.levels(source, (means.astype(np.float32), sds.astype(np.float32)))
    return (_LEVELS - mean.astype(np.float64)[:, None]) / sd.astype(np.float64)[:, None]
