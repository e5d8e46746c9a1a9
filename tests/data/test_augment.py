from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from muscle.data.augment import Views, _blur, _jitter, warp, warp_boxes, warp_mask
from muscle.errors import UsageError
from muscle.types import Batch, Boxes

SIZES = [(5, 7), (33, 50), (800, 500)]


def batch_of(height: int, width: int, n: int = 3, seed: int = 0) -> Batch:
    image = torch.from_numpy(
        np.random.default_rng(seed).integers(0, 256, (n, 1, height, width), dtype=np.uint8)
    )
    mean, sd = torch.full((n,), 122.786), torch.full((n,), 18.39)
    return Batch(image, mean, sd, torch.zeros(n, dtype=torch.int64), tuple("abcdefgh"[:n]))


def theta_of(rows: list[list[float]], n: int = 3) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float32).expand(n, 2, 3).clone()


def turn(angle: float, height: int, width: int, scale: float = 1.0) -> torch.Tensor:
    """Output -> input: turned about the centre."""
    c, s = math.cos(math.radians(angle)) / scale, math.sin(math.radians(angle)) / scale
    x, y = width / 2, height / 2
    return torch.tensor([[c, s, x - c * x - s * y], [-s, c, y + s * x - c * y]], dtype=torch.float32)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_exact_maps_are_exact(height: int, width: int) -> None:
    """Oracle: indexing. Identity, flip, half turn and shift by whole pixels change no bit of what they move."""
    batch = batch_of(height, width)
    plain = batch.normalized()
    identity = theta_of([[1, 0, 0], [0, 1, 0]])
    assert torch.equal(warp(batch, identity), plain)
    assert torch.equal(warp(batch, theta_of([[-1, 0, width], [0, 1, 0]])), plain.flip(3))
    assert torch.equal(warp(batch, turn(180, height, width).expand(3, 2, 3)), plain.flip(2, 3))
    moved = warp(batch, theta_of([[1, 0, 2], [0, 1, -1]]))
    assert torch.equal(moved[..., 1:, :-2], plain[..., :-1, 2:])
    mask = batch.image[:, 0]
    assert torch.equal(warp_mask(mask, identity), mask)
    assert torch.equal(warp_mask(mask, theta_of([[-1, 0, width], [0, 1, 0]])), mask.flip(2))


def test_no_change_drawn_is_no_change() -> None:
    batch = batch_of(33, 50, 8)
    assert torch.equal(Views(flip=0, rotate=0, shift=0)(batch), batch.normalized())
    views = Views(flip=0.5, rotate=0, shift=0)(batch)
    flipped = [torch.equal(v, p.flip(2)) for v, p in zip(views, batch.normalized(), strict=True)]
    same = [torch.equal(v, p) for v, p in zip(views, batch.normalized(), strict=True)]
    assert all(a != b for a, b in zip(flipped, same, strict=True))


def bilinear(image: np.ndarray, theta: np.ndarray, zeros: bool) -> np.ndarray:
    height, width = image.shape
    out = np.zeros(image.shape)

    def at(row: int, column: int) -> float:
        inside = 0 <= row < height and 0 <= column < width
        if zeros:
            return float(image[row, column]) if inside else 0.0
        return float(image[min(max(row, 0), height - 1), min(max(column, 0), width - 1)])

    for i in range(height):
        for j in range(width):
            x, y = theta @ np.array([j + 0.5, i + 0.5, 1.0]) - 0.5
            if not zeros:
                x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
            left, top = math.floor(x), math.floor(y)
            for di in (0, 1):
                for dj in (0, 1):
                    weight = (1 - abs(x - left - dj)) * (1 - abs(y - top - di))
                    out[i, j] += weight * at(top + di, left + dj)
    return out


@pytest.mark.parametrize("border", ["border", "zeros"])
def test_warp_against_a_loop(border: str) -> None:
    """Oracle: bilinear sampling pixel by pixel in NumPy; within the 1/32 level that rounding may cost."""
    batch = batch_of(7, 11)
    torch.manual_seed(3)
    views = Views(rotate=40, shift=0.3, scale=(0.7, 1.5), border=border)  # type: ignore[arg-type]
    theta = views.draw(3, 7, 11)
    found = warp(batch, theta, views.border) * 18.39 + 122.786
    for k in range(3):
        wanted = bilinear(batch.image[k, 0].numpy(), theta[k].double().numpy(), border == "zeros")
        np.testing.assert_allclose(found[k, 0].numpy(), wanted, atol=1 / 32 + 1e-3)


