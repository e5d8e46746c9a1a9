"""How grey levels become the network's input: the mean and deviation that each image is shifted and scaled by."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from muscle.parts import Part

Floats = NDArray[np.float32]

FLAT = 1.0  # grey levels; an image that varies less is not blown up to unit deviation


class Normalization(Part):
    """Root of the family. A member gives one (mean, sd) an image; the input is ``(image - mean) / sd``."""

    home: ClassVar[str] = "muscle.data.normalization"
    of_store: ClassVar[bool] = False  # whether the levels depend on films beyond those that are trained on

    def levels(self, source: tuple[Floats, Floats], image: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
        """The mean and deviation to normalize each image by, on the 0..255 scale.

        Args:
            source: mean and deviation [B] float32 of the training pixels of each image's store.
            image: mean and deviation [B] float32 of each image's own pixels.

        Returns:
            mean [B] and sd [B], float32, sd > 0.
        """
        raise TypeError(f"{type(self).__name__} must define levels")


class ZScore(Normalization):
    """One pair for all sources (MUSCLE section 3.1: 122.786 / 18.390 on the 0..255 scale)."""

    kind: ClassVar[str] = "zscore"

    mean: float = 122.786
    sd: float = 18.390

    def levels(self, source: tuple[Floats, Floats], image: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
        """The same pair for every image."""
        n = len(source[0])
        return np.full(n, self.mean, np.float32), np.full(n, self.sd, np.float32)


class PerSource(Normalization):
    """The mean and deviation of the training pixels of each image's own source."""

    kind: ClassVar[str] = "source"
    of_store: ClassVar[bool] = True

    def levels(self, source: tuple[Floats, Floats], image: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
        """The pair of each image's store."""
        return source[0], np.maximum(source[1], np.float32(FLAT))


class PerImage(Normalization):
    """Each image to zero mean and unit deviation by itself."""

    kind: ClassVar[str] = "image"

    def levels(self, source: tuple[Floats, Floats], image: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
        """The pair of each image."""
        return image[0], np.maximum(image[1], np.float32(FLAT))


class Unit(Normalization):
    """Black to 0, white to 1."""

    kind: ClassVar[str] = "unit"

    def levels(self, source: tuple[Floats, Floats], image: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
        """Mean 0 and deviation 255 for every image."""
        n = len(source[0])
        return np.zeros(n, np.float32), np.full(n, 255.0, np.float32)
