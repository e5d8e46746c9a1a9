"""What is looked at at boundaries. That looking changes nothing is tested in relations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tiny
import torch
from films import Bone
from numpy.typing import NDArray

from muscle import monitor as monitor_module
from muscle.data.corpus import Corpus
from muscle.data.data_file import DataFile
from muscle.data.rows import Rows
from muscle.monitor import Monitor
from muscle.tasks.classification import Classification
from muscle.types import Batch


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return tiny.corpus(tmp_path_factory.getbasetemp() / "tiny")


def _monitor(corpus: Corpus) -> Monitor:
    return Monitor(corpus, tiny.small("scratch").normalization, torch.device("cpu"))


def test_every_annotated_source_has_a_score_of_frozen_features(corpus: Corpus) -> None:
    torch.manual_seed(0)
    backbone = tiny.small("scratch").backbone.build()
    seen = _monitor(corpus).backbone(backbone)
    assert set(seen) == {"knn:pneumonia", "knn:germ", "probe:bones", "effective_rank", "feature_sd"}
    assert all(0 <= seen[name] <= 1 for name in seen if ":" in name)
    assert 1 <= seen["effective_rank"] <= len(corpus.pool)


def test_external_sources_are_not_looked_at(tmp_path_factory: pytest.TempPathFactory) -> None:
    films = tmp_path_factory.getbasetemp() / "tiny"
    given = tiny.sources(films)
    file = DataFile(
        sources={"chest": given["chest"], "bones": given["bones"].with_(external=True)}, split=tiny.SPLIT
    )
    seen = _monitor(tiny.prepared(films, file)).backbone(tiny.small("scratch").backbone.build())
    assert "knn:germ" in seen and "probe:bones" not in seen


def test_contrast_draws_the_same_views_each_time_and_gives_the_generator_back(corpus: Corpus) -> None:
    backbone = tiny.small("scratch").backbone.build()
    module = tiny.small("md-moco").stages[0].tasks[0].build(backbone, None, len(corpus.pool))
    monitor = _monitor(corpus)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = monitor.contrast(backbone, module)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(6)
    assert monitor.contrast(backbone, module) == first
    assert set(first) == {"top1", "top1_same_source", "embedding_sd"}
    assert first["top1"] <= first["top1_same_source"]  # its negatives are fewer


def test_warnings_are_said_once() -> None:
    monitor = Monitor(None, None, torch.device("cpu"))  # type: ignore[arg-type]
    assert (
        monitor.warnings({"embedding_sd": 0.9, "effective_rank": 20.0, "top1": 0.5, "top1_same_source": 0.6})
        == []
    )
    collapsed = {"embedding_sd": 0.01, "effective_rank": 1.2}
    said = monitor.warnings(collapsed)
    assert len(said) == 2 and "collapsed" in said[0] and "3 directions" in said[1]
    assert monitor.warnings(collapsed) == []
    assert "too easy" in monitor.warnings({"top1": 1.0, "top1_same_source": 1.0})[0]


def test_an_empty_validation_part_scores_nothing(corpus: Corpus) -> None:
    backbone = tiny.small("scratch").backbone.build()
    rows = corpus.tasks["germ"]
    empty = type(rows)(rows.target, rows.train, rows.valid.take(np.array([], np.int64)), rows.test)
    module = tiny.small("scratch").finetune.tasks[0].build(backbone, rows.target, 8)  # type: ignore[union-attr]
    assert _monitor(corpus).task(backbone, module, empty, 64) == (None, 0)
    value, n = _monitor(corpus).task(backbone, module, rows, 3)
    assert n == 3 and (value is None or 0 <= value <= 1)


def test_statistics_are_recomputed_on_training_films_and_scored_on_validation_films(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batch norm that is in train mode counts what it sees; in eval mode it only uses what was counted."""
    backbone = Bone()
    rows = corpus.tasks["pneumonia"]
    module = Classification(batch_size=8).build(backbone, rows.target, len(rows.train))
    seen: dict[bool, list[str]] = {True: [], False: []}
    predict = module.predict

    def heard(given: Bone, batch: Batch) -> list[Any]:
        seen[given.net[1].training] += batch.ids
        return predict(given, batch)

    monkeypatch.setattr(module, "predict", heard)
    _monitor(corpus).task_recomputed(backbone, module, rows, 64, 128)
    assert sorted(seen[True]) == sorted(rows.train.ids)
    assert seen[False] == rows.valid.ids
    assert not {*rows.train.ids} & {*rows.valid.ids}


def test_neighbours_are_training_films_and_the_judged_are_validation_films(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose features and labels reach the score, by following each array from where it was made."""
    whose: dict[int, Rows] = {}
    held: list[NDArray[np.float32]] = []  # so that no id is used twice
    judged: list[tuple[list[str], list[str]]] = []
    extract, knn_score = monitor_module.extract, monitor_module.knn_score

    def extracted(backbone: Any, rows: Rows, *given: Any) -> NDArray[np.float32]:
        held.append(extract(backbone, rows, *given))
        whose[id(held[-1])] = rows
        return held[-1]

    def scored(near: Any, labels: Any, far: Any, truth: Any, *given: Any) -> float | None:
        train, valid = whose[id(near)], whose[id(far)]
        judged.append((train.ids, valid.ids))
        target = next(r.target for r in corpus.internal_tasks.values() if r.train.ids == train.ids)
        np.testing.assert_array_equal(labels, train.labels(target))
        np.testing.assert_array_equal(truth, valid.labels(target))
        return knn_score(near, labels, far, truth, *given)

    monkeypatch.setattr(monitor_module, "extract", extracted)
    monkeypatch.setattr(monitor_module, "knn_score", scored)
    _monitor(corpus).backbone(Bone())
    labelled = [r for r in corpus.internal_tasks.values() if r.target.kind == "labels"]
    assert judged == [(rows.train.ids, rows.valid.ids) for rows in labelled] and len(judged) == 2


def test_words_name_the_scores_and_where_they_began() -> None:
    seen = {"knn:germ": 0.75, "probe:lungs": 0.5, "effective_rank": 12.4, "feature_sd": 0.1, "top1": 0.25}
    assert Monitor.words(seen, {"knn:germ": 0.5}) == (
        "k-NN AUC germ 0.750 (start 0.500), pixel-probe AUC lungs 0.500, views that find their twin 25%, "
        "directions in use 12"
    )
