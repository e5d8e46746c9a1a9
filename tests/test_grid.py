"""The grid and its cells: shared stages once, finished cells found again, an interruption loses none."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import tiny
from held import held_until_slept
from sklearn.metrics import roc_auc_score

from muscle import engine, evaluate, grid
from muscle.backbones.resnet import ResNet
from muscle.case_table import write_cases
from muscle.checkpoint import Checkpoint
from muscle.data.data_file import DataFile
from muscle.data.seen import write_seen
from muscle.errors import UsageError, UserError
from muscle.evaluate import NotScored
from muscle.grid import Cell, Share, cells_of, prepare_all, run_pipelines
from muscle.grid_plan import plan_grid
from muscle.leave_one_out import left_out
from muscle.pipeline import Pipeline
from muscle.predictions import Predictions
from muscle.progress import SILENT, Progress
from muscle.recipe import Recipe, Weights
from muscle.report.page import report
from muscle.report.scores import classification
from muscle.results import Results
from muscle.seal import sealed
from muscle.snapshot import Snapshot
from muscle.tasks.classification import Classification
from muscle.tasks.segmentation import Segmentation
from muscle.weights import save_backbone

SEEN = ("scratch", "md-moco")


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny corpus."""
    return tmp_path_factory.mktemp("grid") / "tiny"


def file(films: Path) -> DataFile:
    """Its chest films alone: two classifications."""
    return DataFile(sources={"chest": tiny.sources(films)["chest"]}, split=tiny.SPLIT)


def quick(name: str) -> Recipe:
    """One epoch of everything, one rate, one of the two tasks, two seeds."""
    recipe = tiny.small(name)
    assert recipe.finetune is not None
    task = recipe.finetune.tasks[0].with_(data="pneumonia")
    return recipe.with_(seeds=(0, 1), finetune=recipe.finetune.with_(epochs=1, tasks=(task,)))


def run(films: Path, out: Path, names: tuple[str, ...] = SEEN, progress: Progress = SILENT) -> Results:
    """The grid with its outputs under ``out``."""
    recipes = [quick(name) for name in names]
    return grid.run_grid(recipes, file(films), out / "a", films / "stores", tiny.MACHINE, "T", progress)


def test_interrupted_and_given_again_it_computes_each_cell_once(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[str, str, int]] = []
    real = evaluate.predict_together

    def predict(*words: object) -> object:
        if len(made) == 2 * 3:  # test and validation part of each cell
            raise KeyboardInterrupt
        made.append(("", "", 0))
        return real(*words)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(evaluate, "predict_together", predict)
        with pytest.raises(KeyboardInterrupt):
            run(films, tmp_path)
    file_ = tmp_path / "a" / "results.json"
    kept = json.loads(file_.read_text())["cells"]
    assert len(kept) == 3
    found = run(films, tmp_path)
    cells = found.data["cells"]
    assert cells[:3] == kept and len(cells) == 2 * 2
    assert {(c["recipe"], c["seed"]) for c in cells} == {(r, s) for r in SEEN for s in (0, 1)}
    assert [c["seed"] for c in cells] == [0, 0, 1, 1]  # whole columns first
    assert json.loads(file_.read_text())["cells"] == cells

    # Given a third time nothing is computed; without its predictions a cell is scored again, not trained.
    monkeypatch.setattr(evaluate, "predict_together", lambda *_: pytest.fail("computed again"))
    assert run(films, tmp_path).data["cells"] == cells
    monkeypatch.setattr(evaluate, "predict_together", real)
    lost = tmp_path / "a" / cells[0]["predictions"]
    lost.unlink()
    heard = Heard()
    again = run(films, tmp_path, progress=heard).data["cells"]
    assert sorted(map(str, again)) == sorted(map(str, cells)) and lost.is_file()
    assert heard.said[-1] == "cells: 1 computed, 3 were there"


def test_recipes_need_names_of_their_own(films: Path, tmp_path: Path) -> None:
    for names in ((), ("scratch", "scratch")):
        with pytest.raises(UsageError, match="own name"):
            run(films, tmp_path, names)
    assert not list(tmp_path.iterdir())


def test_a_mistake_in_the_last_recipe_is_told_before_the_first_runs(films: Path, tmp_path: Path) -> None:
    recipes = [quick("scratch"), quick("md-moco").with_(size=(8, 8))]
    with pytest.raises(UsageError, match="size 8x8"):
        grid.run_grid(recipes, file(films), tmp_path / "a", films / "stores", tiny.MACHINE, "T")
    assert not list(tmp_path.iterdir())


