"""What sits on a backbone's features: classifiers and DeepLabV3."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.segmentation.deeplabv3 import ASPP

from muscle.distributed import image_seeds


def classifier(width: int, classes: int) -> nn.Linear:
    """One linear layer on pooled features, weights normal(0, .01), bias 0 (MoCo's classifier for transfer)."""
    layer = nn.Linear(width, classes)
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.zeros_(layer.bias)
    return layer


class ImageDropout(nn.Module):
    """Dropout whose draws hang on the image and not on how many processes share the batch."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """In training x [B, ...] with a share ``p`` of each image's values at 0 and the others scaled up."""
        if not self.training or not self.p:
            return x
        kept = torch.empty_like(x)
        for image, seed in zip(kept, image_seeds(len(x)), strict=True):
            image.bernoulli_(1 - self.p, generator=torch.Generator(x.device).manual_seed(seed))
        return x * kept / (1 - self.p)


class DeepLabV3(nn.Module):
    """DeepLabV3's head (Chen et al., arXiv 1706.05587) on the last map, with logits at the size of the image.

    Atrous spatial pyramid pooling, a 3 x 3 convolution, a classifier, and bilinear upsampling.

    Args:
        channels: of the last map.
        classes: background included.
        output_stride: 16 (rates 6, 12, 18) or 8 (rates 12, 24, 36), as in the paper's section 4.1.
        width: channels inside the head; the paper's is 256.
    """

    def __init__(self, channels: int, classes: int, output_stride: int = 16, width: int = 256) -> None:
        super().__init__()
        rates = [rate * 16 // output_stride for rate in (6, 12, 18)]
        self.aspp = ASPP(channels, rates, width)
        self.aspp.project[-1] = ImageDropout(0.5)
        self.merge = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        self.classify = nn.Conv2d(width, classes, 1)

    def forward(self, last: Tensor, size: tuple[int, int]) -> Tensor:
        """Logits [B, C, H, W] float32 of the map [B, D, h, w], for images of ``size`` (H, W)."""
        logits: Tensor = self.classify(self.merge(self.aspp(last)))
        return F.interpolate(logits.float(), size=size, mode="bilinear", align_corners=False)
