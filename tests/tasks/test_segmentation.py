"""Segmentation. Oracles: cross-entropy over the counted pixels by NumPy; a mask that moves with its image."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from muscle.backbones.resnet import ResNet
from muscle.data.augment import Views
from muscle.errors import UsageError, UserError
from muscle.tasks.segmentation import Segmentation, pixel_cross_entropy
from muscle.types import Batch, Target

LUNGS = Target(name="lungs", kind="mask", classes=("lung",))


def batch(n: int, size: int = 64) -> Batch:
    """Bright squares on dark ground, and where they are."""
    mask = torch.zeros(n, size, size, dtype=torch.uint8)
    for i, (x, y) in enumerate(torch.randint(0, size // 2, (n, 2)).tolist()):
        mask[i, y : y + size // 2, x : x + size // 2] = 1
    image = (mask * 80 + 80 + torch.randint(0, 20, mask.shape)).to(torch.uint8)[:, None]
    ids = tuple(str(i) for i in range(n))
    return Batch(
        image,
        torch.full((n,), 122.786),
        torch.full((n,), 18.39),
        torch.zeros(n, dtype=torch.int64),
        ids,
        mask,
    )


def test_cross_entropy_ignores_255_and_is_zero_where_all_is() -> None:
    logits = torch.randn(2, 3, 4, 5, requires_grad=True)
    mask = torch.randint(0, 3, (2, 4, 5), dtype=torch.uint8)
    mask[0, 0] = 255
    z = logits.detach().double().numpy()
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    seen = [
        -np.log(p[b, mask[b, i, j], i, j])
        for b in range(2)
        for i in range(4)
        for j in range(5)
        if mask[b, i, j] != 255
    ]
    loss, count = pixel_cross_entropy(logits, mask)
    assert len(seen) == 35 == count and (loss / count).item() == pytest.approx(np.mean(seen), rel=1e-5)
    loss.backward()
    assert logits.grad is not None and (logits.grad[0, :, 0] == 0).all() and (logits.grad[1] != 0).all()
    assert [x.item() for x in pixel_cross_entropy(logits, torch.full_like(mask, 255))] == [0, 0]


@pytest.mark.parametrize("output_stride", [16, 8])
def test_it_learns_squares_and_predicts_at_the_size_of_the_image(output_stride: int) -> None:
    torch.manual_seed(0)
    backbone = ResNet().build().train()
    task = Segmentation.parse({"output_stride": output_stride, "width": 16})
    module = task.build(backbone, LUNGS, 4).train()
    given = batch(4)
    optimizer = torch.optim.AdamW([*backbone.parameters(), *module.parameters()], 3e-3)
    values = []
    for _ in range(8):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = module.losses(backbone, given)["cross_entropy"]
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert values[-1] < 0.8 * values[0]
    backbone.eval(), module.eval()
    classes = module.predict(backbone, given)
    assert [c.shape for c in classes] == [(64, 64)] * 4
    assert all(c.dtype == np.uint8 and set(np.unique(c)) <= {0, 1} for c in classes)


def test_image_and_mask_move_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the warped image is bright the warped mask is set."""
    backbone = ResNet().build().train()
    views = Views(flip=0.5, rotate=30.0, shift=0.2)
    module = Segmentation(width=8, views=views).build(backbone, LUNGS, 6).train()
    seen = {}
    logits = module._logits  # type: ignore[attr-defined]
    monkeypatch.setattr(module, "_logits", lambda b, images: seen.update(image=images) or logits(b, images))
    monkeypatch.setattr(
        "muscle.tasks.segmentation.pixel_cross_entropy",
        lambda _, mask: seen.update(mask=mask) or (torch.zeros(()), torch.ones(())),
    )
    module.losses(backbone, batch(6))
    bright = seen["image"][:, 0] > 0.0
    assert (bright == (seen["mask"] == 1)).float().mean() > 0.97
    assert 0.05 < bright.float().mean() < 0.6


def test_a_batch_of_one_and_unfit_settings_are_refused() -> None:
    backbone = ResNet().build().train()
    module = Segmentation(width=8).build(backbone, LUNGS, 4).train()
    with pytest.raises(UserError, match="batch of 1 image; needed: 2"):
        module.losses(backbone, batch(1))
    with pytest.raises(UserError, match="'lungs': 1 training image"):
        Segmentation().build(backbone, LUNGS, 1)
    with pytest.raises(UserError, match="needs masks with classes, not labels"):
        Segmentation().build(backbone, Target(name="x", kind="labels", classes=("a", "b")), 4)
    with pytest.raises(UsageError, match="batch_size.*greater than or equal to 2"):
        Segmentation.parse({"batch_size": 1})
    with pytest.raises(UsageError, match="blur and jitter"):
        Segmentation.parse({"views": {"blur": 0.5}})
