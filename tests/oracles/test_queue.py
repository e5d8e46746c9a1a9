"""MoCo's ring queue. Oracle: ``collections.deque(maxlen=K)`` over several wraps."""

from __future__ import annotations

from collections import deque

import pytest
import torch
from films import Bone, batch
from torch import Tensor
from torch.nn import functional as F

from muscle.tasks import moco
from muscle.tasks.moco import MoCo

pytestmark = pytest.mark.oracle


def test_queue_holds_what_a_deque_holds_over_several_wraps() -> None:
    module = MoCo(queue=12, batch_size=4, dim=5).build(Bone(), None, 100)
    mirror = deque(module.queue, maxlen=12)
    for step in range(10):  # 40 keys: three wraps and a bit
        keys = F.normalize(torch.randn(4, 5), dim=1)
        module._enqueue(keys)
        mirror.extend(keys)
        turned = torch.cat(
            [module.queue[module.pointer :], module.queue[: module.pointer]]
        )  # the oldest first
        assert torch.equal(turned, torch.stack(list(mirror))), f"step {step}"


def test_a_batch_that_does_not_divide_the_queue_wraps_in_the_middle() -> None:
    module = MoCo(queue=12, batch_size=4, dim=5).build(Bone(), None, 100)
    mirror = deque(module.queue, maxlen=12)
    for _ in range(7):
        keys = F.normalize(torch.randn(5, 5), dim=1)
        module._enqueue(keys)
        mirror.extend(keys)
    turned = torch.cat([module.queue[module.pointer :], module.queue[: module.pointer]])
    assert torch.equal(turned, torch.stack(list(mirror)))


def test_keys_are_enqueued_after_the_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The negatives of a batch are the queue as it was before: none of its own keys is among them."""
    seen: list[tuple[Tensor, Tensor]] = []

    def recorded(query: Tensor, key: Tensor, queue: Tensor, temperature: float) -> Tensor:
        seen.append((key.clone(), queue.clone()))
        return query.sum() * temperature

    monkeypatch.setattr(moco, "info_nce", recorded)
    backbone = Bone()
    module = MoCo(queue=8, batch_size=4, dim=5).build(backbone, None, 100).train()
    mirror = deque(module.queue.clone(), maxlen=8)
    for step in range(5):
        module.losses(backbone, batch(4, seed=step))
        key, negatives = seen[-1]
        assert {tuple(row) for row in negatives.tolist()} == {tuple(row.tolist()) for row in mirror}
        assert not {tuple(row) for row in key.tolist()} & {tuple(row) for row in negatives.tolist()}
        module.after_step(backbone)
        mirror.extend(key)


def test_the_queue_moves_when_the_step_is_over() -> None:
    """``backward`` needs the queue as the logits saw it, and so do the other parts of the batch."""
    backbone = Bone()
    module = MoCo(queue=6, batch_size=6, dim=5).build(backbone, None, 100).train()
    before = module.queue.clone()
    for seed in (0, 1):
        module.losses(backbone, batch(3, seed=seed))["info_nce"].backward()
        assert torch.equal(module.queue, before)
    first, second = (keys.clone() for keys in module.fresh)
    module.after_step(backbone)
    assert torch.equal(module.queue, torch.cat([first, second])) and not module.fresh
