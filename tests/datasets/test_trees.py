"""Which of several copies counts, by lists written by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from muscle.datasets._trees import named, one_each, pictures, read_lines, stem, top
from muscle.errors import UserError


def test_of_copies_the_least_deep_counts_and_of_these_the_first() -> None:
    paths = ["a/b/x.png", "c/X.PNG", "b/x.png", "y.jpg"]
    assert one_each(paths) == {"x": "b/x.png", "y": "y.jpg"}
    assert one_each(reversed(paths)) == one_each(paths)
    assert pictures([*paths, "x.csv", "x.txt", "x"]) == paths
    assert stem("a\\B.c.PNG") == "b.c"


def test_tables_are_found_by_name_in_order_of_preference() -> None:
    files = ["a/New.CSV", "old.csv", "b/a/new.csv"]
    assert named(files, "new.csv", "old.csv") == "a/New.CSV"
    assert named(files, "newest.csv", "old.csv") == "old.csv"
    assert named(files, "none.csv") is None
    assert named(["z/New.CSV/a.png", *files], "new.csv") == "a/New.CSV"  # a folder may be called so as well
    assert named(["b/X/Json/1.json", "a/xx/json/2.json"], "x/json") == "b/X/Json"


def test_the_top_folder_is_found_under_any_number_of_others(tmp_path: Path) -> None:
    for file in ("set/one/two/data/x.csv", "set/one/two/three/data/x.csv", "__MACOSX/data/x.csv"):
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).touch()
    assert top(tmp_path, "data/", "data") == tmp_path / "set/one/two"
    assert (
        top(tmp_path / "set/one/two/three", "data/", "none.csv", "data/x.csv")
        == tmp_path / "set/one/two/three"
    )
    with pytest.raises(UserError, match="not this layout, no a or b/c; it holds data/"):
        top(tmp_path, "data/", "a", "b/c")


def test_a_list_without_mark_and_carriage_returns(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes("\ufeffa b.png\r\n\r\n c.png\r\n".encode())
    assert read_lines(tmp_path / "list.txt") == ["a b.png", "c.png"]
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"list.txt: not UTF-8 text"):
        read_lines(tmp_path / "list.txt")
