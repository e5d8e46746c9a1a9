"""The results of a run. Oracles: matrices small enough for transfer and forgetting by hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny
from filelock import FileLock

from muscle import results as module
from muscle.data.audit import Pair
from muscle.data.corpus import Corpus
from muscle.data.seen import Seen, write_seen
from muscle.errors import UserError
from muscle.evaluate import run_cell
from muscle.grid import run_pipelines
from muscle.paths import atomic_file
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


def test_what_a_killed_process_left_goes_when_the_next_one_begins(tmp_path: Path) -> None:
    """Half a file of a process that is dead; that of a living one, this one, stays."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with atomic_file(tmp_path / "tables" / "x.csv"):
        (mine,) = (tmp_path / "tables").iterdir()
        dead = mine.with_name(mine.name.replace(f"-{os.getpid()}.", f"-{ended.pid}."))
        dead.write_bytes(b"half")
        _results(tmp_path)
        assert mine.exists() and not dead.exists()


def test_a_start_that_saw_the_test_films_is_told_on(corpus: Corpus, tmp_path: Path) -> None:
    weights = tmp_path / "mine" / "backbone.safetensors"
    weights.parent.mkdir()
    weights.write_bytes(b"weights")
    method = tiny.small("scratch").with_(name="mine", init=Weights(file=str(weights)))
    results = _results(tmp_path)
    results.put_start(method, corpus)
    write_seen(weights.parent, corpus.pool)
    results.put_start(method, corpus)  # a pool that kept the test films out
    check = results.head["provenance"]["leak check of mine"]
    assert check.endswith("compared with those that its weights have learned from: by pixels and by person")
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
    films = [Seen(f"{i:064x}", who, f"elsewhere/{i}.png") for i, who in enumerate(test.patients[:1])]
    write_seen(tmp_path, test.take(np.zeros(0, np.int64)), films)
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
    results.put_cell(cell | {"backbone": "resnet50"})
    again = _results(tmp_path)
    assert len(again.data["cells"]) == 3
    assert again.cell("muscle", "resnet18", "germ", 0) == cell | {"key": "new"}
    assert again.cell("muscle", "resnet18", "germ", 2) is None


def cell(seed: int, **more: Any) -> dict[str, Any]:
    """What tells a cell from others, and more."""
    return {"recipe": "muscle", "backbone": "resnet18", "task": "germ", "seed": seed} | more


def on_disk(out: Path, part: str) -> Any:
    """A part of the file as it lies there."""
    return json.loads((out / "results.json").read_text())[part]


def test_a_cell_is_there_or_missing_and_never_both(tmp_path: Path) -> None:
    results = _results(tmp_path)
    results.put_grid([cell(s, status="not run", why="") for s in range(3)])
    results.put_cell(cell(0))
    assert [c["seed"] for c in on_disk(tmp_path, "missing")] == [1, 2]
    results.put_missing(cell(1, status="NaN", why="first"))
    results.put_missing(cell(1, status="NaN", why="second"))
    results.put_missing(cell(0, status="lost", why="gone"))
    assert on_disk(tmp_path, "cells") == []
    assert [(c["seed"], c["why"]) for c in on_disk(tmp_path, "missing")] == [
        (2, ""),
        (1, "second"),
        (0, "gone"),
    ]
    results.put_cell(cell(3))
    results.put_grid([cell(s, status="not run", why="") for s in (1, 3, 4)])
    assert [(c["seed"], c["why"]) for c in on_disk(tmp_path, "missing")] == [(1, "second"), (4, "")]


def test_stale_cells_leave_and_are_counted(tmp_path: Path) -> None:
    results = _results(tmp_path)
    for seed in range(3):
        results.put_cell(cell(seed))
    assert results.drop_cells(lambda c: c["seed"] > 5) == 0
    assert results.drop_cells(lambda c: c["seed"] == 1) == 1
    assert [c["seed"] for c in on_disk(tmp_path, "cells")] == [0, 2]


def test_two_processes_fill_one_file_one_after_the_other(tmp_path: Path) -> None:
    """Each has read the file before the other wrote; and one that holds the lock is waited for."""
    first, second = _results(tmp_path), _results(tmp_path)
    first.put_cell(cell(0))
    second.put_cell(cell(1))
    with FileLock(tmp_path / ".results.lock"):
        waiting = threading.Thread(target=first.put_cell, args=(cell(2),))
        waiting.start()
        waiting.join(0.3)
        assert [c["seed"] for c in on_disk(tmp_path, "cells")] == [0, 1]
    waiting.join(10)
    assert [c["seed"] for c in on_disk(tmp_path, "cells")] == [0, 1, 2]


def test_the_time_of_several_processes_is_added_up_and_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
    for _ in range(2):
        results = _results(tmp_path)
        for seed in range(3):
            clock[0] += 10
            results.put_cell(cell(seed))
    assert on_disk(tmp_path, "provenance")["wall_s"] == 60


def test_a_title_is_kept_unless_another_is_given(tmp_path: Path) -> None:
    Results(tmp_path, "", False, tiny.MACHINE).put_cell(cell(0))
    assert on_disk(tmp_path, "title") == "Results"
    _results(tmp_path).put_cell(cell(1))
    assert (on_disk(tmp_path, "title"), on_disk(tmp_path, "synthetic")) == ("a title", True)
    Results(tmp_path, "", True, tiny.MACHINE).put_cell(cell(2))
    assert on_disk(tmp_path, "title") == "a title"
    (tmp_path / "results.json").write_text(
        '{"version": 1, "cells": [], "stages": []}'
    )  # of before cells were missed
    _results(tmp_path).put_grid([cell(0)])
    assert on_disk(tmp_path, "missing") == [cell(0)]


