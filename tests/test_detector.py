"""The detector on lent maps. Oracles: anchors by a loop, torchvision's own losses, RoIAlign of a ramp."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList

from muscle.detector import Anchors, Detector, _Sampler, anchor_sizes, pad, targets
from muscle.distributed import Shard, splitting
from muscle.types import Boxes

SMALL = {
    "fpn_channels": 16,
    "box_head": 16,
    "pre_nms": (50, 50),
    "post_nms": (20, 20),
    "rpn_samples": 32,
    "rois": 16,
}


def maps(n: int, height: int, width: int) -> tuple[Tensor, ...]:
    return tuple(torch.randn(n, 8, height // s, width // s) for s in (4, 8, 16, 32))


def no_boxes() -> Boxes:
    return Boxes(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))


def test_anchors_by_a_loop() -> None:
    sizes, ratios = (10.0, 20.0, 40.0, 80.0, 160.0), (0.5, 2.0)
    levels = [torch.zeros(1, 1, h, w) for h, w in [(24, 16), (12, 8), (6, 4), (3, 2), (2, 1)]]
    expected = []
    for level, stride, side in zip(levels, (4, 8, 16, 32, 64), sizes, strict=True):
        for y in range(level.shape[2]):
            for x in range(level.shape[3]):
                for ratio in ratios:
                    w, h = side / math.sqrt(ratio) / 2, side * math.sqrt(ratio) / 2
                    expected.append([x * stride - w, y * stride - h, x * stride + w, y * stride + h])
    (given,) = Anchors(sizes, ratios)(ImageList(levels[0], [(96, 64)]), levels)
    torch.testing.assert_close(given, torch.tensor(expected), rtol=1e-6, atol=1e-4)


def test_anchors_equal_torchvisions_where_sides_are_whole_and_sizes_divide() -> None:
    sizes = (32.0, 64.0, 128.0, 256.0, 512.0)
    levels = [torch.zeros(1, 1, 512 // s, 256 // s) for s in (4, 8, 16, 32, 64)]
    images = ImageList(torch.zeros(1, 1, 512, 256), [(512, 256)])
    (theirs,) = AnchorGenerator(tuple((int(s),) for s in sizes), ((1.0,),) * 5)(images, levels)
    (ours,) = Anchors(None, (1.0,))(images, levels)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_anchor_sizes_span_the_image_and_stop_at_torchvisions() -> None:
    assert anchor_sizes((128, 80)) == (8, 16, 32, 64, 128)
    assert anchor_sizes((800, 500)) == (32, 64, 128, 256, 512)


def test_anchors_keep_float32_when_the_maps_are_bfloat16() -> None:
    levels = [torch.zeros(1, 1, 1280 // s, 64 // s) for s in (4, 8, 16, 32, 64)]  # 1028 is no bfloat16
    (expected,) = Anchors(None, (0.5,))(ImageList(levels[0], [(1280, 64)]), levels)
    (given,) = Anchors(None, (0.5,))(
        ImageList(levels[0], [(1280, 64)]), [level.bfloat16() for level in levels]
    )
    torch.testing.assert_close(given, expected, rtol=0, atol=0)


@pytest.mark.parametrize("size", [(33, 33), (65, 40), (96, 64)])
def test_regions_are_read_where_they_are_at_any_image_size(size: tuple[int, int]) -> None:
    """A map that holds its own x coordinate must average to the middle of the region."""
    detector = Detector((8, 8, 8, 8), 2, **SMALL)  # type: ignore[arg-type]
    height, width = pad(torch.zeros(1, 1, *size)).shape[-2:]
    given = tuple(torch.zeros(1, 8, height // s, width // s) for s in (4, 8, 16, 32))
    images, _ = detector._levels(given, size)
    ramps = {
        str(i): (torch.arange(width // s) * float(s)).expand(1, 1, height // s, -1)
        for i, s in enumerate((4, 8, 16, 32))
    }
    box = torch.tensor([[6.0, 4.0, 20.0, 16.0]])
    pooled = detector.roi_heads.box_roi_pool(ramps, [box], images.image_sizes)
    assert pooled.mean().item() == pytest.approx(13.0, abs=1e-4)


def test_losses_have_their_names_and_reach_every_weight() -> None:
    torch.manual_seed(0)
    detector = Detector((8, 8, 8, 8), 2, **SMALL).train()  # type: ignore[arg-type]
    boxes = Boxes(
        torch.tensor([[5.0, 5, 30, 40], [10, 20, 60, 50]]), torch.tensor([1, 2]), torch.tensor([0, 1])
    )
    losses = {name: loss for name, (loss, _) in detector.losses(maps(2, 96, 64), (90, 64), boxes).items()}
    assert list(losses) == ["rpn_objectness", "rpn_box", "classifier", "box"]
    sum(losses.values(), torch.zeros(())).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in detector.parameters())


def test_images_without_boxes_teach_background_only() -> None:
    detector = Detector((8, 8, 8, 8), 2, **SMALL).train()  # type: ignore[arg-type]
    losses = {
        name: loss for name, (loss, _) in detector.losses(maps(2, 96, 64), (90, 64), no_boxes()).items()
    }
    assert losses["rpn_box"] == 0 and losses["box"] == 0
    assert losses["rpn_objectness"] > 0 and losses["classifier"] > 0


def test_targets_are_cut_to_the_image_and_slivers_dropped() -> None:
    xyxy = torch.tensor(
        [[-5.0, 2, 10, 12], [60, 10, 70, 20], [5, 5, 5, 20], [5, 5, 5.9, 20], [63.5, 0, 80, 9]]
    )
    row = torch.tensor([1, 1, 1, 0, 0])
    given = targets(Boxes(xyxy, torch.tensor([1, 2, 3, 4, 5]), row), 3, (90, 64))
    assert [t["boxes"].tolist() for t in given] == [[], [[0, 2, 10, 12], [60, 10, 64, 20]], []]
    assert [t["labels"].tolist() for t in given] == [[], [1, 2], []]
    assert all(t["boxes"].shape[1] == 4 for t in given)


def test_detections_stay_inside_the_image_and_not_in_the_padding() -> None:
    torch.manual_seed(0)
    detector = Detector((8, 8, 8, 8), 2, score_threshold=0.0, **SMALL).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        found = detector(maps(2, 96, 64), (70, 40))
    boxes = torch.cat([one["boxes"] for one in found])
    assert len(boxes) and boxes[:, 2].max() <= 40 and boxes[:, 3].max() <= 70 and boxes.min() >= 0


def test_samples_are_as_many_as_torchvisions_and_hang_on_the_image() -> None:
    """Oracle: torchvision's sampler for the counts."""
    torch.manual_seed(0)
    labels = [
        torch.randint(-1, 2, (500,)),
        torch.full((300,), 0),
        torch.randint(0, 2, (20,)),
        torch.ones(40).long(),
    ]
    sampler, theirs = _Sampler(64, 0.25), BalancedPositiveNegativeSampler(64, 0.25)
    torch.manual_seed(1)
    positive, negative = sampler(labels)
    for mine, other, kind in zip((positive, negative), theirs(labels), (1, 0), strict=True):
        assert [int(m.sum()) for m in mine] == [int(o.sum()) for o in other]
        assert all((of[m] == kind).all() for of, m in zip(labels, mine, strict=True))
    assert sampler.sampled == sum(int(m.sum()) for m in positive + negative)
    torch.manual_seed(1)
    with splitting(Shard(1, 3, 4, 2)):
        again, _ = sampler(labels[1:3])
    assert all(map(torch.equal, again, positive[1:3]))
    torch.manual_seed(2)
    assert not torch.equal(sampler(labels)[0][0], positive[0])
