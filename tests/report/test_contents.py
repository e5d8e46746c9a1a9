"""What a report plans to show. Oracle: results written by hand, whose tables and figures a reader would list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from muscle.report import figures, quality
from muscle.report.captions import AGAINST
from muscle.report.contents import Item, plan
from muscle.report.scores import MAIN

KINDS = {"germ": ("labels", ("finding",)), "lungs": ("mask", ("lungs",)), "teeth": ("boxes", ("cavity",))}


def cell(recipe: str, task: str = "germ", seed: int = 0, **more: Any) -> dict[str, Any]:
    """A cell with its kind's main score."""
    kind, classes = KINDS.get(task, KINDS["germ"])
    score = {"value": 0.7, "low": 0.6, "high": 0.8, "n": 40}
    return {"recipe": recipe, "title": recipe.upper(), "backbone": "r18", "task": task, "kind": kind,
            "classes": list(classes), "seed": seed, "metrics": {MAIN[kind]: score}, "minutes": 1.0, "key": "k",
            "predictions": f"{recipe}-{task}-{seed}.npz"} | more  # fmt: skip


def results(*cells: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Results of these cells and nothing else."""
    parts = dict.fromkeys(("sources", "missing", "stages", "forgetting", "probes", "embeddings"), ())
    made: dict[str, Any] = {"title": "T", "synthetic": True, "provenance": {}, **{k: [] for k in parts}}
    return made | {"cells": list(cells)} | more


def items(*cells: dict[str, Any], **more: Any) -> dict[str, Item]:
    """The plan by name."""
    return {item.name: item for item in plan(results(*cells, **more), Path("out"))}


def test_without_anything_the_page_says_so_in_tables_of_provenance() -> None:
    assert list(items()) == ["provenance-table", "stages", "models", "checklist", "scores"]


def test_sections_stand_in_the_order_of_the_page() -> None:
    stage = {"recipe": "a", "backbone": "r18", "name": "pretrain", "key": "k", "log": "l"}
    matrix = {"recipe": "a", "tasks": [], "turns": [], "steps": 1}
    source = {"name": "s", "kind": "k", "targets": []}
    made = items(
        cell("a"), cell("b"), cell("a", "lungs"), stages=[stage], forgetting=[matrix], sources=[source]
    )
    assert made["films-s"].title == "Films of s"
    assert list(dict.fromkeys(item.section for item in made.values())) == [
        "data", "classification", "dense", "differences", "training", "forgetting", "provenance", "checklist", "files",
    ]  # fmt: skip


def test_each_task_and_backbone_has_the_figures_of_its_kind() -> None:
    made = items(
        *(cell(name, task) for name in "ab" for task in KINDS),
        cell("a", backbone="R 50"),
        cell("a", "four", classes="wxyz"),
    )
    panels = [
        name for name in made if name.split("-")[0] in ("roc", "reliability", "overlays", "boxes", "froc")
    ]
    assert panels == [
        "roc-germ-r18", "reliability-germ-r18", "roc-germ-r-50", "reliability-germ-r-50", "roc-four-r18",
        "reliability-four-r18", "overlays-lungs-r18", "boxes-teeth-r18", "froc-teeth-r18",
    ]  # fmt: skip
    assert made["roc-germ-r-50"].title == "ROC: germ, R 50"
    assert made["roc-germ-r18"].half and not made["roc-four-r18"].half  # its legends have a panel each
    drawn = {name: made[name].make.args[-1] for name in panels if not name.startswith("roc")}  # type: ignore[attr-defined]
    assert {name.split("-")[0]: draw for name, draw in drawn.items()} == {
        "reliability": quality.reliability_plot, "overlays": figures.overlays, "boxes": figures.boxes,
        "froc": quality.froc_plot,
    }  # fmt: skip
    assert made["seeds-dense"].title == "Dice and mAP of every seed"
    assert all("seeds-dense" in items(cell("a", task)) for task in ("lungs", "teeth"))


def test_what_no_score_is_defined_for_is_not_drawn() -> None:
    made = items(cell("a", metrics={}), cell("b", metrics={}))
    assert not {"roc-germ-r18", "reliability-germ-r18", "seeds-classification"} & made.keys()


def test_one_recipe_has_no_differences() -> None:
    assert "differences" not in items(cell("a")) and "differences" in items(cell("a"), cell("b"))


@pytest.mark.parametrize(("seeds", "told"), [(1, False), (2, True), (3, True), (4, False)])
def test_few_seeds_are_told_beneath_the_differences(seeds: int, told: bool) -> None:
    """Of a side with one seed the interval is over cases alone."""
    cells = [cell(name) | {"seed": seed} for name in "ab" for seed in range(seeds)]
    assert (f"From {seeds} seeds a side" in items(*cells)["differences"].caption) is told
    head = items(cell("a"))["table2"].make().names()  # type: ignore[union-attr]
    assert "−" not in str(head)
    one, two = items(cell("a"), cell("a", "lungs")), items(cell("a"), cell("b"), cell("b", "lungs"))
    for name in ("table2", "table3"):  # nor a caption that speaks of them
        assert AGAINST not in one[name].caption and AGAINST in two[name].caption


def test_what_the_test_part_cannot_show_stands_under_its_table() -> None:
    """Each once, whatever the recipes and seeds; of another kind of task under its own table."""
    odd = {"status": "one class in test", "why": "finding: no negative case"}
    some = {"status": "ok", "why": "", "absent": {"lungs": "no positive"}}
    made = items(cell("a", **odd), cell("b", **odd), cell("a", "lungs", **some), cell("a", "more"))
    said = " The test part cannot show all: germ: one class in test (finding: no negative case)."
    assert made["table2"].caption.endswith(said) and "more" not in made["table2"].caption
    assert made["table3"].caption.endswith(" The test part cannot show all: lungs: lungs: no positive case.")
    assert "cannot show" not in items(cell("a"), cell("a", "lungs"))["table2"].caption


def test_tables_of_many_tasks_go_on_and_refer_to_the_first() -> None:
    assert items(cell("a", "lungs"))["table3"].title == "Segmentation and detection"
    many = items(
        *(
            cell("a", f"m{i}", kind="mask", metrics={"dice": cell("a", "lungs")["metrics"]["dice"]})
            for i in range(6)
        )
    )
    first, second = many["table3-1"], many["table3-2"]
    assert [first.title, second.title] == [f"Segmentation and detection ({i} of 2)" for i in (1, 2)]
    assert second.caption == "Further tasks; read as the table before." and len(first.caption) > 100


def test_longer_fine_tunings_stand_in_a_table_of_their_own() -> None:
    more = cell("a-longer", more_images=30)
    made = items(cell("a"), cell("b"), more)
    assert "equal-compute" in made and "equal-compute" not in items(cell("a"), cell("b"))
    rows = {row[2].text for row in made["table2"].make().rows}  # type: ignore[union-attr]
    assert rows == {"A", "B"}


def test_random_starts_and_groups_stand_where_some_cell_has_them() -> None:
    group = {"column": "sex", "value": "F", "n": 9, "patients": 9, "score": None, "why": "few"}
    some = items(cell("a"), cell("b", random_init={"auc": 0.5}, subgroups=[group]))
    assert {"random-init", "subgroups"} <= some.keys()
    assert not {"random-init", "subgroups"} & items(cell("a")).keys()


def test_a_stage_that_several_recipes_share_has_its_curves_once() -> None:
    stage = {"recipe": "a", "backbone": "r18", "name": "pretrain", "key": "k1", "log": "logs/a.jsonl"}
    stages = [
        stage, stage | {"recipe": "b"}, stage | {"key": "k2", "name": "fine-tune"},
        stage | {"key": "k3", "log": ""},
    ]  # fmt: skip
    made = {name: item for name, item in items(stages=stages).items() if name.startswith("curves")}
    assert {name: (item.title, item.folded) for name, item in made.items()} == {
        "curves-a-pretrain": ("Training curves: pretrain (a, b)", False),
        "curves-a-fine-tune": ("Training curves: fine-tune (a)", True),
    }


def test_a_matrix_names_the_scores_of_the_cells() -> None:
    """Without a cell of its task, as before any fine-tuning, a number is a score."""
    turns = [{"turn": 0, "round": 0, "task": "lungs"}]
    entry = {"recipe": "a", "tasks": ["lungs", "germ"], "turns": turns, "steps": 1}
    made = items(cell("a", "lungs"), forgetting=[entry, entry | {"recipe": "b", "title": "B!"}])
    assert [made[f"forgetting-{name}"].title for name in "ab"] == [
        "Forgetting matrix: a",
        "Forgetting matrix: B!",
    ]
    names = made["forgetting-a"].make().names()  # type: ignore[union-attr]
    assert names[3::2] == ["lungs (Dice): shared", "germ (score): shared"]


def test_frozen_features_alone_have_their_own_list_of_scores() -> None:
    probe = {"start": "a", "title": "A", "backbone": "r18", "task": "germ", "probe": "k-NN", "share": 1.0, "draw": 0,
             "labels_seen": False, "metrics": {}, "predictions": "p", "features": "f", "data": "d"}  # fmt: skip
    alone = items(probes=[probe])
    assert {"frozen", "labels-germ-r18", "probe-scores"} <= alone.keys()
    assert not {"frozen-differences", "scores"} & alone.keys()
    other = probe | {"start": "b", "title": "B"}
    both = items(cell("a"), probes=[probe, other])
    assert {"frozen-differences", "scores", "probe-scores"} <= both.keys()
    assert both["frozen-differences"].title == "Frozen features, less those of A"
    picture = {"start": "a", "title": "A!", "backbone": "r18", "file": "e.npz", "n": 96}
    assert items(embeddings=[picture])["features-a-r18"].title == "Features of 96 films: A!"


def test_quotes_stand_in_the_section_of_their_kind() -> None:
    source = {"name": "s", "kind": "chest_xray_masks", "targets": ["lungs"]}
    made = items(cell("a", "lungs"), sources=[source], synthetic=False)
    assert made["quoted-dense"].section == "dense" and "quoted-classification" not in made


def test_long_lists_are_folded_or_files_alone() -> None:
    made = items(cell("a"))
    assert [name for name, item in made.items() if item.folded] == ["models"]
    assert [name for name, item in made.items() if not item.listed] == ["scores"]


def test_of_what_is_missing_the_title_says_how_much() -> None:
    lost = [
        {"recipe": "a", "title": "A", "backbone": "r", "task": "t", "seed": s, "status": "not run", "why": ""}
        for s in (0, 1)
    ]
    assert items(cell("a"), missing=lost)["missing"].title == "Not in the tables: 2 cells that were asked for"


@pytest.mark.parametrize("names", [("x", "X", "x-2", "X!"), ("x-2", "x", "X", "x.")])
def test_names_are_unique_and_made_of_letters_and_digits(names: tuple[str, ...]) -> None:
    found = list(items(forgetting=[{"recipe": n, "tasks": [], "turns": [], "steps": 1} for n in names]))[:4]
    assert len(set(found)) == 4 and all(name.startswith("forgetting-x") for name in found)
