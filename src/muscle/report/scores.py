"""The tables of scores: the paper's Tables 2 and 3 in form, and every score in a row of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import isfinite

from muscle.report.tables import SHORT, Cell, Results, Table, number, word

DOUBT = "†"  # an interval that is not to be believed
METRIC_COLUMNS = 8  # of one Table 3; more tasks begin another, so that it still prints on a page

# Columns of the paper's tables 2 and 3; `name:<class>` columns follow where there are several classes.
COLUMNS = {
    "labels": ("accuracy", "sensitivity", "specificity", "auc"),
    "mask": ("dice", "miou"),
    "boxes": ("ap50",),
}
MAIN = {"labels": "auc", "mask": "dice", "boxes": "ap50"}  # the score that a kind of task is drawn by


@dataclass(frozen=True, slots=True)
class Group:
    """The cells of one recipe on one task with one backbone: one a seed."""

    task: str
    backbone: str
    recipe: str
    title: str
    kind: str
    classes: tuple[str, ...]
    cells: tuple[Results, ...]

    def mean(self, metric: str) -> tuple[float, float, float, int] | None:
        """Value, low, high: each averaged over the seeds that have it, NaN where unknown; and the number of cases."""
        found = [cell["metrics"][metric] for cell in self.cells if metric in cell["metrics"]]
        if not found:
            return None
        ends = [[float("nan") if f[k] is None else f[k] for f in found] for k in ("value", "low", "high")]
        value, low, high = (sum(end) / len(found) for end in ends)
        return value, low, high, max(int(f["n"]) for f in found)

    def doubted(self, metric: str) -> bool:
        """Whether the interval of any seed is not to be believed."""
        return any(not cell["metrics"].get(metric, {}).get("reliable", True) for cell in self.cells)


@dataclass(frozen=True, slots=True)
class Beside:
    """One more column of a task: each row's difference from ``name``, by the task's main score."""

    name: str
    of: Callable[[Group], Cell]

    def head(self, metric: str) -> str:
        """The column's name."""
        return f"{SHORT[metric]} − {self.name}"


def grouped(results: Results, kinds: Sequence[str] = ("labels", "mask", "boxes")) -> list[Group]:
    """The cells by task, backbone, recipe, each in the order in which it first occurs; seeds ascending.

    Recipes that share a title and a task, as a copy with one setting changed, have their names beside it.
    """
    unclear = _unclear(results)
    cells = [cell for cell in results["cells"] if cell["kind"] in kinds]
    orders = [list(dict.fromkeys(cell[k] for cell in cells)) for k in ("task", "backbone", "recipe")]
    groups: dict[tuple[int, ...], list[Results]] = {}
    for cell in cells:
        place = tuple(o.index(cell[k]) for o, k in zip(orders, ("task", "backbone", "recipe"), strict=True))
        groups.setdefault(place, []).append(cell)
    return [
        Group(c[0]["task"], c[0]["backbone"], c[0]["recipe"],
              f"{c[0]['title']} ({c[0]['recipe']})" if c[0]["title"] in unclear else c[0]["title"], c[0]["kind"],
              tuple(c[0]["classes"]),
              tuple(sorted(c, key=lambda cell: cell["seed"])))
        for _, c in sorted(groups.items())
    ]  # fmt: skip


def _unclear(results: Results) -> set[str]:
    """Titles that two recipes have on one task: "MUSCLE is better than MUSCLE" would say nothing."""
    recipes: dict[tuple[str, ...], set[str]] = {}
    for cell in results["cells"]:
        recipes.setdefault((cell["title"], cell["task"], cell["backbone"]), set()).add(cell["recipe"])
    return {title for (title, *_), found in recipes.items() if len(found) > 1}


