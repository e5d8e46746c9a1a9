from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from muscle.data.privacy import private_key
from muscle.data.store import Store
from muscle.errors import UserError
from muscle.seal import sealed, unsealed
from muscle.types import Annotation, BoxList, Labels, MaskFiles, Sample, Target, Value

TARGETS = [
    Target(name="finding", kind="labels", classes=("a", "b", "c"), exclusive=False),
    Target(name="lungs", kind="mask", classes=("lung",)),
    Target(name="boxes", kind="boxes", classes=("x", "y")),
    Target(name="age", kind="value"),
]


@pytest.fixture
def store(stored: Callable[..., Store]) -> Store:
    samples = [
        Sample(
            id="",
            source="",
            path=f"{i}.png",
            patient=f"p{i}",
            study="visit 1",
            view="PA",
            split="test" if i == 3 else "train",
        )
        for i in range(4)
    ]
    nan = float("nan")
    truths: list[dict[str, Annotation]] = [
        {"finding": Labels((1, 0, nan)), "age": Value(18.5)},
        {
            "lungs": MaskFiles((("1.png", tuple((g, 1) for g in range(128, 256))),)),
            "finding": Labels((nan, nan, nan)),
        },
        {"boxes": BoxList(((0, 0, 15, 10), (15, 10, 30, 20)), (2, 1))},
        {"boxes": BoxList((), ()), "finding": Labels((0, 1, 1))},
    ]
    samples = [replace(s, annotations=t) for s, t in zip(samples, truths, strict=True)]
    return stored("all", samples, TARGETS)


def test_what_went_in_comes_out(store: Store) -> None:
    """Oracle: the records above; the store is 8x12 of images of 20x30, so boxes shrink by .4."""
    assert store.targets == tuple(TARGETS) and store.size == (8, 12) and len(store) == 4
    np.testing.assert_array_equal(
        store.labels("finding"), [[1, 0, np.nan], [np.nan] * 3, [np.nan] * 3, [0, 1, 1]]
    )
    assert store.known("finding").tolist() == [True, False, False, True]
    np.testing.assert_array_equal(store.labels("age"), [[18.5], [np.nan], [np.nan], [np.nan]])
    assert store.known("age").tolist() == [True, False, False, False]
    assert store.known("lungs").tolist() == [False, True, False, False]
    assert set(np.unique(store.masks["lungs"][1])) == {0, 1} and not store.masks["lungs"][[0, 2, 3]].any()
    table = store.boxes("boxes")
    assert table.start.tolist() == [0, 0, 0, 2, 2] and table.label.tolist() == [2, 1]
    np.testing.assert_allclose(table.xyxy, [[0, 0, 6, 4], [6, 4, 12, 8]])
    assert store.known("boxes").tolist() == [False, False, True, True]
    assert store.strings("split") == ["train"] * 3 + ["test"] and set(store.strings("view")) == {"PA"}
    assert set(store.strings("study")) == {private_key("visit 1")} and private_key("visit 1") != "visit 1"
    assert not store.images.flags.writeable


def test_opening_again_gives_the_same(store: Store) -> None:
    again = Store.open(store.path)
    assert again.digest == store.digest and repr(again.index.to_pydict()) == repr(store.index.to_pydict())
    assert np.array_equal(again.images, store.images)
    store.verify()


@pytest.mark.parametrize("name", ["images.npy", "mask-1.npy", "index.arrow"])
def test_verify_names_the_file_that_changed(store: Store, name: str) -> None:
    path = store.path / name
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(UserError, match=f"damaged: {name}; delete the folder"):
        store.verify()


def test_folders_that_are_no_store(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished store"):
        Store.open(tmp_path)
    manifest = store.path / "manifest.json"
    text = manifest.read_text()
    manifest.write_text(sealed(unsealed(text) | {"version": 99}))
    with pytest.raises(UserError, match="version 99"):
        Store.open(store.path)
    manifest.write_text(text[:50])
    with pytest.raises(UserError, match="cannot be read"):
        Store.open(store.path)
    manifest.write_text(text)
    for content in (b"", bytes(500)):
        (store.path / "images.npy").write_bytes(content)
        with pytest.raises(UserError, match=r"images\.npy: cannot be mapped"):
            Store.open(store.path)
    np.save(store.path / "images.npy", np.zeros((2, 2), np.uint8))
    with pytest.raises(UserError, match=r"holds \(2, 2\) uint8, not \(4, 8, 12\)"):
        Store.open(store.path)
    np.save(store.path / "images.npy", np.zeros((4, 8, 12), np.int16))
    with pytest.raises(UserError, match=r"holds \(4, 8, 12\) int16, not \(4, 8, 12\) uint8"):
        Store.open(store.path)
    for name in ("images.npy", "mask-1.npy"):
        np.save(store.path / name, np.zeros((3, 8, 12), np.uint8))
    manifest.write_text(sealed(unsealed(text) | {"rows": 3}))
    with pytest.raises(UserError, match="has 4 rows, not 3"):
        Store.open(store.path)


def test_a_target_that_is_not_taught(store: Store) -> None:
    with pytest.raises(UserError, match="no target 'bones'; it teaches: finding, lungs, boxes, age"):
        store.labels("bones")
