"""Folders of the smallest pictures there are, all black."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def films(root: Path, *names: str) -> Path:
    """PNG files of these names, whatever their suffix, below the root."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(root / name, "PNG")
    return root
