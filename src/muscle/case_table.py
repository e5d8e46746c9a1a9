"""``cases.parquet``: one row a case and model, from which every table can be computed again without a GPU."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from muscle import artefacts
from muscle.metrics import score
from muscle.metrics.boxes import IOUS, match
from muscle.metrics.masks import FAR
from muscle.paths import atomic_write
from muscle.predictions import Predictions
from muscle.report.reading import load_results
from muscle.seal import unsealed

FILE = "cases.parquet"
KNOWN = ("source", "body_part", "view", "sex", "age", "scanner")  # of each case; empty where unknown
CERTAIN = 0.5  # the score from which a box counts
NAMES = ("recipe", "title", "backbone", "task", "kind", "seed")

SCHEMA = pa.schema([
    *((name, pa.int64() if name == "seed" else pa.string()) for name in NAMES),
    ("id", pa.string()), ("patient", pa.string()), *((name, pa.string()) for name in KNOWN), ("class", pa.string()),
    ("truth", pa.float64()), ("output", pa.float64()), ("threshold", pa.float64()), ("dice", pa.float64()),
    ("hd95", pa.float64()), ("asd", pa.float64()), ("hd95_mm", pa.float64()), ("asd_mm", pa.float64()),
    ("true_positive", pa.int64()), ("false_positive", pa.int64()),
    ("false_negative", pa.int64()),
])  # fmt: skip


def write_cases(out: Path) -> Path:
    """Writes ``OUT/cases.parquet`` from ``OUT/results.json`` and the predictions that it names.

    A row a cell, case and class: ``truth`` and ``output`` of labels (1 / 0 / null, probability) with the cell's
    ``threshold``; ``dice``, ``hd95``, ``asd`` (pixels), ``hd95_mm``, ``asd_mm`` of masks, ``true_positive``,
    ``false_positive``, ``false_negative`` of boxes at IoU .5 and score .5. What is not of the cell's kind is null, as
    are scores that a case does not define. Cells without scores, or whose predictions were not kept, have no rows. The
    schema's metadata name the results and their provenance.

    Raises:
        UserError: results or predictions that are not there, or damaged.
    """
    results, given = load_results(out), unsealed((out / "results.json").read_bytes())
    about = {"results": artefacts.identity(given), "provenance": results["provenance"]}
    schema = SCHEMA.with_metadata({"muscle": json.dumps(about)})
    whole = pa.BufferOutputStream()
    with pq.ParquetWriter(whole, schema, compression="zstd") as writer:
        for cell in results["cells"]:
            if not cell.get("predictions"):  # of a version that kept none
                continue
            rows = list(_rows(cell, Predictions.load(out / cell["predictions"])))
            writer.write_table(pa.Table.from_pylist(rows, schema))
    atomic_write(out / FILE, whole.getvalue().to_pybytes())
    artefacts.put(out, "cases", given, [out / FILE])
    return out / FILE


def _rows(cell: Mapping[str, Any], p: Predictions) -> Iterator[dict[str, Any]]:
    thresholds = _thresholds(cell, p)
    for i, (name, patient) in enumerate(zip(p.ids, p.patients, strict=True)):
        same = {key: cell[key] for key in NAMES} | {"id": name, "patient": patient}
        same |= {column: p.columns[column][i] if column in p.columns else "" for column in KNOWN}
        for c, about in enumerate(_of_case(p, i)):
            if p.kind == "labels":
                about["threshold"] = thresholds[c]
            yield same | {"class": p.classes[c] if p.classes else ""} | about


def _thresholds(cell: Mapping[str, Any], p: Predictions) -> list[float | None]:
    """One a class; of two exclusive ones it is of the second."""
    value = (cell.get("threshold") or {}).get("value")
    if isinstance(value, list):
        return value
    return [*[None] * (len(p.classes) - 1), value]


def _of_case(p: Predictions, i: int) -> list[dict[str, Any]]:
    """What is said of one case, class by class."""
    if p.kind in ("labels", "value"):
        truth, output = p.arrays
        return [
            {"truth": None if np.isnan(t) else float(t), "output": float(o)}
            for t, o in zip(truth[i], output[i], strict=True)
        ]
    if p.kind == "mask":
        found = score(p.take(np.array([i])))
        one = len(p.classes) == 1
        return [
            {name: found.get(name if one else f"{name}:{c}") for name in ("dice", *FAR)} for c in p.classes
        ]
    truths, outputs = p.boxes
    (xyxy, label), (boxes, certain, said) = truths[i], outputs[i]
    rows = []
    for c in range(1, len(p.classes) + 1):
        mine = np.flatnonzero((said == c) & (certain >= CERTAIN))
        mine = mine[np.argsort(-certain[mine], kind="stable")]
        there = xyxy[label == c]
        right = int(match(there, boxes[mine])[int(np.argmin(IOUS))].sum())
        rows.append({
            "true_positive": right, "false_positive": len(mine) - right, "false_negative": len(there) - right
        })  # fmt: skip
    return rows
