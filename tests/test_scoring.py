"""Scores of a model on rows; what a look leaves as it was is tested in relations."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
import torch
from films import Bone
from torch import nn

from muscle.data.corpus import Corpus
from muscle.features import evaluating
from muscle.predictions import Predictions
from muscle.scoring import main_score, predict, recomputed_statistics, subset
from muscle.tasks.classification import Classification
from muscle.tasks.segmentation import Segmentation
from muscle.types import Target


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


SIXTY_FOUR = np.arange(64)  # two blocks of 32, so that the mean over blocks is the mean over films


def test_recomputed_statistics_are_the_plain_mean_over_films(corpus: Corpus) -> None:
    """Oracle: the convolution's outputs on all films at once, in float64; variances within each block."""
    rows, normalization = corpus.all_rows.take(SIXTY_FOUR), tiny.small("scratch").normalization
    torch.manual_seed(0)
    backbone = Bone()
    norm = backbone.net[1]
    norm.running_mean.fill_(7.0)  # what another task left behind
    norm.running_var.fill_(9.0)
    target = corpus.tasks["germ"].target
    module = Classification(batch_size=8).build(backbone, target, 64)
    with torch.no_grad():
        values = backbone.net[0](rows.batch(SIXTY_FOUR, normalization, None).normalized()).double()
    blocks = [block.transpose(0, 1).flatten(1) for block in values.split(32)]
    with recomputed_statistics(backbone, module, rows, normalization, torch.device("cpu")):
        torch.testing.assert_close(norm.running_mean.double(), values.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
        within = torch.stack([block.var(1) for block in blocks]).mean(0)
        torch.testing.assert_close(norm.running_var.double(), within, rtol=1e-4, atol=1e-5)
    assert (norm.running_mean == 7).all() and (norm.running_var == 9).all() and norm.momentum == 0.1


def test_statistics_of_the_head_are_recomputed_too_and_put_back(corpus: Corpus) -> None:
    rows, normalization = corpus.all_rows.take(SIXTY_FOUR), tiny.small("scratch").normalization
    torch.manual_seed(0)
    backbone = Bone()
    target = Target(name="lung", kind="mask", classes=("lung",))
    module = Segmentation(batch_size=4, width=4).build(backbone, target, 64)
    norms = [m for m in module.head.modules() if isinstance(m, nn.BatchNorm2d)]
    before = [{name: b.clone() for name, b in m.named_buffers()} for m in norms]
    assert len(norms) == 7  # five branches of the pyramid, their projection, and the layer after it
    with recomputed_statistics(backbone, module, rows, normalization, torch.device("cpu")):
        for m, was in zip(norms, before, strict=True):
            assert not torch.equal(m.running_mean, was["running_mean"])
            assert not torch.equal(m.running_var, was["running_var"])
    for m, was in zip(norms, before, strict=True):
        assert all(torch.equal(b, was[name]) for name, b in m.named_buffers())
