"""A run whose test cases are learned from is refused, with two ways out that work. Oracle: the films as planted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import command
import copies
import cv2
import numpy as np
import pytest
import tiny

from muscle.data.corpus import Corpus
from muscle.data.data_file import DataFile
from muscle.data.held_out import TaskRows
from muscle.data.splits import Split
from muscle.errors import UserError
from muscle.grid import prepare
from muscle.progress import Progress
from muscle.results import Results
from muscle.types import SplitName
from muscle.yaml_text import to_yaml

RECIPE = tiny.small("scratch").with_(size=(64, 64))


class ByName(Split):
    """The part that the file name begins with."""

    def parts(self, samples: Any, targets: Any) -> list[SplitName]:
        return [sample.path.split("/")[-1].split("-")[0] for sample in samples]


class Heard(Progress):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Two classes with 20 films each, two of every person."""
    for i in range(40):
        folder = tmp_path / "films" / ("well", "sick")[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"person{i // 4}_{i}.png"), copies.cloud(i, 90, 70))
    return tmp_path


def data(root: Path, **fields: Any) -> dict[str, Any]:
    source = {
        "kind": "folder",
        "root": str(root / "films"),
        "labels": "folder",
        "patient_pattern": r"(person\d+)_",
    }
    return {"sources": {"films": source}, "split": {"kind": "paper"}, **fields}


def _only(made: Corpus) -> TaskRows:
    (rows,) = made.tasks.values()
    return rows


def corpus(root: Path, **fields: Any) -> Corpus:
    made = prepare(RECIPE, DataFile.parse(data(root, **fields)), root / "stores", tiny.MACHINE)
    made.check_leaks()
    return made


def test_persons_on_both_sides_are_refused(films: Path) -> None:
    with pytest.raises(UserError, match=r"rule patient.*allow_leaks: true") as told:
        corpus(films)
    assert str(told.value).count("films/") == 2
    assert corpus(films, split={"kind": "patient"}).leaks == ()


@pytest.mark.parametrize(
    "words",
    [
        ("pretrain",),
        ("finetune",),
        ("compare", "--from", "scratch"),
        ("run", "scratch", "size=[64,64]", "--data"),
    ],
    ids=lambda words: words[0],
)
def test_every_command_that_trains_refuses_with_one_line(films: Path, words: tuple[str, ...]) -> None:
    (films / "data.yaml").write_text(to_yaml(data(films)))
    size = () if words[0] == "run" else ("--set", "size=[64,64]")
    ended = command.muscle(
        *words,
        films / "data.yaml",
        *size,
        "--preset",
        "demo",
        "--store",
        films / "stores",
        "--out",
        films / "run",
    )
    assert "rule patient" in ended.refused(1)
    assert not list(films.rglob("backbone.safetensors"))


def test_the_list_of_an_audit_is_a_way_out(films: Path) -> None:
    words = ("--size", "64x64", "--store", films / "stores", "--workers", "0")
    (films / "data.yaml").write_text(to_yaml(data(films)))
    ended = command.muscle("data", "audit", films / "data.yaml", *words)
    assert ended.code == 1 and "rule patient" in ended.out
    done = command.muscle("data", "audit", films / "data.yaml", *words, "--exclude", films / "out.txt").done()
    ids = (films / "out.txt").read_text().splitlines()
    assert ids and f"{len(ids)} ids" in done
    (films / "data.yaml").write_text(to_yaml(data(films, exclude="out.txt")))  # relative to the data file
    assert (
        "0 of them of a film that is trained on"
        in command.muscle("data", "audit", films / "data.yaml", *words).done()
    )
    made = prepare(RECIPE, DataFile.load(films / "data.yaml"), films / "stores", tiny.MACHINE)
    made.check_leaks()
    assert not set(ids) & {i for rows in made.tasks.values() for i in (*rows.train.ids, *rows.test.ids)}
    assert not set(ids) & set(made.pool.ids) and len(made.all_rows) == 40 - len(ids)
    assert made.digest != Corpus(made.file.with_(exclude=()), made.stores).digest


def test_what_is_allowed_is_stamped(films: Path, tmp_path: Path) -> None:
    made = corpus(films, allow_leaks=True)
    assert made.leaks and len(_only(made).train) == 40 - 8
    results = Results(tmp_path / "run", "t", False, tiny.MACHINE)
    results.put_sources(made)
    cases = len({pair.first for pair in made.leaks})
    assert f"{cases} test or validation films" in results.data["provenance"]["leaks allowed"]
    assert "patient" in results.data["provenance"]["leaks allowed"]


def test_near_duplicates_of_a_test_film_leave_the_training_and_are_counted(tmp_path: Path) -> None:
    """train-1 is test-0 inverted and cropped; train-3 and train-4 are one picture; all are of different persons."""
    rng = np.random.default_rng(0)
    films = {f"train-{i}": copies.cloud(i, 90, 70) for i in range(2, 9)}
    films |= {
        "test-0": copies.cloud(100, 90, 70),
        "test-9": copies.cloud(101, 90, 70),
        "train-10": copies.cloud(102),
    }
    films["train-1"] = copies.inverted(copies.cropped(films["test-0"], rng), rng)
    films["train-4"] = copies.encoded(films["train-3"], rng)
    for i, (name, pixels) in enumerate(films.items()):
        folder = tmp_path / "films" / ("well", "sick")[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{name}.png"), pixels)
    file = DataFile.parse(
        {"sources": {"films": {"kind": "folder", "root": str(tmp_path / "films"), "labels": "folder"}}}
    )
    heard = Heard()
    made = prepare(RECIPE, file.with_(split=ByName()), tmp_path / "stores", tiny.MACHINE, heard)
    made.check_leaks()
    learned = {i.split("/")[-1] for i in made.pool.ids}
    assert learned == {f"train-{i}.png" for i in (2, 3, 5, 6, 7, 8, 10)} or learned == {
        f"train-{i}.png" for i in (2, 4, 5, 6, 7, 8, 10)
    }
    assert "train-1.png" not in {i.split("/")[-1] for i in _only(made).train.ids}
    assert any(text.startswith("1 training films are near-duplicates") for text in heard.messages)
    assert Corpus(made.file.with_(synthetic=True), made.stores).near == ()
