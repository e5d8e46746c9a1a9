"""Hashes and their index. Oracles: all pairs one by one, ranks from SciPy, copies whose originals are known."""

from __future__ import annotations

import copies
import numpy as np
import pytest
from scipy.fft import dctn
from scipy.stats import rankdata

from muscle.data import hashing
from muscle.data.hashing import Look, agreement, candidates, thumbs, tones


def test_tones_are_ranks() -> None:
    some = thumbs([copies.cloud(0), copies.cloud(1, 40, 90)])
    expected = [(rankdata(film) - 0.5) / film.size - 0.5 for film in some]
    np.testing.assert_allclose(tones(some).reshape(2, -1), expected, atol=1e-6)


def test_the_whole_window_is_a_cosine_transform() -> None:
    """Oracle: SciPy's DCT-II, which scales every coefficient alike."""
    some = tones(thumbs([copies.cloud(2)]))
    mine = hashing._looks(some)[0, 0]
    theirs = dctn(some[0])[:19, :19].ravel()[hashing._ORDER]
    np.testing.assert_allclose(mine * 4 * 64**2, theirs, atol=0.05)


@pytest.mark.parametrize("way", ["mirrored", "inverted"])
def test_a_mirrored_and_an_inverted_film_have_the_coefficients_with_other_signs(way: str) -> None:
    film = thumbs([copies.cloud(3)])[0]
    other = copies.WAYS[way](film, np.random.default_rng(0))
    looks, changed = hashing._looks(tones(np.stack([film, other])))
    np.testing.assert_allclose(looks[1 if way == "mirrored" else 2], changed[0], atol=1e-5)


@pytest.mark.parametrize("number", [0, 1, 2, 3, *range(64, hashing.LOOKS)])
def test_a_look_at_a_whole_film_is_the_film_so_changed(number: int) -> None:
    """Oracle: NumPy turns, mirrors and inverts the picture."""
    film, look = thumbs([copies.cloud(3)])[0], Look.of(number)
    other = np.rot90(film, look.turns)
    other = other[:, ::-1] if look.mirrored else other
    other = 255 - other if look.inverted else other
    looks, changed = hashing._looks(tones(np.stack([film, other])))
    np.testing.assert_allclose(looks[number], changed[0], atol=1e-5)
    assert look.turns == (number - 60) // 4 * (number >= 64) and look.window == (0, 1, 0, 1)
    assert agreement(*tones(np.stack([film, other])), look) > 0.99


@pytest.mark.parametrize("way", copies.WAYS)
def test_every_way_of_copying_is_met_and_agrees(way: str) -> None:
    """Among 80 other pictures, with the tables and not by looking at all pairs."""
    rng = np.random.default_rng(4)
    films = [copies.cloud(seed) for seed in range(100)]
    some = thumbs([*films, *(copies.WAYS[way](film, rng) for film in films[:20])])
    found = candidates(some)
    pairs = {
        (int(i), int(j)): int(look) for i, j, look in zip(found.first, found.second, found.look, strict=True)
    }
    good = 0
    for i in range(20):
        key = next((k for k in ((i, 100 + i), (100 + i, i)) if k in pairs), None)
        if key is not None:
            first, second = tones(some[list(key)])
            good += agreement(first, second, Look.of(pairs[key])) > 0.75
    assert good >= 19
    assert len(pairs) < 60  # of 7,140


def test_the_tables_find_what_all_pairs_would() -> None:
    """Oracle: the same looks compared with every film."""
    rng = np.random.default_rng(5)
    films = [copies.cloud(seed) for seed in range(60)]
    some = thumbs([*films, *(copies.all_at_once(film, rng) for film in films)])
    found = candidates(some)
    looks = hashing._looks(tones(some))
    plain = looks[:, 0]
    median = np.median(plain, axis=0)
    distance = ((looks > median)[:, :, None] != (plain > median)).sum(axis=3).min(axis=1)
    distance = np.minimum(distance, distance.T)
    near = {(i, j) for i in range(120) for j in range(i) if distance[i, j] <= hashing.NEAR}
    mine = {(int(max(p)), int(min(p))) for p in zip(found.first, found.second, strict=True)}
    assert mine <= near and len(mine) >= 0.95 * len(near) > 50
    for i, j, d in zip(found.first, found.second, found.distance, strict=True):
        assert distance[i, j] <= d <= hashing.NEAR  # the closest look need not be the one that met


def test_two_films_alone_are_compared() -> None:
    film = copies.cloud(6)
    some = thumbs([film, 255 - film])
    found = candidates(some)
    assert len(found) == 1 and Look.of(int(found.look[0])).inverted
    first, second = tones(some)
    assert agreement(first, second, Look.of(int(found.look[0]))) > 0.99
    assert len(candidates(some[:1])) == 0


def test_films_of_two_persons_do_not_agree() -> None:
    first, second = tones(thumbs([copies.cloud(7), copies.cloud(8)]))
    assert all(agreement(first, second, Look.of(number)) < 0.5 for number in range(hashing.LOOKS))
