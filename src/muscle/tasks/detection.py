"""Kind ``detection``: where is what? Faster R-CNN with a feature pyramid on the backbone's maps."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn

from muscle.backbones import BackboneModule
from muscle.data.augment import Views, warp, warp_boxes
from muscle.detector import STRIDES, Detector, pad
from muscle.errors import UserError
from muscle.tasks import ANNOTATED, Outputs, Task, TaskModule
from muscle.tasks.segmentation import geometric
from muscle.types import Batch, Boxes, Target, TargetKind

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Detection(Task):
    """Boxes with classes by Faster R-CNN; MUSCLE names it and nothing else about it.

    The numbers are torchvision's, with a feature pyramid (our choice). They cost: at
    128 x 80 the heads and not the pixels decide, and `lean` is many times as quick. The views
    only flip, since the upright hull of a turned box is looser than the box, and a shift cuts boxes at the border.

    Attributes:
        fpn_channels: channels of every level of the pyramid.
        box_head: width of the two layers on each region.
        anchors: side of the square anchor at strides 4, 8, 16, 32, 64 in pixels of the store; None: 32 to 512 from
            512 pixels on, below in proportion to the image's longer side.
        ratios: height / width of the anchors. A store of another shape than its films stretches what is in them:
            teeth that stand upright in a wide film need (1, 2, 4, 8) in a tall store.
        pre_nms: proposals a level kept before suppression, (in training, in testing).
        post_nms: proposals an image kept after it, (in training, in testing).
        rpn_samples: anchors an image in the loss of the proposals.
        rois: regions an image in the loss of the boxes.
        score_threshold: least score of a detection.
        nms: IoU above which the weaker of two detections of a class is dropped.
        detections: most detections an image.
    """

    kind: ClassVar[str] = "detection"
    revision: ClassVar[int] = 2  # 1 drew samples for the batch, not for each image
    needs: ClassVar[TargetKind | None] = "boxes"

    data: str = ANNOTATED
    batch_size: int = Field(8, ge=2)
    views: Views = Views(flip=0.5, rotate=0.0, shift=0.0)
    fpn_channels: Count = 256
    box_head: Count = 1024
    anchors: tuple[Positive, ...] | None = None
    ratios: tuple[Positive, ...] = (0.5, 1.0, 2.0)
    pre_nms: tuple[Count, Count] = (2000, 1000)
    post_nms: tuple[Count, Count] = (2000, 1000)
    rpn_samples: Count = 256
    rois: Count = 512
    score_threshold: Share = 0.05
    nms: Share = 0.5
    detections: Count = 100

    _views = field_validator("views")(geometric)

    @field_validator("anchors", "ratios")
    @classmethod
    def _counted(cls, given: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if given is not None and not given:
            raise ValueError("given none; needed: one or more")
        return given

    @field_validator("anchors")
    @classmethod
    def _one_a_level(cls, given: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if given is not None and len(given) != len(STRIDES):
            raise ValueError(f"given {len(given)} sizes; needed: {len(STRIDES)}, for strides {STRIDES}")
        return given

    @classmethod
    def lean(cls) -> Detection:
        """For small images on a CPU: a narrower pyramid and head, few proposals and regions."""
        return cls(
            fpn_channels=128, box_head=256, pre_nms=(256, 256), post_nms=(64, 100), rpn_samples=128, rois=32
        )

    def build(self, backbone: BackboneModule, target: Target | None, rows: int) -> TaskModule:
        """The pyramid and the two stages of heads.

        Raises:
            UserError: the target has no boxes or no classes.
        """
        if target is None or target.kind != "boxes" or not target.classes:
            raise UserError(
                f"detection: needs boxes with classes, not {target.kind if target else 'images alone'}"
            )
        return _Detection(self, backbone, target)


class _Detection(TaskModule):
    def __init__(self, config: Detection, backbone: BackboneModule, target: Target) -> None:
        super().__init__()
        self.config = config
        self.head = Detector(
            backbone.channels,
            len(target.classes),
            fpn_channels=config.fpn_channels,
            box_head=config.box_head,
            anchors=config.anchors,
            ratios=config.ratios,
            pre_nms=config.pre_nms,
            post_nms=config.post_nms,
            rpn_samples=config.rpn_samples,
            rois=config.rois,
            score_threshold=config.score_threshold,
            nms=config.nms,
            detections=config.detections,
        )
        self.scaffold = nn.Identity()

    def losses(self, backbone: BackboneModule, batch: Batch) -> dict[str, Tensor]:
        """``rpn_objectness``, ``rpn_box``, ``classifier``, ``box``, as torchvision weighs them (all 1)."""
        assert isinstance(batch.target, Boxes) and isinstance(self.head, Detector)
        height, width = batch.image.shape[-2:]
        theta = self.config.views.maps(batch)
        maps = backbone(pad(warp(batch, theta, self.config.views.border))).maps
        boxes = warp_boxes(batch.target, theta, height, width)
        found = self.head.losses(maps, (height, width), boxes)
        return {name: batch.averaged(*loss) for name, loss in found.items()}

    def outputs(self, backbone: BackboneModule, batch: Batch) -> Outputs:
        """The levels of the feature pyramid: proposals and regions are chosen, and have no distribution."""
        assert isinstance(self.head, Detector)
        return Outputs("maps", self.head.pyramid(backbone(pad(batch.normalized())).maps))

    @torch.no_grad()
    def predict(self, backbone: BackboneModule, batch: Batch) -> list[Any]:
        """(xyxy [m, 4] float32, score [m] float32, label [m] int64 from 1) an image, best first."""
        size = (batch.image.shape[-2], batch.image.shape[-1])
        found = self.head(backbone(pad(batch.normalized())).maps, size)
        return [tuple(one[name].cpu().numpy() for name in ("boxes", "scores", "labels")) for one in found]
