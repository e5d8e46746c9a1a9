"""CSV as others write it: columns without a name at the end of lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from muscle.data.tables import read_table
from muscle.errors import UserError


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("a,b,\n1,2,\n", {"a": "1", "b": "2"}),
        ("a,b,,,\n1,2,,,\n", {"a": "1", "b": "2"}),
        ("a,b,\n1,2\n", {"a": "1", "b": "2"}),
        ("a,b\n1,2,,\n", {"a": "1", "b": "2"}),
        (",a\n0,1\n", {"": "0", "a": "1"}),
    ],
)
def test_trailing_columns_without_a_name_do_not_count(tmp_path: Path, text: str, row: dict[str, str]) -> None:
    (tmp_path / "t.csv").write_text(text)
    assert read_table(tmp_path / "t.csv") == [(2, row)]


@pytest.mark.parametrize("text", ["a,b\n1\n", "a,b\n1,2,3\n"])
def test_a_line_of_another_length_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UserError, match=r"t.csv line 2: . cells; the header has 2"):
        read_table(tmp_path / "t.csv")
