"""The tables of a report: how results become rows, and rows become Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Results = dict[str, Any]
# Names of the scores: the paper's for those that it has.
SHORT = {"accuracy": "Acc.", "sensitivity": "Sen.", "specificity": "Spe.", "auc": "AUC", "dice": "Dice",
         "miou": "mIoU", "ap50": "mAP", "map": "AP .5:.95", "average_precision": "AUPRC", "brier": "Brier",
         "ece": "ECE", "hd95": "HD95", "asd": "ASD", "hd95_mm": "HD95 mm",
         "asd_mm": "ASD mm", "one_empty": "One empty", "froc": "FROC", "mae": "MAE", "rmse": "RMSE"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cell:
    """One field of a table.

    Attributes:
        text: as shown.
        note: smaller, beneath: an interval; lines are kept where the page is narrow.
        numbers: as in the CSV: the value alone, or value, low, high.
        strong: its interval lies wholly above those of its rivals.
        tint: 0..1, how dark the field of a matrix is; None: no matrix.
        mark: "own" in the matrix where the turn was this task's, "masked" where there is nothing to know yet;
            "said" where the note is a sentence.
    """

    text: str
    note: str = ""
    numbers: tuple[float | str, ...] = ()
    strong: bool = False
    tint: float | None = None
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """``groups`` is an optional first line of the head: (title, number of columns), in order over ``head``."""

    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    groups: tuple[tuple[str, int], ...] = ()
    words: int = 0  # so many columns at the left are words, the others numbers

    def names(self) -> list[str]:
        """One name a column, with its group's."""
        over = [title for title, width in self.groups for _ in range(width)] or [""] * len(self.head)
        return [f"{o}: {h}" if o else h for o, h in zip(over, self.head, strict=True)]

    def markdown(self) -> str:
        """The table as GitHub Markdown."""
        lines = [self.names(), ["---" if i < self.words else "--:" for i in range(len(self.head))]]
        for row in self.rows:
            texts = [f"{cell.text} ({cell.note})" if cell.note else cell.text for cell in row]
            lines.append([f"**{t}**" if c.strong else t for t, c in zip(map(plain, texts), row, strict=True)])
        lines[0] = [plain(name) for name in lines[0]]
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)

    def csv(self) -> str:
        """The table as CSV with raw numbers; a score with an interval takes three columns."""
        wide = [any(len(row[i].numbers) == 3 for row in self.rows) for i in range(len(self.head))]
        names = [
            (name, f"{name} low", f"{name} high") if w else (name,)
            for name, w in zip(self.names(), wide, strict=True)
        ]
        lines: list[list[float | str]] = [[n for group in names for n in group]]
        for row in self.rows:
            line: list[float | str] = []
            for cell, w in zip(row, wide, strict=True):
                line += (list(cell.numbers) or ["", "", ""]) if w else (list(cell.numbers) or [cell.text])
            lines.append(line)
        return to_csv(lines)


def to_csv(lines: Iterable[Sequence[float | str | None]]) -> str:
    """Lines of fields as CSV text."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(lines)
    return out.getvalue()


def plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    for sign in ("\\", "|", "*", "_", "`", "[", "~"):
        text = text.replace(sign, f"\\{sign}")
    for sign, named in (
        ("&", "&amp;"),
        ("<", "&lt;"),
        ("$", "&#36;"),
    ):  # between two dollars GitHub sees a formula
        text = text.replace(sign, named)
    return " ".join(text.split())


def word(value: Any) -> Cell:
    """A field of words; a list is joined, nothing is a dash."""
    text = (
        ", ".join(map(str, value))
        if isinstance(value, list | tuple)
        else str(value if value is not None else "")
    )
    return Cell(text or "–", numbers=(text,))


def number(value: Any, digits: int = 0) -> Cell:
    """A field with one number, or a dash."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Cell("–", numbers=("",))
    return Cell(f"{value:,.{digits}f}", numbers=(value,))


def provenance(results: Results) -> Table:
    """Key and value of everything that the run says of itself; training that was no unbroken run of one machine."""
    facts = dict(results["provenance"])
    trained = [entry for part in ("stages", "cells") for entry in results.get(part, [])]
    for part, said in (
        ("mixed", "resumed under other conditions"),
        ("skipped", "steps left out, not finite"),
    ):
        told = [f"{_place(entry)}: {_words(entry[part])}" for entry in trained if entry.get(part)]
        facts |= {said: "; ".join(told)} if told else {}
    rows = [(word(key.replace("_", " ")), word(_words(value))) for key, value in facts.items()]
    return Table(("what", "value"), tuple(rows), words=2)


