"""What a store's manifest says of all its images together."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from muscle.data.index import Entry
from muscle.types import Sample, SplitName


def levels(count: int, total: int, squares: int) -> tuple[float, float]:
    """Mean and deviation of so many pixels with this sum and sum of squares."""
    return total / count, math.sqrt(count * squares - total * total) / count


class Counted:
    """What a manifest says of all images, taken down as their entries pass."""

    def __init__(self) -> None:
        """Nothing has passed yet."""
        self.quarantine: list[tuple[str, str]] = []
        self.rows: Counter[SplitName] = Counter()
        self._steps: Counter[str] = Counter()
        self._pixels: dict[
            SplitName, tuple[int, int, int]
        ] = {}  # count, sum, sum of squares: exact in any order

    def passing(
        self, entries: Iterable[Entry], samples: Sequence[Sample], splits: Sequence[SplitName]
    ) -> Iterator[Entry]:
        """The same entries."""
        for sample, split, entry in zip(samples, splits, entries, strict=True):
            if "reason" in entry:
                self.quarantine.append((sample.picture, entry["reason"]))
            else:
                self.rows[split] += 1
                self._steps.update(entry["steps"])
                count, total, squares = self._pixels.get(split, (0, 0, 0))
                self._pixels[split] = (
                    count + entry["pixel_count"], total + entry["pixel_sum"], squares + entry["pixel_square_sum"]
                )  # fmt: skip
            yield entry

    def levels(self) -> tuple[float, float]:
        """Mean and deviation of the training pixels, or of all where none is for training."""
        chosen = [self._pixels["train"]] if "train" in self._pixels else self._pixels.values()
        return levels(*(sum(numbers) for numbers in zip(*chosen, strict=True)))

    def steps(self) -> dict[str, int]:
        """How many images took each step of the decoder; the thirty most common, for words may hold sizes."""
        return dict(sorted(self._steps.items(), key=lambda item: (-item[1], item[0]))[:30])
