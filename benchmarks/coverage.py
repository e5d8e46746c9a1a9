"""How often does a 95 % interval hold the true score, and how often does a paired test cry wolf?

    OMP_NUM_THREADS=1 python benchmarks/coverage.py [--sims 2000] [--jobs 2] [--only auc,dice]

Writes ``benchmarks/results/coverage.json`` and the table of ``docs/statistics.md``. Each cell draws ``--sims`` test
sets from a population whose true score is known, and judges two models on each that are equally good: coverage is of
the first one's interval, type-I error of the test of their difference. *Clustered*: patients have 1 to 10 films
(mean 3), which share half of the variance of what a model says and most of the diagnosis. Scores are counted as
``muscle.metrics`` counts them, but from drawn counts in place of pixels and boxes; intervals and tests are those that
users get.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from muscle.machine import Machine
from muscle.metrics import Scorer, auc
from muscle.metrics.boxes import RECALLS
from muscle.provenance import provenance
from muscle.statistics.bootstrap import percentiles
from muscle.statistics.comparison import difference
from muscle.statistics.influence import Influence, of_area, of_scorer
from muscle.statistics.intervals import LEVEL, PAPER_TRIALS, interval

ROOT = Path(__file__).resolve().parents[1]
SHARED = 0.5  # of the variance of what a model says is the patient's
SHARED_TRUTH = 0.7  # of the variance of what decides the diagnosis
BOTH = 0.5  # of the variance of what a model says is the film's, whichever model looks
OTHERS_EVERY = 4  # simulations for one of the intervals that are only there to be compared with
SIZES = (50, 200, 1000)
TRUE = (0.8, 0.97)
BEGIN, END = "<!-- coverage: made by benchmarks/coverage.py -->", "<!-- end of coverage -->"
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Cell:
    """A population and a size of test set."""

    family: str
    n: int
    prevalence: float
    clustered: bool
    true: float


@dataclass(frozen=True)
class Model:
    """What one model did on the drawn cases."""

    influences: Callable[[Ints], dict[str, Influence]]  # given the cluster of each case
    scores: Scorer


Drawn = tuple[
    Ints, list[Model], dict[str, float]
]  # cluster of each case, two models, true value of each score


# --- populations ----------------------------------------------------------------------------------------------


def clusters(rng: np.random.Generator, cell: Cell) -> Ints:
    """The patient of each film."""
    if not cell.clustered:
        return np.arange(cell.n)
    films = np.minimum(rng.geometric(1 / 3, cell.n), 10)
    return np.repeat(np.arange(cell.n), films)[: cell.n]


def shared(rng: np.random.Generator, of: Ints, share: float) -> Floats:
    """Standard normal, of which each cluster's films share ``share`` of the variance."""
    return np.sqrt(share) * rng.normal(size=of[-1] + 1)[of] + np.sqrt(1 - share) * rng.normal(size=len(of))


def two_models(rng: np.random.Generator, of: Ints, clustered: bool) -> list[Floats]:
    """What each of two models adds to the signal of each film: standard normal, alike in the hard films."""
    share = SHARED if clustered else 0.0
    common = shared(rng, of, share)
    return [np.sqrt(BOTH) * common + np.sqrt(1 - BOTH) * shared(rng, of, share) for _ in range(2)]


def diagnosis(rng: np.random.Generator, of: Ints, cell: Cell) -> NDArray[np.bool_]:
    """Who has it."""
    latent = shared(rng, of, SHARED_TRUTH if cell.clustered else 0.0)
    return latent > NormalDist().inv_cdf(1 - cell.prevalence)


def draw_auc(rng: np.random.Generator, cell: Cell) -> Drawn:
    of = clusters(rng, cell)
    truth = diagnosis(rng, of, cell).astype(np.float64)
    apart = NormalDist().inv_cdf(cell.true) * 2**0.5
    models = []
    for noise in two_models(rng, of, cell.clustered):
        output = apart * truth + noise
        models.append(
            Model(
                lambda clusters, output=output: (  # type: ignore[misc]
                    {"auc": of_area(truth, output, clusters)} if 0 < truth.sum() < len(truth) else {}
                ),
                Scorer(lambda w, output=output: {"auc": auc(truth, output, w)}, {"auc": cell.n}),  # type: ignore[misc]
            )
        )
    return of, models, {"auc": cell.true}


