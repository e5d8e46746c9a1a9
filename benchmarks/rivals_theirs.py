"""The other side of ``rivals.py``: loops as Lightly, torchvision and litdata publish them, on the same films."""

from __future__ import annotations

import copy
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, RandomSampler
from torchvision import tv_tensors
from torchvision.datasets import DatasetFolder, ImageFolder
from torchvision.models import resnet18
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.segmentation.deeplabv3 import DeepLabHead, DeepLabV3
from torchvision.transforms import v2

WORKERS = 2
ENDLESS = 10**7  # images that a loader draws: epoch after epoch, without the pause between two of them
MEAN, SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLASSES = 2

Size = tuple[int, int]


@dataclass(frozen=True)
class Way:
    """How they compute: in ``precision`` under autocast with channels last, or plainly in float32."""

    precision: torch.dtype
    device: torch.device

    def __str__(self) -> str:
        return str(self.precision).removeprefix("torch.")

    @property
    def layout(self) -> torch.memory_format:
        """Of weights and images."""
        return torch.contiguous_format if self.precision == torch.float32 else torch.channels_last

    def put(self, images: Tensor) -> Tensor:
        """Images [B, C, H, W] where and as they are computed with."""
        return images.to(self.device, memory_format=self.layout)

    def put_module(self, module: nn.Module) -> nn.Module:
        """A network likewise."""
        return module.to(self.device, memory_format=self.layout).train()  # type: ignore[call-overload,no-any-return]

    def autocast(self) -> torch.autocast:
        """For forward passes."""
        return torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32)


def loader(dataset: Any, batch: int, collate: Callable[[Any], Any] | None = None) -> DataLoader[Any]:
    """Random batches from ``WORKERS`` processes."""
    sampler = RandomSampler(dataset, num_samples=ENDLESS)
    return DataLoader(
        dataset, batch, sampler=sampler, num_workers=WORKERS, collate_fn=collate, drop_last=True
    )


def moco(folder: Path, size: Size, batch: int, queue: int, way: Way) -> Iterator[int]:
    """Lightly's example of MoCo (examples/pytorch/moco.py) with the optimizer of its tutorial.

    Args:
        folder: of class folders with pictures, or with [H, W] uint8 arrays as ``.npy``.
    """
    from lightly.data import LightlyDataset
    from lightly.loss import NTXentLoss
    from lightly.models.modules import MoCoProjectionHead
    from lightly.models.utils import deactivate_requires_grad, update_momentum
    from lightly.transforms import MoCoV2Transform

    transform = MoCoV2Transform(input_size=size)
    if any(folder.glob("*/*.npy")):
        dataset = LightlyDataset.from_torch_dataset(DatasetFolder(str(folder), _array, (".npy",)), transform)
    else:
        dataset = LightlyDataset(str(folder), transform=transform)
    query = nn.Sequential(*list(resnet18().children())[:-1], nn.Flatten(), MoCoProjectionHead(512, 512, 128))
    way.put_module(query)
    key = copy.deepcopy(query)
    deactivate_requires_grad(key)
    criterion = NTXentLoss(memory_bank_size=(queue, 128)).to(way.device)
    rule = torch.optim.SGD(query.parameters(), lr=0.06, momentum=0.9, weight_decay=5e-4)
    for (first, second), *_ in loader(dataset, batch):
        update_momentum(query, key, m=0.99)
        with way.autocast():
            mine, other = query(way.put(first)), key(way.put(second)).detach()
        criterion(mine.float(), other.float()).backward()
        rule.step()
        rule.zero_grad()
        yield len(first)


def _array(path: str) -> Image.Image:
    return Image.fromarray(np.load(path)).convert("RGB")


def classification(folder: Path, size: Size, batch: int, way: Way) -> Iterator[int]:
    """torchvision's reference loop of classification, from a folder of class folders."""
    augment = v2.Compose(
        [
            v2.RandomResizedCrop(size), v2.RandomHorizontalFlip(0.5), v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, SD),
        ]
    )  # fmt: skip
    yield from _classify(resnet18(num_classes=CLASSES), loader(ImageFolder(str(folder), augment), batch), way)


def classification_resident(size: Size, batch: int, way: Way) -> Iterator[int]:
    """The same on one batch that lies in memory, of one channel."""
    labels = torch.randint(CLASSES, (batch,), device=way.device)
    yield from _classify(
        _grey(resnet18(num_classes=CLASSES)), repeat((_grey_images(size, batch, way), labels)), way
    )


def _classify(model: nn.Module, batches: Any, way: Way) -> Iterator[int]:
    model = way.put_module(model)
    rule = torch.optim.SGD(model.parameters(), lr=0.0125, momentum=0.9, weight_decay=1e-4)
    criterion = nn.CrossEntropyLoss()
    for images, labels in batches:
        with way.autocast():
            loss = criterion(model(way.put(images)), labels.to(way.device))
        rule.zero_grad()
        loss.backward()
        rule.step()
        yield len(images)


