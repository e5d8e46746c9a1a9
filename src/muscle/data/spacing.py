"""Millimetres of a pixel of the store, from what files, adapters or the data file say of those of the films."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from muscle.data.decode import Decode
from muscle.data.dicom import dicom_spacing, is_dicom
from muscle.data.harmonize import PercentileWindow
from muscle.data.rows import Rows
from muscle.data.source import Source
from muscle.errors import UserError

Spacing = tuple[float, float]


def stored_spacing(
    rows: Rows, told: Mapping[str, Spacing | None], sources: Mapping[str, Source], decode: Decode
) -> NDArray[np.float32]:
    """Down and across, [N, 2] float32; NaN where nothing says it, or the film was cut before it was scaled.

    Args:
        rows: of stores made with ``decode``.
        told: of a film's pixels, by its id; where that is None, the header of a DICOM file is asked.
        sources: by name.
    """
    found = np.full((len(rows), 2), np.nan, np.float32)
    if not all(isinstance(step, PercentileWindow) for step in decode.harmonize):  # the index holds no cuts
        return found
    names = zip(rows.ids, rows.sources, rows.strings("path"), strict=True)
    spacing = [told.get(film) or _of_file(sources[source].folder / path) for film, source, path in names]
    sides = {n: rows.numbers(n) for n in ("height", "inner_height", "width", "inner_width")}
    for i, known in enumerate(spacing):
        if known is not None:
            found[i] = (
                known[0] * sides["height"][i] / sides["inner_height"][i],
                known[1] * sides["width"][i] / sides["inner_width"][i],
            )
    return found


def _of_file(path: Path) -> Spacing | None:
    try:
        return dicom_spacing(path) if is_dicom(path) else None
    except UserError:
        return None