def cautions(groups: Iterable[Group]) -> str:
    """What the test parts of these tasks cannot show, as a sentence for a caption; empty where nothing."""
    said: dict[str, None] = {}
    for g in groups:
        for cell in g.cells:
            lacks = "; ".join(f"{name}: {what} case" for name, what in (cell.get("absent") or {}).items())
            if cell.get("status", "ok") != "ok":
                said[f"{g.task}: {cell['status']} ({cell['why']})"] = None
            elif lacks:
                said[f"{g.task}: {lacks}"] = None
    return f" The test part cannot show all: {'. '.join(said)}." if said else ""


def positives(groups: Iterable[Group]) -> str:
    """Of each task of two classes which one is the positive, as a sentence for a caption; empty without such."""
    two = [g for g in groups if g.kind == "labels" and len(g.classes) == 2 and g.cells[0].get("exclusive")]
    said = {g.task: g.classes[1] for g in two}
    return (
        f" Positive, of two: {', '.join(f'{task}: {name}' for task, name in said.items())}." if said else ""
    )


def few_labels(groups: Iterable[Group]) -> str:
    """Which rows learned from a part of the labels, as a sentence for a caption; empty where all had all."""
    shares: dict[float, dict[str, None]] = {}
    for g in groups:
        for cell in g.cells:
            shares.setdefault(cell.get("labels", 1.0), {})[g.title] = None
    few = {share: titles for share, titles in shares.items() if share < 1}
    said = [
        f"{100 * share:g} %" + ("" if len(shares) == 1 else f" ({', '.join(titles)})")
        for share, titles in few.items()
    ]
    return (
        f" Fine-tuned on a share of the annotated patients, drawn anew for each seed: {', '.join(said)}."
        if few
        else ""
    )


def _rivals(group: Group, groups: list[Group]) -> list[Group]:
    return [g for g in groups if (g.task, g.backbone) == (group.task, group.backbone) and g is not group]


def score_cell(group: Group | None, metric: str, groups: list[Group]) -> Cell:
    """A score in percent with its interval, stamped where that is not to be believed; bold above all its rivals'.

    Bold claims an order, so not where an interval of these is stamped.
    """
    found = group.mean(metric) if group else None
    if group is None:
        return Cell("not run", numbers=("", "", ""))
    if found is None:
        return Cell("–", numbers=("", "", ""))
    value, low, high, _ = found
    others = [o for o in (g.mean(metric) for g in _rivals(group, groups)) if o is not None]
    believed = not any(g.doubted(metric) for g in (group, *_rivals(group, groups)))
    strong = bool(others) and believed and all(low > other[2] for other in others)
    note = f"{100 * low:.2f}–{100 * high:.2f}" if isfinite(low + high) else "unknown"
    if group.doubted(metric):
        note += f" {DOUBT}"
    return Cell(f"{100 * value:.2f}", note, (value, low, high), strong)


def _range(counts: Iterable[int]) -> str:
    known = sorted(set(counts))
    return "–" if not known else f"{known[0]}" if len(known) == 1 else f"{known[0]}–{known[-1]}"


def _cases(groups: Iterable[Group]) -> str:
    """Of each cell the score with the most cases: a sensitivity has fewer."""
    metrics = [cell["metrics"].values() for g in groups for cell in g.cells if cell["metrics"]]
    return _range(max(int(m["n"]) for m in found) for found in metrics)


def _counts(groups: list[Group]) -> str:
    seeds = _range(len(g.cells) for g in groups)
    return f"{_cases(groups)} cases, {seeds} seed{'' if seeds == '1' else 's'}"


def classification(results: Results, beside: Beside | None = None) -> Table:
    """Table 2: data set x backbone x pre-training; accuracy, sensitivity, specificity, AUC, difference of the AUC."""
    groups = grouped(results, ("labels",))
    rows = [
        (word(g.task), word(g.backbone), word(g.title), *(score_cell(g, m, groups) for m in COLUMNS["labels"]),
         *([beside.of(g)] if beside else []), number(len(g.cells)), word(_cases([g])))
        for g in groups
    ]  # fmt: skip
    head = ("Data set", "Backbone", "Pre-train", *(SHORT[m] for m in COLUMNS["labels"]),
            *([beside.head("auc")] if beside else []), "Seeds", "Cases")  # fmt: skip
    return Table(head, tuple(rows), words=3)


