"""Faster R-CNN with a feature pyramid on maps that someone else's backbone gives.

Ren et al. (arXiv 1506.01497) and Lin et al. (arXiv 1612.03144) by torchvision's region proposal network and RoI
heads. What torchvision wraps around them is left out, because it owns the backbone, resizes to 800 x 1333,
normalizes for colour, and guesses strides from sizes: here the images come as they are, the padding is known, and
the strides are given.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection._utils import BalancedPositiveNegativeSampler
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool
from torchvision.ops.poolers import LevelMapper

from muscle.distributed import image_seeds
from muscle.types import Boxes

STRIDES = (4, 8, 16, 32, 64)  # of the pyramid's levels; the last is the one before, subsampled
SMALLEST = 1.0  # pixels; narrower boxes are not taught

_LOSSES = {
    "loss_objectness": "rpn_objectness",
    "loss_rpn_box_reg": "rpn_box",
    "loss_classifier": "classifier",
    "loss_box_reg": "box",
}


def pad(images: Tensor, multiple: int = 32) -> Tensor:
    """Images [B, 1, H, W] with zeros (the mean grey level) added right and below up to multiples of 32.

    The top-left corner stays, so boxes mean the same before and after.
    """
    height, width = images.shape[-2:]
    padded = F.pad(images, (0, -width % multiple, 0, -height % multiple))
    return padded.contiguous(memory_format=torch.channels_last)


def targets(boxes: Boxes, n: int, size: tuple[int, int]) -> list[dict[str, Tensor]]:
    """The boxes of ``n`` images as torchvision wants them: cut to the image, without those under a pixel wide.

    Args:
        boxes: in pixels of images of ``size`` (H, W).
        n: images in the batch; one without boxes gets ``zeros((0, 4))``.
        size: before padding.
    """
    limit = boxes.xyxy.new_tensor([size[1], size[0], size[1], size[0]])
    xyxy = boxes.xyxy.clamp(min=0).minimum(limit)
    keep = ((xyxy[:, 2:] - xyxy[:, :2]) >= SMALLEST).all(1)
    kept = Boxes(xyxy[keep], boxes.label[keep], boxes.row[keep])
    return [dict(zip(("boxes", "labels"), kept.of(i), strict=True)) for i in range(n)]


def anchor_sizes(size: tuple[int, int]) -> tuple[float, ...]:
    """Side of the square anchor of each level, for images of ``size`` (H, W): 32 to 512 from 512 pixels on.

    Below, in proportion to the longer side, so that the largest is as long as the image: 8 to 128 at 128 x 80
    (our choice; on two sets of boxes in teeth and fractures these had the most anchors of IoU .5 among 1 to 8
    strides).
    """
    unit = min(8.0, max(size) / STRIDES[-1])
    return tuple(unit * stride for stride in STRIDES)


class Anchors(nn.Module):
    """Anchors [N, 4] of all levels, centred where the features are, with exact strides and sizes.

    Differs from torchvision's, which rounds sides to whole pixels (a third of a small anchor) and takes the strides
    from the sizes of the maps (48 instead of 64 where 96 pixels give a map of 2).
    """

    def __init__(self, sizes: tuple[float, ...] | None, ratios: tuple[float, ...]) -> None:
        super().__init__()
        self.sizes = sizes
        self.ratios = ratios

    def forward(self, images: ImageList, maps: list[Tensor]) -> list[Tensor]:
        """The same anchors for every image, in the order of `RPNHead`'s outputs: level, row, column, ratio."""
        device = maps[0].device
        sizes = self.sizes or anchor_sizes(images.image_sizes[0])
        levels = []
        for level, (stride, side) in enumerate(zip(STRIDES, sizes, strict=True)):
            height, width = maps[level].shape[-2:]
            root = torch.tensor(self.ratios, device=device).sqrt()
            half = torch.stack([side / root, side * root], 1) / 2  # width, height
            y = torch.arange(height, device=device, dtype=torch.float32) * stride
            x = torch.arange(width, device=device, dtype=torch.float32) * stride
            centre = torch.stack([x.expand(height, width), y[:, None].expand(height, width)], -1)[:, :, None]
            levels.append(torch.cat([centre - half, centre + half], -1).flatten(0, 2))
        return [torch.cat(levels)] * len(images.image_sizes)


