"""Finished stores that a disk has changed: found when they are opened again, and when a stamp is believed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from muscle.data import intact
from muscle.data.corpus import Corpus
from muscle.data.data_file import DataFile
from muscle.data.decode import Decode
from muscle.data.splits import AllTrain
from muscle.data.store import Store
from muscle.datasets.masks import Masks
from muscle.errors import UserError
from muscle.seal import sealed, unsealed

FILES = ("images.npy", "mask-0.npy", "index.arrow")


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[], Store]:
    """The store of a few films with masks, made or found again, as every command opens it."""
    Masks.write_example(tmp_path / "films", 4, 0)
    file = DataFile(sources={"a": Masks(root=str(tmp_path / "films"), target="lungs")}, split=AllTrain())

    def found() -> Store:
        return Corpus.prepare(file, (64, 48), Decode(), "stretch", tmp_path / "s", workers=0).stores[0]

    return found


def flip(file: Path) -> bytes:
    """One bit of a pixel, or of a name in the index; what the file held before."""
    whole = file.read_bytes()
    data = bytearray(whole)
    data[whole.index(b"film000") if file.suffix == ".arrow" else -1] ^= 1
    file.write_bytes(data)
    return whole


def age(store: Path, seconds: float) -> None:
    """Makes the stamp as old as that."""
    about = unsealed((store / intact.STAMP).read_bytes())
    (store / intact.STAMP).write_text(sealed(about | {"when": time.time() - seconds}))


@pytest.mark.parametrize("name", FILES)
def test_a_bit_that_flipped_is_found_when_the_store_is_opened(opened: Callable[[], Store], name: str) -> None:
    """A pixel, a mask, the index: nothing trains on it, and the message names the file; put back, it serves again."""
    folder = opened().path
    whole = flip(folder / name)
    for _ in range(2):
        with pytest.raises(UserError, match=f"damaged: {name}; delete the folder and prepare again"):
            opened()
    (folder / name).write_bytes(whole)
    assert opened().path == folder


def test_a_stamp_is_believed_for_a_day_and_for_these_files_alone(opened: Callable[[], Store]) -> None:
    """A stamp for files as they lie there now is believed though one is damaged; an old one, or none, is not."""
    store = opened()
    flip(store.path / "images.npy")
    intact.stamp(store.path, store.sums(), intact.looks(store.path, store.sums()))
    assert len(opened()) == len(store)
    age(store.path, intact.SECONDS - 60)
    assert len(opened()) == len(store)
    for seconds in (intact.SECONDS + 60, -60):  # too old; of a clock that was wrong
        age(store.path, seconds)
        with pytest.raises(UserError, match="damaged: images.npy"):
            opened()
    sums = store.sums() | {"images.npy": "0" * 64}
    intact.stamp(store.path, sums, intact.looks(store.path, sums))  # of other checksums
    with pytest.raises(UserError, match="damaged: images.npy"):
        opened()
    (store.path / intact.STAMP).write_text("{")
    with pytest.raises(UserError, match="damaged: images.npy"):
        opened()


def test_what_was_just_made_is_stamped_and_what_was_verified_is_stamped_again(
    opened: Callable[[], Store],
) -> None:
    stamp = opened().path / intact.STAMP
    made = stamp.read_bytes()
    opened()
    assert stamp.read_bytes() == made  # believed: nothing was read
    age(stamp.parent, intact.SECONDS + 1)
    opened()
    assert unsealed(stamp.read_bytes())["files"] == unsealed(made)["files"]
    assert unsealed(stamp.read_bytes())["when"] > unsealed(made)["when"]


def test_a_store_that_cannot_be_stamped_is_read_each_time(opened: Callable[[], Store]) -> None:
    """A folder in place of the stamp refuses every writing, also for who may write everywhere."""
    store = opened()
    (store.path / intact.STAMP).unlink()
    (store.path / intact.STAMP).mkdir()
    assert len(opened()) == len(store)
    flip(store.path / "mask-0.npy")
    with pytest.raises(UserError, match="damaged: mask-0.npy"):
        opened()


def test_progress_counts_what_is_read(opened: Callable[[], Store], monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: the sizes of the files, in megabytes rounded down."""
    store = opened()
    seen: list[tuple[int, int]] = []
    (store.path / intact.STAMP).unlink()
    intact.check(store, lambda done, total: seen.append((done, total)))
    assert not seen  # a small one is read at once
    monkeypatch.setattr(intact, "LARGE", 1)
    (store.path / intact.STAMP).unlink()
    intact.check(store, lambda done, total: seen.append((done, total)))
    size = sum((store.path / name).stat().st_size for name in FILES) // 10**6
    assert seen[-1] == (size, size) and seen == sorted(seen)


def test_rows_are_not_taken_from_a_store_with_a_damaged_index(
    opened: Callable[[], Store], tmp_path: Path
) -> None:
    """Of another split all rows are taken over; the index, where boxes and counts lie, must be what it was."""
    store = opened()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            "muscle.data.reuse.films", lambda jobs, workers: iter([f"{len(jobs)} decoded"] * len(jobs))
        )
        source = Masks(root=str(tmp_path / "films"), target="lungs")

        def named(name: str) -> Store:
            file = DataFile(sources={name: source}, split=AllTrain())
            return Corpus.prepare(file, (64, 48), Decode(), "stretch", tmp_path / "s", workers=0).stores[0]

        whole = flip(store.path / "index.arrow")
        with pytest.raises(UserError, match="none of 4 images can be used; .*: 4 decoded"):
            named("b")
        (store.path / "index.arrow").write_bytes(whole)
        np.testing.assert_array_equal(named("c").images, store.images)