def draw_decisions(rng: np.random.Generator, cell: Cell) -> Drawn:
    of = clusters(rng, cell)
    sick = diagnosis(rng, of, cell)
    enters = {"sensitivity": sick, "specificity": ~sick}
    models = []
    for noise in two_models(rng, of, cell.clustered):
        right = noise < NormalDist().inv_cdf(cell.true)
        scores = rates(right, sick)
        models.append(Model(lambda clusters, s=scores: of_scorer(s, clusters, enters), scores))  # type: ignore[misc]
    return of, models, dict.fromkeys(("accuracy", "sensitivity", "specificity"), cell.true)


def rates(right: NDArray[np.bool_], sick: NDArray[np.bool_]) -> Scorer:
    """Accuracy, sensitivity and specificity."""

    def values(w: Floats) -> dict[str, Floats]:
        return {"accuracy": ratio(w @ right, w.sum(1)), "sensitivity": ratio(w @ (right & sick), w @ sick),
                "specificity": ratio(w @ (right & ~sick), w @ ~sick)}  # fmt: skip

    return Scorer(values, dict.fromkeys(("accuracy", "sensitivity", "specificity"), len(right)))


PIXELS = 10_000  # of an image
SPREAD = 20.0  # of Dice among the films that have the structure: Beta with this sum of parameters


def draw_dice(rng: np.random.Generator, cell: Cell) -> Drawn:
    of = clusters(rng, cell)
    models = [Model(lambda c, s=s: of_scorer(s, c), s) for s in masks(rng, of, cell, cell.true, ("dice",))]  # type: ignore[misc]
    return of, models, {"dice": true_overlap(cell.prevalence, cell.true)[0]}


def draw_miou(rng: np.random.Generator, cell: Cell) -> Drawn:
    of = clusters(rng, cell)
    dice, true = dice_for(cell.prevalence, cell.true)
    models = [Model(lambda c, s=s: of_scorer(s, c), s) for s in masks(rng, of, cell, dice, ("miou",))]  # type: ignore[misc]
    return of, models, {"miou": true}


def masks(
    rng: np.random.Generator, of: Ints, cell: Cell, dice: float, names: tuple[str, ...]
) -> list[Scorer]:
    """Two models on films of which a share ``prevalence`` has the structure."""
    there = np.where(diagnosis(rng, of, cell), PIXELS * 0.25 * np.exp(0.3 * rng.normal(size=len(of))), 0.0)
    return [overlaps(*counts(noise, there, dice), names) for noise in two_models(rng, of, cell.clustered)]


def counts(noise: Floats, there: Floats, dice: float) -> tuple[Floats, Floats, Floats]:
    """Pixels [N, 2] of background and structure: in both, in the truth, said."""
    grid, quantile = beta_quantiles(dice)
    good = np.interp(noise, grid, quantile)
    said = np.where(there > 0, there, np.where(noise > -NormalDist().inv_cdf(dice), 0.0, PIXELS * 0.02))
    both = np.where(there > 0, good * there, 0.0)  # equal areas: Dice is the shared part
    return tuple(np.stack([PIXELS - there - said + both, both], 1) if i == 0 else np.stack([PIXELS - x, x], 1)
                 for i, x in enumerate((both, there, said)))  # type: ignore[return-value]  # fmt: skip


@cache
def beta_quantiles(mean: float) -> tuple[Floats, Floats]:
    """Quantiles of a Beta distribution at those of the normal one, by summing its density."""
    x = (np.arange(200_000) + 0.5) / 200_000
    log = (mean * SPREAD - 1) * np.log(x) + ((1 - mean) * SPREAD - 1) * np.log1p(-x)
    total = np.cumsum(np.exp(log - log.max()))
    normal = np.linspace(-5, 5, 2001)
    return normal, np.interp([NormalDist().cdf(z) for z in normal], total / total[-1], x)


def overlaps(both: Floats, there: Floats, said: Floats, names: tuple[str, ...]) -> Scorer:
    """Dice and mIoU of one structure, as ``muscle.metrics`` has them."""
    size, union = (there + said)[:, 1], there + said - both
    dice = np.where(size > 0, 2 * both[:, 1] / np.maximum(size, 1), 1.0)

    def values(w: Floats) -> dict[str, Floats]:
        present = w @ there > 0
        found = {}
        if "dice" in names:
            found["dice"] = np.where(present[:, 1], ratio(w @ dice, w.sum(1)), np.nan)
        if "miou" in names:
            found["miou"] = np.nanmean(np.where(present, ratio(w @ both, w @ union), np.nan), axis=1)
        return found

    return Scorer(values, dict.fromkeys(names, len(dice)))


@cache
def true_overlap(prevalence: float, dice: float, films: int = 1_000_000) -> tuple[float, float]:
    """Dice and mIoU of the whole population, from many films."""
    rng = np.random.default_rng(0)
    cell = Cell("dice", films, prevalence, False, dice)
    scores = masks(rng, np.arange(cell.n), cell, dice, ("dice", "miou"))[0].values(np.ones((1, cell.n)))
    return float(scores["dice"][0]), float(scores["miou"][0])


