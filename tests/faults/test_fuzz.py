"""A small seed of ``fuzz.py``; thousands by ``python tests/faults/fuzz.py``."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from muscle.data.decode import Decode
from muscle.data.grey import Decoded

sys.path.insert(0, str(Path(__file__).parent))  # the workers import it too
import fuzz


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded and measured there")
def test_damaged_files_harm_nobody(tmp_path: Path) -> None:
    outcomes = list(fuzz.run(300, tmp_path, seed=1, of="films"))
    assert [o.case for o in outcomes] == list(range(300))
    assert fuzz.failures(outcomes) == []
    verdicts = {o.verdict for o in outcomes}
    assert {"accepted", "refused"} <= verdicts
    pictures = [o for o in outcomes if o.group.startswith(".")]
    assert (
        0.1 < np.mean([o.verdict == "accepted" for o in pictures]) < 0.9
    )  # else the damage is too light or heavy


def test_damaged_documents_harm_nobody(tmp_path: Path) -> None:
    """In this process, whose memory the campaign's own workers do not share."""
    outcomes = list(fuzz.run(96, tmp_path, seed=2, workers=0, of="documents"))
    assert fuzz.failures([replace(outcome, memory=0) for outcome in outcomes]) == []
    assert {o.verdict for o in outcomes} == {"accepted", "refused"}


def test_failures_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that turns pictures on their side, one that raises, and one that takes too much, are found."""
    fuzz.make(tmp_path, None, "films")
    sound = fuzz.decode

    def turned(path: Path, settings: Decode, *frame: int) -> Decoded:
        seen = sound(path, settings, *frame)
        return replace(seen, pixels=seen.pixels.T)

    for broken, said in (
        (turned, "accepted in another shape"),
        (lambda *_: 1 / 0, "raised ZeroDivisionError"),
    ):
        monkeypatch.setattr(fuzz, "decode", broken)
        tried = [fuzz.attempt(case, tmp_path, 0) for case in range(60)]
        found = fuzz.failures(
            [replace(outcome, memory=0) for outcome in tried]
        )  # that of all the tests, here
        assert found and all(said in line for line in found)
    large = fuzz.Outcome(0, ".png", "accepted", memory=2**31)
    assert "took 2147 MB" in fuzz.failures([large])[0]
