"""Oracles: spheres and cylinders by hand, points counted along the beam, the Beer-Lambert law, Poisson variance."""

from __future__ import annotations

import math

import numpy as np
import pytest

from muscle.phantom.physics import Canvas, Crack, Scene, bounds, ellipsoid, film, hoop, shaft, texture

CANVAS = Canvas.of((64, 48))


def test_the_chord_of_a_sphere() -> None:
    centre, r = (0.21, -0.13), 0.37
    d2 = (CANVAS.x - centre[0]) ** 2 + (CANVAS.y - centre[1]) ** 2
    truth = 2.0 * np.sqrt(np.maximum(r * r - d2, 0.0))
    np.testing.assert_allclose(ellipsoid(CANVAS, centre, (r, r, r), angle=0.7), truth, atol=2e-4)


def test_a_turned_ellipsoid_against_counting_points_along_the_beam() -> None:
    centre, semi, angle = (0.1, 0.05), (0.7, 0.25, 0.4), 0.6
    z = np.linspace(-0.5, 0.5, 2001)
    x, y = CANVAS.x - centre[0], CANVAS.y - centre[1]
    along = x * math.cos(angle) + y * math.sin(angle)
    across = y * math.cos(angle) - x * math.sin(angle)
    flat = (along / semi[0]) ** 2 + (across / semi[1]) ** 2
    inside = flat[..., None] + (z / semi[2]) ** 2 <= 1.0
    np.testing.assert_allclose(
        ellipsoid(CANVAS, centre, semi, angle), inside.sum(-1) * (z[1] - z[0]), atol=2e-3
    )


def test_a_shaft_is_a_cylinder_with_a_cylinder_in_it() -> None:
    outer, inner = shaft(CANVAS, (-2.0, 0.0), (2.0, 0.0), (0.4, 0.4), core=0.5)
    for row in range(64):
        y = CANVAS.y[row, 0]
        assert outer[row, 24] == pytest.approx(2.0 * math.sqrt(max(0.16 - y * y, 0.0)), abs=1e-5)
        assert inner[row, 24] == pytest.approx(2.0 * math.sqrt(max(0.04 - y * y, 0.0)), abs=1e-3)


def test_a_crack_changes_nothing_outside_its_zone() -> None:
    crack = Crack(at=0.5, slant=0.0, zone=0.2, step=0.06, apex=0.05, gap=0.03)
    line = (0.0, -0.9), (0.0, 0.9)
    whole, broken = (shaft(CANVAS, *line, (0.2, 0.2), crack=c)[0] for c in (None, crack))
    far = np.abs(CANVAS.y[:, 0]) > 0.2
    np.testing.assert_array_equal(whole[far], broken[far])
    assert broken[np.abs(CANVAS.y[:, 0]) < 0.03].max() == 0.0 < whole.max()


def test_a_rib_is_thickest_on_its_ellipse() -> None:
    canvas = Canvas.of((256, 256))
    rib = hoop(canvas, (0.0, 0.0), (0.5, 0.3), 0.0, 0.04, (-2.0, -2.0))
    radius = np.sqrt((canvas.x / 0.5) ** 2 + (canvas.y / 0.3) ** 2)
    assert rib.max() == pytest.approx(0.08, rel=0.01)
    assert np.abs(radius[rib > 0.075] - 1.0).max() < 0.08
    assert not rib[np.abs(radius - 1.0) > 0.25].any()


def test_texture_is_the_same_pattern_at_every_size() -> None:
    fine, rough = (texture(Canvas.of((n, n)), np.random.default_rng(3), 12) for n in (128, 32))
    np.testing.assert_allclose(fine.reshape(32, 4, 32, 4).mean((1, 3)), rough, atol=0.1)
    assert abs(float(fine.mean())) < 0.3 and 0.7 < float(fine.std()) < 1.3


def test_bounds_are_tight() -> None:
    delta = np.zeros((20, 30), np.float32)
    delta[4:9, 7:19] = -2.0
    delta[0, 0] = 0.1  # under a tenth of the greatest change
    assert bounds(delta) == (7.0, 4.0, 19.0, 9.0)


def _step_film(noise_seed: int) -> np.ndarray:
    steps = np.repeat(np.float32([0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5]), 16)
    scene = Scene(np.tile(steps, (128, 1)))
    return film(scene, np.random.default_rng(5), np.random.default_rng(noise_seed), 16)


def test_more_matter_is_whiter_and_noisier() -> None:
    image = _step_film(0).astype(np.float64)
    means = image.reshape(128, 8, 16)[:, :, 4:12].mean((0, 2))
    assert (np.diff(means) > 0).all()
    # the variance of -log N is 1 / N, and N falls by exp(-a): more matter, more noise (the window is a power law)
    spread = (image - _step_film(1)).reshape(128, 8, 16)[:, :, 4:12].std((0, 2))
    assert spread[6] > 1.5 * spread[2]
