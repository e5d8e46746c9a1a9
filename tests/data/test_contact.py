"""The contact sheet; oracle: the decoder on one film, and the levels that were stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from muscle.data.contact import PER_ROW, SIDE, TEXT, chosen, contact_sheet
from muscle.data.headers import Film, look
from muscle.errors import UserError


def test_stored_stands_beside_decoded(tmp_path: Path) -> None:
    """16 bits of which few are used: nearly black as stored, of full range as decoded."""
    deep = np.tile(np.linspace(1000, 3000, SIDE), (SIDE, 1)).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:200])
    films = [look(tmp_path, "a.png"), Film("b.png", "png", 16)]
    shown = contact_sheet(tmp_path, films, tmp_path / "sheet", workers=0)
    assert [film.path for film in shown] == ["a.png", "b.png"]
    with Image.open(tmp_path / "sheet") as image:
        sheet = np.asarray(image)
    assert sheet.shape == (SIDE + TEXT, PER_ROW * (2 * SIDE + 12))
    stored, decoded = sheet[:SIDE, :SIDE], sheet[:SIDE, SIDE + 2 : 2 * SIDE + 2]
    assert np.abs(stored - deep / 65535 * 255).max() <= 0.51
    assert decoded[:, 2].max() <= 2 and decoded[:, -3].min() >= 253
    torn = sheet[:SIDE, 2 * SIDE + 12 : 3 * SIDE + 12]
    assert torn[-1, -1] == 200 and torn.min() < 50  # words on grey
    with pytest.raises(UserError, match="no radiograph"):
        contact_sheet(tmp_path, [Film("x", "png", problem="tiny")], tmp_path / "no")
    with pytest.raises(UserError, match="--contact"):
        contact_sheet(tmp_path, films[:1], tmp_path / "no/sheet.png", workers=0)


def test_every_kind_is_shown_and_none_that_is_set_aside() -> None:
    films = [Film(f"a/{i}.png", "png", 8) for i in range(100)] + [
        Film(f"b/{i}.dcm", "dicom", 12) for i in range(3)
    ]
    films += [Film("c/x.png", "png", problem="tiny")]
    some = chosen(films, 10)
    assert len(some) == len(set(some)) == 8 and sum(f.type == "dicom" for f in some) == 3
    assert [f.path for f in some if f.type == "png"] == [
        "a/0.png",
        "a/20.png",
        "a/40.png",
        "a/60.png",
        "a/80.png",
    ]
