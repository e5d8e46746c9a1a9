"""External validation. Oracles: the model's own cell on its own films, and films it must refuse."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from muscle import grid
from muscle.data.data_file import DataFile
from muscle.data.rows import all_rows
from muscle.data.seen import read_seen, write_seen
from muscle.data.splits import AllTrain
from muscle.data.store import Store
from muscle.datasets.folder import Folder
from muscle.datasets.table import Table
from muscle.errors import UserError
from muscle.external import validate
from muscle.predictions import Predictions
from muscle.recipe import Recipe
from muscle.report.page import report
from muscle.results import Results
from muscle.seal import sealed
from muscle.yaml_text import from_yaml


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of pneumonia fine-tuned on drawn chests, and chests of elsewhere."""
    where = tmp_path_factory.mktemp("external")
    recipe = tiny.small("md-moco")
    assert recipe.finetune is not None
    task = recipe.finetune.tasks[0].with_(data="pneumonia")
    recipe = recipe.with_(finetune=recipe.finetune.with_(epochs=1, tasks=(task,), backbone_rates=(1e-3,)))
    grid.run_grid([recipe], chests(where / "tiny"), where / "out", where / "stores", tiny.MACHINE, "T")
    report(where / "out")
    Table.write_example(where / "elsewhere", 24, 5000)
    return where


def chests(films: Path) -> DataFile:
    """The films that the model was trained, chosen and tested on."""
    return DataFile(sources={"chest": tiny.sources(films)["chest"]}, split=tiny.SPLIT)


def elsewhere(place: Path) -> DataFile:
    """Films of others: the same classes under another name, and a target of other classes."""
    table = Table(
        root=str(place / "elsewhere"), label="finding", patient="patient", view="view", target="ill"
    )
    return DataFile(sources={"other": table, "more": tiny.sources(place / "tiny")["bones"]})


def cell(place: Path) -> dict[str, Any]:
    """The model's own cell."""
    (found,) = json.loads((place / "out" / "results.json").read_text())["cells"]
    return dict(found)


def model(place: Path) -> Path:
    """Its folder."""
    return place / "checkpoints" / str(cell(place)["key"])[:16]


def tried(place: Path, file: DataFile, out: Path, **options: Any) -> Results:
    """The model on some films."""
    return validate(model(place), file, out, place / "stores", tiny.MACHINE, **options)


def test_films_of_elsewhere_are_all_scored_at_the_models_own_threshold(place: Path, tmp_path: Path) -> None:
    split = AllTrain()  # whatever their part
    there = elsewhere(place).with_(split=split)
    (found,) = tried(place, there, tmp_path / "v", task="classification:ill").data["cells"]
    assert found["metrics"]["accuracy"]["n"] == 24 and found["external"] is True
    assert found["threshold"] == cell(place)["threshold"] and "sensitivity@youden" in found["metrics"]
    assert (tmp_path / "v" / found["predictions"]).is_file()
    report(tmp_path / "v")
    table1 = (tmp_path / "v/tables/table1.csv").read_text().splitlines()[1]
    assert ",0,0,24,24," in table1  # train, valid, test, total: all of it is tested
    checklist = (tmp_path / "v/tables/checklist.md").read_text()
    assert "of films that no stage has seen" in checklist
    (row,) = (tmp_path / "v/tables/models.csv").read_text().splitlines()[1:]
    (own,) = (place / "out/tables/models.csv").read_text().splitlines()[1:]
    assert row.replace("ill,", "pneumonia,", 1) == own  # its epoch, rate, validation score, minutes
    (told,) = (tmp_path / "v").glob("*.yaml")
    assert Recipe.parse(from_yaml(told.read_text())).size == tiny.SIZE