class _Sampler(BalancedPositiveNegativeSampler):  # type: ignore[misc]
    """Which anchors or regions count in the loss; by a seed for each image, so that ranks choose as one process.

    ``sampled``: how many it chose last, over the batch; what torchvision divides the losses by.
    """

    sampled: Tensor

    def __call__(self, labels: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Masks of the positive and of the negative ones of each image."""
        positives, negatives = [], []
        for mine, seed in zip(labels, image_seeds(len(labels)), strict=True):
            generator = torch.Generator().manual_seed(seed)
            most = int(self.batch_size_per_image * self.positive_fraction)
            positives.append(_some(mine >= 1, most, generator))
            left = self.batch_size_per_image - int(positives[-1].sum())
            negatives.append(_some(mine == 0, left, generator))
        self.sampled = torch.cat(positives + negatives).sum()
        return positives, negatives


def _some(of: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """A mask [N] of at most so many of those that the mask ``of`` [N] has."""
    index = of.nonzero()[:, 0]
    order = torch.randperm(len(index), generator=generator)[:most]
    mask = torch.zeros_like(of)
    mask[index[order.to(index.device)]] = True
    return mask


class _RPNHead(RPNHead):  # type: ignore[misc]
    """In float32 out, whatever precision the convolutions ran in: boxes in bfloat16 are whole pixels off."""

    def forward(self, x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        logits, deltas = super().forward(x)
        return [t.float() for t in logits], [t.float() for t in deltas]


class _Predictor(FastRCNNPredictor):  # type: ignore[misc]
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        logits, deltas = super().forward(x)
        return logits.float(), deltas.float()


class Detector(nn.Module):
    """The pyramid, the proposals and the boxes; the backbone is lent and not a part of it.

    Args:
        channels: of the backbone's maps at strides 4, 8, 16, 32.
        classes: without background.
        fpn_channels: channels of every level of the pyramid.
        box_head: width of the two layers on each region.
        anchors: side of the square anchor of each of the five levels in pixels; None: `anchor_sizes`.
        ratios: height / width of the anchors.
        pre_nms: proposals a level kept before suppression, (in training, in testing).
        post_nms: proposals an image kept after it, (in training, in testing).
        rpn_samples: anchors an image in the loss of the proposals.
        rois: regions an image in the loss of the boxes.
        score_threshold: least score of a detection.
        nms: IoU above which the weaker of two detections of a class is dropped.
        detections: most detections an image.
    """

    def __init__(
        self,
        channels: tuple[int, ...],
        classes: int,
        *,
        fpn_channels: int = 256,
        box_head: int = 1024,
        anchors: tuple[float, ...] | None = None,
        ratios: tuple[float, ...] = (0.5, 1.0, 2.0),
        pre_nms: tuple[int, int] = (2000, 1000),
        post_nms: tuple[int, int] = (2000, 1000),
        rpn_samples: int = 256,
        rois: int = 512,
        score_threshold: float = 0.05,
        nms: float = 0.5,
        detections: int = 100,
    ) -> None:
        super().__init__()
        self.anchors = anchors
        self.fpn = FeaturePyramidNetwork(list(channels), fpn_channels, LastLevelMaxPool())
        self.rpn = RegionProposalNetwork(
            Anchors(anchors, ratios),
            _RPNHead(fpn_channels, len(ratios)),
            fg_iou_thresh=0.7,
            bg_iou_thresh=0.3,
            batch_size_per_image=rpn_samples,
            positive_fraction=0.5,
            pre_nms_top_n={"training": pre_nms[0], "testing": pre_nms[1]},
            post_nms_top_n={"training": post_nms[0], "testing": post_nms[1]},
            nms_thresh=0.7,
        )
        pool = MultiScaleRoIAlign([str(level) for level in range(4)], output_size=7, sampling_ratio=2)
        pool.scales = [1 / stride for stride in STRIDES[:4]]
        self.roi_heads = RoIHeads(
            pool,
            TwoMLPHead(fpn_channels * 7 * 7, box_head),
            _Predictor(box_head, classes + 1),
            fg_iou_thresh=0.5,
            bg_iou_thresh=0.5,
            batch_size_per_image=rois,
            positive_fraction=0.25,
            bbox_reg_weights=None,
            score_thresh=score_threshold,
            nms_thresh=nms,
            detections_per_img=detections,
        )
        for part, samples, share in ((self.rpn, rpn_samples, 0.5), (self.roi_heads, rois, 0.25)):
            part.fg_bg_sampler = _Sampler(samples, share)

    def losses(
        self, maps: tuple[Tensor, ...], size: tuple[int, int], boxes: Boxes
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """``rpn_objectness``, ``rpn_box``, ``classifier``, ``box``: summed, and what to divide by. In train mode.

        Args:
            maps: of the padded images, as `forward`.
            size: (H, W) before padding.
            boxes: of the batch.
        """
        truth = targets(boxes, len(maps[0]), size)
        images, levels = self._levels(maps, size)
        proposals, first = self.rpn(images, levels, truth)
        _, second = self.roi_heads(levels, proposals, images.image_sizes, truth)
        return {
            _LOSSES[name]: (loss * part.fg_bg_sampler.sampled, part.fg_bg_sampler.sampled)
            for part, losses in ((self.rpn, first), (self.roi_heads, second))
            for name, loss in losses.items()
        }

    def forward(self, maps: tuple[Tensor, ...], size: tuple[int, int]) -> list[dict[str, Tensor]]:
        """``boxes`` [m, 4], ``scores`` [m], ``labels`` [m] from 1 an image, best first. In eval mode.

        Args:
            maps: of the padded images, at strides 4, 8, 16, 32.
            size: (H, W) before padding; boxes are cut to it.
        """
        images, levels = self._levels(maps, size)
        proposals, _ = self.rpn(images, levels)
        found: list[dict[str, Tensor]] = self.roi_heads(levels, proposals, images.image_sizes)[0]
        return found

    def pyramid(self, maps: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Levels of the feature pyramid [B, D, h, w] float32 at strides 4, 8, 16, 32, 64."""
        return tuple(level.float() for level in self.fpn({str(i): m for i, m in enumerate(maps)}).values())

    def _levels(self, maps: tuple[Tensor, ...], size: tuple[int, int]) -> tuple[ImageList, dict[str, Tensor]]:
        """The pyramid in float32 (RoIAlign and the anchors need it), and how large the images are."""
        pyramid = self.fpn({str(i): m for i, m in enumerate(maps)})
        smallest = (self.anchors or anchor_sizes(size))[0]
        # Lin et al., Eq. 1: a box of 224 pixels goes to level 4, where anchors are 128 = 4 x the smallest, 32
        canonical = max(1, math.floor(7 * smallest))
        self.roi_heads.box_roi_pool.map_levels = LevelMapper(2, 5, canonical_scale=canonical)
        return ImageList(maps[0], [size] * len(maps[0])), {k: v.float() for k, v in pyramid.items()}
