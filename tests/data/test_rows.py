from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from muscle.data import rows
from muscle.data.held_out import annotated, pool
from muscle.data.normalization import PerImage, PerSource, ZScore
from muscle.data.privacy import private_key
from muscle.data.rows import all_rows
from muscle.data.seen import POOL_FILE, write_seen
from muscle.data.store import Store
from muscle.errors import UsageError, UserError
from muscle.types import Boxes, BoxList, Labels, MaskFiles, Sample, Target, Value

SICK = Target(name="sick", kind="labels", classes=("no", "yes"))
BOX = Target(name="box", kind="boxes", classes=("x", "y"))
LUNG = Target(name="lung", kind="mask", classes=("lung",))
AGE = Target(name="age", kind="value")


def sample(path: str, patient: str, split: Any = "train", **truth: Any) -> Sample:
    return Sample(id="", source="", path=path, patient=patient, split=split, annotations=truth)


@pytest.fixture
def stores(stored: Callable[..., Store]) -> tuple[Store, Store]:
    """Picture i of each source is the same noise, so equal places hold equal pixels."""
    yes, no, unknown = Labels((0, 1)), Labels((1, 0)), Labels((float("nan"),) * 2)
    levels = tuple((g, 1) for g in range(100, 256))
    a = stored(
        "a",
        [
            sample("0.png", "p0", sick=yes, box=BoxList(((0, 0, 10, 10), (3, 2, 30, 20)), (1, 2))),
            sample("1.png", "p1", sick=no, box=BoxList((), ())),
            sample("2.png", "p2", sick=unknown),
            sample("3.png", "p3", "test", sick=yes, box=BoxList(((5, 5, 9, 9),), (2,))),
            sample("4.png", "p4", "valid", sick=no),
            sample("5.png", "p5"),
        ],
        [SICK, BOX],
    )
    b = stored(
        "b",
        [
            sample("0.png", "q0", lung=MaskFiles((("0.png", levels),)), sick=no),  # the pixels of a/0
            sample("1.png", "p4", age=Value(7)),  # the patient of a's validation film, and the pixels of a/1
            sample("2.png", "q2", age=Value(9), lung=MaskFiles((("2.png", levels),))),  # the pixels of a/2
            sample("3.png", "q3", sick=yes),  # the pixels of a's test film
            sample("4.png", "q4", "test", age=Value(1)),
            sample("5.png", "q5", "valid"),  # the pixels of a/5
            sample("6.png", "q6", box=BoxList(((1, 1, 2, 2),), (1,))),
        ],
        [SICK, BOX, LUNG, AGE],
    )
    return a, b


def test_pool_holds_no_one_who_is_held_out_and_each_picture_once(stores: tuple[Store, Store]) -> None:
    """Oracle: by hand from the comments above."""
    rows = pool(all_rows(stores), set())
    assert rows.ids == ["a/0.png", "a/1.png", "a/2.png", "b/6.png"]
    assert rows.sources == ["a", "a", "a", "b"] and set(rows.splits) == {"train"}
    assert pool(all_rows(stores), {"a"}).ids == ["b/0.png", "b/2.png", "b/6.png"]
    assert pool(all_rows(stores), {"b"}).ids == ["a/0.png", "a/1.png", "a/2.png"]
    assert pool(all_rows(stores[:1]), set()).ids == ["a/0.png", "a/1.png", "a/2.png", "a/5.png"]
    assert pool(all_rows(stores[::-1]), set()).ids == ["b/0.png", "b/2.png", "b/6.png", "a/1.png"]
    with pytest.raises(UserError, match="none of 13 images may be learned from"):
        pool(all_rows(stores), {"a", "b"})


def test_tasks_are_pooled_over_sources(stores: tuple[Store, Store]) -> None:
    tasks = annotated(all_rows(stores))
    assert list(tasks) == ["sick", "box", "lung", "age"]
    sick = tasks["sick"]
    # b/3 has the pixels of a's test film, b/1 is the person of a's validation film: neither may be trained on.
    assert sick.target == SICK and sick.train.ids == ["a/0.png", "a/1.png", "b/0.png"]
    assert sick.valid.ids == ["a/4.png"] and sick.test.ids == ["a/3.png"]
    assert sick.train.truth(SICK)[:, 1].tolist() == [1, 0, 0]  # type: ignore[call-overload]
    assert tasks["box"].train.ids == ["a/0.png", "a/1.png", "b/6.png"]
    assert tasks["age"].train.patients == [private_key("q2")] and len(tasks["age"].test) == 1
    assert tasks["lung"].train.ids == ["b/0.png", "b/2.png"] and len(tasks["lung"].valid) == 0


