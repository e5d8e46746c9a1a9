"""What holds for every test: no settings of the person who runs it, no network, no window, few threads."""

from __future__ import annotations

import os
from pathlib import Path

# Before torch, matplotlib and the hub are imported, which read them once.
os.environ["MPLBACKEND"] = "Agg"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["MUSCLE_SALT"] = (
    "salt of the tests"  # for fixtures of a module too: none is made in the home folder
)

import pytest
import torch

torch.set_num_threads(1)  # tiny tensors: more threads only wait for each other, and other bits come out


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MUSCLE_STORE", "MUSCLE_CHECKPOINTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MUSCLE_OFFLINE", "1")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real radiographs; tests that use it carry the marker ``real``."""
    given = os.environ.get("MUSCLE_REAL_DATA")
    if not given:
        pytest.skip("set MUSCLE_REAL_DATA to the folder that holds the real data sets")
    folder = Path(given)
    assert folder.is_dir(), f"MUSCLE_REAL_DATA={given}: no such folder"
    return folder
