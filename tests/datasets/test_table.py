"""Tables of one's own: workbooks written by openpyxl and by hand, and what their cells mean."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pytest
from PIL import Image

from muscle.data.tables import read_cells, read_table
from muscle.datasets.table import Table
from muscle.errors import UsageError, UserError
from muscle.types import Labels, Value

HEAD = ["image", "edema", "effusion", "age", "weight", "who"]


def films(root: Path) -> Path:
    for name in ("1.png", "2.png", "3.png"):
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(root / name)
    return root


def workbook(file: Path, rows: list[list[Any]], **others: list[list[Any]]) -> Path:
    book = openpyxl.Workbook()
    for title, content in ({"first": rows} | others).items():
        page = book.create_sheet(title)
        for row in content:
            page.append(row)
    book.remove(book.worksheets[0])
    book.save(file)
    return file


def marks(source: Table) -> dict[str, tuple[Any, ...]]:
    """What each film's labels say, unknown as None."""
    samples, _ = source.read("t")
    return {s.path: tuple(None if math.isnan(v) else v for v in a.values) if isinstance(a, Labels) else ()
            for s in samples for a in [s.annotations.get("t")]}  # fmt: skip


def test_a_workbook_reads_like_csv(tmp_path: Path) -> None:
    workbook(tmp_path / "t.XLSX", [
        ["image ", "edema", "effusion", "age", "weight", "who", None],
        ["1.png", 1, 0, 120.5, 30, 12],
        [None, None, None],
        ["2.png", True, "", None, "#N/A", "0012"],
        ["3.png", -1.0, 1.0, 7, 31.0, 12.0],
    ])  # fmt: skip
    assert read_table(tmp_path / "t.XLSX") == [
        (2, dict(zip(HEAD, ["1.png", "1", "0", "120.5", "30", "12"], strict=True))),
        (4, dict(zip(HEAD, ["2.png", "True", "", "", "", "0012"], strict=True))),
        (5, dict(zip(HEAD, ["3.png", "-1", "1", "7", "31", "12"], strict=True))),
    ]
    source = Table(root=films(tmp_path).as_posix(), labels=("edema", "effusion"), unknown=("", -1),
                   value=("age", "weight"), patient="who")  # fmt: skip
    samples, targets = source.read("t")
    assert [(t.name, t.kind) for t in targets] == [("t", "labels"), ("age", "value"), ("weight", "value")]
    assert [s.patient for s in samples] == ["t:12", "t:0012", "t:12"]
    assert samples[0].annotations["age"] == Value(120.5)
    assert "weight" not in samples[1].annotations
    assert marks(source) == {"1.png": (1, 0), "2.png": (1, None), "3.png": (None, 1)}


def test_the_named_sheet_is_read(tmp_path: Path) -> None:
    file = workbook(tmp_path / "t.xlsx", [["a"], ["1"]], second=[["b"], ["2"]])
    assert read_table(file) == [(2, {"a": "1"})]
    assert read_table(file, sheet="second") == [(2, {"b": "2"})]
    with pytest.raises(UserError, match=r"t.xlsx: no sheet 'third'; it has: first, second"):
        read_table(file, sheet="third")


def test_formulas_need_their_results(tmp_path: Path) -> None:
    """openpyxl writes formulas without results, as scripts do; as numbers they would all be unknown."""
    file = workbook(tmp_path / "t.xlsx", [["image", "tb"], ["1.png", "=1"], ["2.png", "=0"]])
    with pytest.raises(UserError, match=r"t.xlsx line 2: formulas without results"):
        read_table(file)
    sheet = "xl/worksheets/sheet1.xml"
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(tmp_path / "done.xlsx", "w") as new:
        for name in old.namelist():
            text = old.read(name)
            if (
                name == sheet
            ):  # what a spreadsheet program leaves: the result beside the formula, here with decimals
                text = text.replace(b"<f>1</f><v></v>", b"<f>1</f><v>1.0</v>").replace(
                    b"<f>1</f><v />", b"<f>1</f><v>1.0</v>"
                )
            new.writestr(name, text)
    assert [row["tb"] for _, row in read_table(tmp_path / "done.xlsx")] == ["1", ""]


@pytest.mark.parametrize("content", [b"", b"PK\3\4 no zip", b"image,tb\n1.png,1\n"])
def test_a_broken_workbook_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.xlsx").write_bytes(content)
    with pytest.raises(UserError, match="t.xlsx: not a readable workbook") as error:
        read_table(tmp_path / "t.xlsx")
    assert "\n" not in str(error.value)