def test_no_test_part_anywhere(films: Path, tmp_path: Path) -> None:
    given = file(films).with_(split=tiny.PatientSplit(valid=0.3, test=0.0))
    with pytest.raises(UserError, match="no test part"):
        grid.run_grid([quick("md-moco")], given, tmp_path / "a", films / "stores", tiny.MACHINE, "T")
    assert not (tmp_path / "checkpoints").exists()


def test_a_refused_grid_leaves_no_folder(films: Path, tmp_path: Path) -> None:
    """It was listed as a run of no cells."""
    asked = quick("scratch")
    assert asked.finetune is not None
    lungs = asked.finetune.with_(tasks=(Segmentation(data="lungs"),))
    with pytest.raises(UsageError, match="lungs"):
        grid.run_grid(
            [asked.with_(finetune=lungs)], file(films), tmp_path / "a", films / "stores", tiny.MACHINE, "T"
        )
    assert not (tmp_path / "a").exists()


def test_a_task_that_is_left_out_is_in_no_stage_and_has_its_row(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rounds of two label tasks; without one of them its head does not exist before its own fine-tuning."""
    labels = (Classification(batch_size=8),)
    muscle = tiny.continual(tiny.small("muscle", rounds=1), tasks=labels)
    assert muscle.finetune is not None
    muscle = muscle.with_(finetune=muscle.finetune.with_(epochs=1, tasks=labels))
    recipes = [muscle, *left_out([muscle], file(films))]
    made = grid.run_grid(recipes, file(films), tmp_path / "a", films / "stores", tiny.MACHINE, "T")
    rows = [(c["recipe"], c["title"], c["task"]) for c in made.data["cells"]]
    title = "MUSCLE without own task"
    assert rows == [
        ("muscle", "MUSCLE", "pneumonia"), ("muscle", "MUSCLE", "germ"),
        ("muscle-without-pneumonia", title, "pneumonia"), ("muscle-without-germ", title, "germ"),
    ]  # fmt: skip
    keys = {s["recipe"]: s["key"] for s in made.data["stages"] if s["name"] == "continual"}
    assert (
        len(set(keys.values())) == 3 == len({s["key"] for s in made.data["stages"]}) - 1
    )  # one pre-training
    for name, key in keys.items():
        checkpoint = Checkpoint.find(tmp_path / "checkpoints", key)
        assert checkpoint is not None
        heads = {task for task in ("pneumonia", "germ") if checkpoint.head_state(task) is not None}
        assert heads == {"pneumonia", "germ"} - {name.removeprefix("muscle-without-")}
        assert set(checkpoint.about["images"]) == heads
    (page,) = [r for r in classification(made.data).rows if r[0].text == "germ" and r[2].text == title]
    assert page

    def again(*_: object) -> None:
        pytest.fail("computed again")

    monkeypatch.setattr(engine._Run, "run", again)
    twice = grid.run_grid(recipes, file(films), tmp_path / "a", films / "stores", tiny.MACHINE, "T")
    assert twice.data["cells"] == made.data["cells"]


def scratch(films: Path, out: Path, **options: Any) -> Results:
    """Two seeds of scratch on one task."""
    asked = options.pop("recipes", None) or [quick("scratch")]
    return grid.run_grid(asked, file(films), out / "a", films / "stores", tiny.MACHINE, "T", **options)


def never(*_: object) -> None:
    """In place of what must not be computed again."""
    pytest.fail("computed again")


def test_what_is_refused_takes_nothing_from_the_table(films: Path, tmp_path: Path) -> None:
    """A start that has seen the test films, on data cut otherwise: the finished cells stay as they are."""
    scratch(films, tmp_path)
    before = (tmp_path / "a" / "results.json").read_bytes()
    recipe = quick("scratch")
    corpus = grid.prepare(recipe, file(films), films / "stores", tiny.MACHINE)
    weights = tmp_path / "seen" / "backbone.safetensors"
    weights.parent.mkdir()
    save_backbone(recipe.backbone.build(), weights, {})
    write_seen(weights.parent, corpus.tasks["pneumonia"].test)
    other = file(films).with_(split=tiny.SPLIT.with_(seed=8))
    recipes = [recipe, recipe.with_(name="seen", init=Weights(file=str(weights)))]
    with pytest.raises(UserError, match="was seen in training"):
        grid.run_grid(recipes, other, tmp_path / "a", films / "stores", tiny.MACHINE, "T")
    assert (tmp_path / "a" / "results.json").read_bytes() == before


def test_two_jobs_fill_one_folder(films: Path, tmp_path: Path) -> None:
    """The first computes its cell and names the other one; after both the table is that of one job."""
    one = scratch(films, tmp_path, share=Share(1, 2))
    assert [c["seed"] for c in one.data["cells"]] == [1]
    (open_,) = one.data["missing"]
    assert (open_["seed"], open_["status"], open_["recipe"], open_["task"]) == (
        0,
        "not run",
        "scratch",
        "pneumonia",
    )
    both = scratch(films, tmp_path, share=Share(0, 2))
    assert sorted(c["seed"] for c in both.data["cells"]) == [0, 1] and both.data["missing"] == []
    whole = scratch(films, tmp_path / "whole")
    scores = [sorted((c["seed"], str(c["metrics"])) for c in r.data["cells"]) for r in (both, whole)]
    assert scores[0] == scores[1]


def test_a_cell_that_another_process_is_at_is_left_for_later(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: the engine's lock, held until the grid sleeps."""
    recipe = quick("scratch")
    corpus = grid.prepare(recipe, file(films), films / "stores", tiny.MACHINE)
    root = tmp_path / "checkpoints"
    (job, *_) = tiny.pipeline(recipe, corpus, root).finetune_jobs("pneumonia", 0)
    slept = held_until_slept(Snapshot(root, job.key).folder / "lock", monkeypatch)
    made = scratch(films, tmp_path)
    assert [c["seed"] for c in made.data["cells"]] == [1, 0] and len(slept) == 1


def test_weights_of_the_first_seed_stay_and_no_cell_is_computed_for_the_others(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One cell taken out of the table: it alone is trained again, and comes out the same."""
    made = scratch(films, tmp_path, keep_weights=False)
    root = tmp_path / "checkpoints"
    there = {c["seed"]: Checkpoint.there(root, c["key"]) for c in made.data["cells"]}
    assert there == {0: True, 1: False}
    with monkeypatch.context() as patch:
        patch.setattr(engine._Run, "run", never)
        assert scratch(films, tmp_path, keep_weights=False).data["cells"] == made.data["cells"]
    first, second = made.data["cells"]
    text = json.loads((tmp_path / "a" / "results.json").read_text())
    (tmp_path / "a" / "results.json").write_text(sealed(text | {"cells": [first]}))
    trained: list[int] = []
    run_ = engine._Run.run
    monkeypatch.setattr(engine._Run, "run", lambda self: (trained.append(self.job.seed), run_(self))[1])
    again = scratch(films, tmp_path, keep_weights=False).data["cells"]
    assert set(trained) == {1} and again[0] == first and again[1]["metrics"] == second["metrics"]


def test_a_cell_of_nan_is_named_and_the_others_go_on(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that answers NaN at seed 0; a model that cannot be trained at all; then both are mended."""
    real = evaluate.predict_together
    calls: list[int] = []

    def predict(*words: Any) -> Predictions:
        made = real(*words)
        calls.append(1)
        return replace(made, output=np.full_like(made.arrays[1], np.nan)) if len(calls) < 3 else made

    run_ = engine._Run.run

    def diverge(self: Any) -> Checkpoint:
        if self.job.stage.name == "pretrain":
            raise UserError("the loss is not finite")
        return run_(self)

    monkeypatch.setattr(evaluate, "predict_together", predict)
    monkeypatch.setattr(engine._Run, "run", diverge)
    both = [quick("scratch"), quick("md-moco")]
    made = scratch(films, tmp_path, recipes=both)
    assert [(c["recipe"], c["seed"]) for c in made.data["cells"]] == [("scratch", 1)]
    said = {(c["recipe"], c["seed"]): (c["status"], c["why"]) for c in made.data["missing"]}
    assert said.keys() == {("scratch", 0), ("md-moco", 0), ("md-moco", 1)}
    assert said["scratch", 0][0] == "NaN predictions" and "not finite numbers" in said["scratch", 0][1]
    assert said["md-moco", 0] == said["md-moco", 1] == ("not run", "the loss is not finite")
    with pytest.raises(UserError, match="the loss is not finite"):  # nothing at all: the run fails
        scratch(films, tmp_path / "alone", recipes=[quick("md-moco")])
    monkeypatch.undo()
    mended = scratch(films, tmp_path, recipes=both)
    assert len(mended.data["cells"]) == 4 and mended.data["missing"] == []


def test_shares_of_a_scheduler() -> None:
    assert Share.parse("") == Share(0, 1)
    assert Share.parse("auto", {"RANK": "1", "WORLD_SIZE": "4"}) == Share(1, 4) == Share.parse("1/4")
    slurm = {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_COUNT": "8"}
    assert Share.parse("auto", slurm) == Share(2, 8)
    for wrong in ("4/4", "1", "-1/2", "auto"):
        with pytest.raises(UsageError, match="0 to N - 1"):
            Share.parse(wrong, {})

    assert Share.parse("auto", slurm | {"RANK": "7"}) == Share(
        2, 8
    )  # no torchrun without the number of ranks
    assert Share.parse("auto", {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "8"}) == Share(3, 8)
    cells = [Cell(None, "t", seed) for seed in range(7)]  # type: ignore[arg-type]
    assert [c.seed for c in Share(1, 3).of(cells)] == [1, 4]


class Heard(Progress):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def message(self, text: str) -> None:
        self.said.append(text)


class Bench:
    """A pipeline of two seeds and its results, in which nothing is trained: cells are what ``answer`` makes of them."""

    def __init__(self, films: Path, out: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
        recipe = quick("md-moco").with_(**changes)
        corpus = grid.prepare(recipe, file(films), films / "stores", tiny.MACHINE)
        self.pipeline = tiny.pipeline(recipe, corpus, out / "checkpoints")
        self.results, self.heard = Results(out / "a", "T", True, tiny.MACHINE), Heard()
        self.asked: list[int] = []
        self.monkeypatch = monkeypatch

    def run(self, answer: Any) -> dict[int, tuple[str, str]]:
        """What is missing afterwards, by seed."""

        def computed(cell: Cell, *_: object) -> bool:
            self.asked.append(cell.seed)
            if isinstance(answer, dict) and cell.seed in answer:
                raise answer[cell.seed]
            return False

        self.monkeypatch.setattr(grid, "_run", computed)
        self.monkeypatch.setattr(grid, "_stages_lost", lambda *_: False)
        run_pipelines([self.pipeline], self.results, self.heard)
        return {c["seed"]: (c["status"], c["why"]) for c in self.results.data["missing"]}


def test_what_fails_is_told_and_the_rest_goes_on(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(films, tmp_path, monkeypatch, seeds=(0, 1, 2))
    told = bench.run({0: MemoryError("1 GB"), 1: NotScored("NaN predictions", "not finite")})
    assert told[0] == ("not run", "out of memory (1 GB); lower batch_size or size, or use another device")
    assert told[1] == ("NaN predictions", "not finite") and told[2] == ("not run", "")
    assert bench.heard.said == [
        *(f"warning: md-moco, pneumonia, seed {seed}: not computed: {told[seed][1]}" for seed in (0, 1)),
        "cells: 1 computed, 0 were there, 2 failed",
    ]
    with pytest.raises(UserError, match="first"):
        Bench(films, tmp_path / "none", monkeypatch).run({0: UserError("first"), 1: UserError("second")})


def test_a_task_without_a_test_part_is_named_and_not_run(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(films, tmp_path, monkeypatch)
    monkeypatch.setattr(grid, "_tested", lambda cell: cell.seed == 0)
    told = bench.run({})
    assert bench.asked == [0] and told[0] == ("not run", "")
    assert told[1][0] == "n too small" and told[1][1].startswith("its test part is empty; give more films")
    assert bench.heard.said[:-1] == [f"pneumonia: not scored, {told[1][1]}"]


def test_stages_that_no_cell_asks_for_are_run_by_one_job_and_failed_ones_once(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def pretrain(self: Pipeline) -> list[Checkpoint]:
        tried.append(self.recipe.name)
        raise UserError("the loss is not finite")

    monkeypatch.setattr(Pipeline, "pretrain", pretrain)
    recipe = quick("md-moco")
    corpus = grid.prepare(recipe, file(films), films / "stores", tiny.MACHINE)
    for given, share, expected in (
        (recipe.with_(finetune=None), Share(), ["md-moco"]),
        (recipe.with_(finetune=None), Share(0, 2), []),
        (recipe, Share(), ["md-moco"]),  # for two cells, and for the stages themselves
    ):
        results = Results(tmp_path / str(len(tried)), "T", True, tiny.MACHINE)
        tried.clear()
        heard = Heard()
        try:
            run_pipelines([tiny.pipeline(given, corpus, tmp_path / "c")], results, heard, share)
        except UserError as error:
            assert str(error) == "the loss is not finite"
        assert tried == expected
        assert (results.out / "results.json").exists()


def test_cells_of_other_settings_or_data_leave_the_table(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(films, tmp_path, monkeypatch, seeds=(5,))
    recipe, digest = bench.pipeline.recipe, bench.pipeline.corpus.digest
    same = {
        "recipe": "md-moco",
        "backbone": "resnet18",
        "task": "t",
        "settings": evaluate.settings(recipe),
        "data": digest,
    }
    for seed, change in enumerate(({}, {"settings": "x"}, {"data": "x"}, {"recipe": "other", "data": "x"})):
        bench.results.put_cell(same | {"seed": seed} | change)
    bench.run({})
    assert [c["seed"] for c in bench.results.data["cells"]] == [0, 3]
    assert bench.heard.said[:-1] == ["md-moco: 2 cells of other settings or data leave the table"]


def test_a_cell_is_told_by_its_main_scores_and_its_doubts_and_taken_home_once(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(films, tmp_path, monkeypatch, seeds=(0,))
    ends = {"value": 0.75, "low": 0.5, "high": 0.875}
    made = {"key": "k", "kind": "labels", "status": "ok", "why": "",
            "metrics": {"auc": ends, "brier": ends, "accuracy": ends | {"low": None, "high": None}}}  # fmt: skip
    home: list[object] = []
    monkeypatch.setattr(grid, "found", lambda *_: made)
    monkeypatch.setattr(Checkpoint, "find", lambda root, key: f"weights of {key}")
    monkeypatch.setattr(grid, "take_home", lambda weights, *_: home.append(weights))
    for there in (False, True):
        monkeypatch.setattr(grid, "at_home", lambda root, key, there=there: there)
        run_pipelines([bench.pipeline], bench.results, bench.heard, Share(0, 2))
        made |= {"status": "one class in test", "why": "no AUC"}
    assert home == ["weights of k"]
    words = "MD-MoCo, pneumonia, seed 0: auc 0.750 (0.500 to 0.875), accuracy 0.750 (?)"
    there = "cells: 0 computed, 1 were there"
    assert bench.heard.said == [words, there, f"{words} (one class in test: no AUC)", there]


def test_cells_are_asked_for_seed_by_seed(films: Path, tmp_path: Path) -> None:
    corpus = grid.prepare(quick("scratch"), file(films), films / "stores", tiny.MACHINE)
    recipes = [quick("scratch").with_(seeds=(10, 2)), quick("md-moco").with_(seeds=(2, 3)),
               quick("md-moco").with_(name="alone", finetune=None)]  # fmt: skip
    cells = cells_of([tiny.pipeline(recipe, corpus, tmp_path) for recipe in recipes])
    assert [(c.seed, c.pipeline.recipe.name) for c in cells] == [
        (2, "scratch"), (2, "md-moco"), (3, "md-moco"), (10, "scratch"),
    ]  # fmt: skip


def test_each_way_of_decoding_is_prepared_once_and_looked_through_for_leaks(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    class Checked:
        def check_leaks(self) -> None:
            done.append("leaks")

    monkeypatch.setattr(grid, "prepare", lambda recipe, *_: done.append(recipe.fit) or Checked())
    monkeypatch.setattr(Recipe, "check_weights", lambda self: done.append("weights"))
    recipes = [
        quick("scratch").with_(name=f"r{i}", fit=fit) for i, fit in enumerate(("stretch", "pad", "pad"))
    ]
    prepare_all(recipes, file(films), tmp_path, tiny.MACHINE)
    assert done == ["weights"] * 3 + ["stretch", "leaks", "pad", "leaks"]


def test_a_grid_leaves_its_recipes_and_what_they_start_from(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recipe on two backbones is told apart by them; cells of other data leave, of whichever recipe."""
    monkeypatch.setattr(grid, "run_pipelines", lambda *_: None)
    weights = tiny.run_folder(tmp_path / "mine", size=tiny.SIZE) / "backbone.safetensors"
    mine = quick("scratch").with_(name="mine", init=Weights(file=str(weights)))
    recipes = [quick("scratch"), quick("scratch").with_(backbone=ResNet(name="resnet50")), mine]
    before = Results(tmp_path / "a", "T", False, tiny.MACHINE)
    cell = {"recipe": "gone", "backbone": "b", "task": "t"}
    corpus = grid.prepare(recipes[0], file(films), films / "stores", tiny.MACHINE)
    before.put_cell(cell | {"seed": 0, "data": "of before"})
    before.put_cell(cell | {"seed": 1, "data": corpus.digest})
    heard = Heard()
    made = grid.run_grid(recipes, file(films), tmp_path / "a", films / "stores", tiny.MACHINE, "T", heard)
    assert [c["seed"] for c in made.data["cells"]] == [1]
    assert "1 cells of other data or pixels leave the table" in heard.said
    written = {path.name: path.read_text() for path in (tmp_path / "a").glob("*.yaml")}
    names = ("scratch-resnet18.yaml", "scratch-resnet50.yaml", "mine.yaml")
    assert written == {name: recipe.yaml() for name, recipe in zip(names, recipes, strict=True)}
    assert "backbone.safetensors" in made.data["provenance"]["start of mine"]


def test_the_plan_of_a_grid_is_what_the_grid_does(films: Path, tmp_path: Path) -> None:
    """Before, every cell is to compute and the stage is shared; afterwards they exist."""
    recipes = [quick("md-moco"), quick("md-moco").with_(name="twin"), quick("scratch")]
    row = {"hours": 1.0, "stage": "finetune-pneumonia"}
    timed = [{"stages": [row, {"hours": 2.0, "stage": "pretrain"}]}] * 3

    def planned() -> list[dict[str, Any]]:
        return plan_grid(
            recipes, file(films), tmp_path / "a", films / "stores", tiny.MACHINE, timed, Share(0, 2)
        )

    rows = planned()
    assert [(r["recipe"], r["state"], r["minutes"]) for r in rows[:2]] == [
        ("md-moco", "to compute", 120.0), ("twin", "shared with md-moco", 0.0)
    ]  # fmt: skip
    cells = rows[2:]
    assert [c["cell"] for c in cells] == list("012345") and {c["seed"] for c in cells} == {"0", "1"}
    assert [c["state"] for c in cells] == ["to compute", "another job"] * 3
    assert {c["minutes"] for c in cells} == {30.0, 0.0}  # an hour for two seeds
    assert not (tmp_path / "a").exists()
    scratch(films, tmp_path, share=Share(0, 2), recipes=recipes)
    after = planned()
    assert [r["state"] for r in after[:2]] == ["exists", "exists"]
    assert [r["state"] for r in after[2:]] == ["exists", "another job"] * 3
    scratch(films, tmp_path, recipes=recipes)
    shutil.rmtree(tmp_path / "checkpoints")
    assert [r["state"] for r in planned()] == ["not needed", "shared with md-moco", *["exists"] * 6]


def test_time_counts_where_a_run_was_interrupted_before_it_gave_a_result(tmp_path: Path) -> None:
    results = Results(tmp_path, "", False, tiny.MACHINE)
    results.since -= 60
    with pytest.raises(KeyboardInterrupt), results.timed():
        raise KeyboardInterrupt
    assert json.loads((tmp_path / "results.json").read_text())["provenance"]["wall_s"] >= 60


def test_the_report_needs_no_checkpoint(films: Path, tmp_path: Path) -> None:
    """With the folder of checkpoints deleted every table, figure and row is the same, to the byte."""
    made = scratch(films, tmp_path)
    out = tmp_path / "a"

    def written() -> dict[str, bytes]:
        write_cases(out)
        report(out)
        return {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()}

    before = written()
    assert {"report.html", "cases.parquet", "results.json"} <= before.keys()
    shutil.rmtree(tmp_path / "checkpoints")
    assert written() == before
    cases = pq.read_table(out / "cases.parquet").to_pylist()
    for cell in made.data["cells"]:
        mine = [r for r in cases if r["seed"] == cell["seed"] and r["class"] == cell["classes"][-1]]
        auc = roc_auc_score([r["truth"] for r in mine], [r["output"] for r in mine])
        assert auc == pytest.approx(cell["metrics"]["auc"]["value"])
        assert {r["threshold"] for r in mine} == {cell["threshold"]["value"]}
        assert cell["images_seen"]["total"] == cell["images_seen"]["fine-tuning"] > 0
        assert cell["status"] == "ok" and cell["minutes_total"] == cell["minutes"]
