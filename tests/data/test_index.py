"""The index of a store: what goes in comes out, mapped, in one piece."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pytest

from muscle.data import index
from muscle.data.index import FILE, Line, content_sha256, read_index, write_index
from muscle.errors import UserError
from muscle.types import BoxList, Labels, Sample, Target

TARGETS = (
    Target(name="finding", kind="labels", classes=("a", "b")),
    Target(name="box", kind="boxes", classes=("x",)),
    Target(name="age", kind="value", classes=()),
)


def line(i: int, part: str = "train", **annotations: Any) -> Line:
    sample = Sample(id=f"s/{i}", path=f"{i}", source="s", patient=f"s:{i // 2}", annotations=annotations)
    boxes = {"box": annotations["box"].xyxy} if "box" in annotations else {}
    entry = dict.fromkeys(("image_hash", "file_hash", "row_hash"), f"{i:064}") | {"width": 4, "height": 5}
    pixels = {"pixel_count": 4, "pixel_sum": 40, "pixel_square_sum": 436, "steps": [f"step {i}"]}
    return sample, part, entry | pixels | {"has": [], "boxes": boxes, "points": {}}, (f"{i}", "t")  # type: ignore[return-value]


def lines(n: int) -> list[Line]:
    found = [line(i) for i in range(n)]
    found[0] = line(0, "test", finding=Labels((1.0, 0.0)), box=BoxList(((1.0, 2.0, 3.0, 4.5),), (1,)))
    found[2] = line(2, box=BoxList((), ()))
    return [*found, (*found[0][:2], {"reason": "broken"}, ("", ""))]


def test_any_arrow_reader_reads_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "_CHUNK", 2)
    write_index(tmp_path / FILE, lines(5), TARGETS)
    rows = feather.read_table(tmp_path / FILE, memory_map=False).to_pylist()
    assert [row["id"] for row in rows] == [f"s/{i}" for i in range(5)]
    assert [row["split"] for row in rows] == ["test", *["train"] * 4]
    assert rows[0]["labels:finding"] == [1, 0] and all(map(math.isnan, rows[1]["labels:finding"]))
    assert [row["boxes:box"] for row in rows] == [[[1, 2, 3, 4.5]], None, [], None, None]
    assert [row["box_labels:box"] for row in rows] == [[1], None, [], None, None]
    assert all(math.isnan(row["value:age"]) for row in rows)
    assert {(row["mean"], row["sd"]) for row in rows} == {(10.0, 3.0)}  # 40 / 4, 436 / 4 - 10^2
    assert rows[0]["patient_key"] == rows[1]["patient_key"] != rows[2]["patient_key"]
    assert len({row["image_key"] for row in rows}) == 5


def test_columns_are_mapped_and_not_copied(tmp_path: Path) -> None:
    before = pa.total_allocated_bytes()
    table = write_index(tmp_path / FILE, lines(500), TARGETS)
    assert pa.total_allocated_bytes() - before < 1000  # of Arrow's own: nothing but the file's pages
    assert table["image_key"].num_chunks == 1
    first = table["image_key"].chunk(0).to_numpy()
    assert not first.flags.owndata and first.dtype == np.int64


def test_no_more_than_a_column_is_in_memory_while_it_is_written(tmp_path: Path) -> None:
    """Oracle: Arrow's own count of what it has allocated at once, against the size of the file."""
    pool = pa.proxy_memory_pool(usual := pa.default_memory_pool())
    pa.set_memory_pool(pool)
    try:
        write_index(tmp_path / FILE, (line(i) for i in range(20_000)), TARGETS)
    finally:
        pa.set_memory_pool(usual)
    assert pool.max_memory() < (tmp_path / FILE).stat().st_size / 2


def test_what_a_killed_run_left_is_no_part_of_it(tmp_path: Path) -> None:
    left = tmp_path / f"{FILE}.columns" / "rows"
    left.parent.mkdir()
    left.write_bytes(b"half a file")
    assert len(write_index(tmp_path / FILE, lines(5), TARGETS)) == 5
    assert len(write_index(tmp_path / "none", (), TARGETS)) == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == [FILE, "none"]


def test_the_sum_of_the_content_is_of_all_but_how_it_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = write_index(tmp_path / FILE, lines(5), TARGETS)
    sum_ = content_sha256(table)
    monkeypatch.setattr(index, "_CHUNK", 5)
    assert content_sha256(write_index(tmp_path / "b", lines(5), TARGETS)) == sum_
    other = [(s, part, entry, ("other", "stamp")) for s, part, entry, _ in lines(5)]
    assert content_sha256(write_index(tmp_path / "c", other, TARGETS)) == sum_
    monkeypatch.setattr(index, "_CHUNK", 2)
    for change in (
        lambda: [line(0, "train", **lines(5)[0][0].annotations), *lines(5)[1:]],
        lambda: [
            *lines(5)[:1],
            line(1, box=BoxList((), ())),
            *lines(5)[2:],
        ],  # known to be none is not unknown
        lambda: [*lines(5)[:4], line(4, finding=Labels((0.0, 0.0)))],  # the last row of several chunks
        lambda: [*lines(5)[:1], line(1, finding=Labels((0.0, 0.0))), *lines(5)[2:]],
    ):
        assert content_sha256(write_index(tmp_path / "d", change(), TARGETS)) != sum_


def test_a_cut_index_is_refused(tmp_path: Path) -> None:
    write_index(tmp_path / FILE, lines(5), TARGETS)
    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:-200])
    with pytest.raises(UserError, match="index cannot be read.*prepare again"):
        read_index(tmp_path / FILE)
