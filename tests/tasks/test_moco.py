"""MoCo as a part: how ``auto`` is resolved, what is refused; and its three kinds of batch norm."""

from __future__ import annotations

import pytest
import torch
from films import Bone, batch

from muscle.data.augment import Views
from muscle.errors import UsageError
from muscle.tasks.moco import MoCo, _MoCo
from muscle.types import Batch

STILL = Views(flip=0.0, rotate=0.0, shift=0.0)


@pytest.mark.parametrize(
    ("rows", "batch_size", "queue"),
    [
        (100_000, 64, 24_576),
        (5_000, 64, 2_496),
        (2_656, 64, 1_280),
        (100, 64, 64),
        (40, 64, 40),
        (20, 8, 8),
        (3, 2, 2),
    ],
)
def test_auto_is_a_multiple_of_the_batch_within_half_the_pool(rows: int, batch_size: int, queue: int) -> None:
    found = MoCo(queue="auto", batch_size=batch_size).resolve(rows)
    assert found.queue == queue and queue % min(batch_size, rows) == 0
    assert found.resolve(rows) == found


@pytest.mark.parametrize(
    ("task", "rows", "message"),
    [
        (
            MoCo(queue=100, batch_size=64),
            5_000,
            "queue 100 is not a multiple of the batch of 64; try 2496, or auto",
        ),
        (
            MoCo(queue=24_576, batch_size=64),
            5_000,
            "queue 24576 is larger than the pool of 5000 images; try 2496, or auto",
        ),
        (MoCo(queue=0, batch_size=64), 5_000, "queue 0"),
        (
            MoCo(queue=64, batch_size=8, batch_norm="split", groups=8),
            500,
            "8 groups of a batch of 8; at most 4",
        ),
        (
            MoCo(queue="auto", batch_size=8, batch_norm="shuffle", groups=5),
            500,
            "5 groups of a batch of 8; at most 4",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_what_does(task: MoCo, rows: int, message: str) -> None:
    with pytest.raises(UsageError, match=message) as told:
        task.resolve(rows)
    assert "\n" not in str(told.value)


def test_the_queue_starts_as_random_unit_vectors() -> None:
    module = MoCo(queue=32, batch_size=8).build(Bone(), None, 100)
    torch.testing.assert_close(module.queue.norm(dim=1), torch.ones(32))
    assert module.queue.shape == (32, 128) and not module.queue.requires_grad


@pytest.mark.parametrize("mlp", [True, False])
def test_embeddings_are_unit_vectors_of_the_asked_length(mlp: bool) -> None:
    backbone = Bone().eval()
    module = MoCo(queue=8, batch_size=4, dim=5, mlp=mlp, views=STILL).build(backbone, None, 100).eval()
    first, second = module.embed_views(backbone, batch(4))
    assert first.shape == (4, 5)
    torch.testing.assert_close(first.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(first, second)  # views that change nothing


def _embedded(kind: str, n: int, groups: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(queries, keys) of the same images by the same weights, in train mode."""
    torch.manual_seed(0)
    backbone = Bone().train()
    task = MoCo.parse({"queue": n, "batch_size": n, "batch_norm": kind, "groups": groups, "dim": 6})
    module = task.build(backbone, None, 100).train()
    given = batch(n)
    images = given.normalized()
    return module._embed(backbone, module.scaffold["projector"], images), module._keys(given, images)


def test_split_batch_norm_normalizes_each_group_by_itself() -> None:
    """Oracle: each group passed through on its own."""
    torch.manual_seed(0)
    backbone = Bone().train()
    module = (
        MoCo(queue=8, batch_size=8, batch_norm="split", groups=2, dim=6).build(backbone, None, 100).train()
    )
    images, project = batch(8).normalized(), module.scaffold["projector"]  # type: ignore[index]
    alone = torch.cat([project(backbone(half).pooled) for half in (images[:4], images[4:])])
    found = module._embed(backbone, project, images)
    torch.testing.assert_close(found, torch.nn.functional.normalize(alone, dim=1))
    plain = torch.nn.functional.normalize(project(backbone(images).pooled), dim=1)
    assert not torch.allclose(found, plain, atol=1e-4)


def test_groups_are_never_a_single_image() -> None:
    """13 in 6 groups: five of two and one of three; batch norm on one image would raise or say nothing."""
    seen: list[int] = []
    backbone = Bone().train()
    backbone.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    module = MoCo(queue=13, batch_size=13, batch_norm="split", groups=6).build(backbone, None, 100).train()
    module._embed(backbone, module.scaffold["projector"], batch(13).normalized())
    assert sorted(seen) == [2, 2, 2, 2, 2, 3]


def test_shuffled_keys_are_normalized_in_other_groups_than_the_queries() -> None:
    plain, split, shuffled = (_embedded(kind, 12, 3) for kind in ("plain", "split", "shuffle"))
    torch.testing.assert_close(plain[0], plain[1])
    torch.testing.assert_close(split[0], split[1])  # the same groups: the leak that shuffling mends
    torch.testing.assert_close(split[0], shuffled[0])
    assert not torch.allclose(shuffled[0], shuffled[1], atol=1e-4)


def test_shuffled_keys_belong_to_their_images() -> None:
    """In eval mode batch norm has no groups, so keys by the queries' weights are the queries, in their order."""
    backbone = Bone().eval()
    module = MoCo(queue=12, batch_size=12, batch_norm="shuffle", groups=3).build(backbone, None, 100).eval()
    given = batch(12)
    images = given.normalized()
    with torch.no_grad():
        torch.testing.assert_close(
            module._keys(given, images), module._embed(backbone, module.scaffold["projector"], images)
        )


def test_evaluation_knows_no_groups() -> None:
    backbone = Bone().eval()
    module = MoCo(queue=8, batch_size=8, batch_norm="split", groups=4).build(backbone, None, 100).eval()
    images, project = batch(8).normalized(), module.scaffold["projector"]  # type: ignore[index]
    with torch.no_grad():
        whole = module._embed(backbone, project, images)
        halves = [module._embed(backbone, project, half) for half in (images[:3], images[3:])]
    torch.testing.assert_close(whole, torch.cat(halves))


def test_momentum_of_one_keeps_the_keys_and_of_zero_copies_the_queries() -> None:
    for momentum, equal in ((1.0, False), (0.0, True)):
        backbone = Bone()
        module = MoCo(queue=8, batch_size=4, momentum=momentum).build(backbone, None, 100)
        with torch.no_grad():
            backbone.net[0].weight.add_(1)
        module.after_step(backbone)
        same = torch.equal(module.scaffold["key_backbone"].net[0].weight, backbone.net[0].weight)  # type: ignore[index]
        assert same == equal


def test_query_and_key_see_two_views_drawn_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    views: list[torch.Tensor] = []
    fed: list[tuple[torch.nn.Module, torch.Tensor]] = []
    draw, embed = Views.__call__, _MoCo._embed

    def drawn(self: Views, given: Batch) -> torch.Tensor:
        views.append(draw(self, given))
        return views[-1]

    def embedded(
        self: _MoCo, backbone: torch.nn.Module, project: torch.nn.Module, images: torch.Tensor
    ) -> torch.Tensor:
        fed.append((backbone, images))
        return embed(self, backbone, project, images)

    monkeypatch.setattr(Views, "__call__", drawn)
    monkeypatch.setattr(_MoCo, "_embed", embedded)
    torch.manual_seed(0)
    backbone = Bone().train()
    module = MoCo(queue=8, batch_size=8, dim=6).build(backbone, None, 100).train()
    module.losses(backbone, batch(8))
    assert len(views) == len(fed) == 2
    (query, first), (key, second) = fed
    assert query is backbone and key is module.scaffold["key_backbone"]  # type: ignore[index]
    assert torch.equal(first, views[0]) and torch.equal(second, views[1])
    assert all(not torch.allclose(a, b, atol=1e-3) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("kind", ["split", "shuffle"])
def test_running_statistics_of_the_query_are_of_its_groups(kind: str) -> None:
    """Oracle: mean and variance of each group's convolution, averaged with momentum one group after another."""
    torch.manual_seed(0)
    backbone = Bone().train()
    task = MoCo.parse({"queue": 8, "batch_size": 8, "batch_norm": kind, "groups": 2, "dim": 6})
    module = task.with_(views=STILL).build(backbone, None, 100).train()
    given = batch(8)
    mean, variance = torch.zeros(8), torch.ones(8)
    with torch.no_grad():
        for group in given.normalized().split(4):
            values = backbone.net[0](group).transpose(0, 1).flatten(1)
            mean, variance = 0.9 * mean + 0.1 * values.mean(1), 0.9 * variance + 0.1 * values.var(1)
    module.losses(backbone, given)
    norm = backbone.net[1]
    torch.testing.assert_close(norm.running_mean, mean)
    torch.testing.assert_close(norm.running_var, variance)
    assert norm.num_batches_tracked == 2
