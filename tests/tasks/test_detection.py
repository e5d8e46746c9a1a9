"""Detection. Oracles: where the bright rectangles were drawn, equal bits from equal seeds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from muscle.backbones.resnet import ResNet
from muscle.data.augment import Views
from muscle.errors import UsageError, UserError
from muscle.tasks.detection import Detection
from muscle.types import Batch, Boxes, Target

FRACTURES = Target(name="fractures", kind="boxes", classes=("fracture", "metal"))
TINY = Detection.lean().with_(fpn_channels=32, box_head=64, batch_size=4)
STILL = Views(flip=0.0, rotate=0.0, shift=0.0)


def batch(rows: tuple[int, ...], n: int, size: tuple[int, int] = (70, 64)) -> Batch:
    """One bright rectangle on a noisy ground for each of ``rows``."""
    image = torch.randint(90, 110, (n, 1, *size), dtype=torch.uint8)
    corner = torch.randint(4, 28, (len(rows), 2))
    side = torch.randint(16, 28, (len(rows), 2))
    xyxy = torch.cat([corner, corner + side], 1)
    for row, (x0, y0, x1, y1) in zip(rows, xyxy.tolist(), strict=True):
        image[row, 0, y0:y1, x0:x1] = 200
    boxes = Boxes(
        xyxy.float(), torch.ones(len(rows), dtype=torch.int64), torch.tensor(rows, dtype=torch.int64)
    )
    ids = tuple(str(i) for i in range(n))
    return Batch(
        image,
        torch.full((n,), 122.786),
        torch.full((n,), 18.39),
        torch.zeros(n, dtype=torch.int64),
        ids,
        boxes,
    )


def train(
    steps: int, given: Batch, part: Detection = TINY
) -> tuple[list[float], list[torch.Tensor], list[object]]:
    torch.manual_seed(0)
    backbone = ResNet().build().train()
    module = part.build(backbone, FRACTURES, 4).train()
    optimizer = torch.optim.AdamW([*backbone.parameters(), *module.parameters()], 1e-3)
    values = []
    for step in range(steps):
        torch.manual_seed(step)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16):
            loss = torch.stack(list(module.losses(backbone, given).values())).sum()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    weights = [p.detach().clone() for p in (*backbone.parameters(), *module.parameters())]
    backbone.eval(), module.eval()
    with torch.autocast("cpu", torch.bfloat16):
        return values, weights, module.predict(backbone, given)


def test_it_learns_rectangles_in_bfloat16_and_finds_them() -> None:
    torch.manual_seed(1)
    given = batch((0, 1, 2, 3), 4)
    values, _, found = train(50, given, TINY.with_(views=STILL))
    assert values[-1] < 0.5 * values[0]
    assert isinstance(given.target, Boxes)
    for row, (xyxy, score, label) in enumerate(found):  # type: ignore[misc]
        assert (xyxy.dtype, score.dtype, label.dtype) == (np.float32, np.float32, np.int64)
        assert xyxy.shape == (len(score), 4) and (np.diff(score) <= 0).all()
        assert set(label.tolist()) <= {1, 2}
        assert xyxy[:, 2].max() <= 64 and xyxy[:, 3].max() <= 70
        assert box_iou(torch.from_numpy(xyxy[:1]), given.target.of(row)[0]).item() > 0.5


def test_equal_seeds_give_equal_bits() -> None:
    torch.manual_seed(1)
    given = batch((0, 1), 2)
    (first, weights, _), (second, again, _) = train(3, given), train(3, given)
    assert first == second
    assert all(torch.equal(a, b) for a, b in zip(weights, again, strict=True))


@pytest.mark.parametrize("rows", [(), (1,)])
def test_images_without_boxes_are_ordinary(rows: tuple[int, ...]) -> None:
    values, weights, found = train(1, batch(rows, 2))
    assert np.isfinite(values).all() and all(w.isfinite().all() for w in weights)
    assert len(found) == 2


def test_boxes_follow_the_flip(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = ResNet().build().train()
    module = TINY.with_(views=Views(flip=1.0, rotate=0.0, shift=0.0)).build(backbone, FRACTURES, 4).train()
    seen = {}
    monkeypatch.setattr(
        module.head,
        "losses",
        lambda maps, size, boxes: seen.update(size=size, boxes=boxes, coarse=maps[0].shape) or {},
    )
    given = batch((0, 1), 2)
    module.losses(backbone, given)
    assert isinstance(given.target, Boxes)
    x0, y0, x1, y1 = given.target.xyxy.unbind(1)
    torch.testing.assert_close(
        seen["boxes"].xyxy, torch.stack([64 - x1, y0, 64 - x0, y1], 1), rtol=0, atol=1e-4
    )
    assert seen["size"] == (70, 64) and seen["coarse"][-2:] == (24, 16)  # 70 rows padded to 96


def test_the_backbone_is_lent_and_other_heads_stay_idle() -> None:
    backbone = ResNet().build().train()
    module, idle = TINY.build(backbone, FRACTURES, 4).train(), TINY.build(backbone, FRACTURES, 4).train()
    torch.stack(list(module.losses(backbone, batch((0, 1), 2)).values())).sum().backward()
    assert not any(p is q for p in module.parameters() for q in backbone.parameters())
    assert all(p.grad is not None for p in (*backbone.parameters(), *module.parameters()))
    assert all(p.grad is None for p in idle.parameters())


def test_unfit_settings_are_refused() -> None:
    backbone = ResNet().build()
    with pytest.raises(UserError, match="needs boxes with classes, not labels"):
        Detection().build(backbone, Target(name="x", kind="labels", classes=("a", "b")), 4)
    with pytest.raises(UsageError, match="anchors: given 2 sizes; needed: 5"):
        Detection.parse({"anchors": [8, 16]})
    with pytest.raises(UsageError, match="ratios: given none"):
        Detection.parse({"ratios": []})
    with pytest.raises(UsageError, match="blur and jitter"):
        Detection.parse({"views": {"jitter": 0.4}})
