"""SimCLR as a task; the value of its loss has an oracle of its own."""

from __future__ import annotations

import torch
from films import Bone, batch

from muscle.data.augment import Views
from muscle.losses import nt_xent
from muscle.tasks.simclr import SimCLR

STILL = Views(flip=0.0, rotate=0.0, shift=0.0)


def test_the_loss_is_nt_xent_of_two_views_that_pass_together() -> None:
    torch.manual_seed(0)
    backbone = Bone().train()
    module = SimCLR(batch_size=4, views=STILL, temperature=0.3).build(backbone, None, 100).train()
    loss = module.losses(backbone, batch(4))["nt_xent"]
    images = batch(4).normalized()
    z = torch.nn.functional.normalize(module.scaffold(backbone(torch.cat([images, images])).pooled), dim=1)
    torch.testing.assert_close(loss, nt_xent(z[:4], z[4:], 0.3))
    loss.backward()
    assert all(p.grad is not None for m in (backbone, module.scaffold) for p in m.parameters())


def test_embeddings_are_unit_vectors_of_different_views() -> None:
    torch.manual_seed(0)
    backbone = Bone().eval()
    module = SimCLR(dim=7).build(backbone, None, 100).eval()
    first, second = module.embed_views(backbone, batch(4))
    assert first.shape == second.shape == (4, 7)
    torch.testing.assert_close(first.norm(dim=1), torch.ones(4))
    assert not torch.allclose(first, second)


def test_it_keeps_nothing_between_steps() -> None:
    module = SimCLR().build(Bone(), None, 100)
    assert not list(module.buffers()) and not list(module.head.parameters())
