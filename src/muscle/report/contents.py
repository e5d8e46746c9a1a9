"""Which tables and figures a report has, and how each is made from the results and the files they name."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import count
from pathlib import Path
from typing import Any

from muscle.predictions import Predictions
from muscle.report import (
    checklist,
    compute,
    differences,
    drawings,
    figures,
    probe_differences,
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
    FEW_SEEDS,
    FOREST,
    FROC,
    MISSING,
    MODELS,
    OVERLAYS,
    RANDOM,
    RELIABILITY,
    ROC,
    SCORES,
    SOURCES,
    STAGES,
)
from muscle.report.figures import Picture
from muscle.report.scores import Beside, Group
from muscle.report.tables import Results, Table

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

HARDLY = 3  # seeds a side: of so few the quantile of Welch's t is 1.4 to 6 times the normal one
Make = Callable[[], Table | Picture]


@dataclass(frozen=True, slots=True)
class Item:
    """One table or figure that the results call for: where it stands, and how it is made."""

    name: str  # unique; also the name of a table's files
    section: str
    title: str
    caption: str
    make: Make
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
            _item(
                "films",
                (s["name"],),
                "data",
                f"Films of {s['name']}",
                caption,
                partial(drawings.sheet, out, s),
            )
        )
    look = figures.colours([cell["recipe"] for cell in results["cells"]])

    def load(name: str) -> Predictions:
        return Predictions.load(out / name)

    compared = compute.without(results)
    items += _score_items(compared, look, load, differences.baseline_of(compared, baseline))
    if len(compared["cells"]) < len(results["cells"]):
        second = partial(
            drawings.filled, partial(compute.table, results, load), "the rows to be equal to are not there"
        )
        items.append(Item("equal-compute", "differences", compute.TITLE, compute.CAPTION, second))
    if any(cell.get("subgroups") for cell in results["cells"]):
        groups = partial(drawings.filled, partial(subgroups.table, results), "no case has a group")
        items.append(Item("subgroups", "differences", subgroups.TITLE, subgroups.CAPTION, groups))
    items += _probe_items(results, out, baseline, load)
    seen = set()
    for stage in results["stages"]:
        key = stage.get("key") or (stage["recipe"], stage["name"])
        if key in seen or not stage.get("log"):
            continue
        seen.add(key)
        mine = [s for s in results["stages"] if (s.get("key") or (s["recipe"], s["name"])) == key]
        users = ", ".join(dict.fromkeys(s["recipe"] for s in mine))
        title = f"Training curves: {stage['name']} ({users})"
        make = partial(drawings.curves, out / stage["log"], title, stage.get("log_sha256", ""))
        where = (stage["recipe"], stage["name"])
        folded = stage["name"].startswith("fine")
        items.append(_item("curves", where, "training", title, CURVES, make, folded=folded))
    metrics = {cell["task"]: scores.MAIN.get(cell["kind"], "score") for cell in results["cells"]}
    for given in results["forgetting"]:
        entry = given | {"metric": metrics}
        title = f"Forgetting matrix: {entry.get('title', entry['recipe'])}"
        matrix = partial(drawings.filled, partial(tables.forgetting, entry), "no turn was scored")
        items.append(
            _item(
                "forgetting", (entry["recipe"],), "forgetting", title, drawings.matrix_caption(entry), matrix
            )
        )
    for name, title, caption, table, why in (
        ("provenance-table", "Where the numbers come from", "", tables.provenance, "the results do not say"),
        ("stages", "Stages", STAGES, tables.stages, "no recipe here has a stage before fine-tuning"),
        ("models", "Fine-tuned models", MODELS, tables.models, "nothing was fine-tuned"),
    ):
        made = partial(drawings.filled, partial(table, results), why)
        items.append(Item(name, "provenance", title, caption, made, folded=name == "models"))
    items.append(
        Item("checklist", "checklist", checklist.TITLE, checklist.CAPTION, partial(checklist.table, results))
    )
    if results["cells"] or not results["probes"]:
        every = partial(drawings.filled, partial(scores.scores, results), "no scores")
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

    scored = SCORES + (AGAINST if len(titles) > 1 else "") + scores.few_labels(groups)
    if any(g.kind == "labels" for g in groups):
        items.append(
            Item("table2", "classification", "Classification",
                 scored + scores.positives(groups) + scores.cautions(g for g in groups if g.kind == "labels"),
                 lambda: scores.classification(results, beside()))
        )  # fmt: skip
    pages = scores.dense_pages(results)
    for i, page in enumerate(pages):
        name = "table3" if len(pages) == 1 else f"table3-{i + 1}"
        title = "Segmentation and detection" + (f" ({i + 1} of {len(pages)})" if len(pages) > 1 else "")
        caption = scored + DENSE if i == 0 else "Further tasks; read as the table before."
        caption += scores.cautions(g for g in groups if g.task in page)
        items.append(Item(name, "dense", title, caption, partial(drawings.dense, results, page, beside)))
    if len(titles) > 1:
        title = f"Differences from {titles[baseline]}"
        fewest = min((len(g.cells) for g in groups if len(g.cells) > 1), default=0)
        few = FEW_SEEDS.format(seeds=fewest) if 1 < fewest <= HARDLY else ""
        items.append(
            Item("differences", "differences", title, DIFFERENCES + few, lambda: differences.table(found()))
        )
    for section, kinds in (("classification", ("labels",)), ("dense", ("mask", "boxes"))):
        if others := quoted.quotes(results, section):
            title, rows = "Quoted from the literature, not run here", partial(quoted.table, others)
            items.append(Item(f"quoted-{section}", section, title, quoted.caption(others), rows))
        here = [g for g in groups if g.kind in kinds]
        if any(g.mean(scores.MAIN[g.kind]) for g in here):
            title = "AUC of every seed" if section == "classification" else "Dice and mAP of every seed"
            make = partial(drawings.forest, here, look)
            items.append(Item(f"seeds-{section}", section, title, FOREST, make))
    by_panel: dict[tuple[str, str], list[Group]] = {}
    for g in groups:
        by_panel.setdefault((g.task, g.backbone), []).append(g)
    for (task, backbone), mine in by_panel.items():
        where = f"{task}, {backbone}" if backbone else task
        kind = mine[0].kind
        if kind == "labels" and any(g.mean("auc") for g in mine):
            title, caption, draw = f"ROC: {where}", ROC, partial(drawings.roc, mine, look, load)
            half = len(mine[0].classes) <= 2
            items.append(_item("roc", (task, backbone), "classification", title, caption, draw, half=half))
            draw = partial(drawings.line_plot, mine, look, load, quality.reliability_plot)
            title, caption = f"Reliability: {where}", RELIABILITY
            items.append(
                _item("reliability", (task, backbone), "classification", title, caption, draw, half=half)
            )
        elif kind == "mask":
            draw = partial(drawings.films, mine, load, figures.overlays)
            items.append(_item("overlays", (task, backbone), "dense", f"Masks: {where}", OVERLAYS, draw))
        elif kind == "boxes":
            draw = partial(drawings.films, mine, load, figures.boxes)
            items.append(_item("boxes", (task, backbone), "dense", f"Boxes: {where}", BOXES, draw))
            draw = partial(drawings.line_plot, mine, look, load, quality.froc_plot)
            items.append(_item("froc", (task, backbone), "dense", f"FROC: {where}", FROC, draw))
    if any(cell.get("random_init") for cell in results["cells"]):
        beside_all = partial(scores.random_init, results)
        items.append(Item("random-init", "training", "Random initialization beside", RANDOM, beside_all))
    return items


def _probe_items(results: Results, out: Path, baseline: str | None, load: differences.Load) -> list[Item]:
    items: list[Item] = []
    every = probes.lines(results)
    if every:
        make: Make = partial(probes.frozen, results)
        items.append(Item("frozen", "frozen", "Frozen features", probes.FROZEN, make))
        start = probe_differences.baseline_of(results, baseline)
        title = next(line.title for line in every if line.start == start)
        if len({line.start for line in every}) > 1:
            caption = probe_differences.CAPTION.format(baseline=title)
            less: Make = partial(probe_differences.table, results, start, load)
            name = f"Frozen features, less those of {title}"
            items.append(Item("frozen-differences", "frozen", name, caption, less))
        long: Make = partial(probes.scores, results)
        items.append(Item("probe-scores", "files", "Every score of frozen features", "", long, listed=False))
    for task, backbone in dict.fromkeys((line.task, line.backbone) for line in every):
        mine = [line for line in every if (line.task, line.backbone) == (task, backbone)]
        where = f"{task}, {backbone}" if backbone else task
        title, draw = f"AUC by share of labels: {where}", partial(drawings.efficiency, mine, where)
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
    seen: set[str] = set()
    result = []
    for item in items:
        names = (item.name if i == 1 else f"{item.name}-{i}" for i in count(1))
        name = next(name for name in names if name not in seen)
        seen.add(name)
        result.append(replace(item, name=name))
    return result