class Shelf:
    """A store of six films."""

    name, path, digest, quarantine, targets = "s", Path("s"), "d", ("a", "b"), (SimpleNamespace(name="germ"),)
    columns = {
        "split": {"train": 4, "test": 2},
        "modality": {"DX": 5, "CR": 1},
        "body_part": {"": 1, "hand": 2, "chest": 3},
        "collection": {"s": 2, "": 4},
    }

    def __len__(self) -> int:
        return 6

    def counts(self, column: str) -> dict[str, int]:
        """How often each value occurs."""
        return self.columns[column]


def counted(tmp_path: Path, tested: bool = False, **more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The row of a source and the provenance, of a corpus of the shelf alone."""
    source = SimpleNamespace(kind="folder", external=True, licence="CC0", published=more.pop("published", {}))
    file = SimpleNamespace(sources={"s": source}, allow_leaks=more.pop("allow_leaks", False))
    about: dict[str, Any] = {"left_out": (), "all_rows": range(5), "leaks": ()} | more
    _results(tmp_path).put_sources(SimpleNamespace(stores=(Shelf(),), file=file, **about), tested)  # type: ignore[arg-type]
    (row,) = on_disk(tmp_path, "sources")
    return row, on_disk(tmp_path, "provenance")


def test_a_source_is_counted_by_part_and_named(tmp_path: Path) -> None:
    row, facts = counted(tmp_path)
    assert row == {
        "name": "s", "kind": "folder", "body_part": "chest, hand", "modality": "DX, CR", "targets": ["germ"],
        "external": True, "train": 4, "valid": 0, "test": 2, "total": 6, "quarantined": 2, "unnamed": 4,
        "licence": "CC0", "store": str(Path("s").resolve()), "digest": "d",
    }  # fmt: skip
    assert not {"films excluded", "leaks allowed"} & facts.keys()
    row, _ = counted(tmp_path, published={"patients": 6})  # each film of another person, says the publisher
    assert row["unnamed"] == 0
    row, _ = counted(tmp_path, tested=True)
    assert (row["train"], row["valid"], row["test"]) == (0, 0, 6)


def test_what_flatters_or_is_left_out_is_told(tmp_path: Path) -> None:
    """Of three pairs two are of one tested film."""
    pairs = [Pair("a", "x", "pixels", ("test", "train")), Pair("a", "y", "patient", ("test", "train")),
             Pair("b", "x", "pixels", ("valid", "train"))]  # fmt: skip
    _, facts = counted(tmp_path, left_out=("z",), allow_leaks=True, leaks=pairs)
    assert facts["films excluded"] == 1
    assert facts["leaks allowed"] == (
        "2 test or validation films were seen in training, so scores flatter (same patient, pixels)"
    )
    _, facts = counted(tmp_path / "other", allow_leaks=True)
    assert facts["leaks allowed"].endswith(
        "0 test or validation films were seen in training, so scores flatter"
    )


def test_films_of_the_pool_are_counted_where_something_is_pre_trained(corpus: Corpus, tmp_path: Path) -> None:
    results = _results(tmp_path)
    results.put_start(tiny.small("scratch"), corpus)
    assert "films pre-trained on" not in results.data["provenance"]
    results.put_start(tiny.small("md-moco"), corpus)
    assert results.data["provenance"]["films pre-trained on"] == len(corpus.pool) < len(corpus.all_rows)


def test_stages_of_a_recipe_and_backbone_replace_their_own(tmp_path: Path) -> None:
    """Scores at the start are those of the look before the first turn; forward transfer by hand: 0.6 - 0.5."""
    log = tmp_path / "log.jsonl"
    log.write_text("{}\n")

    def look(turn: int, task: str, **frozen: float) -> dict[str, Any]:
        scores = {"x": 0.8, "y": 0.7}
        return {"turn": turn, "task": task, "frozen": frozen, "shared": scores, "recomputed": scores}

    def made(name: str, *looks: dict[str, Any]) -> Any:
        about = {
            "stage": {"name": name},
            "key": f"key of {name}",
            "minutes": 2.0,
            "matrix": looks,
            "steps": 9,
            "skipped": [3],
        }
        return SimpleNamespace(about=about, log_file=log, sha256="s", mixed=["threads 2, now 1"])

    results, method = _results(tmp_path / "out"), tiny.small("md-moco")
    other = method.with_(backbone=method.backbone.with_(name="resnet50"))
    turns = (look(-1, "", x=0.4, y=0.5), look(0, "x", y=0.6), look(1, "y"))
    for recipe in (method, other, method):
        results.put_stages(recipe, [made("pretrain"), made("continual", *turns)])
    stages, lost = on_disk(tmp_path / "out", "stages"), on_disk(tmp_path / "out", "forgetting")
    assert [(s["backbone"], s["name"]) for s in stages] == [
        (backbone, name) for backbone in ("resnet50", "resnet18") for name in ("pretrain", "continual")
    ]
    assert [(entry["backbone"], entry["steps"]) for entry in lost] == [("resnet50", 9), ("resnet18", 9)]
    assert all(s["mixed"] == ["threads 2, now 1"] and s["skipped"] == [3] for s in stages)
    for entry in lost:
        assert len(entry["turns"]) == 2 and entry["forward_transfer"] == pytest.approx(0.6 - 0.5)
        assert entry["title"] == "MD-MoCo" and entry["replayed"] == 0
    results.put_stages(method, [made("continual", *turns[1:])])
    assert "forward_transfer" not in on_disk(tmp_path / "out", "forgetting")[-1]  # nothing to compare with


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
