"""Walking folders, and paths out of tables."""

from __future__ import annotations

from pathlib import Path

import pytest
from blank import films

from muscle.data.files import images, inside, part_of, walk
from muscle.errors import UserError


def test_walking_leaves_out_hidden_files_resource_forks_and_loops(tmp_path: Path) -> None:
    films(tmp_path, "b/2.PNG", "a.jpg", ".hidden/3.png", "__MACOSX/4.png", "b/._2.png")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "IM0001").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "README").write_text("x")
    (tmp_path / "b/loop").symlink_to(tmp_path, target_is_directory=True)
    assert walk(tmp_path) == ["IM0001", "README", "a.jpg", "b/2.PNG", "notes.txt"]
    assert images(tmp_path) == ["IM0001", "a.jpg", "b/2.PNG"]


@pytest.mark.parametrize("path", ["../x.png", "a/../../x.png", "/etc/passwd", "C:\\x.png", "..\\x.png", ""])
def test_paths_in_tables_stay_inside_the_root(path: str) -> None:
    with pytest.raises(UserError, match="list.csv line 3: path .* leaves"):
        inside(path, "list.csv line 3")


def test_paths_written_on_windows_are_read() -> None:
    assert inside(" films\\.\\a.png ", "x") == "films/a.png"
    assert part_of("Chest/TRAIN/normal/test.png") == "train"
    assert part_of("test.png") is None
