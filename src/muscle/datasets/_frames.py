"""Films that are frames of one file, for adapters of one's own data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from muscle.data.decode import frame_count
from muscle.data.source import Source
from muscle.errors import UserError
from muscle.types import Sample


class Framed(Source):
    """Base of adapters that may take each frame of a file for a film.

    Attributes:
        frames: of DICOM files and TIFFs with several frames or pages: ``file``: a file is a film, and
            ``decode.frames`` says whether its first frame is taken or it is set aside; ``each``: each frame is a film,
            all with the patient, part and truth of the file.
    """

    frames: Literal["file", "each"] = "file"

    def films(self, sample: Sample) -> Iterator[Sample]:
        """The films of a file: one, or one a frame, called ``id#1``, ``id#2``, and so on."""
        frames = self._count(sample) if self.frames == "each" else 1
        if frames == 1:
            yield sample
        else:
            yield from (replace(sample, id=f"{sample.id}#{n}", frame=n) for n in range(1, frames + 1))

    def _count(self, sample: Sample) -> int:
        try:
            return frame_count(self.folder / sample.path)
        except UserError:  # preparing says why this file cannot be used
            return 1