def dense_pages(results: Results) -> list[dict[str, list[str]]]:
    """The tasks of each Table 3, with their scores: as many tables as are needed."""
    groups = grouped(results, ("mask", "boxes"))
    columns: dict[str, list[str]] = {}
    for g in groups:
        name = COLUMNS[g.kind][0]
        each = [f"{name}:{c}" for c in g.classes] if len(g.classes) > 1 else []
        columns.setdefault(g.task, [*COLUMNS[g.kind], *each])
    pages: list[dict[str, list[str]]] = []
    for task, metrics in columns.items():
        if not pages or sum(map(len, pages[-1].values())) + len(metrics) > METRIC_COLUMNS:
            pages.append({})
        pages[-1][task] = metrics
    return pages


def dense(results: Results, columns: dict[str, list[str]], beside: Beside | None = None) -> Table:
    """Table 3: backbone x pre-training; Dice and mIoU, mAP and AP50 of each class, and the difference of the first."""
    groups = grouped(results, ("mask", "boxes"))
    here = [g for g in groups if g.task in columns]
    # A row is a title: recipes that share one share no task (``grouped``), as those that each leave one task out.
    titles = dict.fromkeys((g.backbone, g.title) for g in here)
    backbones = list(dict.fromkeys(g.backbone for g in here))
    rows = []
    for backbone, title in sorted(titles, key=lambda key: backbones.index(key[0])):
        mine = {g.task: g for g in here if (g.backbone, g.title) == (backbone, title)}
        row = [word(backbone), word(title)]
        for task, metrics in columns.items():
            group = mine.get(task)
            row += [score_cell(group, metric, groups) for metric in metrics]
            if beside:
                row.append(beside.of(group) if group else Cell("not run", numbers=("", "", "")))
        rows.append(tuple(row))
    heads = {
        task: [score_name(metric) for metric in metrics] + ([beside.head(metrics[0])] if beside else [])
        for task, metrics in columns.items()
    }
    spans = tuple(
        (f"{t} ({_counts([g for g in here if g.task == t])})", len(names)) for t, names in heads.items()
    )
    head = [name for names in heads.values() for name in names]
    return Table(("Backbone", "Pre-train", *head), tuple(rows), (("", 2), *spans), words=2)


def score_name(metric: str) -> str:
    """As the tables call a score: the paper's name, and the class."""
    name, _, of = metric.partition(":")
    if of:
        return f"{'AP50' if name == 'ap50' else SHORT[name]} {of}"
    return SHORT.get(name, name)


def scores(results: Results) -> Table:
    """Every number: one row a recipe, task, backbone, seed and metric."""
    rows = []
    for cell in results["cells"]:
        same = [word(cell[k]) for k in ("task", "kind", "backbone", "recipe", "title")]
        for metric, m in cell["metrics"].items():
            values = [number(m[k], 4) for k in ("value", "low", "high")]
            said = [word(m.get("method")), word(m.get("why"))]
            rows.append((*same, word(cell["seed"]), word(metric), *values, number(m["n"]), *said))
    head = ("task", "kind", "backbone", "recipe", "title", "seed", "metric", "value", "low", "high", "n", "method",
            "unreliable")  # fmt: skip
    return Table(head, tuple(rows), words=7)


def random_init(results: Results) -> Table:
    """What the same measurement gives without any training, where a cell has it."""
    rows = []
    for cell in results["cells"]:
        for metric, m in (cell.get("random_init") or {}).items():
            value = m.get("value") if isinstance(m, dict) else m
            same = [word(cell[k]) for k in ("task", "backbone", "title", "seed")]
            rows.append((*same, word(metric), number(value, 4)))
    return Table(("Task", "Backbone", "Beside", "Seed", "Score", "Random init"), tuple(rows), words=5)
