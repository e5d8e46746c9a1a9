from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from muscle.data.decode import Decode, decode, image_size
from muscle.errors import UserError


def written(path: Path, values: np.ndarray) -> Path:
    """Oracle: bytes packed one by one, high byte first."""
    path.write_bytes(b"".join(struct.pack(">H", int(v)) for v in values.ravel()))
    return path


@pytest.fixture
def ramp() -> np.ndarray:
    return np.arange(64 * 64).reshape(64, 64)


@pytest.mark.parametrize("name", ["JPCLN001.IMG", "x.img"])
def test_white_is_zero_and_the_high_byte_comes_first(tmp_path: Path, ramp: np.ndarray, name: str) -> None:
    file = written(tmp_path / name, ramp)
    found = decode(file, Decode())
    assert image_size(file) == (64, 64) and found.bits == 12
    low, high = np.percentile(ramp, (0.5, 99.5))
    wanted = 255 - np.clip((ramp - low) / (high - low), 0, 1) * 255
    assert np.abs(found.pixels - wanted).max() <= 0.51
    assert "inverted" in found.steps[-1]
    raw = decode(file, Decode(grey="raw"))
    assert np.abs(raw.pixels - ramp / 4095 * 255).max() <= 0.51 and not any(
        "inverted" in s for s in raw.steps
    )


def test_rows_come_one_after_the_other(tmp_path: Path) -> None:
    values = np.zeros((64, 64), int)
    values[3, 40:] = 4000
    pixels = decode(written(tmp_path / "a.img", values), Decode(grey="raw")).pixels
    assert (pixels[3, 40:] > 240).all() and np.count_nonzero(pixels) == 24


def test_what_is_no_such_film_is_refused(tmp_path: Path, ramp: np.ndarray) -> None:
    ramp.astype("<u2").tofile(tmp_path / "swapped.img")
    with pytest.raises(UserError, match=r"swapped.img: holds \d+; allowed: big-endian values of 12 bits"):
        decode(tmp_path / "swapped.img", Decode())
    whole = written(tmp_path / "whole.img", ramp).read_bytes()
    for name, content in {"torn.img": whole[:-2], "tiny.img": whole[:32]}.items():
        (tmp_path / name).write_bytes(content)
        for call in (lambda p: decode(p, Decode()), image_size):
            with pytest.raises(UserError, match=rf"{name}: [\d,]+ bytes; allowed: a square raw film"):
                call(tmp_path / name)
    with pytest.raises(UserError, match="No such file"):
        image_size(tmp_path / "none.img")
