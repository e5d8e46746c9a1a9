"""Scores of a cell: every one with its interval, none where there is nothing to score."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tiny

from muscle.data.corpus import Corpus
from muscle.data.data_file import DataFile
from muscle.data.decode import Decode
from muscle.datasets.table import Table
from muscle.evaluate import described, scores
from muscle.grid import run_pipelines
from muscle.metrics import score
from muscle.pipeline import Pipeline
from muscle.predictions import Predictions
from muscle.recipe import Recipe
from muscle.results import Results


def predictions(n: int) -> Predictions:
    """``n`` cases of one finding."""
    rng = np.random.default_rng(0)
    truth = (np.arange(n) % 2).astype(np.float32)[:, None]
    output = np.clip(0.5 * truth + rng.random((n, 1)).astype(np.float32) * 0.5, 0, 1)
    names = [str(i) for i in range(n)]
    pictures = np.zeros((0, 4, 4), np.uint8)
    return Predictions(
        task="t", kind="labels", classes=("finding",), exclusive=False, ids=names, patients=names, truth=truth,
        output=output, pictures=pictures,
    )  # fmt: skip


def test_what_no_store_keeps_is_read_anew_for_each_case(tmp_path: Path) -> None:
    Table.write_example(tmp_path / "films", 6, 0)
    table = tmp_path / "films/table.csv"
    head, *lines = table.read_text(encoding="utf-8-sig").splitlines()
    told = [f"{line},{'FM'[i % 2]},{30 + i},maker {i}" for i, line in enumerate(lines)]
    table.write_text("\n".join((f"{head},sex,age,machine", *told)))
    source = Table(root=str(tmp_path / "films"), label="finding", sex="sex", age="age", scanner="machine")
    corpus = tiny.prepared(tmp_path, DataFile(sources={"a": source}))
    ids = [sample.id for sample in source.read("a")[0]]
    made = described(replace(predictions(7), ids=["not here", *ids[:6]]), corpus, corpus.all_rows, Decode())
    assert made.columns["scanner"] == ["", *(f"maker {i}" for i in range(6))]
    assert made.columns["sex"] == ["", *"FMFMFM"] and made.columns["age"][1:3] == ["30", "31"]


def test_every_score_has_its_interval() -> None:
    """Oracle: the scores themselves, computed without intervals."""
    found = scores(predictions(20))
    expected = score(predictions(20))
    assert {name: m["value"] for name, m in found.items()} == expected and "auc" in found
    assert all(m["low"] <= m["value"] <= m["high"] and m["n"] for m in found.values())


def test_no_case_no_score() -> None:
    assert scores(predictions(0)) == {}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return tiny.corpus(tmp_path_factory.getbasetemp() / "tiny")


def scored(method: Recipe, corpus: Corpus, where: Path) -> list[dict[str, object]]:
    """The cells after a run in one folder."""
    results = Results(where / "out", "t", True, tiny.MACHINE)
    run_pipelines([Pipeline(method, corpus, tiny.MACHINE, where / "checkpoints")], results)
    found: list[dict[str, object]] = Results(where / "out", "t", True, tiny.MACHINE).data["cells"]
    return found


def germ_only(epochs: int = 1) -> Recipe:
    """Scratch on one quick task."""
    method = tiny.small("scratch")
    assert method.finetune is not None
    task = next(t for t in method.finetune.tasks if t.kind == "classification")
    return method.with_(finetune=method.finetune.with_(tasks=(task.with_(data="germ"),), epochs=epochs))


def test_a_corrected_test_part_is_scored_anew(corpus: Corpus, tmp_path: Path) -> None:
    """The model's key knows nothing of the test part: with its labels swapped, the AUC must become 1 - AUC."""
    (before,) = scored(germ_only(), corpus, tmp_path)
    germ = corpus.tasks["germ"]
    index = germ.test.stores[0].index
    column = index.schema.get_field_index("labels:germ")
    held = set(germ.test.ids)
    turned = [
        row[::-1] if row is not None and name in held else row
        for name, row in zip(index["id"].to_pylist(), index["labels:germ"].to_pylist(), strict=True)
    ]
    field = index.schema.field(column)
    swapped = index.set_column(column, field, pa.array(turned, field.type))
    stores = (replace(corpus.stores[0], index=swapped, digest="other"), *corpus.stores[1:])
    (after,) = scored(germ_only(), Corpus(corpus.file, stores), tmp_path)
    assert after["key"] == before["key"] and after["test"] != before["test"]
    value = [cell["metrics"]["auc"]["value"] for cell in (before, after)]  # type: ignore[index]
    assert value[1] == pytest.approx(1 - value[0])


def test_a_row_never_mixes_settings(corpus: Corpus, tmp_path: Path) -> None:
    """Two seeds at one epoch, then one seed at two: the second seed's cell belongs to another experiment."""
    assert len(scored(germ_only().with_(seeds=(0, 1)), corpus, tmp_path)) == 2
    (cell,) = scored(germ_only(epochs=2), corpus, tmp_path)
    assert cell["seed"] == 0
    assert len(scored(germ_only(epochs=2).with_(seeds=(1,)), corpus, tmp_path)) == 2  # more seeds are welcome