@cache
def dice_for(prevalence: float, miou: float) -> tuple[float, float]:
    """The Dice of films with the structure that gives this mIoU, and the mIoU that it gives."""
    low, high = 0.3, 0.999
    for _ in range(10):
        middle = (low + high) / 2
        low, high = (middle, high) if true_overlap(prevalence, middle, 50_000)[1] < miou else (low, middle)
    return low, true_overlap(prevalence, low)[1]


def draw_ap50(rng: np.random.Generator, cell: Cell) -> Drawn:
    of = clusters(rng, cell)
    apart, true = apart_for(cell.prevalence, cell.true)
    scores, boxes = detections(rng, of, cell, apart)
    enters = {"ap50": boxes > 0}
    return of, [Model(lambda c, s=s: of_scorer(s, c, enters), s) for s in scores], {"ap50": true}  # type: ignore[misc]


def detections(rng: np.random.Generator, of: Ints, cell: Cell, apart: float) -> tuple[list[Scorer], Ints]:
    """Two models that find boxes on films of which a share ``prevalence`` has some."""
    boxes = np.where(diagnosis(rng, of, cell), 1 + rng.poisson(0.5, len(of)), 0)
    image = np.repeat(np.arange(len(of)), boxes)
    found, models = 0.935 if cell.true < 0.9 else 0.985, []
    for noise in two_models(rng, of, cell.clustered):
        alarms = np.repeat(np.arange(len(of)), rng.poisson(0.5, len(of)))
        hit = image[rng.random(len(image)) < found]
        where = np.concatenate([hit, alarms])
        right = np.arange(len(where)) < len(hit)
        sign = np.where(right, 1.0, -1.0)  # a hard film blurs hits and alarms alike
        confidence = apart * right + (sign * noise[where] + rng.normal(size=len(where))) / 2**0.5
        order = np.argsort(-confidence, kind="stable")
        models.append(precision(where[order], right[order], boxes.astype(np.float64)))
    return models, boxes


def precision(image: Ints, right: NDArray[np.bool_], boxes: Floats) -> Scorer:
    """AP50 of one class, as ``muscle.metrics`` has it: detections best first."""
    hit = np.flatnonzero(right)

    def values(w: Floats) -> dict[str, Floats]:
        total, area = w @ boxes, np.full(len(w), np.nan)
        for t in np.flatnonzero(total > 0):
            drawn = w[t, image]
            hits = np.cumsum(drawn[hit])
            best = np.maximum.accumulate(ratio(hits, np.cumsum(drawn)[hit], 0.0)[::-1])[::-1]
            reached = np.searchsorted(hits / total[t], RECALLS)
            area[t] = best[reached[reached < len(hit)]].sum() / len(RECALLS)
        return {"ap50": area}

    return Scorer(values, {"ap50": len(boxes)})


@cache
def apart_for(prevalence: float, ap50: float) -> tuple[float, float]:
    """How far hits score above alarms for this AP50, and the AP50 that it gives, from 400,000 films."""

    def reached(apart: float, films: int = 40_000) -> float:
        cell = Cell("ap50", films, prevalence, False, ap50)
        scores = detections(np.random.default_rng(0), np.arange(cell.n), cell, apart)[0][0]
        return float(scores.values(np.ones((1, cell.n)))["ap50"][0])

    low, high = 0.0, 8.0
    for _ in range(10):
        middle = (low + high) / 2
        low, high = (middle, high) if reached(middle) < ap50 else (low, middle)
    return low, reached(low, 400_000)


def draw_mae(rng: np.random.Generator, cell: Cell) -> Drawn:
    of = clusters(rng, cell)
    models = []
    for noise in two_models(rng, of, cell.clustered):
        error = np.abs(noise)
        s = Scorer(
            lambda w, e=error: {"mae": ratio(w @ e, w.sum(1))},
            {"mae": cell.n},
            {"mae": (0.0, np.inf)},  # type: ignore[misc]
        )
        models.append(Model(lambda c, s=s: of_scorer(s, c), s))  # type: ignore[misc]
    return of, models, {"mae": (2 / np.pi) ** 0.5}


def ratio(above: Any, below: Any, otherwise: float = np.nan) -> Floats:
    """The one by the other, ``otherwise`` where the other is 0."""
    return np.divide(above, below, out=np.full(np.shape(above), otherwise), where=np.asarray(below) > 0)