def test_on_its_own_test_part_it_answers_as_in_its_cell(place: Path, tmp_path: Path) -> None:
    """Films that it has seen beside them are refused, and stated where allowed."""
    own = chests(place / "tiny")
    with pytest.raises(UserError, match="no external ones"):
        tried(place, own, tmp_path / "v")
    assert not (tmp_path / "v").exists()
    results = tried(place, own.with_(allow_leaks=True), tmp_path / "v")
    assert "so scores flatter" in results.data["provenance"]["leaks allowed"]
    (found,) = results.data["cells"]
    all_ = Predictions.load(tmp_path / "v" / found["predictions"])
    before = Predictions.load(place / "out" / cell(place)["predictions"])
    answers = dict(zip(all_.ids, all_.arrays[1][:, 1], strict=True))
    assert len(all_) == 40
    for name, output in zip(before.ids, before.arrays[1][:, 1], strict=True):
        assert answers[name] == pytest.approx(output, abs=1e-5)


def test_its_own_test_part_alone_is_not_seen(place: Path, tmp_path: Path) -> None:
    """The model has seen training and validation films and all of the pool, no film of the test part."""
    corpus = grid.prepare(tiny.small("scratch"), chests(place / "tiny"), place / "stores", tiny.MACHINE)
    out = tmp_path / "seen.txt"
    rows = corpus.all_rows
    held = set(rows.take(rows.is_("split", "test")).ids)
    out.write_text("".join(f"{name}\n" for name in rows.ids if name not in held))
    (found,) = tried(place, chests(place / "tiny").with_(exclude=(str(out),)), tmp_path / "v").data["cells"]
    assert found["metrics"]["auc"]["value"] == pytest.approx(cell(place)["metrics"]["auc"]["value"])


@pytest.mark.parametrize(
    ("task", "message"),
    [("more", "target 'more': it is boxes of .* here"), ("", "target 'pneumonia': not in this data")],
)
def test_a_target_that_means_something_else(task: str, message: str, place: Path, tmp_path: Path) -> None:
    there = elsewhere(place)
    knows = "the model knows labels of normal, pneumonia"
    with pytest.raises(UserError, match=f"{message}; {knows}; give --task ill$"):
        tried(place, there, tmp_path / "v", task=task)
    others = there.with_(sources={"more": there.sources["more"]})
    with pytest.raises(UserError, match=rf"{knows}; none of its targets is that: .*more \(boxes of"):
        tried(place, others, tmp_path / "v", task=task)
    bare = DataFile(sources={"bare": Folder(root=str(place / "elsewhere"))})
    with pytest.raises(UserError, match="not in this data, which has none; add an annotated source"):
        tried(place, bare, tmp_path / "v", task=task)


def test_scores_of_other_films_are_neither_replaced_nor_beside(place: Path, tmp_path: Path) -> None:
    """The model's own cell has the same recipe, task and seed; another hospital's stands in a folder of its own."""
    there = elsewhere(place)
    shutil.copytree(place / "out", tmp_path / "own")
    tried(place, there, tmp_path / "v", task="ill")
    less = there.with_(sources={"other": there.sources["other"]})
    for folder, file in ((tmp_path / "own", there), (tmp_path / "v", less)):
        before = (folder / "results.json").read_bytes()
        with pytest.raises(UserError, match="on other films .*; give another folder"):
            tried(place, file, folder, task="ill")
        assert (folder / "results.json").read_bytes() == before
    again = tried(place, there, tmp_path / "v", task="ill").data["cells"]  # the same films: the same cell
    assert len(again) == 1


