"""JSON, XML, tables and recipes made to grow. Oracle: the sizes that the same text has by hand."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from muscle.data import tables, texts
from muscle.data.tables import read_table
from muscle.data.texts import MAX_XML, read_json, read_text, read_xml
from muscle.datasets.dentex import Dentex
from muscle.errors import UsageError, UserError
from muscle.recipe import Recipe
from muscle.yaml_text import from_yaml

LAUGHS = '<!DOCTYPE a [<!ENTITY a "ha">' + "".join(
    f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(9)
) + "]>"  # fmt: skip


@pytest.mark.parametrize("code", ["utf-8", "utf-16", "latin-1"])
@pytest.mark.parametrize("head", [LAUGHS, '<!DOCTYPE a SYSTEM "file:///etc/passwd">', "<!DOCTYPE a>"])
def test_xml_with_a_document_type_is_refused(tmp_path: Path, code: str, head: str) -> None:
    (tmp_path / "x.xml").write_text(f'<?xml version="1.0" encoding="{code}"?>{head}<a>&j;</a>', code)
    with pytest.raises(ValueError, match="DOCTYPE"):
        read_xml(tmp_path / "x.xml")


def test_plain_xml_is_read_and_its_words_may_say_doctype(tmp_path: Path) -> None:
    (tmp_path / "x.xml").write_text("<a><!-- <!DOCTYPE a> --><b>1</b></a>")
    assert read_xml(tmp_path / "x.xml").findtext("b") == "1"
    for bad in ("<a>", "<?xml version='1.0' encoding='none'?><a/>", "<a>&lol;</a>"):
        (tmp_path / "x.xml").write_text(bad)
        with pytest.raises(ValueError):
            read_xml(tmp_path / "x.xml")


@pytest.mark.parametrize("depth", [2000, 100_000])
def test_json_nested_by_the_thousand(tmp_path: Path, depth: int) -> None:
    (tmp_path / "x.json").write_text("[" * depth + "]" * depth)
    with pytest.raises(ValueError, match="nested"):
        read_json(tmp_path / "x.json")


def test_xml_longer_than_the_annotation_of_a_film(tmp_path: Path) -> None:
    """A character less is read."""
    for length in (MAX_XML, MAX_XML + 1):
        (tmp_path / "x.xml").write_text("<a>" + " " * (length - 7) + "</a>")
        if length > MAX_XML:
            with pytest.raises(UserError, match=r"x\.xml: .*allowed"):
                read_xml(tmp_path / "x.xml")
        else:
            assert read_xml(tmp_path / "x.xml").tag == "a"


@pytest.mark.parametrize("depth", [100, 600, 900, 100_000])
def test_recipes_nested_by_the_hundred(depth: int) -> None:
    """What JSON still reads, the fields of a part do not take."""
    text = '{"name": ' + "[" * depth + "]" * depth + "}"
    with pytest.raises(UsageError):
        try:
            data = json.loads(text)
        except RecursionError:
            data = from_yaml(text)
        Recipe.parse(data)


def test_what_is_too_long_or_no_file_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts.check_text, "__defaults__", (10,))
    (tmp_path / "x.csv").write_text("a,b\n" * 9)
    with pytest.raises(UserError, match="36 bytes; allowed: at most 10"):
        read_table(tmp_path / "x.csv")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")  # who opens it waits for ever
        with pytest.raises(UserError, match="not a regular file"):
            read_text(tmp_path / "pipe")


def test_csv_of_absurd_lines_and_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_LINE", 1000)
    for text in ("a" * 2000, "a,b\n" + "," * 2000, 'a\n"' + "x\n" * 200_000):
        (tmp_path / "x.csv").write_text(text)
        with pytest.raises(UserError, match="not a readable CSV"):
            read_table(tmp_path / "x.csv")
    monkeypatch.setattr(tables._check_count, "__defaults__", (50,))
    (tmp_path / "x.csv").write_text("a,b\n" + "1,2\n" * 30)
    with pytest.raises(UserError, match="more than 50 cells"):
        read_table(tmp_path / "x.csv")


def workbook(path: Path, sheet: str, head: str = "") -> Path:
    """A workbook whose first sheet is the given XML."""
    book = openpyxl.Workbook()
    book.active.append(["a"])
    book.save(path)
    with zipfile.ZipFile(path) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    parts["xl/worksheets/sheet1.xml"] = (
        f'{head}<worksheet xmlns="{space}"><sheetData>{sheet}</sheetData></worksheet>'.encode()
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in parts.items():
            new.writestr(name, content)
    return path


CELL = '<row r="{}"><c r="{}{}"><v>1</v></c></row>'


@pytest.mark.parametrize("sheet", [
    CELL.format(10**9, "A", 10**9),  # a thousand million empty rows above it
    "".join(CELL.format(i, "XFD", i) for i in range(1, 2000)),  # and 16,384 cells in each
])  # fmt: skip
def test_workbooks_of_few_cells_that_lie_far_away(
    tmp_path: Path, sheet: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_MAX_XLSX_ROWS", 10_000)
    with pytest.raises(UserError, match="more than [0-9,]+ (rows|cells)"):
        read_table(workbook(tmp_path / "x.xlsx", sheet))


def test_workbooks_with_entities_or_that_unpack_to_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="sheet1.xml holds a DOCTYPE"):
        read_table(workbook(tmp_path / "x.xlsx", "", LAUGHS))
    monkeypatch.setattr(tables, "_MAX_XLSX", 1_000_000)
    path = workbook(tmp_path / "y.xlsx", "<!--" + " " * 2_000_000 + "-->")
    assert path.stat().st_size < 50_000
    with pytest.raises(UserError, match="bytes unpacked; allowed"):
        read_table(path)


def test_archives_whose_members_climb_out_write_nothing(tmp_path: Path) -> None:
    """No archive is ever unpacked to the disk; a workbook is read in memory."""
    path = workbook(
        tmp_path / "in/x.xlsx" if (tmp_path / "in").mkdir() is None else tmp_path, CELL.format(1, "A", 1)
    )
    with zipfile.ZipFile(path, "a") as more:
        more.writestr("../evil.txt", "x")
        more.writestr("/tmp/../evil.txt", "x")
    with pytest.raises(UserError, match="no row"):
        read_table(path)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["in", "x.xlsx"]


def test_parquet_that_writes_one_value_for_a_million_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MAX_TEXT", 10_000_000)
    pq.write_table(pa.table({"a": ["x" * 10_000] * 20_000}), tmp_path / "x.parquet")
    assert (tmp_path / "x.parquet").stat().st_size < 100_000
    with pytest.raises(UserError, match="unpacks to more than"):
        read_table(tmp_path / "x.parquet")
    pq.write_table(pa.table({"a": ["x" * 100] * 2000}), tmp_path / "y.parquet")
    assert len(read_table(tmp_path / "y.parquet")) == 2000


def test_parquet_whose_text_is_no_utf_8(tmp_path: Path) -> None:
    offsets, letters = np.array([0, 1], np.int32), b"\xff"
    column = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(offsets), pa.py_buffer(letters)])
    pq.write_table(pa.table({"image": column}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"a\.parquet: not readable Parquet: .*utf-8"):
        read_table(tmp_path / "a.parquet")


def test_names_in_dentex_stay_inside(tmp_path: Path) -> None:
    """Its films are named in JSON; none is looked for elsewhere."""
    Dentex.write_example(tmp_path, 8, 0)
    file = next((tmp_path / "training_data").rglob("*.json"))
    data = json.loads(file.read_text())
    data["images"][0]["file_name"] = "../../../../etc/passwd"
    file.write_text(json.dumps(data))
    with pytest.raises(UserError, match="leaves the source's root"):
        Dentex(root=str(tmp_path)).read("d")
