"""The floor of a store. Oracles: the pixels that were asked for, and the processes that are there while it runs."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from muscle.data import floor


@pytest.mark.parametrize("workers", [1, 2])
def test_every_file_is_resized_by_as_many_processes_as_were_asked_for(
    workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 24 films that go out by eights."""
    others, there = set(active_children()), []

    class Watched(ProcessPoolExecutor):
        def __exit__(self, *ended: Any) -> bool | None:
            there.append(len(set(active_children()) - others))
            return super().__exit__(*ended)

    monkeypatch.setattr(floor, "ProcessPoolExecutor", Watched)
    paths = [tmp_path / f"{i}.png" for i in range(24)]
    for path in paths:
        Image.fromarray(np.zeros((30, 20), np.uint8)).save(path)
    assert floor.bare(paths, (7, 5), workers) == 24 * 7 * 5
    assert there == [workers]
