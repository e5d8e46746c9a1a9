"""Listening: a library call says nothing."""

from __future__ import annotations

import pytest

from muscle.progress import SILENT


def test_silence(capsys: pytest.CaptureFixture[str]) -> None:
    SILENT.message("a")
    SILENT.count("b", 1, 2, "steps")
    assert capsys.readouterr() == ("", "")
