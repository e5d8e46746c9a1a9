"""Frozen features. Oracles: scikit-learn's neighbours, hand-made singular values, a separable map."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tiny
import torch
from films import Bone, batch
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from muscle.data.corpus import Corpus
from muscle.data.normalization import ZScore
from muscle.features import contrast, dense_probe, effective_rank, evaluating, extract, foreground, knn_score
from muscle.types import Boxes

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return tiny.corpus(tmp_path_factory.getbasetemp() / "tiny")


def _points(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 6)).astype(np.float32)


@pytest.mark.parametrize("k", [1, 5, 200])
def test_knn_score_is_scikit_learns_neighbours_weighted(k: int) -> None:
    train, valid = _points(60, 0), _points(40, 1)
    train[:30] += 0.5
    valid[:20] += 0.5
    labels = np.repeat([[0, 1], [1, 0]], 30, axis=0).astype(np.float32)
    truth = np.repeat([[0, 1], [1, 0]], 20, axis=0).astype(np.float32)
    distance, near = NearestNeighbors(n_neighbors=min(k, 60), metric="cosine").fit(train).kneighbors(valid)
    weight = np.exp((1 - distance) / 0.07)
    vote = (labels[near, 1] * weight).sum(1) / weight.sum(1)
    assert knn_score(train, labels, valid, truth, k) == pytest.approx(
        roc_auc_score(truth[:, 1], vote), abs=1e-6
    )


def test_knn_score_leaves_unknown_labels_out_and_is_none_where_nothing_is_known() -> None:
    train, valid = _points(20, 0), _points(10, 1)
    labels = np.full((20, 3), np.nan, np.float32)
    labels[:, 0] = np.arange(20) % 2
    truth = np.full((10, 3), np.nan, np.float32)
    assert knn_score(train, labels, valid, truth) is None
    truth[:, 0] = np.arange(10) % 2
    assert knn_score(train, labels, valid, truth) == pytest.approx(
        knn_score(train, labels[:, :1], valid, truth[:, :1])
    )
    assert knn_score(train, labels[:, :1], valid, np.ones((10, 1), np.float32)) is None  # one value only


def test_effective_rank_counts_the_directions() -> None:
    axes = np.concatenate([np.eye(4), -np.eye(4)]).astype(np.float32)
    assert effective_rank(axes) == pytest.approx(4, rel=1e-5)
    assert effective_rank(axes[:, :2]) == pytest.approx(2, rel=1e-5)
    assert effective_rank(np.outer(np.arange(5.0), np.ones(7)).astype(np.float32)) == pytest.approx(
        1, rel=1e-4
    )
    assert effective_rank(np.ones((5, 3), np.float32)) == 1


def test_extract_gives_the_pooled_features_and_leaves_the_mode(corpus: Corpus) -> None:
    backbone = Bone().train()
    found = extract(backbone, corpus.pool, ZScore(), CPU)
    assert found.shape == (len(corpus.pool), 8) and found.dtype == np.float32 and backbone.training
    assert int(backbone.net[1].num_batches_tracked) == 0
    index = np.arange(3)
    with torch.no_grad():
        alone = backbone.eval()(corpus.pool.batch(index, ZScore(), None).normalized()).pooled
    np.testing.assert_allclose(found[:3], alone.numpy(), rtol=1e-5, atol=1e-6)


class _Views:
    """Embeds as told: each image by its position, views of one image alike or not."""

    def __init__(self, first: torch.Tensor, second: torch.Tensor) -> None:
        self.views = first, second

    def embed_views(self, backbone: Any, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
        return self.views


def test_contrast_by_hand(corpus: Corpus) -> None:
    sources = np.array(corpus.pool.sources)
    some = corpus.pool.take(np.concatenate([np.flatnonzero(sources == s)[:2] for s in np.unique(sources)]))
    eye = torch.eye(4)
    found = contrast(_Views(eye, eye), Bone(), some, ZScore(), CPU)
    assert found["top1"] == found["top1_same_source"] == 1
    found = contrast(
        _Views(eye, eye[[2, 3, 0, 1]]), Bone(), some, ZScore(), CPU
    )  # twins look like the other source
    assert found["top1"] == 0
    found = contrast(
        _Views(eye[[0, 0, 1, 1]], eye[[0, 0, 1, 1]]), Bone(), some, ZScore(), CPU
    )  # the source alone
    assert found["top1"] == found["top1_same_source"] == 0.5
    same = torch.ones(4, 4) / 2
    assert contrast(_Views(same, same), Bone(), some, ZScore(), CPU)["embedding_sd"] == 0


def test_foreground_of_masks_and_boxes() -> None:
    mask = torch.tensor([[[0, 1], [2, 255]]], dtype=torch.uint8)
    assert foreground(batch(1, (2, 2), target=mask)).tolist() == [[[0, 1], [1, 0]]]
    boxes = Boxes(torch.tensor([[1.0, 0, 3, 2]]), torch.tensor([1]), torch.tensor([1]))
    inside = foreground(batch(2, (3, 4), target=boxes))
    assert inside[0].sum() == 0 and inside[1].tolist() == [[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]


def test_dense_probe_orders_the_cells_that_it_was_fitted_on(corpus: Corpus) -> None:
    rows = corpus.tasks["bones"]
    torch.manual_seed(0)
    backbone = Bone()
    fitted = dense_probe(backbone, rows.train, rows.train, "bones", ZScore(), CPU)
    other = dense_probe(backbone, rows.train, rows.test, "bones", ZScore(), CPU)
    assert fitted is not None and other is not None
    assert fitted > 0.6 and 0 < other <= 1


def test_looking_leaves_every_mode_as_it_was() -> None:
    """Frozen batch norm is in eval mode inside a training backbone; ``backbone.train()`` would thaw it."""
    backbone = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.BatchNorm2d(2)).train()
    backbone[1].eval()
    with evaluating(backbone):
        assert not any(m.training for m in backbone.modules())
    assert backbone.training and backbone[0].training and not backbone[1].training
