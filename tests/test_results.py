"""The results of a run. Oracles: matrices small enough for transfer and forgetting by hand."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
import tiny

from muscle.data.audit import write_seen
from muscle.data.corpus import Corpus
from muscle.errors import UserError
from muscle.evaluate import run_cell
from muscle.grid import run_pipelines
from muscle.predictions import Predictions
from muscle.progress import Progress
from muscle.recipe import Weights
from muscle.results import Results
from muscle.tasks.classification import Classification


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return tiny.corpus(tmp_path_factory.getbasetemp() / "tiny")


def _results(out: Path) -> Results:
    return Results(out, "a title", True, tiny.MACHINE)


def test_a_start_that_saw_the_test_films_is_told_on(corpus: Corpus, tmp_path: Path) -> None:
    weights = tmp_path / "mine" / "backbone.safetensors"
    weights.parent.mkdir()
    weights.write_bytes(b"weights")
    method = tiny.small("scratch").with_(name="mine", init=Weights(file=str(weights)))
    results = _results(tmp_path)
    results.put_start(method, corpus)
    write_seen(weights.parent, corpus.pool)
    results.put_start(method, corpus)  # a pool that kept the test films out
    write_seen(weights.parent, corpus.tasks["pneumonia"].test)
    count = len(corpus.tasks["pneumonia"].test)
    with pytest.raises(UserError, match=r"--from .*mine --exclude FILE.*allow_leaks: true") as told:
        results.put_start(method, corpus)
    assert "\n" not in str(told.value) and "rule pixels" in str(told.value)
    allowed = Corpus(corpus.file.with_(allow_leaks=True), corpus.stores)
    results.put_start(method, allowed)
    facts = results.data["provenance"]
    assert (
        f"on {count} validation or test films" in facts["leak of mine"] and "sha256" in facts["start of mine"]
    )


def test_a_start_that_saw_another_film_of_a_tested_person_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    test = corpus.tasks["pneumonia"].test
    lines = [f"{i:064x}\t{patient}\telsewhere/{i}.png\n" for i, patient in enumerate(test.patients[:1])]
    (tmp_path / "pool.txt").write_text("".join(lines))
    weights = tmp_path / "backbone.safetensors"
    weights.write_bytes(b"weights")
    method = tiny.small("scratch").with_(name="mine", init=Weights(file=str(weights)))
    with pytest.raises(UserError, match=r"elsewhere/0.png \(weights\), rule patient"):
        _results(tmp_path).put_start(method, corpus)


def test_cells_are_replaced_not_doubled(tmp_path: Path) -> None:
    results = _results(tmp_path)
    cell = {"recipe": "muscle", "backbone": "resnet18", "task": "germ", "seed": 0, "key": "old"}
    results.put_cell(cell)
    results.put_cell(cell | {"seed": 1})
    results.put_cell(cell | {"key": "new"})
    again = _results(tmp_path)
    assert len(again.data["cells"]) == 2
    assert again.cell("muscle", "resnet18", "germ", 0) == cell | {"key": "new"}
    assert again.cell("muscle", "resnet18", "germ", 2) is None


def test_what_is_found_again_keeps_the_name_of_who_computed_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that adds nothing is not where the numbers come from; its time counts all the same."""
    cell = {"recipe": "muscle", "backbone": "resnet18", "task": "germ", "seed": 0, "key": "k"}

    def command(words: list[str], *cells: dict[str, object]) -> str:
        monkeypatch.setattr("sys.argv", ["muscle", *words])
        results = _results(tmp_path)
        for one in cells:
            results.put_cell(one)
        with results.timed():
            pass
        found: str = json.loads((tmp_path / "results.json").read_text())["provenance"]["command"]
        return found

    assert command(["compare", "a"], cell) == "muscle compare a"
    assert command(["compare", "b"], cell) == command(["compare", "c"]) == "muscle compare a"
    assert command(["compare", "d"], cell | {"seed": 1}) == "muscle compare d"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{half", "not JSON"),
        ('{"version": 99}', "version 1"),
        ('{"version": 1, "provenance": null}', "provenance is no table"),
        ('{"version": 1, "cells": null}', "cells is no list"),
        ('{"version": 1, "missing": [1]}', "missing is no list"),
        (
            '{"version": 1, "cells": [{"recipe": "a", "task": "t", "seed": 0}]}',
            "cells entry 1 lacks backbone",
        ),
        ('{"version": 1, "stages": [{"recipe": "a", "backbone": "b"}]}', "stages entry 1 lacks key"),
    ],
)
def test_a_file_that_cannot_be_continued(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(UserError, match=f"{message}.*move it away"):
        _results(tmp_path)
    assert (tmp_path / "results.json").read_text() == text


def test_a_whole_recipe_fills_the_file_and_a_second_run_changes_no_score(
    corpus: Corpus, tmp_path: Path
) -> None:
    method = tiny.continual(tiny.small("muscle", rounds=1), tasks=(Classification(batch_size=8),)).with_(
        seeds=(0, 1)
    )
    method = method.with_(finetune=method.finetune.with_(tasks=(Classification(batch_size=8),)))  # type: ignore[union-attr]
    said: list[str] = []

    class Heard(Progress):
        def message(self, text: str) -> None:
            said.append(text)

    results = _results(tmp_path / "out")
    results.put_sources(corpus)
    run_pipelines([tiny.pipeline(method, corpus, tmp_path / "checkpoints")], results, Heard())
    data = json.loads((tmp_path / "out" / "results.json").read_text())
    assert {s["name"]: s["total"] for s in data["sources"]} == {"chest": 40, "bones": 30}
    assert all(s["train"] + s["valid"] + s["test"] == s["total"] for s in data["sources"])
    assert [s["name"] for s in data["stages"]] == ["pretrain", "continual"]
    assert all((tmp_path / "out" / s["log"]).is_file() for s in data["stages"])
    (entry,) = data["forgetting"]
    assert entry["recipe"] == "muscle" and entry["replayed"] == 0 < entry["steps"]
    first, second = (turn["task"] for turn in entry["turns"])
    assert entry["turns"][0]["frozen"].keys() == {second} != {first} and not entry["turns"][1]["frozen"]
    assert -1 <= entry["forward_transfer"] <= 1 and 0 <= entry["average"] <= 1
    cells = {(c["task"], c["seed"]): c for c in data["cells"]}
    assert set(cells) == {(task, seed) for task in ("pneumonia", "germ") for seed in (0, 1)}
    for cell in cells.values():
        made = Predictions.load(tmp_path / "out" / cell["predictions"])
        assert made.ids == corpus.tasks[cell["task"]].test.ids  # the test part, each case once
        for metric in cell["metrics"].values():
            assert 0 <= metric["low"] <= metric["value"] <= metric["high"] <= 1
    assert data["provenance"]["versions"]["torch"] and data["synthetic"] is True
    assert any("seed 1" in text for text in said)

    run_pipelines([tiny.pipeline(method, corpus, tmp_path / "checkpoints")], _results(tmp_path / "out"))
    again = json.loads((tmp_path / "out" / "results.json").read_text())
    assert {k: again[k] for k in ("cells", "stages", "forgetting")} == {
        k: data[k] for k in ("cells", "stages", "forgetting")
    }


def test_a_lost_or_damaged_prediction_file_is_written_again(corpus: Corpus, tmp_path: Path) -> None:
    run = tiny.pipeline(tiny.small("scratch"), corpus, tmp_path / "checkpoints")
    results = _results(tmp_path / "out")
    cell = run_cell(run, "germ", 0, results)
    file = tmp_path / "out" / cell["predictions"]
    file.unlink()
    assert run_cell(run, "germ", 0, results) == cell and file.is_file()
    with zipfile.ZipFile(file) as archive:
        (outputs,) = (part for part in archive.infolist() if part.filename == "output.npy")
    damaged = bytearray(file.read_bytes())
    damaged[outputs.header_offset + 60] ^= 0xFF  # the names of the cases stay whole
    file.write_bytes(damaged)
    with pytest.raises(UserError, match="the command of the run writes it again"):
        Predictions.load(file)
    assert run_cell(run, "germ", 0, results) == cell and len(Predictions.load(file)) == len(
        corpus.tasks["germ"].test
    )
