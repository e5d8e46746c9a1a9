"""What ``import muscle`` offers, as far as it needs no training: sources, presets, recipes, starts, tables."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import command
import pytest

from muscle import api
from muscle.backbones.resnet import ResNet
from muscle.data.data_file import DataFile
from muscle.errors import UsageError, UserError
from muscle.progress import Progress
from muscle.recipe import Kaiming, Recipe, Weights
from muscle.recipes import recipe
from muscle.weights import save_backbone


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight films."""
    root = tmp_path_factory.mktemp("api") / "films"
    command.films(root, 8)
    return root


def ran(folder: Path, **changes: Any) -> Path:
    """A folder as pretrain leaves it: ResNet-18 at 48 x 32."""
    made = recipe("md-moco", "demo").with_(size=(48, 32))
    save_backbone(ResNet(name="resnet18").build(), folder / "backbone.safetensors", {})
    about = {
        "recipe": made.dump(), "size": [48, 32], "fit": "pad", "normalization": {"kind": "source"},
        "decode": {"grey": "raw"},
    }  # fmt: skip
    (folder / "backbone.json").write_text(json.dumps(about | changes))
    return folder


def compared(*starts: str | Path, recipes: tuple[str, ...] = (), tasks: tuple[str, ...] = ()) -> list[Recipe]:
    """With two seeds at demo size."""
    return api.compared(starts, recipes, None, 2, "demo", tasks, ())


def test_a_source_may_be_given_in_every_form(films: Path, tmp_path: Path) -> None:
    file = DataFile.of([str(films)])
    (tmp_path / "d.yaml").write_text(file.yaml())
    for given in (films, str(films), [films], file, tmp_path / "d.yaml", f"folder={films}"):
        (found,) = api.data_file(given).sources.values()
        assert Path(found.root) == films


def test_small_pools_get_the_small_preset(films: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = DataFile.of([str(films)])
    assert api.choose_preset("auto", file) == "small" and api.choose_preset("paper", file) == "paper"
    (name,) = file.sources
    for films_in_all, preset in ((29_999, "small"), (30_000, "paper")):  # no target: all of them train
        monkeypatch.setattr(DataFile, "read", lambda _, n=films_in_all: {name: ([None] * n, [])})
        heard: list[str] = []
        told = Progress()
        monkeypatch.setattr(told, "message", heard.append)
        assert api.choose_preset("auto", file, told) == preset
        assert heard[0].startswith(f"preset {preset}: {films_in_all:,} training images")


def test_a_recipe_from_its_yaml_is_the_recipe(tmp_path: Path) -> None:
    made = recipe("muscle", "small")
    (tmp_path / "r.yaml").write_text(made.yaml())
    assert api.load_recipe(str(tmp_path / "r.yaml")) == made
    changed = api.load_recipe(str(tmp_path / "r.yaml"), overrides=["stages.1.schedule.rounds=3"])
    assert changed.key() != made.key()


def test_a_run_brings_its_network_size_and_greys(tmp_path: Path) -> None:
    start = api.start_recipe(ran(tmp_path / "mine"), "small")
    assert (start.name, start.size, start.fit, start.decode.grey) == ("mine", (48, 32), "pad", "raw")
    assert start.normalization.kind == "source" and isinstance(start.init, Weights) and not start.stages
    with pytest.raises(UsageError, match="resnet50"):
        api.start_recipe(tmp_path / "mine", "small", "resnet50")


def test_rivals_take_over_the_pixels_of_the_run(tmp_path: Path) -> None:
    """Scratch at another size or normalization would be another experiment."""
    scratch, mine = compared("scratch", ran(tmp_path / "mine"))
    assert isinstance(scratch.init, Kaiming) and scratch.seeds == mine.seeds == (0, 1)
    assert mine.with_(name="scratch", title=scratch.title, init=scratch.init) == scratch


def test_of_several_backbones_a_run_joins_its_own(tmp_path: Path) -> None:
    """A run of ResNet-18 has no row beside ResNet-50; all others have one of each."""
    mine = ran(tmp_path / "mine")
    found = api.compared(("scratch", mine), ("md-moco",), "resnet18,resnet50", 2, "demo", (), ())
    rows = [(r.backbone.architecture, r.name) for r in found]
    assert rows == [
        (f"resnet{n}", name)
        for n in (18, 50)
        for name in ("scratch", "mine", "md-moco")
        if (n, name) != (50, "mine")
    ]
    assert {r.size for r in found if r.backbone.architecture == "resnet18"} == {(48, 32)}


def test_runs_that_differ_do_not_compare(tmp_path: Path) -> None:
    ran(tmp_path / "a")
    ran(tmp_path / "b", size=[64, 64])
    with pytest.raises(UsageError, match="different size"):
        compared(tmp_path / "a", tmp_path / "b")


def test_tasks_are_kinds_or_targets() -> None:
    (found,) = compared("scratch", tasks=("detection", "classification:pneumonia"))
    assert found.finetune
    assert [(t.kind, t.data) for t in found.finetune.tasks] == [
        ("detection", "annotated"),
        ("classification", "pneumonia"),
    ]
    for wrong in ("regression", "pneumonia", "moco:pool"):
        with pytest.raises(UsageError, match="allowed: classification, detection, segmentation"):
            compared("scratch", tasks=(wrong,))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"recipe": {}}'])
def test_a_damaged_record_is_named(tmp_path: Path, content: str) -> None:
    (ran(tmp_path / "mine") / "backbone.json").write_text(content)
    with pytest.raises(UserError, match="backbone.json: not as pretrain writes it"):
        api.start_recipe(tmp_path / "mine", "small")


def test_the_tables_are_those_of_the_report(tmp_path: Path) -> None:
    """Tables 2 and 3, also in parts, and frozen features; not the others."""
    (tmp_path / "tables").mkdir()
    for name in ("table1", "table2", "table3-1", "table3-2", "frozen", "scores"):
        (tmp_path / "tables" / f"{name}.md").write_text(f"{name} – é\n")
    results = SimpleNamespace(data={"cells": []})
    made = api.Finished(tmp_path, results, tmp_path / "report.html")  # type: ignore[arg-type]
    assert made.table() == "\n\n".join(f"{name} – é" for name in ("table2", "table3-1", "table3-2", "frozen"))


@pytest.mark.parametrize(("end", "better", "advised"), [(0.5, 0, True), (0.7, 1, False)])
def test_frozen_features_that_are_no_better_come_with_advice(end: float, better: int, advised: bool) -> None:
    """The rank of the features is no score; ``0 of 1`` alone said neither what it means nor what to do."""
    heard: list[str] = []
    told = Progress()
    told.message = heard.append  # type: ignore[method-assign]
    looks = [
        {"features": {"knn:germ": 0.6, "effective_rank": 4.0}},
        {},
        {"features": {"knn:germ": end, "effective_rank": 9.0}},
    ]
    api._say_worth(api._last_features(looks), told)
    assert heard[0].startswith(
        f"frozen features: {better} of 1 scores on validation films are above those of the start "
        f"(knn:germ 0.60 to {end:.2f}; no intervals: "
    )
    assert ("stages.0.schedule.epochs_per_task" in heard[0] and "muscle compare" in heard[0]) == advised
