"""How tables and figures are made of results, or why not. Oracle: what is handed to the drawing, written by hand."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from muscle.report import drawings, figures
from muscle.report.captions import MATRIX, TRANSFER
from muscle.report.drawings import Absent, filled, films, forest, line_plot, matrix_caption, roc, sheet
from muscle.report.figures import Picture
from muscle.report.scores import Group
from muscle.report.tables import Table, word

DRAWN = Picture("data:", "", 1, 1, 1)


def group(
    recipe: str, kind: str = "labels", task: str = "germ", **metrics: list[tuple[Any, Any, Any]]
) -> Group:
    """The cells of one recipe: of each score a value and its ends a seed."""
    seeds = len(next(iter(metrics.values())))
    cells = tuple(
        {"metrics": {name.replace("_", ":"): {"value": v, "low": low, "high": high, "n": 9}
                     for name, of in metrics.items() for v, low, high in of[seed : seed + 1]},
         "predictions": f"{recipe}{seed}" if recipe != "lost" else ""}
        for seed in range(seeds)
    )  # fmt: skip
    return Group(task, "r18", recipe, recipe.upper(), kind, ("x", "y"), cells)


def load(name: str) -> Any:
    """Predictions that are told by their name."""
    return SimpleNamespace(name=name, classes=("x", "y"))


def test_the_caption_of_a_matrix_sums_it_up() -> None:
    entry = {"steps": 40, "backward_transfer": -0.01, "forgetting": 0.02}
    ends = "with recomputed statistics backward transfer -0.010, forgetting +0.020"
    assert matrix_caption(entry) == f"{MATRIX} {TRANSFER} Here, {ends}."
    shared = {"backward_transfer_shared": 0.03, "forgetting_shared": 0.0}
    more = {"average": 0.8125, "forward_transfer": 0.1, "replayed": 30}
    assert matrix_caption(entry | shared | more) == (
        f"{MATRIX} {TRANSFER} Here, {ends}; with shared statistics backward transfer +0.030, forgetting +0.000. "
        "Mean over tasks of the score at the end, recomputed: 0.812. Forward transfer (frozen features just before a "
        "task's first turn, less at the start): +0.100. Replayed: 30 batches beside 40 steps."
    )
    nothing = "Backward transfer and forgetting are not defined here."
    for none in ({}, {"forgetting": 0.1}, {"backward_transfer": None, "forgetting": None, "replayed": 0}):
        assert matrix_caption({"steps": 40, **none}) == f"{MATRIX} {nothing}"


def test_a_table_without_rows_says_why() -> None:
    with pytest.raises(Absent, match="no turn"):
        filled(lambda: Table(("a",), ()), "no turn")
    assert filled(lambda: Table(("a",), ((word("x"),),)), "no turn").rows


@pytest.mark.parametrize(("n", "rows"), [(31, list(range(0, 31, 2))), (3, [0, 1, 2])])
def test_a_sheet_has_films_from_all_over_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n: int, rows: list[int]
) -> None:

    opened = type("Opened", (), {"images": np.arange(n).reshape(n, 1, 1), "__len__": lambda self: n})()
    monkeypatch.setattr(drawings.Store, "open", lambda path: opened if path == tmp_path / "s" else None)
    shown: list[Any] = []
    monkeypatch.setattr(figures, "contact_sheet", lambda name, found: shown.append((name, found)) or DRAWN)
    (tmp_path / "s").mkdir()
    sheet(tmp_path, {"name": "mine", "store": "s"})
    ((name, found),) = shown
    assert name == "mine" and [int(film[0, 0]) for film in found] == rows


def test_a_sheet_without_films_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawings.Store, "open", lambda path: ())
    (tmp_path / "s").mkdir()
    for store, why in (("", "do not say where"), ("gone", "gone is no longer there"), ("s", "has no films")):
        with pytest.raises(Absent, match=why):
            sheet(tmp_path, {"name": "mine", "store": store})


def test_the_legend_of_a_curve_has_the_auc_of_its_class(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its mean over seeds; of two classes the whole AUC, which has no class's name."""
    given: list[Any] = []
    monkeypatch.setattr(figures, "roc_curves", lambda *words: given.append(words) or DRAWN)
    two = group("a", auc=[(0.8, 0.7, 0.9), (0.6, 0.5, 0.7)], auc_y=[(0.4, 0.3, 0.5), (0.4, 0.3, 0.5)])
    roc([two, group("lost", auc=[(0.8, 0.7, 0.9)]), group("b", brier=[(0.1, 0, 1)])], "look", load)
    ((lines, look, said),) = given
    assert (look, said) == ("look", "r18, AUC (95 % CI)")
    assert [(recipe, labels, [seed.name for seed in seeds]) for recipe, labels, seeds in lines] == [
        ("a", {"x": "A  0.700 (0.600-0.800)", "y": "A  0.400 (0.300-0.500)"}, ["a0", "a1"]),
        ("b", {"x": "B", "y": "B"}, ["b0"]),
    ]
    with pytest.raises(Absent, match="no predictions were kept"):
        roc([group("lost", auc=[(0.8, 0.7, 0.9)])], "look", load)


def test_lines_have_every_seed_and_films_the_first() -> None:
    given: list[Any] = []
    a = group("a", auc=[(0.8, 0.7, 0.9), (0.6, 0.5, 0.7)])
    line_plot([a], "look", load, lambda lines, look: given.append(lines) or DRAWN)
    films([a], load, lambda columns: given.append(columns) or DRAWN)
    ((line,), (column,)) = given
    assert (line[0], line[1], [seed.name for seed in line[2]]) == ("a", "A", ["a0", "a1"])
    assert (column[0], column[1].name) == ("A", "a0")
    lost = group("lost", auc=[(0.8, 0.7, 0.9)])
    with pytest.raises(Absent, match="nothing to find"):
        line_plot([lost], "look", load, lambda *_: DRAWN)
    with pytest.raises(Absent, match="no test films"):
        films([lost], load, lambda *_: DRAWN)


def test_seeds_are_drawn_by_the_main_score_of_their_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """An end that is not known is the value itself; what has no such score has no dots."""
    given: list[Any] = []
    monkeypatch.setattr(figures, "forest", lambda panels, look: given.append(panels) or DRAWN)
    groups = [
        group("a", auc=[(0.8, 0.7, 0.9), (0.6, None, None)], accuracy=[(0.1, 0, 1)] * 2),
        group("b", accuracy=[(0.1, 0, 1)]),
        group("a", "boxes", "teeth", ap50=[(0.5, 0.4, 0.7)]),
    ]
    forest(groups, "look")
    assert given == [[
        ("germ, r18: AUC", [("a", "A", [(0.8, 0.7, 0.9), (0.6, 0.6, 0.6)]), ("b", "B", [])]),
        ("teeth, r18: mAP", [("a", "A", [(0.5, 0.4, 0.7)])]),
    ]]  # fmt: skip


def test_a_log_that_has_changed_is_not_drawn(tmp_path: Path) -> None:
    """Cut at the end of a line it is JSON all the same, of a shorter training."""
    log = tmp_path / "log.jsonl"
    lines = [json.dumps({"step": step, "task": "moco", "loss:a": 1 / step}) + "\n" for step in range(1, 9)]
    log.write_text("".join(lines))
    whole = hashlib.sha256(log.read_bytes()).hexdigest()
    assert drawings.curves(log, "t", whole) and drawings.curves(log, "t")
    log.write_text("".join(lines[:4]))
    with pytest.raises(Absent, match=r"log.jsonl has changed since it was written"):
        drawings.curves(log, "t", whole)