DRAW = {"auc": draw_auc, "decisions": draw_decisions, "dice": draw_dice, "miou": draw_miou, "ap50": draw_ap50,
        "mae": draw_mae}  # fmt: skip

METRICS = ("auc", "accuracy", "sensitivity", "specificity", "dice", "miou", "ap50", "mae")


def cells(families: list[str]) -> list[Cell]:
    """The study, the dearest first."""
    prevalences = {"dice": (0.5, 1 - 1e-9), "miou": (0.5, 1 - 1e-9), "mae": (1.0,)}
    return [
        Cell(family, n, prevalence, clustered, true)
        for n in reversed(SIZES)
        for family in families
        for prevalence in prevalences.get(family, (0.5, 0.2))
        for clustered in (False, True)
        for true in ((1.0,) if family == "mae" else TRUE)
    ]


# --- counting -------------------------------------------------------------------------------------------------


def share(hits: int, of: int) -> dict[str, float | int]:
    """A share with its Monte-Carlo standard error."""
    rate = hits / of if of else float("nan")
    return {
        "share": round(rate, 4),
        "error": round((max(rate * (1 - rate), 0) / max(of, 1)) ** 0.5, 4),
        "of": of,
    }


def measured(job: tuple[Cell, int]) -> list[dict[str, Any]]:
    """One row for each score of a cell."""
    cell, sims = job
    rng = np.random.default_rng(zlib.crc32(repr(cell).encode()))
    count: dict[str, dict[str, list[float]]] = {}
    truths: dict[str, float] = {}
    for i in range(sims):
        of, (first, second), truths = DRAW[cell.family](rng, cell)
        alone = np.arange(cell.n)
        a, b = first.influences(of), second.influences(of)
        others = i % OTHERS_EVERY == 0
        by_image = (first.influences(alone) if cell.clustered else a) if others else {}
        paper = percentiles(first.scores, alone, PAPER_TRIALS, i, LEVEL) if others else {}
        for name, true in truths.items():
            if name not in a:
                continue
            note = count.setdefault(
                name,
                {k: [] for k in ("default", "width", "stamped", "when", "image", "paper", "wolf", "quiet")},
            )
            found = interval(name, a[name])
            held = found.low <= true <= found.high
            note["default"].append(held)
            note["width"].append(found.high - found.low)
            note["stamped"].append(not found.reliable)
            if found.reliable:
                note["when"].append(held)
            if name in by_image:
                wide = interval(name, by_image[name])
                note["image"].append(wide.low <= true <= wide.high)
            if name in paper:
                note["paper"].append(paper[name][0] <= true <= paper[name][1])
            if name in b:
                test = difference(name, [a[name]], [b[name]])
                note["wolf"].append(test.p <= 1 - LEVEL)
                note["quiet"].append(not test.reliable)
    rows = []
    for name, note in count.items():
        shares = {
            k: share(int(sum(note[k])), len(note[k]))
            for k in ("default", "image", "paper", "stamped", "when", "wolf", "quiet")
        }
        rows.append(
            {"metric": name, "n": cell.n, "prevalence": round(cell.prevalence, 3), "clustered": cell.clustered,
             "true": round(truths[name], 5), "target": cell.true, "sims": sims,
             "width": round(float(np.mean(note["width"])), 4), **shares}
        )  # fmt: skip
    return rows


# --- the table ------------------------------------------------------------------------------------------------


def said(found: dict[str, Any]) -> str:
    """A share in per cent with its Monte-Carlo error."""
    return f"{100 * found['share']:.1f} ± {100 * found['error']:.1f}" if found["of"] else "–"


def holds(row: dict[str, Any]) -> bool:
    return bool(0.93 <= row["default"]["share"] <= 0.97)


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: one table a metric, then what did not hold."""
    parts = []
    head = ("n", "share", "films", "true", "default", "images", "paper", "width", "stamped", "type I")
    for metric in dict.fromkeys(row["metric"] for row in rows):
        parts.append(f"\n### {metric}\n\n| {' | '.join(head)} |\n|{'--:|' * 2}:--|{'--:|' * 7}\n")
        for row in (r for r in rows if r["metric"] == metric):
            mark = "" if holds(row) else " *"
            images = said(row["image"]) if row["clustered"] else "same"
            cells = (
                row["n"], f"{row['prevalence']:.1f}", "clustered" if row["clustered"] else "one each",
                f"{row['true']:.3f}", said(row["default"]) + mark, images, said(row["paper"]), f"{row['width']:.3f}",
                f"{100 * row['stamped']['share']:.0f} %", said(row["wolf"]),
            )  # fmt: skip
            parts.append(f"| {' | '.join(map(str, cells))} |\n")
    return "".join(parts) + summary(rows)


def summary(rows: list[dict[str, Any]]) -> str:
    """What did not hold, in words."""
    wrong = [row for row in rows if not holds(row)]
    low = [row for row in wrong if row["default"]["share"] < 0.93]
    unstamped = [row for row in wrong if row["stamped"]["share"] < 0.5]
    spared = [row for row in rows if holds(row) and row["stamped"]["share"] >= 0.5]
    tests = [row for row in rows if not 0.03 <= row["wolf"]["share"] <= 0.07]
    loud = [row for row in tests if row["wolf"]["share"] > 0.07]
    silent = [row for row in tests if row not in loud and row["quiet"]["share"] < 0.5]
    clustered = [row for row in rows if row["clustered"]]
    images = [row for row in clustered if row["image"]["share"] < 0.93]
    others = [row for row in wrong if any(0.93 <= row[k]["share"] <= 0.97 for k in ("image", "paper"))]
    held, below, above = len(rows) - len(wrong), len(low), len(wrong) - len(low)
    careful = len(tests) - len(loud)
    return f"""