def test_a_row_wider_than_its_header_is_named(tmp_path: Path) -> None:
    file = workbook(tmp_path / "t.xlsx", [["image", "tb"], ["1.png", 1, 2]])
    with pytest.raises(UserError, match=r"t.xlsx line 2: 3 cells; the header has 2"):
        read_table(file)


def test_a_hostile_workbook_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = workbook(tmp_path / "t.xlsx", [["image"], ["1.png"]])
    monkeypatch.setattr("muscle.data.tables._MAX_XLSX", 100)
    with pytest.raises(UserError, match=r"bytes unpacked; allowed: 100; save it as CSV"):
        read_table(file)


def test_a_file_without_header_keeps_its_first_line(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("\ufeffa/b,1\r\n\r\n c ,0\r\n".encode())
    assert read_cells(tmp_path / "t.csv") == [(1, ["a/b", "1"]), (3, ["c", "0"])]


TEXT = "image,edema,effusion\n1.png,1,\n2.png,0,-1\n3.png,-1.0,u\n"


@pytest.mark.parametrize(
    ("words", "one", "two", "three"),
    [
        ({"unknown": ("", -1, "U")}, (1, None), (0, None), ()),
        ({"unknown": ("u",), "present": (1, -1), "absent": (0, "")}, (1, 0), (0, 1), (1, None)),
        ({"unknown": ("U", "-1"), "absent": ("0", "")}, (1, 0), (0, None), ()),
    ],
)
def test_the_data_file_says_what_is_unknown(
    tmp_path: Path, words: dict[str, Any], one: Any, two: Any, three: Any
) -> None:
    (films(tmp_path) / "t.csv").write_text(TEXT)
    source = Table.parse({"root": tmp_path.as_posix(), "labels": ["edema", "effusion"], **words})
    assert marks(source) == {"1.png": one, "2.png": two, "3.png": three}


def test_a_word_has_one_meaning_and_others_are_refused(tmp_path: Path) -> None:
    (films(tmp_path) / "t.csv").write_text(TEXT)
    source = Table.parse({"root": tmp_path.as_posix(), "labels": ["edema", "effusion"]})
    with pytest.raises(
        UserError, match=r"line 3 column effusion: given '-1'; allowed: 1 .present., 0 .absent., blank/nan/na"
    ):
        source.read("t")
    with pytest.raises(UsageError, match="'-1' stands in two of present, absent and unknown"):
        source.with_(unknown=("", "-1.0"), absent=(0, -1))


def test_a_sentinel_is_no_value(tmp_path: Path) -> None:
    (films(tmp_path) / "t.csv").write_text("image,age\n1.png,-1\n2.png,0\n3.png,9.5\n")
    source = Table.parse({"root": tmp_path.as_posix(), "value": "age", "unknown": ["", -1]})
    found = [s.annotations.get("age") for s in source.read("t")[0]]
    assert found == [None, Value(0.0), Value(9.5)]


def test_a_lock_file_is_no_table(tmp_path: Path) -> None:
    workbook(films(tmp_path) / "t.xlsx", [["image", "age"], ["1.png", 1]])
    (tmp_path / "~$t.xlsx").write_bytes(b"open in a spreadsheet program")
    (tmp_path / "._t.xlsx").write_bytes(b"\0\5\26\7")
    samples, _ = Table(root=tmp_path.as_posix(), value="age").read("t")
    assert [s.annotations["age"] for s in samples] == [Value(1.0)]


def test_films_are_found_by_their_names_in_whichever_folder(tmp_path: Path) -> None:
    """By path, by file name, without suffix; two of one name, and a file that is no film, are missing."""
    for place in ("north/1.png", "south/deep/2.png", "south/3.png", "both/x.png", "south/x.png"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / place)
    (tmp_path / "north/notes.txt").touch()
    table = tmp_path / "t.csv"
    table.write_text("image,edema\nnorth/1.png,0\n2.png,1\n3,0\nboth/x.png,1\n")
    source = Table(root=tmp_path.as_posix(), file="t.csv", labels=("edema",))
    paths = ["north/1.png", "south/deep/2.png", "south/3.png", "both/x.png"]
    assert sorted(marks(source)) == sorted(paths)
    for word in ("x.png", "notes.txt", "4"):
        table.write_text(f"image,edema\n1,0\n{word},1\n")
        with pytest.raises(UserError, match=f"1 of 2 images are missing, such as {word}, or several"):
            source.read("t")