@pytest.mark.parametrize(
    "text",
    ["{half", "[]", '{"recipe": {}}', '{"target": {"kind": "labels"}, "seed": "../x"}', '{"seed": NaN}'],
)
def test_a_model_that_says_nothing_of_itself(text: str, place: Path, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    shutil.copy(model(place) / "stage.json", tmp_path / "m")
    (tmp_path / "m" / "model.json").write_text(text)
    with pytest.raises(
        UserError, match="model.json or stage.json is not as it was written .*; remove the folder"
    ):
        validate(tmp_path / "m", elsewhere(place), tmp_path / "v", place / "stores", tiny.MACHINE)


@pytest.mark.parametrize("harm", ["gone", "emptied", "cut", "a film less"])
def test_a_model_whose_films_are_not_known_is_refused(harm: str, place: Path, tmp_path: Path) -> None:
    """Else films that it has learned from would be scored as if it had not."""
    shutil.copytree(place / "checkpoints", tmp_path / "checkpoints")
    films = tmp_path / "checkpoints" / model(place).name / "pool.txt"
    whole = films.read_bytes()
    if harm == "gone":
        films.unlink()
    elif harm == "a film less":  # under a checksum that is right
        rows = all_rows([Store.open(next((place / "stores").glob("chest-*")))])
        write_seen(films.parent, rows.take(np.arange(1)), read_seen(films.parent)[2:])
    else:
        films.write_bytes(whole[:0] if harm == "emptied" else whole[:40])
    with pytest.raises(
        UserError, match=r"pool\.txt: missing or changed since .*films the model has seen is not known"
    ):
        validate(films.parent, chests(place / "tiny"), tmp_path / "v", place / "stores", tiny.MACHINE)
    assert not (tmp_path / "v").exists()


def test_a_folder_that_is_no_model(place: Path, tmp_path: Path) -> None:
    there = elsewhere(place)
    with pytest.raises(UserError, match="none: no such folder; give the folder of a run"):
        validate(tmp_path / "none", there, tmp_path / "v", place / "stores", tiny.MACHINE)
    with pytest.raises(UserError, match="no fine-tuned model"):
        validate(tmp_path, there, tmp_path / "v", place / "stores", tiny.MACHINE)
    moved = shutil.copytree(model(place), tmp_path / "renamed")
    with pytest.raises(UserError, match="give back its name"):
        validate(moved, there, tmp_path / "v", place / "stores", tiny.MACHINE)


def test_a_run_stands_for_the_model_that_it_kept(place: Path, tmp_path: Path) -> None:
    """Of several it names each folder; of none that still has its weights it says how to make them again."""
    there, run = elsewhere(place), tmp_path / "out"
    how = (there, tmp_path / "v", place / "stores", tiny.MACHINE, "ill")
    (found,) = validate(place / "out", *how).data["cells"]
    assert found["key"] == cell(place)["key"]
    shutil.copytree(place / "out", run)
    with pytest.raises(UserError, match=r"none of its fine-tuned models has its weights in .*--keep-weights"):
        validate(run, *how)
    data = json.loads((run / "results.json").read_text())
    data["cells"].append(cell(place) | {"key": "f" * 64, "seed": 7, "title": "Other"})
    (run / "results.json").write_text(sealed(data))
    for one in data["cells"]:
        shutil.copytree(model(place), tmp_path / "checkpoints" / one["key"][:16])
    with pytest.raises(
        UserError, match=r"2 fine-tuned models; give one of .*f{16} \(Other, pneumonia, seed 7\)"
    ):
        validate(run, *how)


def test_where_no_film_knows_the_target_there_is_nothing_to_validate_on(place: Path, tmp_path: Path) -> None:
    there = elsewhere(place).with_(sources={"other": elsewhere(place).sources["other"]})
    corpus = grid.prepare(tiny.small("scratch"), there, place / "stores", tiny.MACHINE)
    (tmp_path / "all.txt").write_text("".join(f"{name}\n" for name in corpus.all_rows.ids[1:]))
    (found,) = tried(
        place, there.with_(exclude=(str(tmp_path / "all.txt"),)), tmp_path / "v", task="ill"
    ).data["cells"]
    assert found["status"] == "n too small"
    (tmp_path / "all.txt").write_text("".join(f"{name}\n" for name in corpus.all_rows.ids))
    with pytest.raises(UserError, match="target ill: no film is left that knows it"):
        tried(place, there.with_(exclude=(str(tmp_path / "all.txt"),)), tmp_path / "w", task="ill")
