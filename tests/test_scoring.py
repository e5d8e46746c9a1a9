"""Scores of a model on rows; what a look leaves as it was is tested in relations."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
import torch
from torch import nn

from muscle.data.corpus import Corpus
from muscle.features import evaluating
from muscle.predictions import Predictions
from muscle.scoring import main_score, predict, subset


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return tiny.corpus(tmp_path_factory.getbasetemp() / "tiny")


def _labels(truth: list[float], output: list[float]) -> Predictions:
    ids = [str(i) for i in range(len(truth))]
    pair = [np.array([[1 - v, v] for v in values], np.float32) for values in (truth, output)]
    return Predictions(
        task="t",
        kind="labels",
        classes=("no", "yes"),
        exclusive=True,
        ids=ids,
        patients=ids,
        truth=pair[0],
        output=pair[1],
    )


def test_main_score_is_the_auc_and_falls_back_to_accuracy() -> None:
    assert main_score(_labels([0, 0, 1, 1], [0.1, 0.6, 0.5, 0.9])) == pytest.approx(0.75)
    assert main_score(_labels([1, 1, 1, 1], [0.1, 0.6, 0.7, 0.9])) == pytest.approx(0.75)


def test_evaluating_puts_each_mode_back_even_after_an_error() -> None:
    module = nn.Sequential(nn.BatchNorm2d(2), nn.Dropout()).train()
    module[0].eval()
    with pytest.raises(KeyError), evaluating(module):
        assert not any(m.training for m in module.modules())
        raise KeyError
    assert [m.training for m in module.modules()] == [True, False, True]


def test_a_subset_is_fixed_sorted_and_within_its_limit(corpus: Corpus) -> None:
    rows = corpus.pool
    assert subset(rows, len(rows), "x") is rows
    few = subset(rows, 5, "x")
    assert len(few) == 5 and few.ids == subset(rows, 5, "x").ids
    assert few.ids != subset(rows, 5, "y").ids
    assert [rows.ids.index(i) for i in few.ids] == sorted(rows.ids.index(i) for i in few.ids)


@pytest.mark.parametrize("name", ["pneumonia", "bones"])
def test_predictions_of_untrained_models(name: str, corpus: Corpus) -> None:
    recipe = tiny.small("scratch")
    torch.manual_seed(0)
    backbone = recipe.backbone.build()
    rows = corpus.tasks[name]
    kind = {"labels": "classification", "boxes": "detection"}[rows.target.kind]
    (task,) = [t for t in recipe.finetune.tasks if t.kind == kind]  # type: ignore[union-attr]
    module = task.build(backbone, rows.target, len(rows.train))
    made = predict(backbone, module, rows.test, rows.target, recipe.normalization, torch.device("cpu"))
    assert len(made) == len(rows.test) and made.pictures.shape == (min(6, len(made)), *tiny.SIZE)
    if rows.target.kind == "labels":
        np.testing.assert_allclose(np.asarray(made.output).sum(1), 1, rtol=1e-5)  # exclusive classes
        np.testing.assert_array_equal(np.asarray(made.truth), rows.test.truth(rows.target))
    else:
        for xyxy, scores, labels in made.output:
            assert xyxy.shape == (len(scores), 4) and xyxy.dtype == np.float32 and labels.dtype == np.int64