def segmentation(folder: Path, size: Size, batch: int, way: Way) -> Iterator[int]:
    """torchvision's reference loop of segmentation, from the folders ``images`` and ``masks``."""
    augment = v2.Compose(
        [
            v2.Resize(size), v2.RandomHorizontalFlip(0.5), v2.ToImage(),
            v2.ToDtype({tv_tensors.Image: torch.float32, tv_tensors.Mask: torch.int64}, scale=True),
            v2.Normalize(MEAN, SD),
        ]
    )  # fmt: skip
    yield from _segment(_deeplab(resnet18()), loader(_Masks(folder, augment), batch), way)


def segmentation_resident(size: Size, batch: int, way: Way) -> Iterator[int]:
    """The same on one batch that lies in memory, of one channel."""
    masks = torch.randint(CLASSES, (batch, *size), device=way.device)
    yield from _segment(_deeplab(_grey(resnet18())), repeat((_grey_images(size, batch, way), masks)), way)


def _deeplab(net: Any) -> nn.Module:
    """DeepLabV3 on ResNet-18, at the output stride 16 of ours; torchvision itself dilates no ResNet-18."""
    first = net.layer4[0]
    first.conv1.stride = first.downsample[0].stride = (1, 1)
    for convolution in (first.conv2, net.layer4[1].conv1, net.layer4[1].conv2):
        convolution.dilation = convolution.padding = (2, 2)
    backbone = IntermediateLayerGetter(net, {"layer4": "out"})
    return DeepLabV3(backbone, DeepLabHead(512, CLASSES, (6, 12, 18)))


def _segment(model: nn.Module, batches: Any, way: Way) -> Iterator[int]:
    model = way.put_module(model)
    rule = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    for images, masks in batches:
        with way.autocast():
            logits = model(way.put(images))["out"]
            loss = F.cross_entropy(logits, masks.to(way.device), ignore_index=255)
        rule.zero_grad()
        loss.backward()
        rule.step()
        yield len(images)


class _Masks(Dataset[Any]):
    def __init__(self, folder: Path, augment: v2.Transform) -> None:
        self.images = sorted((folder / "images").glob("*/*"))
        self.masks = [folder / "masks" / f.parent.name / f"{f.stem}.png" for f in self.images]
        self.augment = augment

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Any:
        image = Image.open(self.images[index]).convert("RGB")
        image, mask = self.augment(image, tv_tensors.Mask(Image.open(self.masks[index])))
        return image, mask.squeeze(0)


def detection(folder: Path, size: Size, batch: int, way: Way) -> Iterator[int]:
    """torchvision's reference loop of detection, from ``images`` and COCO's ``annotations.json``."""
    augment = v2.Compose([v2.RandomHorizontalFlip(0.5), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    backbone = resnet_fpn_backbone(
        backbone_name="resnet18", weights=None, norm_layer=nn.BatchNorm2d, trainable_layers=5
    )
    model = way.put_module(FasterRCNN(backbone, num_classes=CLASSES, fixed_size=size[::-1]))
    rule = torch.optim.SGD(model.parameters(), lr=0.0025, momentum=0.9, weight_decay=1e-4)
    for images, truths in loader(_Boxes(folder, augment), batch, _unzipped):
        images = [image.to(way.device) for image in images]
        truths = [{name: value.to(way.device) for name, value in truth.items()} for truth in truths]
        with way.autocast():
            loss = sum(model(images, truths).values())
        rule.zero_grad()
        loss.backward()
        rule.step()
        yield len(images)


class _Boxes(Dataset[Any]):
    """Films with a box: the reference drops the others, and ours knows nothing of them."""

    def __init__(self, folder: Path, augment: v2.Transform) -> None:
        about = json.loads((folder / "annotations.json").read_text())
        self.boxes: dict[Path, list[list[float]]] = defaultdict(list)
        files = {image["id"]: folder / "images" / image["file_name"] for image in about["images"]}
        for box in about["annotations"]:
            x, y, width, height = box["bbox"]
            self.boxes[files[box["image_id"]]].append([x, y, x + width, y + height])
        self.files = list(self.boxes)
        self.augment = augment

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Any:
        image = Image.open(self.files[index]).convert("RGB")
        xyxy = torch.tensor(self.boxes[self.files[index]])
        boxes = tv_tensors.BoundingBoxes(xyxy, format="XYXY", canvas_size=image.size[::-1])  # type: ignore[call-overload]
        return self.augment(image, {"boxes": boxes, "labels": torch.ones(len(xyxy), dtype=torch.int64)})


def _unzipped(samples: list[Any]) -> tuple[Any, ...]:
    return tuple(zip(*samples, strict=True))


def _grey(net: Any) -> Any:
    net.conv1 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    return net


def _grey_images(size: Size, batch: int, way: Way) -> Tensor:
    return way.put(torch.randn(batch, 1, *size))


def stream(folder: Path, batch: int, workers: int) -> Iterator[int]:
    """litdata's loader on its own chunks, in a new order each epoch, and nothing done with the batches."""
    from litdata import StreamingDataLoader, StreamingDataset

    dataset = StreamingDataset(str(folder), shuffle=True, drop_last=True)
    batches = StreamingDataLoader(
        dataset, batch_size=batch, num_workers=workers, persistent_workers=workers > 0
    )
    while True:
        for found in batches:
            yield len(found["image"])