def _place(entry: Mapping[str, Any]) -> str:
    """A stage of a recipe, or a cell."""
    if "name" in entry:
        return f"{entry['recipe']} {entry['name']}"
    return f"{entry['recipe']} {entry['task']} seed {entry['seed']}"


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_words(v)}" for k, v in value.items())
    if isinstance(value, list):
        return ", ".join(map(_words, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def sources(results: Results) -> Table:
    """Table 1: what was counted here, with its sum."""
    parts = ("train", "valid", "test", "total", "quarantined")
    rows = [
        (*(word(s.get(k)) for k in ("name", "kind", "body_part", "modality", "targets", "licence")),
         *(number(_count(s, k)) for k in parts))
        for s in results["sources"]
    ]  # fmt: skip
    if len(rows) > 1:
        sums = [number(sum(_count(s, part) for s in results["sources"])) for part in parts]
        rows.append((word("All"), *(Cell("", numbers=("",)),) * 5, *sums))
    head = ("Data set", "Adapter", "Body part", "Modality", "Teaches", "Licence", "Train", "Valid", "Test", "Total",
            "Set aside")  # fmt: skip
    return Table(head, tuple(rows), words=6)


def missing(results: Results) -> Table:
    """Cells that were asked for and have no scores, each with why."""
    rows = [
        tuple(word(cell.get(k)) for k in ("title", "backbone", "task", "seed", "status", "why"))
        for cell in results["missing"]
    ]
    return Table(("Start", "Backbone", "Task", "Seed", "Status", "Why"), tuple(rows), words=6)


def _count(source: Results, part: str) -> int:
    value = source.get(part)
    return len(value) if isinstance(value, list) else int(value or 0)


def stages(results: Results) -> Table:
    """What was trained before fine-tuning: stage, the recipes that share it, key, minutes."""
    shared: dict[str, list[Results]] = {}
    for stage in results["stages"]:
        shared.setdefault(stage.get("key") or f"{stage['recipe']}/{stage['name']}", []).append(stage)
    rows = [
        (word(same[0]["name"]), word(list(dict.fromkeys(s["recipe"] for s in same))), _key(same[0]),
         number(same[0].get("minutes"), 1))
        for same in shared.values()
    ]  # fmt: skip
    return Table(("Stage", "Recipes", "Key", "Minutes"), tuple(rows), words=3)


def models(results: Results) -> Table:
    """What was fine-tuned: one row a cell."""
    words, numbers = ("task", "backbone", "title", "seed"), ("train_images", "best_epoch")
    rows = [
        (*(word(c.get(k)) for k in words), _key(c), *(number(c.get(k)) for k in numbers), number(c.get("valid"), 4),
         word(c.get("backbone_rate")), number(c.get("minutes"), 1))
        for c in results["cells"]
    ]  # fmt: skip
    head = ("Task", "Backbone", "Pre-train", "Seed", "Key", "Train images", "Best epoch", "Valid score",
            "Backbone rate", "Minutes")  # fmt: skip
    return Table(head, tuple(rows), words=5)


def _key(entry: Results) -> Cell:
    """As much of a key as names the folder in checkpoints/; whole in the CSV."""
    key = str(entry.get("key") or "")
    return Cell(key[:16] or "–", numbers=(key,))


def forgetting(entry: Results) -> Table:
    """The matrix of one continual recipe: rows turns; each task with shared and with recomputed statistics."""
    tasks: list[str] = entry["tasks"]
    kinds = ("shared", "recomputed")
    ranges = {}
    for task in tasks:
        known = [
            v for t in entry["turns"] for k in kinds if isinstance(v := t.get(k, {}).get(task), int | float)
        ]
        ranges[task] = (min(known), max(known)) if known else (0.0, 0.0)
    rows = []
    for turn in entry["turns"]:
        row = [number(turn["turn"] + 1), number(turn["round"] + 1), word(turn["task"])]
        for task in tasks:
            low, high = ranges[task]
            for kind in kinds:
                value = turn.get(kind, {}).get(task)
                if not isinstance(value, int | float):
                    row.append(Cell("·", numbers=("",), mark="masked"))
                    continue
                tint = (value - low) / (high - low) if high > low else 0.5
                mark = "own" if turn["task"] == task else ""
                row.append(Cell(f"{value:.3f}", numbers=(value,), tint=round(tint, 2), mark=mark))
        rows.append(tuple(row))
    spans = tuple((f"{task} ({_of(entry, task)})", 2) for task in tasks)
    return Table(("Turn", "Round", "Trained", *kinds * len(tasks)), tuple(rows), (("", 3), *spans), words=0)


def _of(entry: Results, task: str) -> str:
    counts = sorted({int(n) for t in entry["turns"] if (n := t.get("n", {}).get(task))})
    n = "" if not counts else f", n {counts[0]}" + (f"–{counts[-1]}" if len(counts) > 1 else "")
    name = str(entry.get("metric", {}).get(task, "score"))
    return f"{SHORT.get(name, name)}{n}"
