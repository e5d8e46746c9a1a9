"""Predictions depend on the model and the film, on nothing else; a look leaves everything as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tiny
import torch

from muscle.data.corpus import Corpus
from muscle.pipeline import Pipeline
from muscle.scoring import predict, recomputed_statistics
from muscle.tasks import TaskModule

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def run(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    return tiny.pipeline(tiny.small("scratch"), corpus, tmp_path_factory.mktemp("looks"))


def _model(run: Pipeline, name: str, batch_size: int = 8) -> tuple[Any, TaskModule]:
    torch.manual_seed(0)
    backbone = run.recipe.backbone.build()
    rows = run.corpus.tasks[name]
    return backbone, run.tasks()[name].with_(batch_size=batch_size).build(
        backbone, rows.target, len(rows.train)
    )


def _flat(output: Any) -> list[np.ndarray]:
    return [np.asarray(a) for one in output for a in (one if isinstance(one, tuple) else (one,))]


@pytest.mark.parametrize("name", ["pneumonia", "bones"])
def test_predictions_depend_on_neither_batch_size_mode_nor_random_state(name: str, run: Pipeline) -> None:
    rows, normalization = run.corpus.tasks[name], run.recipe.normalization
    found = []
    for batch_size, seed, training in ((8, 0, True), (2, 1, False), (32, 2, True)):
        backbone, module = _model(run, name, batch_size)
        backbone.train(training)
        torch.manual_seed(seed)
        found.append(predict(backbone, module, rows.train, rows.target, normalization, CPU))
        assert backbone.training == training
    for other in found[1:]:
        assert other.ids == found[0].ids
        for a, b in zip(_flat(other.output), _flat(found[0].output), strict=True):
            assert np.array_equal(a, b)


def test_predictions_come_by_id_and_each_once(run: Pipeline) -> None:
    rows = run.corpus.tasks["pneumonia"]
    made = predict(*_model(run, "pneumonia"), rows.train, rows.target, run.recipe.normalization, CPU)
    assert made.ids == rows.train.ids and len(set(made.ids)) == len(made.ids) == len(made.output)
    assert made.patients == rows.train.patients


@pytest.mark.parametrize("fails", [False, True])
def test_recomputed_statistics_are_put_back_exactly(fails: bool, run: Pipeline) -> None:
    rows = run.corpus.tasks["pneumonia"]
    backbone, module = _model(run, "pneumonia")
    backbone.train()
    module.losses(
        backbone, rows.train.batch(np.arange(8), run.recipe.normalization, rows.target)
    )  # moves the buffers
    state = {k: v.clone() for m in (backbone, module) for k, v in m.state_dict().items()}
    momenta = [m.momentum for m in backbone.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    norm = next(m for m in backbone.modules() if isinstance(m, torch.nn.BatchNorm2d))
    try:
        with recomputed_statistics(backbone, module, rows.train, run.recipe.normalization, CPU):
            assert not torch.equal(norm.running_mean, state["net.bn1.running_mean"])
            if fails:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert fails
    for m in (backbone, module):
        for k, v in m.state_dict().items():
            assert torch.equal(v, state[k]), k
    assert momenta == [m.momentum for m in backbone.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert backbone.training and all(m.training for m in backbone.modules())
