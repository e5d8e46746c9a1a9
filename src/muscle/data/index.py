"""The index of a store: one Arrow file with a row an image, mapped, so that more rows take no more memory.

Columns: ``id path source modality body_part view patient collection`` (whose key the patient has; empty where nobody is
named) ``study split image_hash`` (of the decoded pixels) ``file_hash`` (of a frame: ``film.of_frame``) ``row_hash`` (of
the stored picture and masks) strings; ``image_key
patient_key`` int64, see ``keys``; ``width height`` (of the source image) ``inner_width inner_height`` (in the
store, without the border of ``pad``) ``pixel_count pixel_sum pixel_square_sum`` int64; ``mean sd`` float32 of the
stored pixels; a target's truth as ``labels:<t>`` float32 [C] (NaN unknown), ``value:<t>`` float32 (NaN unknown),
``has:<t>`` bool for masks, ``boxes:<t>`` lists of float32 [4] in store pixels with ``box_labels:<t>``, ``points:<t>``
lists of float32 [2] (both null where unknown); and how the row was made: ``stamp timeless steps``.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from muscle.data.keys import key_of
from muscle.data.privacy import private_key
from muscle.errors import UserError
from muscle.types import BoxList, Labels, Sample, SplitName, Target, Value

FILE = "index.arrow"
MADE = ("stamp", "timeless", "steps")  # how and from what a row was made: no part of a store's content

_CHUNK = 1024  # rows that are Python objects at a time
_FEW = ("source", "modality", "body_part", "view", "collection", "split")  # columns of few different values
_SIZE: dict[str, int] = {"boxes": 4, "points": 2}

Entry = dict[str, Any]  # what the decoder said of one image: its record, or ``{"reason": ...}``
Line = tuple[
    Sample, SplitName, Entry, tuple[str, str]
]  # with the stamp, with and without the time of the file


def write_index(path: Path, lines: Iterable[Line], targets: Sequence[Target]) -> pa.Table:
    """Writes the rows of all lines whose entry has no reason, and maps them.

    Args:
        path: of the file.
        lines: in the order of the rows.
        targets: what the source teaches.
    """
    rows, work = _schema(targets), path.with_name(f"{path.name}.columns")
    good = (line for line in lines if "reason" not in line[2])
    shutil.rmtree(work, ignore_errors=True)  # of a run that was killed
    work.mkdir()
    with _writer(work / "rows", rows) as writer:
        while chunk := list(itertools.islice(good, _CHUNK)):
            writer.write_batch(pa.RecordBatch.from_pylist([_row(*line, targets) for line in chunk], rows))
    table = pa.table({name: _one_array(work, name, i) for i, name in enumerate(rows.names)})
    with _writer(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=max(1, len(table)))  # one chunk: a column is one array
    del table  # unmapped, or Windows would keep the files
    shutil.rmtree(work)
    return read_index(path)


def _one_array(work: Path, name: str, i: int) -> Any:
    """A column of the rows, joined and mapped, so that no more than a column is ever in memory."""
    column = read_index(work / "rows")[name].combine_chunks()
    found = pa.table({name: column.dictionary_encode() if name in _FEW else column})
    with _writer(work / str(i), found.schema) as writer:
        writer.write_table(found)
    return read_index(work / str(i))[name]


def _writer(path: Path, schema: pa.Schema) -> Any:
    return pa.ipc.new_file(str(path), schema)


def read_index(path: Path) -> pa.Table:
    """Maps what ``write_index`` wrote.

    Raises:
        UserError: not there, cut short, or not such a file.
    """
    try:
        return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path}: index cannot be read ({error}); delete the folder, prepare again") from None


def content_sha256(index: pa.Table) -> str:
    """SHA-256 of everything that an index says but for ``MADE``, whatever library wrote it."""
    found = hashlib.sha256()
    for name in index.column_names:
        if name not in MADE:
            found.update(f"\n{name}\n".encode())
            for start in range(0, len(index), _CHUNK):
                column = index[name].slice(start, _CHUNK)
                for part in _bytes(column.cast(pa.string()) if name in _FEW else column):
                    found.update(part)
    return found.hexdigest()


def _bytes(column: Any) -> Iterator[bytes]:
    """Validity, then values; of lists their lengths and what they hold."""
    if pa.types.is_string(column.type):
        yield "".join(f"{len(text)}:{text}" for text in column.to_pylist()).encode()
    elif pa.types.is_list(column.type):
        yield pc.fill_null(pc.list_value_length(column), -1).to_numpy().astype(np.int64).tobytes()
        yield from _bytes(
            pa.chunked_array([chunk.flatten() for chunk in column.chunks], column.type.value_type)
        )
    elif pa.types.is_fixed_size_list(column.type):
        yield from _bytes(
            pa.chunked_array([chunk.flatten() for chunk in column.chunks], column.type.value_type)
        )
    else:
        yield column.to_numpy().tobytes()


def _schema(targets: Sequence[Target]) -> pa.Schema:
    words = (
        "id",
        "path",
        "source",
        "modality",
        "body_part",
        "view",
        "patient",
        "collection",
        "study",
        "split",
    )
    hashes = ("image_hash", "file_hash", "row_hash")
    numbers = (
        "image_key",
        "patient_key",
        "width",
        "height",
        "inner_width",
        "inner_height",
        "pixel_count",
        "pixel_sum",
        "pixel_square_sum",
    )
    fields: list[tuple[str, Any]] = [(n, pa.string()) for n in (*words, *hashes)]
    fields += [(n, pa.int64()) for n in numbers] + [("mean", pa.float32()), ("sd", pa.float32())]
    for t in targets:
        if t.kind == "labels":
            fields.append((f"labels:{t.name}", pa.list_(pa.float32(), len(t.classes))))
        elif t.kind == "mask":
            fields.append((f"has:{t.name}", pa.bool_()))
        elif t.kind == "value":
            fields.append((f"value:{t.name}", pa.float32()))
        else:
            fields.append((f"{t.kind}:{t.name}", pa.list_(pa.list_(pa.float32(), _SIZE[t.kind]))))
        if t.kind == "boxes":
            fields.append((f"box_labels:{t.name}", pa.list_(pa.int64())))
    return pa.schema(
        [*fields, ("stamp", pa.string()), ("timeless", pa.string()), ("steps", pa.list_(pa.string()))]
    )


def _row(
    sample: Sample, split: SplitName, entry: Entry, stamp: tuple[str, str], targets: Sequence[Target]
) -> Entry:
    # Equal keys of persons stay equal in every source; what they say stays out of the store.
    patient = private_key(sample.patient)
    mean = entry["pixel_sum"] / entry["pixel_count"]
    variance = entry["pixel_square_sum"] / entry["pixel_count"] - mean**2
    row = {
        n: getattr(sample, n) for n in ("id", "path", "source", "modality", "body_part", "view", "collection")
    }
    row |= {k: v for k, v in entry.items() if k not in ("has", "boxes", "points")}
    row |= {
        "patient": patient, "study": private_key(sample.study), "split": split,
        "image_key": key_of(entry["image_hash"]), "patient_key": key_of(patient),
        "mean": mean, "sd": math.sqrt(max(variance, 0.0)), "stamp": stamp[0], "timeless": stamp[1],
    }  # fmt: skip
    for t in targets:
        truth = sample.annotations.get(t.name)
        if t.kind == "labels":
            row[f"labels:{t.name}"] = (
                truth.values if isinstance(truth, Labels) else [math.nan] * len(t.classes)
            )
        elif t.kind == "mask":
            row[f"has:{t.name}"] = t.name in entry["has"]
        elif t.kind == "value":
            row[f"value:{t.name}"] = truth.value if isinstance(truth, Value) else math.nan
        else:
            row[f"{t.kind}:{t.name}"] = entry[t.kind].get(t.name)
        if t.kind == "boxes":
            row[f"box_labels:{t.name}"] = truth.label if isinstance(truth, BoxList) else None
    return row