def test_a_batch_is_its_rows(stores: tuple[Store, Store]) -> None:
    """Oracle: each row fetched by itself from its own store."""
    rows = all_rows(stores).take(np.array([0, 1, 6, 9]))
    index = np.array([3, 0, 2, 0])
    batch = rows.batch(index, PerSource(), SICK)
    places = [(1, 3), (0, 0), (1, 0), (0, 0)]
    assert batch.image.shape == (4, 1, 8, 12) and batch.image.dtype == torch.uint8
    for k, (s, r) in enumerate(places):
        assert np.array_equal(batch.image[k, 0].numpy(), stores[s].images[r])
        assert batch.mean[k].item() == pytest.approx(stores[s].mean) and batch.source[k] == s
        assert batch.sd[k].item() == pytest.approx(stores[s].sd)
    assert batch.ids == ("b/3.png", "a/0.png", "b/0.png", "a/0.png")
    assert isinstance(batch.target, torch.Tensor)
    assert batch.target.tolist() == [[0, 1], [0, 1], [1, 0], [0, 1]]
    image = rows.batch(index, PerImage(), None).normalized()
    torch.testing.assert_close(image.mean((1, 2, 3)), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(image.std((1, 2, 3), correction=0), torch.ones(4), atol=1e-5, rtol=0)
    only = rows.take(rows.store == 0).batch(np.array([1]), ZScore(), None)
    assert np.array_equal(only.image[0, 0].numpy(), stores[0].images[1]) and only.target is None


def test_boxes_of_a_batch(stores: tuple[Store, Store]) -> None:
    """Oracle: the records by hand; the store shrinks by .4."""
    rows = annotated(all_rows(stores))["box"].train
    target = rows.batch(np.array([2, 1, 0]), ZScore(), BOX).target
    assert isinstance(target, Boxes)
    assert target.row.tolist() == [0, 2, 2] and target.label.tolist() == [1, 1, 2]
    wanted = torch.tensor([[1.0, 1, 2, 2], [0, 0, 10, 10], [3, 2, 30, 20]]) * 0.4
    torch.testing.assert_close(target.xyxy, wanted)
    empty = rows.batch(np.array([1]), ZScore(), BOX).target
    assert isinstance(empty, Boxes) and empty.xyxy.shape == (0, 4)
    truth = rows.truth(BOX)
    assert [len(label) for _, label in truth] == [2, 0, 1]
    np.testing.assert_allclose(truth[2][0], [[0.4, 0.4, 0.8, 0.8]], rtol=1e-6)
    with pytest.raises(UsageError, match=r"boxes of a/2.png are unknown"):
        pool(all_rows(stores), set()).batch(np.arange(4), ZScore(), BOX)


def test_masks_and_values_of_a_batch(stores: tuple[Store, Store]) -> None:
    rows = pool(all_rows(stores), {"a"})
    mask = rows.batch(np.array([2, 1]), ZScore(), LUNG).target
    assert isinstance(mask, torch.Tensor) and mask.dtype == torch.uint8
    assert (mask[0] == 255).all() and np.array_equal(mask[1].numpy(), stores[1].masks["lung"][2])
    assert np.array_equal(rows.masks(np.array([2, 1]), LUNG), mask.numpy())
    value = rows.batch(np.array([1, 0]), ZScore(), AGE).target
    assert isinstance(value, torch.Tensor) and value[0] == 9 and value[1].isnan()
    mixed = pool(all_rows(stores), set()).batch(np.arange(4), ZScore(), LUNG).target
    assert isinstance(mixed, torch.Tensor) and (mixed == 255).all()


def test_digest_follows_what_is_learned_from(
    stores: tuple[Store, Store], stored: Callable[..., Store]
) -> None:
    rows = pool(all_rows(stores), set())
    assert rows.digest() == pool(all_rows(stores), set()).digest() != rows.digest(SICK)
    assert (
        len({rows.digest(), rows.take(np.array([0, 1])).digest(), rows.take(np.array([1, 0, 2, 3])).digest()})
        == 3
    )
    yes, no = Labels((0, 1)), Labels((1, 0))
    one = stored("c", [sample("0.png", "p0", sick=yes), sample("1.png", "p1", sick=no)], [SICK])
    two = stored("c", [sample("0.png", "p0", sick=no), sample("1.png", "p1", sick=yes)], [SICK])
    left, right = pool(all_rows([one]), set()), pool(all_rows([two]), set())
    assert left.digest() == right.digest() and left.digest(SICK) != right.digest(SICK)


def test_mistakes_are_told(stored: Callable[..., Store]) -> None:
    one = stored("one", [sample("0.png", "p", box=BoxList((), ()))], [BOX])
    wide = stored("wide", [sample("0.png", "p")], [], (8, 13))
    with pytest.raises(UserError, match="stores of different sizes: one 8x12, wide 8x13; prepare"):
        annotated(all_rows([one, wide]))
    other = Target(name="box", kind="boxes", classes=("x",))
    three = stored("three", [sample("0.png", "p", box=BoxList((), ()))], [other])
    with pytest.raises(UsageError, match="rename"):
        annotated(all_rows([one, three]))


def test_what_is_read_in_parts_is_the_same_as_read_at_once(
    stores: tuple[Store, Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told() -> list[str]:
        every = all_rows(stores)
        assert len(every) == 13
        write_seen(tmp_path, every)
        boxed = every.take(every.known(BOX))
        return [every.digest(), every.digest(SICK), every.digest(LUNG), every.digest(AGE), boxed.digest(BOX),
                (tmp_path / POOL_FILE).read_text()]  # fmt: skip

    whole = told()
    assert len(set(whole)) == 6 and len(whole[-1].splitlines()) == 13 + 2  # head and checksum
    monkeypatch.setattr(rows, "PART", 3)  # 13 rows: the last part is not full
    assert told() == whole
    every = all_rows(stores)
    fewer, turned = every.take(np.arange(12)), every.take(np.arange(13)[::-1])
    assert len({every.digest(), fewer.digest(), turned.digest()}) == 3


def test_a_digest_is_of_the_parts_and_of_the_size(
    stores: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    every = all_rows(stores)
    before = every.digest()
    splits = every.splits
    with monkeypatch.context() as patch:
        patch.setattr(rows.Rows, "splits", property(lambda _: ["train"] * 13))
        assert splits != ["train"] * 13 and all_rows(stores).digest() != before
    monkeypatch.setattr(rows.Rows, "size", property(lambda _: (1, 2)))
    assert all_rows(stores).digest() != before
