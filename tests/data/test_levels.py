"""Films unlike the trained ones are told from those that are like them. Oracles: pixels by hand, quantiles by NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny

from muscle.data.corpus import Corpus
from muscle.data.levels import grey_levels, trained_levels, unlike
from muscle.data.normalization import Unit, ZScore
from muscle.errors import UserError
from muscle.seal import sealed


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return tiny.corpus(tmp_path_factory.getbasetemp() / "tiny")


class _Changed:
    """Rows whose pixels are changed on the way; what ``grey_levels`` asks of rows, and no more."""

    def __init__(self, rows: object, change: object) -> None:
        self.rows, self.change = rows, change

    def __len__(self) -> int:
        return len(self.rows)  # type: ignore[arg-type]

    def batch(self, *given: object) -> object:
        from dataclasses import replace

        found = self.rows.batch(*given)  # type: ignore[attr-defined]
        return replace(found, image=self.change(found.image))  # type: ignore[operator]


def test_by_hand(corpus: Corpus) -> None:
    rows = corpus.pool
    found = grey_levels(rows, Unit())
    pixels = rows.batch(np.arange(len(rows)), Unit(), None).image.numpy().reshape(len(rows), -1) / 255.0
    assert found["brightness"] == pytest.approx(np.quantile(pixels.mean(1), [0.05, 0.5, 0.95]), abs=1e-3)
    assert found["contrast"] == pytest.approx(np.quantile(pixels.std(1), [0.05, 0.5, 0.95]), abs=1e-3)
    q10, q50, q90 = np.quantile(pixels, [0.1, 0.5, 0.9], axis=1)
    skew = (q90 + q10 - 2 * q50) / (q90 - q10)
    assert found["skew"] == pytest.approx(np.quantile(skew, [0.05, 0.5, 0.95]), abs=1e-3)


def test_the_units_are_those_of_the_networks_input(corpus: Corpus) -> None:
    plain, scaled = grey_levels(corpus.pool, Unit()), grey_levels(corpus.pool, ZScore(mean=51, sd=51))
    assert scaled["brightness"] == pytest.approx([5 * v - 1 for v in plain["brightness"]], abs=1e-3)
    assert scaled["skew"] == pytest.approx(plain["skew"], abs=1e-3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda image: image // 8, ("darker", "of less contrast")),
        (lambda image: 128 + image // 2, ("brighter", "of less contrast")),
        (lambda image: 255 - image, ("middle levels",)),
    ],
)
def test_changed_films_are_told_in_words(change: object, words: tuple[str, ...], corpus: Corpus) -> None:
    rows, trained = corpus.pool, grey_levels(corpus.pool, ZScore())
    assert unlike(rows, ZScore(), trained) == "" and unlike(rows, ZScore(), None) == ""
    said = unlike(_Changed(rows, change), ZScore(), trained)  # type: ignore[arg-type]
    assert all(f"{word} " in said for word in words) and "muscle data inspect" in said


def test_what_pretraining_has_written_is_found(tmp_path: Path) -> None:
    weights = tmp_path / "backbone.safetensors"
    assert trained_levels(weights) is None
    about = weights.with_name("backbone.json")
    about.write_text(sealed({"grey_levels": {"skew": [0, 1, 2]}}))
    assert trained_levels(weights) == {"skew": [0, 1, 2]}
    assert trained_levels(tmp_path / "other.pth") is None
    about.write_text(about.read_text().replace("1", "3", 1))
    with pytest.raises(UserError, match="changed since it was written"):
        trained_levels(weights)
