"""The momentum encoder. Oracle: the closed form of an exponential moving average, k_n = m^n k_0 + (1 - m^n) q."""

from __future__ import annotations

import pytest
import torch
from films import Bone, batch

from muscle.tasks.moco import MoCo

pytestmark = pytest.mark.oracle


@pytest.mark.parametrize("momentum", [0.0, 0.9, 0.999])
def test_keys_follow_constant_queries_by_the_closed_form(momentum: float) -> None:
    backbone = Bone().double()
    module = MoCo(queue=8, batch_size=4, momentum=momentum).build(backbone, None, 100).double()
    keys, queries = module.scaffold["key_backbone"], backbone  # type: ignore[index]
    heads = module.scaffold["key_projector"], module.scaffold["projector"]  # type: ignore[index]
    before = [p.clone() for m in (keys, heads[0]) for p in m.parameters()]
    with torch.no_grad():
        for p in [*queries.parameters(), *heads[1].parameters()]:
            p.add_(torch.randn_like(p))
    steps = 7
    for _ in range(steps):
        module.after_step(backbone)
    follow = momentum**steps
    now = [p for m in (keys, heads[0]) for p in m.parameters()]
    constant = [p for m in (queries, heads[1]) for p in m.parameters()]
    for k, k0, q in zip(now, before, constant, strict=True):
        torch.testing.assert_close(k, follow * k0 + (1 - follow) * q, rtol=1e-12, atol=1e-12)


def test_key_encoder_starts_as_the_query_encoder_and_gets_no_gradient() -> None:
    backbone = Bone()
    module = MoCo(queue=8, batch_size=4).build(backbone, None, 100).train()
    keys = module.scaffold["key_backbone"]  # type: ignore[index]
    for k, q in zip(keys.parameters(), backbone.parameters(), strict=True):
        assert torch.equal(k, q) and not k.requires_grad
    module.losses(backbone, batch(4))["info_nce"].backward()
    assert all(k.grad is None for k in keys.parameters())
    assert all(q.grad is not None for q in backbone.parameters())


def test_batch_norm_buffers_of_the_keys_are_their_own() -> None:
    """Statistics are counted on the key views, never averaged with the queries'."""
    backbone = Bone()
    module = MoCo(queue=8, batch_size=4, momentum=0.5).build(backbone, None, 100).train()
    keys = module.scaffold["key_backbone"]  # type: ignore[index]
    before = {name: b.clone() for name, b in keys.named_buffers()}
    for b in backbone.buffers():
        b.add_(5)
    module.after_step(backbone)
    assert all(torch.equal(b, before[name]) for name, b in keys.named_buffers())
    module.losses(backbone, batch(4))
    assert int(keys.net[1].num_batches_tracked) == 1
