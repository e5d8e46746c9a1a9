"""CSV, Parquet and XLSX read as text."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from muscle.data.grey import reason
from muscle.data.texts import MAX_TEXT, check_text
from muscle.errors import UserError

TABLE_SUFFIXES = (".csv", ".parquet", ".xlsx")
MAX_CELLS = 50_000_000  # a million rows of 50; each takes some 60 bytes and more
MAX_LINE = 1 << 20  # characters of a line of CSV
_MAX_XLSX = 200_000_000  # bytes unpacked; a workbook is a zip, and a hostile one unpacks to anything
_MAX_XLSX_CELLS = 20_000_000  # of a sheet as a rectangle: one cell far to the right makes every row that long
_MAX_XLSX_ROWS = 1 << 20  # as many as spreadsheet programs have
_DOCTYPE = tuple("<!DOCTYPE".encode(code) for code in ("utf-8", "utf-16-le", "utf-16-be"))

Rows = list[tuple[int, dict[str, str]]]


def read_table(path: Path, needed: tuple[str, ...] = (), sheet: str = "") -> Rows:
    """The rows of a table with the line they begin on, every cell as stripped text, empty where missing.

    Text, because patient ``0012`` is not patient 12. A byte-order mark, CRLF, and ``;`` or tab instead of ``,`` are
    understood; trailing columns without a name are left out. The lines of Parquet are its rows, counted from 1. Of a
    workbook the first sheet is read, or the one named ``sheet``; its numbers lose the zeros that only their format
    shows.

    Raises:
        UserError: missing or unreadable file, a column of ``needed`` that it does not have, or no row.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such table; give a .csv, .parquet or .xlsx file")
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        columns, rows = _parquet(path)
    else:
        columns, rows = _headed(path, _xlsx(path, sheet) if suffix == ".xlsx" else read_cells(path))
    for name in needed:
        if name not in columns:
            raise UserError(f"{path}: no column {name!r}; it has: {', '.join(columns)}")
    if not rows:
        raise UserError(f"{path}: the table has no row")
    return rows


def read_cells(path: Path) -> list[tuple[int, list[str]]]:
    """The lines of a CSV file that are not blank, as (number, stripped cells), the first like all others.

    Raises:
        UserError: missing or unreadable file.
    """
    try:
        check_text(path)
        with path.open(encoding="utf-8-sig", newline="") as file:
            head = file.readline(MAX_LINE)
            file.seek(0)
            reader = csv.reader(_lines(file), delimiter=max(",;\t", key=head.count))
            found, count = [], 0
            for cells in reader:
                if any(cells):
                    count += len(cells)
                    _check_count(path, count)
                    found.append((reader.line_num, [cell.strip() for cell in cells]))
            return found
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text; save it as 'CSV UTF-8'") from None
    except (csv.Error, OSError) as error:
        raise UserError(f"{path}: not a readable CSV: {error}") from None


def _lines(file: TextIO) -> Iterator[str]:
    """The lines, none of them longer than ``MAX_LINE``: the reader takes in a whole one at once."""
    while line := file.readline(MAX_LINE + 1):
        if len(line) > MAX_LINE:
            raise csv.Error(f"a line of more than {MAX_LINE:,} characters")
        yield line


def _check_count(path: Path, cells: int, allowed: int = MAX_CELLS) -> None:
    if cells > allowed:
        raise UserError(
            f"{path}: more than {allowed:,} cells; leave out columns that are not needed, or divide it"
        )


def _headed(path: Path, lines: list[tuple[int, list[str]]]) -> tuple[list[str], Rows]:
    """Columns named by the first line, without those at its end that have no name, such as NIH's."""
    columns = list(lines[0][1]) if lines else []
    while columns and not columns[-1]:
        columns.pop()
    _check_names(path, columns)
    width = len(columns)
    for line, cells in lines[1:]:
        if len(cells) < width or any(cells[max(width, len(lines[0][1])) :]):
            raise UserError(f"{path} line {line}: {len(cells)} cells; the header has {width}")
    return columns, [(line, dict(zip(columns, cells, strict=False))) for line, cells in lines[1:]]


def _check_names(path: Path, columns: list[str]) -> None:
    if len(set(columns)) < len(columns):
        raise UserError(f"{path}: two columns have one name; it has: {', '.join(columns)}")


def _parquet(path: Path) -> tuple[list[str], Rows]:
    rows: list[dict[str, str]] = []
    size = 0
    try:
        with pq.ParquetFile(path) as file:
            names = list(file.schema_arrow.names)
            _check_names(path, names)
            _check_count(path, file.metadata.num_rows * max(1, len(names)))
            for part in file.iter_batches(_rows_at_once(path, file.metadata)):
                size += part.nbytes
                if size > MAX_TEXT:
                    raise UserError(
                        f"{path}: unpacks to more than {MAX_TEXT:,} bytes; leave out long columns"
                    )
                rows += [
                    {k: "" if v is None or v != v else str(v).strip() for k, v in row.items()}
                    for row in part.to_pylist()
                ]
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not readable Parquet: {str(error).splitlines()[0]}") from None
    return names, list(enumerate(rows, start=1))


