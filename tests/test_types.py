"""The shared nouns. Oracles: NumPy in float64 for the normalization, hand-written boxes."""

from __future__ import annotations

import dataclasses
from typing import get_args

import numpy as np
import pytest
import torch

from muscle import types as t


def _batch(target: torch.Tensor | t.Boxes | None = None) -> t.Batch:
    image = torch.arange(2 * 3 * 4, dtype=torch.uint8).view(2, 1, 3, 4) * 10
    mean, sd = torch.tensor([100.0, 50.0]), torch.tensor([20.0, 5.0])
    return t.Batch(image, mean, sd, torch.tensor([0, 1]), ("a/1", "b/2"), target)


def _boxes() -> t.Boxes:
    xyxy = torch.tensor([[0.0, 0, 4, 3], [1, 1, 2, 2], [2, 0, 4, 1]])
    return t.Boxes(xyxy, torch.tensor([1, 2, 1]), torch.tensor([1, 0, 1]))


def test_a_batch_counts_images() -> None:
    assert len(_batch()) == 2


def test_each_image_is_normalized_with_its_own_numbers() -> None:
    batch = _batch()
    image = batch.image.numpy().astype(np.float64)
    wanted = np.stack([(image[0] - 100) / 20, (image[1] - 50) / 5])
    got = batch.normalized()
    assert got.dtype == torch.float32
    assert got.shape == (2, 1, 3, 4)
    assert got.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(got.numpy(), wanted, atol=1e-6)


def test_normalizing_leaves_the_stored_pixels_alone() -> None:
    batch = _batch()
    before = batch.image.clone()
    batch.normalized().zero_()
    assert torch.equal(batch.image, before)


@pytest.mark.parametrize(
    "target", [None, torch.tensor([[1.0], [float("nan")]]), _boxes()], ids=["none", "labels", "boxes"]
)
def test_a_batch_moves_whole(target: torch.Tensor | t.Boxes | None) -> None:
    """To the `meta` device, which every build of torch has and which is not the CPU."""
    moved = _batch(target).to(torch.device("meta"))
    tensors = [moved.image, moved.mean, moved.sd, moved.source]
    if isinstance(moved.target, t.Boxes):
        tensors += [moved.target.xyxy, moved.target.label, moved.target.row]
    elif target is None:
        assert moved.target is None
    else:
        assert moved.target is not None
        tensors.append(moved.target)
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert moved.ids == ("a/1", "b/2")


def test_moving_keeps_the_values() -> None:
    there = _batch(_boxes()).to(torch.device("cpu"))
    here = _batch(_boxes())
    for name in ("image", "mean", "sd", "source"):
        assert torch.equal(getattr(there, name), getattr(here, name))
    assert isinstance(there.target, t.Boxes)
    assert torch.equal(there.target.xyxy, _boxes().xyxy)


def test_the_boxes_of_one_image_in_their_order() -> None:
    xyxy, label = _boxes().of(1)
    assert xyxy.tolist() == [[0, 0, 4, 3], [2, 0, 4, 1]]
    assert label.tolist() == [1, 1]
    assert _boxes().of(0)[1].tolist() == [2]


def test_an_image_without_boxes_has_zero_of_four() -> None:
    xyxy, label = _boxes().of(5)
    assert xyxy.shape == (0, 4)
    assert label.shape == (0,)


@pytest.mark.parametrize(
    "cls",
    [
        t.Target,
        t.Labels,
        t.MaskFiles,
        t.MaskRuns,
        t.BoxList,
        t.Value,
        t.Points,
        t.Sample,
        t.Boxes,
        t.Batch,
        t.Features,
        t.Turn,
    ],
)
def test_nouns_are_frozen(cls: type) -> None:
    first = dataclasses.fields(cls)[0].name
    value = object.__new__(cls)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, first, 1)


def test_every_kind_of_target_has_its_annotation() -> None:
    assert get_args(t.TargetKind) == ("labels", "mask", "boxes", "value", "points")
    assert get_args(t.Annotation) == (t.Labels, t.MaskFiles, t.MaskRuns, t.BoxList, t.Value, t.Points)


def test_samples_share_no_annotations() -> None:
    one, other = (t.Sample(id=i, path="x.png", source="s", patient=i) for i in ("a", "b"))
    assert one.annotations == {}
    assert one.annotations is not other.annotations
