"""Who is better than whom: paired differences against a baseline, corrected over the whole table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import isfinite

from muscle.errors import UserError
from muscle.predictions import Predictions
from muscle.report.scores import MAIN, Group, grouped
from muscle.report.tables import SHORT, Cell, Results, Table, number, word
from muscle.statistics.comparison import Difference, difference, holm, same_cases, verdict
from muscle.statistics.influence import Influence, influences

BASELINE = "scratch"
# What the paper claims beside "better than the baseline": the continual stage helps, and needs its two tricks.
CLAIMS = (("muscle", "md-moco"), ("muscle", "muscle-naive"))

Load = Callable[[str], Predictions]


@dataclass(frozen=True, slots=True)
class Pair:
    """A against B on one task with one backbone, by the task's main score.

    Attributes:
        found: A minus B; ``None`` where there is none, and ``why`` says why.
        p: Holm's, over all pairs of the report; NaN without a difference.
        seeds: trainings of A and of B.
    """

    task: str
    backbone: str
    score: str
    a: Group | str
    b: Group | str
    found: Difference | None = None
    p: float = float("nan")
    why: str = ""

    @property
    def names(self) -> tuple[str, str]:
        """A and B as the tables call them."""
        a, b = (side.title if isinstance(side, Group) else side for side in (self.a, self.b))
        return a, b

    @property
    def seeds(self) -> tuple[int, int]:
        """Trainings of A and of B."""
        a, b = (len(side.cells) if isinstance(side, Group) else 0 for side in (self.a, self.b))
        return a, b

    @property
    def sentence(self) -> str:
        """One of the three fixed sentences, or why there is no difference."""
        return self.why if self.found is None else verdict(self.found, *self.names, self.task, self.p)


def baseline_of(results: Results, wanted: str | None = None) -> str:
    """The recipe that all are compared with: the one wanted, else scratch where it is, else the first; "" of none.

    Raises:
        UserError: neither a recipe nor a probed start of these results.
    """
    recipes = list(dict.fromkeys(cell["recipe"] for cell in results["cells"]))
    starts = [entry["start"] for entry in results.get("probes", [])]
    if wanted is not None and wanted not in (*recipes, *starts):
        known = ", ".join(dict.fromkeys((*recipes, *starts))) or "none"
        raise UserError(f"--baseline {wanted}: no such recipe here; there are {known}")
    return next((name for name in (wanted, BASELINE, *recipes) if name in recipes), "")


def pairs(results: Results, baseline: str, load: Load) -> list[Pair]:
    """Every recipe against the baseline, and MUSCLE against what the paper holds beside it, on every task.

    Several seeds a side: their means are compared, with the spread over seeds (``comparison.difference``). What cannot
    be compared is in the list as well: a recipe that other tasks have and this one has not is "not run"; models that
    were judged on other cases are not compared, for their difference would mean something else.
    """
    groups = grouped(results)
    titles = {g.recipe: g.title for g in groups}
    wanted = [(recipe, baseline) for recipe in titles if recipe != baseline]
    wanted += [(a, b) for a, b in CLAIMS if a in titles and b in titles and b != baseline != a]
    made = []
    for task, backbone in dict.fromkeys((g.task, g.backbone) for g in groups):
        here = {g.recipe: g for g in groups if (g.task, g.backbone) == (task, backbone)}
        kind = next(iter(here.values())).kind
        # Recipes of one title may be one row, each on tasks of its own: another of them has this task
        shown = {g.title for g in here.values()}
        elsewhere = {recipe for recipe in titles if recipe not in here and titles[recipe] in shown}
        judged = _Judged(MAIN[kind], load)
        made += [
            judged.pair(Pair(task, backbone, MAIN[kind], here.get(a, titles[a]), here.get(b, titles[b])))
            for a, b in wanted
            if not elsewhere & {a, b}
        ]
    tested = [i for i, pair in enumerate(made) if pair.found is not None]
    adjusted = holm([pair.found.p for pair in made if pair.found is not None])
    for i, p in zip(tested, adjusted, strict=True):
        made[i] = replace(made[i], p=p)
    return made


class _Judged:
    """The models of one task, each read and judged once however many pairs it is in."""

    def __init__(self, score: str, load: Load) -> None:
        self.score, self.load = score, load
        self.cases: list[Predictions] = []  # one a list of cases: mostly one
        self.known: dict[str, tuple[int, list[Influence]] | str] = {}

    def pair(self, pair: Pair) -> Pair:
        """With its difference, or with why there is none."""
        if not isinstance(pair.a, Group) or not isinstance(pair.b, Group):
            lacking = [name for name, n in zip(pair.names, pair.seeds, strict=True) if not n]
            return replace(pair, why=f"{' and '.join(lacking)} not run")
        sides = [self._runs(side) for side in (pair.a, pair.b)]
        for title, side in zip(pair.names, sides, strict=True):
            if isinstance(side, str):
                return replace(pair, why=f"{title}: {side}")
        (of, a), (other, b) = (side for side in sides if not isinstance(side, str))
        if of != other:
            return replace(pair, why="not compared: judged on other cases")
        return replace(pair, found=difference(self.score, a, b))

    def _runs(self, group: Group) -> tuple[int, list[Influence]] | str:
        """Which list of cases, and the influences of each seed; or why there are none."""
        if group.recipe not in self.known:
            try:
                self.known[group.recipe] = self._judge(group.cells)
            except UserError as error:
                self.known[group.recipe] = f"predictions cannot be used ({str(error).partition(';')[0]})"
        return self.known[group.recipe]

    def _judge(self, cells: Sequence[Results]) -> tuple[int, list[Influence]] | str:
        places, made = set(), []
        for cell in cells:
            if not cell.get("predictions"):
                return "no predictions kept"
            place, run = self._placed(self.load(cell["predictions"]))
            places.add(place)
            found = influences(run).get(self.score) if len(run) else None
            if found is None:
                return _undefined(cell, self.score)
            made.append(found)
        return (places.pop(), made) if len(places) == 1 else "its seeds were judged on other cases"

    def _placed(self, run: Predictions) -> tuple[int, Predictions]:
        run.refuse_nan()
        for i, known in enumerate(self.cases):
            try:
                return i, same_cases(known, run)
            except UserError:
                continue
        same_cases(run, run)  # no case twice
        self.cases.append(run)
        return len(self.cases) - 1, run


def _undefined(cell: Results, score: str) -> str:
    """Why the cases of a cell define no such score."""
    if cell.get("status", "ok") == "ok":
        return f"its cases define no {SHORT[score]}"
    said = "too few cases to say" if cell["status"] == "n too small" else cell["status"]
    return f"{said} ({cell['why']})"


def beside(found: Sequence[Pair], baseline: str) -> Callable[[Group], Cell]:
    """For each row of the score tables its difference from the baseline in points, with interval and Holm's p."""
    of = {
        (pair.task, pair.backbone, pair.a.recipe): pair
        for pair in found
        if isinstance(pair.a, Group) and isinstance(pair.b, Group) and pair.b.recipe == baseline
    }

    def field(group: Group) -> Cell:
        if group.recipe == baseline:
            return Cell("baseline", numbers=("", "", ""))
        pair = of.get((group.task, group.backbone, group.recipe))
        if pair is None or pair.found is None:
            return Cell("not compared", pair.why if pair else "", ("", "", ""), mark="said" if pair else "")
        if not pair.found.reliable:
            return Cell("no verdict", pair.found.why, ("", "", ""), mark="said")
        f = pair.found
        return Cell(
            f"{100 * f.value:+.2f}", f"{in_points(f)},\np {shown_p(pair.p)}", (f.value, f.low, f.high)
        )

    return field


