"""The nouns that every room shares: records without pixels, and the tensors that pass between rooms.

Shapes: B images in a batch, H rows, W columns, C classes, M boxes, D features. Pixel coordinates are (x, y) with
the origin at the outer corner of the top-left pixel, so a full image is the box (0, 0, W, H).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from muscle.distributed import Shard, world

SplitName = Literal["train", "valid", "test"]
TargetKind = Literal["labels", "mask", "boxes", "value", "points"]

IGNORE = 255  # the value of mask pixels that count neither for the loss nor for a score


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a source can teach: the name that a task is asked for by, and the meaning of its numbers.

    ``labels``: with ``exclusive`` exactly one of ``classes`` is present (of two classes the first is the
    negative); otherwise each class is present, absent or unknown on its own. ``mask``: pixel value i + 1 is
    ``classes[i]``, 0 is background, 255 is ignored. ``boxes``: label i + 1 is ``classes[i]``.
    """

    name: str
    kind: TargetKind
    classes: tuple[str, ...] = ()
    exclusive: bool = True


@dataclass(frozen=True, slots=True)
class Labels:
    """One value a class, in the order of ``Target.classes``: 1 present, 0 absent, NaN unknown."""

    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class MaskFiles:
    """Mask pictures to merge: (path relative to the source's root, ((grey level in the file, mask value), ...)).

    Levels that are not listed are background. Later files win where two overlap. ``scaled``: the pictures show the
    field of the image at another size, as the publisher states; otherwise another size is a mistake.
    """

    files: tuple[tuple[str, tuple[tuple[int, int], ...]], ...]
    scaled: bool = False


@dataclass(frozen=True, slots=True)
class MaskRuns:
    """A mask as runs of pixels of the *source* image, [height, width], counted down its columns from 0.

    ``runs`` are (first pixel, length); they may overlap. Inside the mask has ``value``, outside is background.
    """

    height: int
    width: int
    runs: tuple[tuple[int, int], ...]
    value: int = 1


@dataclass(frozen=True, slots=True)
class BoxList:
    """Boxes of one image: corners (x0, y0, x1, y1) in pixels of the *source* image, labels from 1. May be empty."""

    xyxy: tuple[tuple[float, float, float, float], ...]
    label: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Value:
    """One number, in the unit that the source states (bone age: months)."""

    value: float


@dataclass(frozen=True, slots=True)
class Points:
    """Landmarks (x, y) in pixels of the *source* image, in the order of ``Target.classes``; NaN where absent."""

    xy: tuple[tuple[float, float], ...]


Annotation = Labels | MaskFiles | MaskRuns | BoxList | Value | Points
NO_TRUTH: Mapping[str, Annotation] = {}  # one for all films that were read without: there may be millions


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One image of a source, without its pixels.

    ``id`` is ``source/picture`` and unique in a data file. ``path`` is relative to the source's root, with ``/``.
    ``frame``: of a file whose frames are films of their own, which one, from 1; else 0. ``patient`` is a key that
    means the same person wherever it occurs in the data file (adapters prefix it with the collection, so that two
    sources cut from one collection agree); without one, the image's own id, or that of its file. ``split`` is the
    publisher's part or None. ``annotations`` maps a target's name to this image's truth; a target that is missing
    here is unknown for this image. ``sex``: F, M or empty; ``age`` in years, None where unknown; ``scanner``: maker
    and model; ``spacing``: millimetres of a pixel of the file, down and across. These are for subgroups and distances
    alone, read from tables and headers when needed and kept in no store, so they stay out of ``repr``, which store keys
    are made of.
    """

    id: str
    path: str
    source: str
    patient: str
    modality: str = "xray"
    body_part: str = ""
    view: str = ""
    study: str = ""
    split: SplitName | None = None
    annotations: Mapping[str, Annotation] = field(default_factory=dict)
    frame: int = 0
    sex: Literal["F", "M", ""] = field(default="", repr=False)
    age: float | None = field(default=None, repr=False)
    scanner: str = field(default="", repr=False)
    spacing: tuple[float, float] | None = field(default=None, repr=False)

    @property
    def picture(self) -> str:
        """The path, and ``path#2`` of the second frame of a file of several."""
        return picture(self.path, self.frame)

    @property
    def names_patient(self) -> bool:
        """Whether something says whose film it is; else it counts as a person of its own."""
        return self.patient != f"{self.source}/{self.path}"

    @property
    def collection(self) -> str:
        """Whose key the patient has: only persons of one collection can be told to be one. Empty: nobody is named."""
        collection, known, _ = self.patient.partition(":")
        return collection if known and self.names_patient else ""