def test_mask_against_a_loop() -> None:
    """Oracle: nearest pixel, one by one."""
    mask = torch.from_numpy(np.random.default_rng(1).integers(0, 4, (3, 9, 6), dtype=np.uint8))
    torch.manual_seed(5)
    theta = Views(rotate=30, shift=0.2).draw(3, 9, 6)
    found = warp_mask(mask, theta).numpy()
    for k in range(3):
        for i in range(9):
            for j in range(6):
                x, y = theta[k].double().numpy() @ np.array([j + 0.5, i + 0.5, 1.0])
                row, column = min(max(math.floor(y), 0), 8), min(max(math.floor(x), 0), 5)
                assert found[k, i, j] == mask[k, row, column]


def test_rotation_is_rigid_on_films_that_are_not_square() -> None:
    torch.manual_seed(0)
    turned = Views(rotate=45, shift=0).draw(50, 80, 30)[:, :, :2]
    torch.testing.assert_close(turned @ turned.transpose(1, 2), torch.eye(2).expand(50, 2, 2))
    assert {round(d) for d in torch.linalg.det(turned).tolist()} == {-1, 1}


def test_draw_keeps_its_ranges() -> None:
    torch.manual_seed(0)
    height, width, n = 100, 60, 4000
    theta = Views(flip=0.3, rotate=20, shift=0.1, scale=(0.5, 2.0)).draw(n, height, width).double()
    a = theta[:, :, :2]
    assert abs((torch.linalg.det(a) < 0).double().mean() - 0.3) < 0.03
    scale = 1 / torch.linalg.det(a).abs().sqrt()
    assert 0.5 <= scale.min() < 0.52 and 1.9 < scale.max() <= 2.0
    angle = torch.rad2deg(torch.atan2(-a[:, 1, 0], a[:, 1, 1]))
    assert -20.01 <= angle.min() < -19 and 19 < angle.max() <= 20.01
    centre = torch.tensor([width / 2, height / 2], dtype=torch.float64)
    out = (
        torch.linalg.solve(a, (centre - theta[:, :, 2])[:, :, None])[:, :, 0] - centre
    )  # where the centre goes
    assert 5.8 < out[:, 0].max() <= 6.01 and 9.8 < out[:, 1].max() <= 10.01
    assert -6.01 <= out[:, 0].min() < -5.8


def test_crop_stays_inside_and_has_its_area() -> None:
    torch.manual_seed(0)
    theta = Views(flip=0, rotate=0, shift=0, crop=(0.2, 0.6)).draw(3000, 50, 80)
    sides = theta[:, [0, 1], [0, 1]]
    area, aspect = sides.prod(1), sides[:, 0] / sides[:, 1]
    assert 0.199 < area.min() < 0.21 and 0.58 < area.max() < 0.601
    assert 0.745 < aspect.min() < 0.76 and 1.31 < aspect.max() < 1.34
    far = theta[:, :, 2] + sides * torch.tensor([80, 50])
    assert theta[:, :, 2].min() >= -1e-4 and (far <= torch.tensor([80, 50]) + 1e-3).all()


def test_boxes_follow_the_picture() -> None:
    """Oracle: the rectangle drawn into a mask and warped; its extent is the hull within a pixel."""
    height, width, n = 60, 90, 20
    torch.manual_seed(1)
    theta = Views(rotate=15, shift=0.05, scale=(0.8, 1.2)).draw(n, height, width)
    box = torch.tensor([30.0, 20.0, 60.0, 45.0])
    mask = torch.zeros(n, height, width, dtype=torch.uint8)
    mask[:, 20:45, 30:60] = 1
    boxes = Boxes(box.expand(n, 4).clone(), torch.arange(1, n + 1), torch.arange(n))
    moved = warp_boxes(boxes, theta, height, width)
    assert torch.equal(moved.row, torch.arange(n)) and torch.equal(moved.label, torch.arange(1, n + 1))
    for k, warped in enumerate(warp_mask(mask, theta)):
        y, x = np.nonzero(warped.numpy())
        extent = np.array([x.min(), y.min(), x.max() + 1, y.max() + 1])
        np.testing.assert_allclose(moved.xyxy[k].numpy(), extent, atol=1.2)