### What does not hold

The default interval holds the true value 93 to 97 times in 100 in {held} of {len(rows)} cells. In {len(wrong)}
(marked *) it does not: it is too narrow in {below} and too wide in {above}. Neither of the other two intervals does
there, but in {len(others)}. In {len(wrong) - len(unstamped)} of the {len(wrong)} the software calls most draws
unreliable; it also does in {len(spared)} cells that do hold. The interval over single images is too narrow in
{len(images)} of {len(clustered)} clustered cells.

Too narrow:{listed(low)}

Too narrow or too wide, and not stamped in most draws:{listed(unstamped)}

The paired test finds a difference where there is none 3 to 7 times in 100 in {len(rows) - len(tests)} cells, more often
in {len(loud)}, more rarely (it errs on the careful side) in {careful}; of these the software says "too few cases
to say" in most draws of {careful - len(silent)}.

More often:{listed(loud, "wolf")}

More rarely, and not called too few:{listed(silent, "wolf")}
"""


def listed(rows: list[dict[str, Any]], key: str = "default") -> str:
    """The cells in words, each with its share in per cent."""
    words = []
    for row in rows:
        films = ", clustered" if row["clustered"] else ""
        cell = f"{row['metric']} {row['true']:.2f}, n {row['n']}, share {row['prevalence']:.1f}{films}"
        words.append(f"- {cell}: {said(row[key])}")
    return "\n\n" + "\n".join(words) if words else " none."


def write_table(rows: list[dict[str, Any]], page: Path) -> None:
    """Replaces what stands between the marks of the page."""
    before, _, rest = page.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{table(rows)}\n{END}{after}", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sims", type=int, default=2000, help="test sets a cell")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument(
        "--only", default=",".join(DRAW), help="families of scores; the others keep their rows"
    )
    parser.add_argument("--table", action="store_true", help="only writes the page from the JSON")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "coverage.json")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "statistics.md")
    asked = parser.parse_args()
    result = json.loads(asked.out.read_text()) if asked.out.exists() else {"runs": [], "rows": []}
    if not asked.table:
        start, about = time.perf_counter(), provenance(Machine(device="cpu", threads=1))
        jobs = [(cell, asked.sims) for cell in cells(asked.only.split(","))]
        rows: list[dict[str, Any]] = []
        with multiprocessing.get_context("spawn").Pool(asked.jobs) as pool:
            for done, found in enumerate(pool.imap_unordered(measured, jobs), 1):
                rows += found
                print(f"{done} of {len(jobs)} cells, {time.perf_counter() - start:.0f} s", flush=True)
        new = {row["metric"] for row in rows}
        rows += [row for row in result["rows"] if row["metric"] not in new]
        order = list(METRICS)
        rows.sort(
            key=lambda r: (order.index(r["metric"]), r["n"], -r["prevalence"], r["clustered"], r["target"])
        )
        older = [run | {"metrics": [m for m in run["metrics"] if m not in new]} for run in result["runs"]]
        run = {
            "metrics": sorted(new), "command": about["command"], "commit": about["commit"], "machine": about["machine"],
            "versions": {k: about["versions"][k] for k in ("numpy", "python")}, "jobs": asked.jobs,
            "wall_s": round(time.perf_counter() - start), "load average": round(os.getloadavg()[0], 1),
        }  # fmt: skip
        result = {"runs": [*(run for run in older if run["metrics"]), run], "rows": rows}
        asked.out.write_text(json.dumps(result, indent=1) + "\n")
    write_table(result["rows"], asked.page)


if __name__ == "__main__":
    main()