def picture(path: str, frame: int) -> str:
    """What names one picture below a root."""
    return f"{path}#{frame}" if frame else path


@dataclass(frozen=True, slots=True)
class Boxes:
    """Boxes of a batch, in pixels of the batch's images.

    ``xyxy`` [M, 4] float32, ``label`` [M] int64 from 1, ``row`` [M] int64 = index of the image in the batch.
    None at all is ``zeros((0, 4))``.
    """

    xyxy: Tensor
    label: Tensor
    row: Tensor

    def of(self, row: int) -> tuple[Tensor, Tensor]:
        """The boxes [m, 4] and labels [m] of one image."""
        mine = self.row == row
        return self.xyxy[mine], self.label[mine]

    def to(self, device: torch.device) -> Boxes:
        """The same boxes on another device."""
        return Boxes(self.xyxy.to(device), self.label.to(device), self.row.to(device))


@dataclass(frozen=True, slots=True)
class Batch:
    """Images as stored, and what is known of them.

    ``image`` [B, 1, H, W] uint8. ``mean``, ``sd`` [B] float32 on the 0..255 scale: the network's input is
    ``(image - mean) / sd``, whatever the kind of normalization. ``source`` [B] int64: which source each image
    comes from. ``target``: labels [B, C] float32 (1 / 0 / NaN), mask [B, H, W] uint8, ``Boxes``, value [B] float32,
    or None. ``shard``: where several ranks share a batch, which part of it this is.
    """

    image: Tensor
    mean: Tensor
    sd: Tensor
    source: Tensor
    ids: tuple[str, ...]
    target: Tensor | Boxes | None = None
    shard: Shard | None = None

    def __len__(self) -> int:
        return self.image.shape[0]

    @property
    def total(self) -> int:
        """Images of the whole batch."""
        return self.shard.total if self.shard else len(self)

    @property
    def ranks(self) -> int:
        """How many processes share the whole batch."""
        return self.shard.ranks if self.shard else 1

    def mine(self, drawn: Tensor) -> Tensor:
        """Of something drawn for each image of the whole batch [total, ...], what is of these images [B, ...]."""
        return drawn[self.shard.slice] if self.shard else drawn

    def gathered(self, mine: Tensor) -> Tensor:
        """Rows [B, ...] of these images to rows [total, ...] of the whole batch; gradients flow back."""
        return self.shard.gathered(mine) if self.shard else mine

    def averaged(self, total: Tensor, count: Tensor) -> Tensor:
        """A sum over these images, divided by the count over the whole batch; 0 where nothing counts.

        So the losses of all ranks sum up to the loss of the whole batch.
        """
        return total / (world().sum(count) if self.shard else count).clamp(min=1)

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        target = self.target.to(device) if self.target is not None else None
        image = self.image.to(device, non_blocking=True)
        return Batch(
            image,
            self.mean.to(device),
            self.sd.to(device),
            self.source.to(device),
            self.ids,
            target,
            self.shard,
        )

    def normalized(self) -> Tensor:
        """The images as the network sees them, not augmented: [B, 1, H, W] float32, channels last."""
        mean, sd = self.mean.view(-1, 1, 1, 1), self.sd.view(-1, 1, 1, 1)
        return ((self.image.float() - mean) / sd).contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True, slots=True)
class Features:
    """What a backbone gives: ``pooled`` [B, D]; ``maps``, finest first, [B, D_i, H / stride_i, W / stride_i]."""

    pooled: Tensor
    maps: tuple[Tensor, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """The stretch of training between two boundaries: one task for ``steps`` optimizer steps, or several that mix.

    ``index`` counts turns from 0, ``round`` counts rounds from 0; ``epoch`` counts how often this task had been
    visited before, so that its rows are reshuffled each time. ``order``: the task of each step where several mix
    (``task`` then names them all); empty otherwise.
    """

    index: int
    round: int
    task: str
    epoch: int
    steps: int
    order: tuple[str, ...] = ()

    @property
    def tasks(self) -> tuple[str, ...]:
        """What is trained in this turn, in the order of the first step of each."""
        return tuple(dict.fromkeys(self.order)) or (self.task,)

    def task_at(self, step: int) -> str:
        """The task of one step."""
        return self.order[step] if self.order else self.task
