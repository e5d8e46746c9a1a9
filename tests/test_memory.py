"""What a step takes. Oracles: bytes counted by hand, and the peak at another size than those it is told from."""

from __future__ import annotations

import pytest
import torch

from muscle.backbones.resnet import ResNet
from muscle.errors import UserError
from muscle.memory import GIB, Need, Peak, in_parts, need, remedy, told
from muscle.tasks import Task
from muscle.tasks.moco import MoCo
from muscle.tasks.simclr import SimCLR

FLOAT = 4  # bytes


def test_what_lives_is_counted_once_and_what_is_gone_no_more() -> None:
    before = torch.zeros(1000)
    with Peak() as peak:
        a = torch.zeros(100)
        b = a[:50].view(5, 10)  # the same memory
        b += before[:50].view(5, 10)  # in place
        assert peak.now == peak.most == 100 * FLOAT
        c = a + 1
        assert peak.now == 200 * FLOAT
        del a, c
        assert peak.now == 100 * FLOAT  # b holds it
        del b
        assert (peak.now, peak.most) == (0, 200 * FLOAT)


def test_what_a_backward_pass_needs_is_counted() -> None:
    """Of two linear layers: the hidden layer is kept, then its gradient made beside it."""
    first = torch.zeros(30, 20, requires_grad=True)
    second = torch.zeros(10, 30, requires_grad=True)
    x = torch.zeros(50, 20)
    with Peak() as peak:
        loss = ((x @ first.T) @ second.T).sum()
        kept = peak.now
        loss.backward()
    assert kept >= 50 * 30 * FLOAT  # the second layer's input
    assert (
        peak.most >= kept + (50 * 30 + 10 * 30) * FLOAT
    )  # its gradient, and that of the second layer's weights
    assert peak.now == FLOAT + (30 * 20 + 10 * 30) * FLOAT  # the loss, and gradients of the weights


def test_what_a_step_needs_is_told_from_two_small_ones() -> None:
    def train(images: int) -> None:
        torch.zeros(100 + 7 * images)

    assert need(train) == Need(100 * FLOAT, 7 * FLOAT)


@pytest.mark.parametrize("recompute", [False, True])
def test_of_a_network_it_is_told_within_a_tenth(recompute: bool) -> None:
    """Oracle: the peak of the larger batch itself."""

    def train(images: int) -> None:
        net = ResNet(name="resnet18").build().train()
        net.recompute = recompute
        net(torch.zeros(images, 1, 128, 128)).pooled.sum().backward()

    found = need(train)
    with Peak() as peak:
        train(9)
    assert found.of(9) == pytest.approx(peak.most, rel=0.1)
    assert found.each > 0


def test_keeping_less_takes_less() -> None:
    def train(recompute: bool, images: int) -> None:
        net = ResNet(name="resnet18").build().train()
        net.recompute = recompute
        net(torch.zeros(images, 1, 128, 128)).pooled.sum().backward()

    kept, again = (need(lambda images, r=r: train(r, images)) for r in (False, True))
    assert again.each < 0.8 * kept.each and again.fixed == pytest.approx(kept.fixed, rel=0.2)


@pytest.mark.parametrize(
    ("room", "accumulate", "parts"),
    [(100, 1, 1), (99, 1, 2), (60, 1, 2), (59, 1, 4), (40, 4, 4), (30, 1, 8), (24, 1, None), (100, 4, 4)],
)
def test_the_fewest_parts_that_have_room(room: float, accumulate: int, parts: int | None) -> None:
    """A batch of 16 that takes 20 and 5 for each image at once; eight parts are two images, the least."""
    task = MoCo(batch_size=16, accumulate=accumulate)
    assert in_parts(task, 16, room, Need(20, 5)) == parts
    if accumulate == 1:
        whole = 1 if room >= 100 else None
        assert in_parts(SimCLR(batch_size=16), 16, room, Need(20, 5)) == whole  # its negatives are the batch


@pytest.mark.parametrize(("room", "parts"), [(60, 2), (59, 4), (40, 4), (39, None)])
def test_of_uneven_parts_the_largest_must_have_room(room: float, parts: int | None) -> None:
    """A batch of 15: halves of 8 and 7 images, which take 60 and 55; quarters of 4, 4, 4 and 3, which take 40."""
    assert in_parts(MoCo(batch_size=15), 15, room, Need(20, 5)) == parts


@pytest.mark.parametrize(
    ("task", "recompute", "ways"),
    [
        (MoCo(batch_size=8), False, "--recompute, accumulate=2 of that task, a smaller batch_size or size"),
        (MoCo(batch_size=8, accumulate=2), True, "accumulate=4 of that task, a smaller batch_size or size"),
        (MoCo(batch_size=8, accumulate=4), True, "a smaller batch_size or size"),
        (SimCLR(batch_size=8), False, "--recompute, a smaller batch_size or size"),
    ],
)
def test_what_helps_is_told(task: Task, recompute: bool, ways: str) -> None:
    assert remedy(task, recompute) == ways
    with pytest.raises(UserError) as caught, told(task, recompute):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nMore lines")
    end = f"finished is kept: try {ways}; --plan --memory GIB prints which options fit"
    assert str(caught.value).endswith(end) and "\n" not in str(caught.value)
    assert "(CUDA out of memory. Tried to allocate 2 GiB.)" in str(caught.value)
    with pytest.raises(ValueError, match="other"), told(task, recompute):
        raise ValueError("other")


def test_a_gibibyte_is_one() -> None:
    assert GIB == 1024**3