def _rows_at_once(path: Path, about: pq.FileMetaData) -> int:
    """So many that a batch stays within 2 GB even if each row has the longest value: one may be written for all."""
    groups = range(about.num_row_groups)
    size = sum(about.row_group(i).total_byte_size for i in groups)
    if size > MAX_TEXT:
        raise UserError(f"{path}: unpacks to {size:,} bytes; allowed: {MAX_TEXT:,}; leave out long columns")
    return max(1, min(1000, 2_000_000_000 // max(size, 1)))


def _xlsx(path: Path, sheet: str) -> list[tuple[int, list[str]]]:
    """The lines of a sheet that are not blank; the first ends with its last text."""
    values = _grid(path, sheet, computed=True)
    formulas = [
        (number, result)
        for number, (cells, written) in enumerate(
            zip(values, _grid(path, sheet, computed=False), strict=True), 1
        )
        for result, formula in zip(cells, written, strict=True)
        if isinstance(formula, str) and formula.startswith("=")
    ]
    if formulas and all(
        result is None for _, result in formulas
    ):  # else every label would be unknown, silently
        raise UserError(
            f"{path} line {formulas[0][0]}: formulas without results; save it in a spreadsheet program, or paste values"
        )
    lines = [(number, [_text(cell) for cell in cells]) for number, cells in enumerate(values, start=1)]
    lines = [(number, texts) for number, texts in lines if any(texts)]
    while lines and not lines[0][1][-1]:  # what stands in a column without a name is an error, not left out
        lines[0][1].pop()
    return lines


def _grid(path: Path, sheet: str, computed: bool) -> list[tuple[Any, ...]]:
    """The cells of a sheet: results of formulas, or what is written in the cells."""
    from openpyxl import load_workbook  # 0.2 s that CSV need not pay

    try:
        _check_packed(path)
        book = load_workbook(path, read_only=True, data_only=computed, keep_links=False)
        try:
            names = [page.title for page in book.worksheets]
            if not names or sheet and sheet not in names:
                raise UserError(f"{path}: no sheet {sheet!r}; it has: {', '.join(names) or 'none'}")
            page = book.worksheets[names.index(sheet) if sheet else 0]
            page.reset_dimensions()  # some programs write a size that leaves rows out
            rows = _rectangle(path, page.iter_rows(values_only=True))
        finally:
            book.close()
    except UserError:
        raise
    except Exception as error:  # openpyxl raises whatever a damaged part makes it trip over
        raise UserError(f"{path}: not a readable workbook: {reason(error)}") from None
    return rows


def _check_packed(path: Path) -> None:
    """What the archive unpacks to, and that no part declares entities, of which a few lines are any amount of text."""
    with zipfile.ZipFile(path) as packed:
        size = sum(member.file_size for member in packed.infolist())
        if size > _MAX_XLSX:
            raise UserError(f"{path}: {size:,} bytes unpacked; allowed: {_MAX_XLSX:,}; save it as CSV")
        for member in packed.infolist():
            before = b""
            with packed.open(member) as part:
                while piece := part.read(1 << 20):
                    if any(mark in before + piece for mark in _DOCTYPE):
                        raise UserError(
                            f"{path}: its part {member.filename} holds a DOCTYPE, which no workbook has"
                        )
                    before = piece[-32:]


def _rectangle(path: Path, given: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Rows of one length, and not more of them than a table has."""
    rows: list[tuple[Any, ...]] = []
    width = 0
    for row in given:
        rows.append(row)
        width = max(width, len(row))
        if len(rows) > _MAX_XLSX_ROWS:
            raise UserError(f"{path}: more than {_MAX_XLSX_ROWS:,} rows; delete what stands below the table")
        _check_count(path, len(rows) * width, _MAX_XLSX_CELLS)
    return [(*row, *(None,) * (width - len(row))) for row in rows]


def _text(cell: Any) -> str:
    if cell is None or isinstance(cell, str) and cell in ("#N/A", "#NV"):
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


def number(cell: str, where: str) -> float:
    """A finite number from a cell.

    Raises:
        UserError: it is none; ``where`` names file, line and column.
    """
    try:
        found = float(cell)
    except ValueError:
        found = float("nan")
    if not abs(found) < float("inf"):
        raise UserError(f"{where}: given {cell!r}; allowed: a number")
    return found
