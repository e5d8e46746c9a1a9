from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from muscle.data.decode import Decode
from muscle.data.prepare import prepare
from muscle.data.source import Source
from muscle.data.splits import Split
from muscle.data.store import Store
from muscle.types import Sample, SplitName, Target


class Given(Source):
    """A source whose records the test has written down."""

    samples: Any = ()
    teaches: Any = ()

    def records(self, name: str) -> tuple[list[Sample], list[Target]]:
        return [replace(s, id=f"{name}/{s.path}", source=name) for s in self.samples], list(self.teaches)


class AsGiven(Split):
    """The parts that the test has written into the records."""

    def assign(self, samples: Any, targets: Any) -> list[SplitName]:
        return [s.split or "train" for s in samples]


def picture(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)


def noise(height: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


@pytest.fixture
def given(tmp_path: Path) -> Callable[..., Source]:
    """Makes a source of noise pictures: ``given("a", [Sample, ...], [Target, ...], shape=(h, w))``."""

    def make(
        name: str, samples: list[Sample], targets: Any = (), shape: tuple[int, int] = (20, 30)
    ) -> Source:
        for i, sample in enumerate(samples):
            path = tmp_path / name / sample.path
            if not path.exists():
                picture(path, noise(*shape, seed=i))
        return Given(root=str(tmp_path / name), samples=tuple(samples), teaches=tuple(targets))

    return make


@pytest.fixture
def stored(tmp_path: Path, given: Callable[..., Source]) -> Callable[..., Store]:
    """Makes a store of such a source in this process; the parts are those of the samples."""

    def make(
        name: str, samples: list[Sample], targets: Any = (), size: tuple[int, int] = (8, 12), **options: Any
    ) -> Store:
        shape = options.pop("shape", (20, 30))
        source = given(name, samples, targets, shape)
        return prepare(name, source, AsGiven(), size, Decode(), tmp_path / "stores", workers=0, **options)

    return make
