"""Near-duplicates over stores. Oracle: which film each copy was made from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import copies
import cv2
import numpy as np
import pytest

from muscle.data import duplicates
from muscle.data.decode import Decode
from muscle.data.duplicates import near_duplicates
from muscle.data.harmonize import Border
from muscle.data.prepare import prepare
from muscle.data.rows import all_rows
from muscle.data.splits import AllTrain
from muscle.data.store import Store
from muscle.datasets.folder import Folder
from muscle.types import Sample


def named(stores: tuple[Store, Store]) -> set[frozenset[str]]:
    """What was found, by ids; of equal films the first."""
    rows = all_rows(stores)
    ids = dict(zip(rows.image_hashes[::-1], rows.ids[::-1], strict=True))
    return {frozenset((ids[a], ids[b])) for a, b, _ in near_duplicates(stores)}


def sample(path: str) -> Sample:
    return Sample(id="", source="", path=path, patient=path)


@pytest.fixture
def two(tmp_path: Path, stored: Callable[..., Store]) -> Callable[..., tuple[Store, Store]]:
    """Six pictures; a second source with an inverted, a cropped and a re-encoded copy, a flat film and a stranger."""

    def make(size: tuple[int, int] = (100, 80), fit: str = "stretch") -> tuple[Store, Store]:
        rng = np.random.default_rng(0)
        faint = (copies.cloud(50) > 128).astype(np.uint8)  # one grey level: nothing that could be compared
        films = {f"{i}.png": copies.cloud(i) for i in range(6)}
        others = {"a.png": 255 - films["0.png"], "b.png": copies.cropped(films["1.png"], rng),
                  "c.png": copies.encoded(films["2.png"], rng), "d.png": 7 + faint,
                  "e.png": copies.cloud(99), "f.png": films["3.png"],
                  "g.png": 90 + faint}  # fmt: skip
        for name, given in (("one", films), ("two", others)):
            for path, pixels in given.items():
                (tmp_path / name).mkdir(exist_ok=True)
                assert cv2.imwrite(str(tmp_path / name / path), pixels)
        return tuple(
            stored(name, [sample(path) for path in given], size=size, fit=fit)
            for name, given in (("one", films), ("two", others))
        )  # type: ignore[return-value]

    return make


@pytest.mark.parametrize("fit", ["stretch", "pad"])
def test_copies_in_another_source_are_found(two: Callable[..., tuple[Store, Store]], fit: str) -> None:
    """Equal films (3 and f) are one here; flat ones (d, g) are none."""
    stores = two((128, 64), fit)
    assert named(stores) == {
        frozenset(pair)
        for pair in (("one/0.png", "two/a.png"), ("one/1.png", "two/b.png"), ("one/2.png", "two/c.png"))
    }
    assert all(0.75 <= score <= 1 for _, _, score in near_duplicates(stores))


def test_what_was_found_is_kept(
    two: Callable[..., tuple[Store, Store]], monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = two()
    found = near_duplicates(stores)
    monkeypatch.setattr(duplicates, "candidates", None)
    assert near_duplicates(stores) == found
    with pytest.raises(TypeError):
        near_duplicates(stores[::-1])  # another order is another file
    monkeypatch.setattr(duplicates, "REVISION", 0)
    with pytest.raises(TypeError):
        near_duplicates(stores)


def test_a_damaged_file_is_made_anew(two: Callable[..., tuple[Store, Store]]) -> None:
    stores = two()
    found = near_duplicates(stores)
    (kept,) = stores[0].path.parent.glob("near-*.json")
    kept.write_text("[[")
    assert near_duplicates(stores) == found
    whole = kept.read_text()
    kept.write_text(whole.replace("0.", "1.", 1))  # still JSON: another correlation
    assert kept.read_text() != whole and near_duplicates(stores) == found and kept.read_text() == whole


def test_thumbs_without_detail_are_not_compared(two: Callable[..., tuple[Store, Store]]) -> None:
    assert near_duplicates(two((63, 80))) == ()


def test_what_a_cut_film_shows_is_found_within_the_border_of_pad(tmp_path: Path) -> None:
    """A square film on a wide black plate: cut square again, it fills a square store, whatever its file measures."""
    film = cv2.resize(copies.cloud(0), (300, 300))
    plate = np.zeros((300, 600), np.uint8)
    plate[:, 150:450] = np.maximum(film, 40)
    (tmp_path / "f").mkdir()
    assert cv2.imwrite(str(tmp_path / "f" / "0.png"), plate)
    decode = Decode(harmonize=(Border(),))
    store = prepare(
        "f", Folder(root=str(tmp_path / "f")), AllTrain(), (128, 128), decode, tmp_path / "s", "pad", 0
    )
    inner = duplicates._inside(store, 0, store.images[0])
    assert min(inner.shape) >= 120 and int(store.numbers("width")[0]) == 600
