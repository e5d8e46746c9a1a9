"""The grid and its cells: shared stages once, finished cells found again, an interruption loses none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny

from muscle import engine, evaluate, grid
from muscle.checkpoint import Checkpoint
from muscle.data.data_file import DataFile
from muscle.errors import UsageError, UserError
from muscle.recipe import Recipe
from muscle.report_scores import classification
from muscle.results import Results
from muscle.starts import left_out
from muscle.tasks.classification import Classification
from muscle.tasks.segmentation import Segmentation

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


def run(films: Path, out: Path, names: tuple[str, ...] = SEEN) -> Results:
    """The grid with its outputs under ``out``."""
    recipes = [quick(name) for name in names]
    return grid.run_grid(recipes, file(films), out / "a", films / "stores", tiny.MACHINE, "T")


def test_interrupted_and_given_again_it_computes_each_cell_once(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[str, str, int]] = []
    real = evaluate.predict

    def predict(*words: object) -> object:
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(("", "", 0))
        return real(*words)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(evaluate, "predict", predict)
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
    monkeypatch.setattr(evaluate, "predict", lambda *_: pytest.fail("computed again"))
    assert run(films, tmp_path).data["cells"] == cells
    monkeypatch.setattr(evaluate, "predict", real)
    lost = tmp_path / "a" / cells[0]["predictions"]
    lost.unlink()
    assert sorted(map(str, run(films, tmp_path).data["cells"])) == sorted(map(str, cells))
    assert lost.is_file()


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