def test_boxes_that_leave_the_view_are_cut_or_dropped() -> None:
    boxes = Boxes(
        torch.tensor([[0.0, 0, 10, 10], [4.0, 0, 14, 10], [40.0, 20, 50, 30]]),
        torch.tensor([1, 2, 3]),
        torch.tensor([0, 0, 1]),
    )
    theta = theta_of([[1, 0, 8], [0, 1, 0]], 2)  # to the left by 8: 20 % and 60 % of the first two are left
    moved = warp_boxes(boxes, theta, 40, 60)
    assert moved.label.tolist() == [2, 3] and moved.row.tolist() == [0, 1]
    torch.testing.assert_close(moved.xyxy, torch.tensor([[0.0, 0, 6, 10], [32.0, 20, 42, 30]]))
    none = Boxes(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))
    assert warp_boxes(none, theta, 40, 60).xyxy.shape == (0, 4)


def test_equal_seeds_give_equal_bits() -> None:
    batch, views = batch_of(24, 40, 8), Views(crop=(0.2, 1.0), blur=0.5, jitter=0.4)
    torch.manual_seed(7)
    one = views(batch)
    torch.manual_seed(7)
    assert torch.equal(one, views(batch)) and not torch.equal(one, views(batch))


def test_blur_against_the_formula() -> None:
    """Oracle: the Gaussian written out, on a single bright pixel far from the border."""
    torch.manual_seed(0)
    pixels = torch.zeros(4, 1, 31, 31)
    pixels[..., 15, 15] = 1000.0
    torch.manual_seed(0)
    found = _blur(pixels.clone(), 1.0, batch_of(31, 31, 4))
    torch.manual_seed(0)
    torch.rand(4)
    for k, sigma in enumerate(torch.empty(4).uniform_(0.1, 2.0).tolist()):
        line = np.exp(-(np.arange(-6, 7) ** 2) / (2 * sigma**2))
        line /= line.sum()
        np.testing.assert_allclose(found[k, 0, 9:22, 9:22].numpy(), 1000 * np.outer(line, line), atol=1e-3)
    kept = _blur(pixels.clone(), 0.0, batch_of(31, 31, 4))
    assert torch.equal(kept, pixels)


def test_jitter_against_the_formula() -> None:
    torch.manual_seed(2)
    pixels = torch.rand(40, 1, 6, 5) * 255
    torch.manual_seed(4)
    found = _jitter(pixels.clone(), 0.4, batch_of(6, 5, 40))
    torch.manual_seed(4)
    chosen, factors = torch.rand(40) < 0.8, torch.empty(2, 40).uniform_(0.6, 1.4)
    assert 0 < (~chosen).sum() < 20
    for k in range(40):
        wanted = pixels[k].double()
        if chosen[k]:
            wanted = (wanted * factors[0, k]).clamp(0, 255)
            wanted = (wanted.mean() + factors[1, k] * (wanted - wanted.mean())).clamp(0, 255)
        torch.testing.assert_close(found[k].double(), wanted, atol=1e-3, rtol=0)


def test_output_is_normalized_and_channels_last() -> None:
    batch = batch_of(16, 24, 4)
    view = Views(jitter=0.2)(batch)
    assert view.dtype == torch.float32 and view.shape == (4, 1, 16, 24)
    assert view.is_contiguous(memory_format=torch.channels_last)
    assert view.min() >= -122.787 / 18.39 and view.max() <= (255 - 122.786) / 18.39 + 1e-4


@pytest.mark.parametrize(
    ("field", "value"),
    [("flip", 1.5), ("rotate", 200.0), ("scale", (1.2, 1.0)), ("crop", (0.5, 1.2)), ("jitter", 1.0)],
)
def test_values_that_mean_nothing_are_refused(field: str, value: object) -> None:
    with pytest.raises(UsageError, match=field):
        Views.parse({field: value})


def test_views_are_drawn_in_float32_whatever_the_losses_are_computed_in() -> None:
    """Under bf16 a shift of 400 pixels is rounded to even ones, and a blur does not fit into its image."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (4, 1, 96, 64), dtype=torch.uint8, generator=generator)
    batch = Batch(
        image, torch.zeros(4), torch.ones(4), torch.zeros(4, dtype=torch.int64), tuple("abcd"), None
    )
    for views in (Views(), Views(blur=1.0, jitter=0.4, crop=(0.2, 1.0))):
        torch.manual_seed(1)
        expected = views(batch)
        torch.manual_seed(1)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = views(batch)
        assert torch.equal(found, expected)
