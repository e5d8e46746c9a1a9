"""Parts of a batch, and what one process alone makes of it all; several are in relations/test_ranks.py."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import torch

from muscle import distributed
from muscle.distributed import Shard, World, image_seeds, joined, launched, splitting, together, world
from muscle.errors import UserError


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("images", [7, 8, 13])
def test_parts_of_a_batch_are_near_equal_and_make_it_whole(
    monkeypatch: pytest.MonkeyPatch, size: int, images: int
) -> None:
    places: list[int] = []
    for rank in range(size):
        monkeypatch.setattr(distributed, "_here", World(rank, size))
        part = Shard.of(images)
        places += range(images)[part.slice]
        assert images // size <= part.stop - part.first <= images // size + 1
        assert (part.total, part.ranks) == (images, size)
    assert places == list(range(images))


def test_fewer_images_than_ranks_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "_here", World(3, 4))
    with pytest.raises(UserError, match="batch of 3 images on 4 ranks; give a batch_size of at least 4"):
        Shard.of(3)


def test_seeds_of_images_are_drawn_for_the_whole_batch() -> None:
    torch.manual_seed(3)
    whole = image_seeds(7)
    torch.manual_seed(3)
    with splitting(Shard(2, 5, 7, 3)):
        assert image_seeds(3) == whole[2:5]
    assert len(set(whole)) == 7


def test_one_process_alone_leads_and_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    assert not launched()
    with joined() as leads:
        assert leads and world() == World(0, 1)
        assert together(lambda a, b: a + b, 2, leader={"b": 3}) == 5
        assert world().lead(lambda: "said") == "said" and world().gathered([1, 2]) == [1, 2]
    with monkeypatch.context() as patch:
        patch.setenv("RANK", "0")
        patch.setenv("WORLD_SIZE", "1")
        assert not launched()
        patch.setenv("WORLD_SIZE", "2")
        assert launched()


def test_blocks_come_back_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five blocks on two ranks: the first has one more."""
    dealt = [["a", "c", "e"], ["b", "d"]]
    monkeypatch.setattr(
        distributed.dist,
        "all_gather_object",
        lambda every, mine, group: every.__setitem__(slice(None), dealt),
    )
    assert World(1, 2).gathered(dealt[1]) == ["a", "b", "c", "d", "e"]


def test_an_attempt_reads_nothing_of_the_one_before() -> None:
    """Two attempts on one store, as torchrun restarts them: one name for all ranks of each, and nothing stale in it."""
    shared = distributed.dist.TCPStore("localhost", 0, is_master=True, wait_for_workers=False)

    def attempt() -> list[Any]:
        clients = [distributed.dist.TCPStore("localhost", shared.port, is_master=False) for _ in range(3)]
        with ThreadPoolExecutor(3) as ranks:
            return list(ranks.map(lambda rank: distributed.of_this_attempt(clients[rank], rank, 3), range(3)))

    first = attempt()
    first[1].set("address", "of the dead")
    assert first[0].get("address") == b"of the dead" == first[2].get("address")
    second = attempt()
    assert not any(store.check(["address"]) for store in second)
    second[0].set("address", "new")
    assert first[0].get("address") == b"of the dead"


def test_who_waits_for_ranks_that_do_not_come_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = distributed.dist.TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
    monkeypatch.setattr(distributed, "PATIENCE", timedelta(seconds=0.1))
    with pytest.raises(TimeoutError, match="not all of 2 ranks"):
        distributed.of_this_attempt(shared, 0, 2)
