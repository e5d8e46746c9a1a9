"""CSV and Parquet read as text."""

from __future__ import annotations

import csv
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from muscle.errors import UserError


def read_table(path: Path, needed: tuple[str, ...] = ()) -> list[tuple[int, dict[str, str]]]:
    """The rows of a table with the line they begin on, every cell as stripped text, empty where missing.

    Text, because patient ``0012`` is not patient 12. A byte-order mark, CRLF, and ``;`` or tab instead of ``,`` are
    understood; trailing columns without a name are left out. The lines of Parquet are its rows, counted from 1.

    Raises:
        UserError: missing or unreadable file, a column of ``needed`` that it does not have, or no row.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such table; give a .csv or .parquet file")
    columns, rows = _parquet(path) if path.suffix.lower() == ".parquet" else _csv(path)
    for name in needed:
        if name not in columns:
            raise UserError(f"{path}: no column {name!r}; it has: {', '.join(columns)}")
    if not rows:
        raise UserError(f"{path}: the table has no row")
    return rows


def _csv(path: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=max(",;\t", key=head.count))
            columns = [name.strip() for name in next(reader, [])]
            width = len(columns)
            while columns and not columns[-1]:  # commas that end every line, such as NIH's
                columns.pop()
            rows = []
            for cells in reader:
                if any(cells):
                    if len(cells) < len(columns) or any(cells[width:]):
                        raise UserError(
                            f"{path} line {reader.line_num}: {len(cells)} cells; the header has {len(columns)}"
                        )
                    rows.append(
                        (reader.line_num, {c: v.strip() for c, v in zip(columns, cells, strict=False)})
                    )
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text; save it as 'CSV UTF-8'") from None
    except (csv.Error, OSError) as error:
        raise UserError(f"{path}: not a readable CSV: {error}") from None
    if len(set(columns)) < len(columns):
        raise UserError(f"{path}: two columns have one name; it has: {', '.join(columns)}")
    return columns, rows


def _parquet(path: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: not readable Parquet: {str(error).splitlines()[0]}") from None
    rows = [
        {k: "" if v is None or v != v else str(v).strip() for k, v in row.items()}
        for row in table.to_pylist()
    ]
    return list(table.column_names), list(enumerate(rows, start=1))
