"""A split written down. Oracle: the parts read back from the file as text, film by film."""

from __future__ import annotations

import csv
import json
from collections import Counter, defaultdict
from pathlib import Path

import command
import pyarrow.parquet as pq
import pytest

from muscle.data.data_file import DataFile
from muscle.data.split_file import make
from muscle.datasets.kermany import Kermany
from muscle.yaml_text import to_yaml


def data(root: Path, n: int, **fields: object) -> Path:
    """A data file over the first ``n`` films of a tree, as if the others came later."""
    if not (root / "all").exists():
        Kermany.write_example(root / "all", 96, 0)
    paths = [s.path for s in Kermany(root=str(root / "all")).read("k")[0]]
    person = {path: path.split("/")[-1].split("-")[-2 if "IM" in path else 0].split("_")[0] for path in paths}
    keep = set(sorted(set(person.values()))[:n])
    here = root / f"first-{n}"
    for path in paths:
        if person[path] in keep and not (here / path).exists():
            (here / path).parent.mkdir(parents=True, exist_ok=True)
            (here / path).hardlink_to(root / "all" / path)
    given = {"sources": {"k": {"kind": "kermany", "root": str(here)}}, **fields}
    file = root / f"data-{n}-{len(fields)}.yaml"
    file.write_text(to_yaml(given))
    return file


def rows(path: Path) -> dict[str, tuple[str, str]]:
    with path.open(newline="") as file:
        return {row["id"]: (row["patient"], row["part"]) for row in csv.DictReader(file)}


def test_what_is_written_is_read_back_and_newcomers_move_nobody(tmp_path: Path) -> None:
    file = tmp_path / "split.csv"
    first = command.muscle("data", "split", data(tmp_path, 14), "--write", file).done()
    before = rows(file)
    assert "before %" in first and {part for _, part in before.values()} == {"train", "valid", "test"}
    persons = defaultdict(set)
    for patient, part in before.values():
        persons[patient].add(part)
    assert all(len(parts) == 1 for parts in persons.values()) and "kermany" not in "".join(persons)

    told = command.muscle("data", "split", data(tmp_path, 24), "--write", file, "--json").done()
    after = rows(file)
    assert before.items() < after.items()
    shown = json.loads(told)
    assert shown["new"] == len(after) - len(before) and sum(shown["images"].values()) == len(after)
    drift = {(row["class"], row["part"]): (row["before"], row["now"]) for row in shown["percent of part"]}
    mine = [i for i, (_, part) in before.items() if part == "train"]
    assert drift["pneumonia:normal", "train"][0] == pytest.approx(
        100 * sum("/NORMAL/" in i for i in mine) / len(mine)
    )

    again = command.muscle(
        "data", "split", data(tmp_path, 14), "--write", file
    ).done()  # a source with fewer films
    assert rows(file) == after and "wrote" in again

    named = DataFile.load(data(tmp_path, 24, split={"kind": "file", "file": "split.csv"}))
    samples, targets = named.sources["k"].read("k")
    parts = named.split_of("k").assign(samples, targets)
    assert {s.id: part for s, part in zip(samples, parts, strict=True)} == {
        i: part for i, (_, part) in after.items()
    }


def test_the_first_writing_is_stratified(tmp_path: Path) -> None:
    """Well and sick persons of one set: a fifth of each is tested, whereas the hash alone meets it on average."""
    made = make(DataFile.load(data(tmp_path, 24, split={"kind": "patient", "test": 0.2, "valid": 0.2})))
    person = {s.patient: (p, "NORMAL" in s.path) for s, p in zip(made.samples, made.parts, strict=True)}
    for well in (True, False):
        counts = Counter(part for part, kind in person.values() if kind == well)
        for part in ("valid", "test"):
            assert abs(counts[part] - 0.2 * counts.total()) <= 1
    assert set(made.known) == {False}


def test_parquet_and_a_wrong_ending(tmp_path: Path) -> None:
    file = data(tmp_path, 14)
    command.muscle("data", "split", file, "--write", tmp_path / "s.parquet").done()
    command.muscle("data", "split", file, "--write", tmp_path / "s.csv").done()
    table = pq.read_table(tmp_path / "s.parquet").to_pylist()
    assert {r["id"]: (r["patient"], r["part"]) for r in table} == rows(tmp_path / "s.csv")
    assert "or .parquet" in command.muscle("data", "split", file, "--write", tmp_path / "s.txt").refused(2)
    assert not (tmp_path / "s.txt").exists()


def test_other_rules_are_written_as_they_are(tmp_path: Path) -> None:
    file = DataFile.load(data(tmp_path, 14, split={"kind": "official", "valid": 0.0}))
    made = make(file)
    assert made.parts == [s.split for s in made.samples]