def table(found: Sequence[Pair]) -> Table:
    """Task, score, A against B, the difference with interval and p, and what it says."""
    rows = []
    for pair in found:
        a, b = pair.names
        what = [word(pair.task), word(pair.backbone), word(SHORT[pair.score]), word(a), word(b)]
        seeds = " / ".join(map(str, dict.fromkeys(pair.seeds)))
        f = pair.found
        if f is None:
            none = Cell("–", numbers=("",))
            rows.append((*what, Cell(pair.sentence), none, none, none, word(seeds), none))
            continue
        shown = [
            Cell(f"{100 * f.value:+.2f}", in_points(f), (f.value, f.low, f.high)),
            Cell(shown_p(f.p), numbers=(f.p,)),
            Cell(shown_p(pair.p), numbers=(pair.p,)),
        ]
        if not f.reliable:  # a number beside "too few cases" would be read all the same
            shown = [Cell("–", numbers=("", "", "")), *[Cell("–", numbers=("",))] * 2]
        said = Cell(pair.sentence, f.why, (pair.sentence,))
        rows.append((*what, said, *shown, word(seeds), number(f.n)))
    head = ("Task", "Backbone", "Score", "A", "B", "The data say", "A − B", "p", "p (Holm)", "Seeds", "Cases")
    return Table(head, tuple(rows), words=6)


def in_points(f: Difference) -> str:
    """The interval of a difference."""
    return f"{100 * f.low:+.2f} to {100 * f.high:+.2f}" if isfinite(f.low + f.high) else "unknown"


def shown_p(p: float) -> str:
    """Three digits without the zero before them."""
    return "<.001" if p < 0.001 else f"{p:.3f}".lstrip("0") if p < 0.9995 else "1"
