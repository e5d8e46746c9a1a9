"""From a results folder to one self-contained page, with its tables as Markdown, CSV and LaTeX.

``plan`` says from results.json alone which tables and figures there must be; ``report`` makes them; ``check``
compares what the page holds with the plan. What cannot be shown says why in its place: *absent* is what the data
do not allow, *missing* is a file that the results name and that is not there.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from muscle import artefacts
from muscle.artefacts import mark
from muscle.errors import UserError
from muscle.metrics import THRESHOLD
from muscle.paths import atomic_write, within
from muscle.report.contents import Item, plan
from muscle.report.drawings import Absent
from muscle.report.figures import Picture
from muscle.report.latex import latex
from muscle.report.reading import load_results
from muscle.report.scores import grouped
from muscle.report.tables import Results, Table, plain
from muscle.seal import unsealed
from muscle.statistics.intervals import describe

SUFFIXES = (".md", ".csv", ".tex")  # in which every table is written


@dataclass(frozen=True, slots=True)
class Block:
    """An item as made: with a table, a picture, or the reason why there is neither."""

    item: Item
    label: str
    state: str = "shown"  # or "absent", "missing"
    reason: str = ""
    table: Table | None = None
    picture: Picture | None = None

    @property
    def count(self) -> int:
        """Rows of a table; points, films or boxes of a figure."""
        return len(self.table.rows) if self.table else self.picture.points if self.picture else 0


def report(out: Path, baseline: str | None = None) -> Path:
    """Writes ``out``/report.html and, anew, ``out``/tables/* from ``out``/results.json and its files.

    Each says which results it was made from, CSV in ``out``/artefacts.json, where all have their checksums.

    ``baseline``: the recipe that all others are compared with; scratch, or the first, by default.

    Raises:
        UserError: no results, or not of this version; no such baseline; the disk refuses.
    """
    results, given = load_results(out), unsealed((out / "results.json").read_bytes())
    counters = {"Table": 0, "Figure": 0}
    blocks = []
    for item in plan(results, out, baseline):
        block = _make(item)
        if item.listed:
            kind = "Figure" if item.section != "files" and block.picture else "Table"
            if block.state == "shown":
                counters[kind] += 1
                block = Block(item, f"{kind} {counters[kind]}", table=block.table, picture=block.picture)
        blocks.append(block)
    for old in within(out, "tables", out).glob(
        "*"
    ):  # what an earlier report had and this one has not would mislead
        if old.suffix in SUFFIXES:
            old.unlink()
    made, said = [], mark(given)
    for block in blocks:
        if block.table:
            title = block.item.title + (" (synthetic radiographs)" if results["synthetic"] else "")
            texts = {
                ".md": f"{plain(title)}\n\n{block.table.markdown()}\n<!-- {said} -->\n",
                ".csv": block.table.csv(),  # no comments: readers would take them for rows
                ".tex": f"% {said}\n{latex(block.table, title, block.item.caption)}",
            }
            for suffix, text in texts.items():
                made.append(out / "tables" / f"{block.item.name}{suffix}")
                atomic_write(made[-1], text)
    path = out / "report.html"
    atomic_write(path, _page(results, [b for b in blocks if b.item.listed], said))
    artefacts.put(out, "report", given, [path, *made])
    return path


def _make(item: Item) -> Block:
    try:
        made = item.make()
    except Absent as why:
        return Block(item, "", "absent", str(why))
    except UserError as why:
        return Block(item, "", "missing", str(why))
    if isinstance(made, Table):
        return Block(item, "", table=made)
    return Block(item, "", picture=made)


# --- the page -------------------------------------------------------------------------------------------------

SECTIONS = (
    ("data", "Data", "No source is listed in these results."),
    ("classification", "Classification", "No classification task is in these results."),
    ("dense", "Segmentation and detection", "No segmentation or detection task is in these results."),
    ("differences", "Differences", "One recipe alone is in these results, so there is nothing to compare."),
    ("frozen", "Frozen features", ""),
    (
        "training",
        "Training",
        "Nothing was trained for these results, or its logs are not beside them: no training curves.",
    ),
    (
        "forgetting",
        "Forgetting",
        "No continual stage is in these results, so there is no forgetting to measure.",
    ),
    ("provenance", "Provenance", ""),
    ("checklist", "Checklist", ""),
)
OF_FINE_TUNING = ("classification", "dense", "differences", "training", "forgetting")


def _page(results: Results, blocks: list[Block], said: str) -> str:
    cells, groups = results["cells"], grouped(results)
    facts = {
        "sources": len(results["sources"]),
        "films": sum(int(s.get("total") or 0) for s in results["sources"]),
        "tasks": len({g.task for g in groups} | {e["task"] for e in results["probes"]}),
        "recipes": list(dict.fromkeys([g.title for g in groups] + [e["title"] for e in results["probes"]])),
        "backbones": list(dict.fromkeys(g.backbone for g in groups if g.backbone)),
        "seeds": len({cell["seed"] for cell in cells}),
    }
    probed = results["probes"] and not cells and not results["missing"]  # nobody asked for fine-tuning
    sections = [
        (key, title, [b for b in blocks if b.item.section == key],
         "" if probed and key in OF_FINE_TUNING else why)
        for key, title, why in SECTIONS
    ]  # fmt: skip
    sections = [found for found in sections if found[2] or found[3]]  # one that has nothing and says nothing
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(
        files("muscle.report").joinpath("page.html.j2").read_text(encoding="utf-8")
    )
    return template.render(
        title=results["title"],
        made_from=said,
        synthetic=bool(results["synthetic"]),
        facts=facts,
        whole=not results["missing"],
        sections=sections,
        threshold=results["provenance"].get("threshold", THRESHOLD),
        intervals="; ".join(dict.fromkeys(cell.get("intervals") or describe() for cell in cells))
        or describe(),
        provenance=results["provenance"],
    )


# --- is everything there? -------------------------------------------------------------------------------------


class _Page(HTMLParser):
    """What a written page really holds: block -> [state, rows or points, reason]."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, list[Any]] = {}
        self._open = ""
        self._body = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {key: value or "" for key, value in attrs}
        if "data-block" in given:
            self._open = given["data-block"]
            self.found[self._open] = [given["data-state"], 0, given.get("data-reason", "")]
        elif tag == "tbody":
            self._body = True
        elif tag == "tr" and self._body and self._open:
            self.found[self._open][1] += 1
        elif tag == "img" and self._open and given.get("src", "").startswith("data:image/"):
            self.found[self._open][1] = int(given.get("data-points", 0))

    def handle_endtag(self, tag: str) -> None:
        if tag == "tbody":
            self._body = False
        elif tag == "figure":
            self._open = ""


def check(out: Path, baseline: str | None = None) -> list[tuple[str, int]]:
    """Every table and figure of a written report, with its number of rows or points.

    What the data do not allow is listed with 0 and the reason. Table files count as well. ``baseline``: as it was
    written with.

    Raises:
        UserError: no report; no such baseline; or a table or figure that the results call for is missing or empty: all
            are named.
    """
    results = load_results(out)
    page = out / "report.html"
    if not page.is_file():
        raise UserError(f"{page}: no report here; write it with `muscle report {out}`")
    reader = _Page()
    reader.feed(page.read_text(encoding="utf-8"))
    listed, faults = [], []
    for item in plan(results, out, baseline):
        files = out / "tables" / f"{item.name}.csv", out / "tables" / f"{item.name}.tex"
        state, count, reason = reader.found.get(item.name, ["missing", 0, "not on the page"])
        if not item.listed:
            count = _file_rows(files[0])
            made = Block(item, "") if count else _make(item)  # without rows: has it any to have?
            state, reason = made.state, made.reason
        elif state == "shown" and any(file.exists() for file in files):
            count = min(count, _file_rows(files[0]))
        if state == "absent":
            listed.append((f"{item.title} (absent: {reason})", 0))
        elif state == "missing" or count == 0:
            faults.append(f"{item.title} ({reason or 'empty'})")
        else:
            listed.append((item.title, count))
            if files[0].exists():
                listed.append((f"tables/{files[1].name}", _tex_rows(files[1])))
                if not listed[-1][1]:
                    faults.append(f"{item.title} (no {listed.pop()[0]})")
    if faults:
        raise UserError(f"{page}: missing or empty: {'; '.join(faults)}")
    return listed


def _tex_rows(path: Path) -> int:
    """Lines between the rules under the head and at the foot."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return text.partition("\\midrule\n")[2].partition("\\bottomrule")[0].count("\n")


def _file_rows(path: Path) -> int:
    if not path.is_file():
        return 0
    with path.open(encoding="utf-8", newline="") as file:
        return max(0, sum(1 for _ in csv.reader(file)) - 1)
