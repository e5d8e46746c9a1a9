"""What a store's index and manifest say of its rows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from muscle.data.privacy import private_key
from muscle.types import BoxList, Labels, Sample, SplitName, Target, Value

Entry = dict[str, Any]  # what the journal holds of a row


def index_table(
    samples: Sequence[Sample],
    splits: Sequence[SplitName],
    entries: Sequence[Entry],
    targets: Sequence[Target],
) -> pa.Table:
    """One row an image; columns as in ``Store.index``, but for those that say how a row was made."""
    names = ("id", "path", "source", "modality", "body_part", "view")
    columns: dict[str, Any] = {n: pa.array([getattr(s, n) for s in samples], pa.string()) for n in names}
    for n in (
        "patient",
        "study",
    ):  # equal keys stay equal in every source; what they say stays out of the store
        columns[n] = pa.array([private_key(getattr(s, n)) for s in samples], pa.string())
    columns["split"] = pa.array(splits, pa.string())
    for n in ("sha256", "file_sha256", "row_sha256"):
        columns[n] = pa.array([e[n] for e in entries], pa.string())
    for n in ("width", "height", "pixel_count", "pixel_sum", "pixel_square_sum"):
        columns[n] = pa.array([e[n] for e in entries], pa.int64())
    for t in targets:
        truths = [s.annotations.get(t.name) for s in samples]
        if t.kind == "labels":
            labels = [list(a.values) if isinstance(a, Labels) else None for a in truths]
            columns[f"labels:{t.name}"] = pa.array(labels, pa.list_(pa.float32()))
        elif t.kind == "mask":
            columns[f"has:{t.name}"] = pa.array([t.name in e["has"] for e in entries], pa.bool_())
        elif t.kind == "value":
            values = [a.value if isinstance(a, Value) else None for a in truths]
            columns[f"value:{t.name}"] = pa.array(values, pa.float64())
        else:
            places = [e[t.kind].get(t.name) for e in entries]
            columns[f"{t.kind}:{t.name}"] = pa.array(places, pa.list_(pa.list_(pa.float64())))
        if t.kind == "boxes":
            kinds = [list(a.label) if isinstance(a, BoxList) else None for a in truths]
            columns[f"box_labels:{t.name}"] = pa.array(kinds, pa.list_(pa.int64()))
    return pa.table(columns)


def pixel_levels(entries: Sequence[Entry], splits: Sequence[SplitName]) -> tuple[float, float]:
    """Mean and deviation of the training pixels; whole numbers until the end, so exact in any order."""
    chosen = [e for e, split in zip(entries, splits, strict=True) if split == "train"] or entries
    count, total, squares = (
        sum(e[n] for e in chosen) for n in ("pixel_count", "pixel_sum", "pixel_square_sum")
    )
    return total / count, math.sqrt(count * squares - total * total) / count


def steps_taken(entries: Iterable[Entry]) -> dict[str, int]:
    """How many images took each step of the decoder; the thirty most common, for words may hold sizes."""
    counts = Counter(step for entry in entries for step in entry["steps"])
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:30])
