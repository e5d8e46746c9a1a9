"""Which tables and figures a report has, and how each is made from the results and the files they name."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from muscle.data.store import Store
from muscle.predictions import Predictions
from muscle.report import (
    checklist,
    compute,
    differences,
    figures,
    probes,
    quality,
    quoted,
    scores,
    subgroups,
    tables,
)
from muscle.report.captions import (
    AGAINST,
    BOXES,
    CURVES,
    DENSE,
    DIFFERENCES,
    FOREST,
    FROC,
    MATRIX,
    MISSING,
    MODELS,
    OVERLAYS,
    RANDOM,
    RELIABILITY,
    ROC,
    SCORES,
    SOURCES,
    STAGES,
    TRANSFER,
)
from muscle.report.curves import read_log, training_curves
from muscle.report.figures import Picture
from muscle.report.scores import Beside, Group
from muscle.report.tables import Results, Table

SHEET = 16  # films on a contact sheet


EXTRA_SCORES = (
    ("average", "Mean over tasks of the score at the end, recomputed:", ".3f"),
    (
        "forward_transfer",
        "Forward transfer (frozen features just before a task's first turn, less at the start):",
        "+.3f",
    ),
)

ORDER = (
    "data",
    "classification",
    "dense",
    "differences",
    "frozen",
    "training",
    "forgetting",
    "provenance",
    "checklist",
    "files",
)  # of the sections

Make = Callable[[], Table | Picture]


class Absent(Exception):
    """The data do not allow this table or figure; the message says why."""


@dataclass(frozen=True, slots=True)
class Item:
    """One table or figure that the results call for: where it stands, and how it is made."""

    name: str  # unique; also the name of a table's files
    section: str
    title: str
    caption: str
    make: Callable[[], Table | Picture]
    half: bool = False  # narrow enough for two side by side
    folded: bool = False  # long: closed on the screen until opened
    listed: bool = True  # on the page, not only as files


def plan(results: Results, out: Path, baseline: str | None = None) -> list[Item]:
    """Every table and figure that these results call for, in the order of the page.

    Raises:
        UserError: a baseline that these results do not have.
    """
    items = []
    if results["sources"]:
        items.append(
            Item("table1", "data", "Data sets as counted here", SOURCES, partial(tables.sources, results))
        )
    if missing := results["missing"]:
        title = f"Not in the tables: {len(missing)} cells that were asked for"
        items.append(Item("missing", "data", title, MISSING, partial(tables.missing, results)))
    for s in results["sources"]:
        caption = "As they lie in the store, evenly spaced over its rows, not chosen."
        items.append(
            _item("films", (s["name"],), "data", f"Films of {s['name']}", caption, partial(_sheet, out, s))
        )
    look = figures.colours([cell["recipe"] for cell in results["cells"]])

    def load(name: str) -> Predictions:
        return Predictions.load(out / name)

    compared = compute.without(results)
    items += _score_items(compared, look, load, differences.baseline_of(compared, baseline))
    if len(compared["cells"]) < len(results["cells"]):
        second = partial(
            _rows, partial(compute.table, results, load), "the rows to be equal to are not there"
        )
        items.append(Item("equal-compute", "differences", compute.TITLE, compute.CAPTION, second))
    if any(cell.get("subgroups") for cell in results["cells"]):
        groups = partial(_rows, partial(subgroups.table, results), "no case has a group")
        items.append(Item("subgroups", "differences", subgroups.TITLE, subgroups.CAPTION, groups))
    items += _probe_items(results, out)
    seen = set()
    for stage in results["stages"]:
        key = stage.get("key") or (stage["recipe"], stage["name"])
        if key in seen or not stage.get("log"):
            continue
        seen.add(key)
        mine = [s for s in results["stages"] if (s.get("key") or (s["recipe"], s["name"])) == key]
        users = ", ".join(dict.fromkeys(s["recipe"] for s in mine))
        title = f"Training curves: {stage['name']} ({users})"
        make = partial(_curves, out / stage["log"], title)
        where = (stage["recipe"], stage["name"])
        folded = stage["name"].startswith("fine")
        items.append(_item("curves", where, "training", title, CURVES, make, folded=folded))
    metrics = {cell["task"]: scores.MAIN.get(cell["kind"], "score") for cell in results["cells"]}
    for given in results["forgetting"]:
        entry = given | {"metric": metrics | given.get("metric", {})}
        title = f"Forgetting matrix: {entry.get('title', entry['recipe'])}"
        matrix = partial(_rows, partial(tables.forgetting, entry), "no turn was scored")
        items.append(
            _item("forgetting", (entry["recipe"],), "forgetting", title, _matrix_caption(entry), matrix)
        )
    for name, title, caption, table, why in (
        ("provenance-table", "Where the numbers come from", "", tables.provenance, "the results do not say"),
        ("stages", "Stages", STAGES, tables.stages, "no recipe here has a stage before fine-tuning"),
        ("models", "Fine-tuned models", MODELS, tables.models, "nothing was fine-tuned"),
    ):
        made = partial(_rows, partial(table, results), why)
        items.append(Item(name, "provenance", title, caption, made, folded=name == "models"))
    items.append(
        Item("checklist", "checklist", checklist.TITLE, checklist.CAPTION, partial(checklist.table, results))
    )
    if results["cells"] or not results["probes"]:
        every = partial(_rows, partial(scores.scores, results), "no scores")
        items.append(Item("scores", "files", "Every score", "", every, listed=False))
    return _unique(sorted(items, key=lambda item: ORDER.index(item.section)))


def _score_items(
    results: Results, look: Any, load: Callable[[str], Predictions], baseline: str
) -> list[Item]:
    items = []
    groups = scores.grouped(results)
    titles = {g.recipe: g.title for g in groups}

    @cache
    def found() -> list[differences.Pair]:
        return differences.pairs(results, baseline, load)

    def beside() -> Beside | None:
        return Beside(titles[baseline], differences.beside(found(), baseline)) if len(titles) > 1 else None

    if any(g.kind == "labels" for g in groups):
        items.append(
            Item("table2", "classification", "Classification", SCORES + AGAINST,
                 lambda: scores.classification(results, beside()))
        )  # fmt: skip
    pages = scores.dense_pages(results)
    for i, page in enumerate(pages):
        name = "table3" if len(pages) == 1 else f"table3-{i + 1}"
        title = "Segmentation and detection" + (f" ({i + 1} of {len(pages)})" if len(pages) > 1 else "")
        caption = SCORES + AGAINST + DENSE if i == 0 else "Further tasks; read as the table before."
        items.append(Item(name, "dense", title, caption, partial(_dense, results, page, beside)))
    if len(titles) > 1:
        title = f"Differences from {titles[baseline]}"
        items.append(
            Item("differences", "differences", title, DIFFERENCES, lambda: differences.table(found()))
        )
    for section, kinds in (("classification", ("labels",)), ("dense", ("mask", "boxes"))):
        if others := quoted.quotes(results, section):
            title, rows = "Quoted from the literature, not run here", partial(quoted.table, others)
            items.append(Item(f"quoted-{section}", section, title, quoted.caption(others), rows))
        here = [g for g in groups if g.kind in kinds]
        if any(g.mean(scores.MAIN[g.kind]) for g in here):
            title = "AUC of every seed" if section == "classification" else "Dice and mAP of every seed"
            make = partial(_forest, here, look)
            items.append(Item(f"seeds-{section}", section, title, FOREST, make))
    calibration: list[Item] = []
    by_panel: dict[tuple[str, str], list[Group]] = {}
    for g in groups:
        by_panel.setdefault((g.task, g.backbone), []).append(g)
    for (task, backbone), mine in by_panel.items():
        where = f"{task}, {backbone}" if backbone else task
        kind = mine[0].kind
        if kind == "labels" and any(g.mean("auc") for g in mine):
            title, caption, draw = f"ROC: {where}", ROC, partial(_roc, mine, look, load)
            half = len(mine[0].classes) <= 2
            items.append(_item("roc", (task, backbone), "classification", title, caption, draw, half=half))
            draw = partial(_lines, mine, look, load, quality.reliability_plot)
            title, caption = f"Reliability: {where}", RELIABILITY
            items.append(
                _item("reliability", (task, backbone), "classification", title, caption, draw, half=half)
            )
        elif kind == "mask":
            draw = partial(_films, mine, load, figures.overlays)
            items.append(_item("overlays", (task, backbone), "dense", f"Masks: {where}", OVERLAYS, draw))
        elif kind == "boxes":
            draw = partial(_films, mine, load, figures.boxes)
            items.append(_item("boxes", (task, backbone), "dense", f"Boxes: {where}", BOXES, draw))
            draw = partial(_lines, mine, look, load, quality.froc_plot)
            items.append(_item("froc", (task, backbone), "dense", f"FROC: {where}", FROC, draw))
    items += calibration  # after all ROC curves, so that like stands beside like
    if any(cell.get("random_init") for cell in results["cells"]):
        beside_all = partial(scores.random_init, results)
        items.append(Item("random-init", "training", "Random initialization beside", RANDOM, beside_all))
    return items


def _probe_items(results: Results, out: Path) -> list[Item]:
    items: list[Item] = []
    every = probes.lines(results)
    if every:
        make: Make = partial(probes.frozen, results)
        items.append(Item("frozen", "frozen", "Frozen features", probes.FROZEN, make))
        long: Make = partial(probes.scores, results)
        items.append(Item("probe-scores", "files", "Every score of frozen features", "", long, listed=False))
    for task, backbone in dict.fromkeys((line.task, line.backbone) for line in every):
        mine = [line for line in every if (line.task, line.backbone) == (task, backbone)]
        where = f"{task}, {backbone}" if backbone else task
        title, draw = f"AUC by share of labels: {where}", partial(_efficiency, mine, where)
        items.append(_item("labels", (task, backbone), "frozen", title, probes.EFFICIENCY, draw))
    for entry in results["embeddings"]:
        name = entry["title"]
        draw_it = partial(probes.embedding_picture, out / entry["file"], name)
        title = f"Features of {entry['n']} films: {name}"
        items.append(
            _item("features", (entry["start"], entry["backbone"]), "frozen", title, probes.EMBEDDING, draw_it)
        )
    return items


def _item(
    kind: str, of: tuple[str, ...], section: str, title: str, caption: str, make: Any, **more: bool
) -> Item:
    parts = [re.sub(r"[^a-z0-9]+", "-", part.lower()).strip("-") for part in of]
    return Item("-".join(filter(None, [kind, *parts])), section, title, caption, make, **more)


def _unique(items: list[Item]) -> list[Item]:
    """Names that differ, also where two names of the data become one in letters and digits."""
    seen: dict[str, int] = {}
    result = []
    for item in items:
        seen[item.name] = seen.get(item.name, 0) + 1
        result.append(item if seen[item.name] == 1 else replace(item, name=f"{item.name}-{seen[item.name]}"))
    return result


# --- how each is made -----------------------------------------------------------------------------------------


def _matrix_caption(entry: Results) -> str:
    ends = []
    for suffix, of in (("", "recomputed"), ("_shared", "shared")):
        values = [entry.get(f"{name}{suffix}") for name in ("backward_transfer", "forgetting")]
        if all(isinstance(value, int | float) for value in values):
            ends.append(
                f"with {of} statistics backward transfer {values[0]:+.3f}, forgetting {values[1]:+.3f}"
            )
    more = [
        f"{said} {value:{form}}."
        for name, said, form in EXTRA_SCORES
        if isinstance(value := entry.get(name), int | float)
    ]
    if entry.get("replayed"):
        more.append(f"Replayed: {entry['replayed']} batches beside {entry['steps']} steps.")
    if not ends:
        return " ".join([MATRIX, *more, "Backward transfer and forgetting are not defined here."])
    return " ".join([f"{MATRIX} {TRANSFER} Here, {'; '.join(ends)}.", *more])


def _dense(results: Results, columns: dict[str, list[str]], beside: Callable[[], Beside | None]) -> Table:
    return scores.dense(results, columns, beside())


def _rows(make: Callable[[], Table], otherwise: str) -> Table:
    table = make()
    if not table.rows:
        raise Absent(otherwise)
    return table


def _sheet(out: Path, source: Results) -> Picture:
    if not source.get("store"):
        raise Absent("the results do not say where the store of these films lies")
    path = out / source["store"]
    if not path.exists():
        raise Absent(f"the store {source['store']} is no longer there, so no films can be shown")
    store = Store.open(path)
    if len(store) == 0:
        raise Absent("the store has no films")
    rows = np.unique(np.linspace(0, len(store) - 1, min(SHEET, len(store))).round().astype(int))
    return figures.contact_sheet(source["name"], [np.asarray(store.images[row]) for row in rows])


def _predictions(
    group: Group, load: Callable[[str], Predictions], seeds: int | None = None
) -> list[Predictions]:
    return [load(cell["predictions"]) for cell in group.cells[:seeds] if cell.get("predictions")]


def _roc(groups: list[Group], look: Any, load: Callable[[str], Predictions]) -> Picture:
    lines = []
    for g in groups:
        seeds = _predictions(g, load)
        if seeds:
            lines.append((g.recipe, {name: _with_auc(g, name) for name in seeds[0].classes}, seeds))
    said = ", ".join(filter(None, [groups[0].backbone, "AUC (95 % CI)"]))
    picture = figures.roc_curves(lines, look, said) if lines else None
    if picture is None:
        raise Absent("no predictions were kept, or the test part holds one class only")
    return picture


def _lines(groups: list[Group], look: Any, load: Callable[[str], Predictions], draw: Any) -> Picture:
    lines = [(g.recipe, g.title, seeds) for g in groups if (seeds := _predictions(g, load))]
    picture: Picture | None = draw(lines, look) if lines else None
    if picture is None:
        raise Absent("no predictions were kept, or the test part has nothing to find")
    return picture


def _with_auc(group: Group, name: str) -> str:
    found = group.mean(f"auc:{name}") or group.mean("auc")
    return f"{group.title}  {found[0]:.3f} ({found[1]:.3f}-{found[2]:.3f})" if found else group.title


def _efficiency(mine: list[probes.Line], title: str) -> Picture:
    picture = probes.efficiency(mine, title)
    if picture is None:
        raise Absent("no AUC is defined: the test part holds one class only")
    return picture


def _films(groups: list[Group], load: Callable[[str], Predictions], draw: Any) -> Picture:
    columns = [(g.title, p) for g in groups for p in _predictions(g, load, seeds=1)]
    picture: Picture | None = draw(columns) if columns else None
    if picture is None:
        raise Absent("no test films were kept with the predictions")
    return picture


def _forest(groups: list[Group], look: Any) -> Picture:
    panels: dict[str, list[Any]] = {}
    for g in groups:
        metric = scores.MAIN[g.kind]
        found = [c["metrics"][metric] for c in g.cells if metric in c["metrics"]]
        where = f"{g.task}, {g.backbone}" if g.backbone else g.task
        ends = [[m["value"] if m[k] is None else m[k] for k in ("low", "high")] for m in found]
        seeds = [(m["value"], low, high) for m, (low, high) in zip(found, ends, strict=True)]
        panels.setdefault(f"{where}: {tables.SHORT[metric]}", []).append((g.recipe, g.title, seeds))
    return figures.forest(list(panels.items()), look)


def _curves(path: Path, title: str) -> Picture:
    picture = training_curves(read_log(path), title)
    if picture is None:
        raise Absent("the log holds no numbers")
    return picture
