"""Walking folders, and paths out of tables."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from blank import films

from muscle.data.files import Named, images, inside, looks_like_image, part_of, walk
from muscle.errors import UserError


def test_walking_leaves_out_hidden_files_resource_forks_and_loops(tmp_path: Path) -> None:
    films(tmp_path, "b/2.PNG", "a.jpg", ".hidden/3.png", "__MACOSX/4.png", "b/._2.png")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "IM0001").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "README").write_text("x")
    (tmp_path / "b/loop").symlink_to(tmp_path, target_is_directory=True)
    assert walk(tmp_path) == ["IM0001", "README", "a.jpg", "b/2.PNG", "notes.txt"]
    assert images(tmp_path) == ["IM0001", "a.jpg", "b/2.PNG"]


def test_linked_folders_are_walked_once(tmp_path: Path) -> None:
    """A disk that is linked in holds films; a link back up to the root holds none that are new."""
    films(tmp_path / "disk", "deep/1.png")
    films(tmp_path / "root", "0.png")
    (tmp_path / "root/disk").symlink_to(tmp_path / "disk", target_is_directory=True)
    (tmp_path / "root/disk/deep/up").symlink_to(tmp_path / "root", target_is_directory=True)
    assert walk(tmp_path / "root") == ["0.png", "disk/deep/1.png"]


def test_dicom_has_its_mark_after_128_bytes_and_no_suffix_or_a_number(tmp_path: Path) -> None:
    """As scanners name files: IM1, 1.2.840.113; what reads as text, or is no file, is no picture."""
    for name in ("IM1", "1.2.840.113", "1.5"):
        (tmp_path / name).write_bytes(bytes(128) + b"DICM")
    (tmp_path / "other.7z").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "later").write_bytes(bytes(129) + b"DICM")
    (tmp_path / "at-once").write_bytes(b"DICM" + bytes(128))
    (tmp_path / "short").write_bytes(b"DICM")
    (tmp_path / "dicom").mkdir()
    assert images(tmp_path) == ["1.2.840.113", "1.5", "IM1"]
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")  # opening it would wait for ever
    assert not looks_like_image(tmp_path / "pipe") and not looks_like_image(tmp_path / "dicom")
    assert not looks_like_image(tmp_path / "nothing") and looks_like_image(tmp_path / "nothing.JPEG")


def test_pictures_are_found_by_path_or_by_a_name_that_is_theirs_alone(tmp_path: Path) -> None:
    films(tmp_path, "a/1.png", "b/1.png", "b/2.png", "c/3.jpg", "c/3.png")
    named = Named(tmp_path)
    assert named.path("a/1.png") == "a/1.png"
    assert named.path("2.png") == named.path("2") == "b/2.png"
    assert named.path("3.jpg") == "c/3.jpg"
    for called in (
        "1.png",
        "1",
        "3",
        "9",
        "b",
        "x" * 300,
    ):  # several, none, a folder, a report out of a table
        assert named.path(called) is None


@pytest.mark.parametrize("path", ["../x.png", "a/../../x.png", "/etc/passwd", "C:\\x.png", "..\\x.png", ""])
def test_paths_in_tables_stay_inside_the_root(path: str) -> None:
    with pytest.raises(UserError, match="list.csv line 3: path .* leaves"):
        inside(path, "list.csv line 3")


def test_paths_written_on_windows_are_read() -> None:
    assert inside(" films\\.\\a.png ", "x") == "films/a.png"
    assert part_of("Chest/TRAIN/normal/test.png") == "train"
    assert part_of("test.png") is None
    assert part_of("train/val/1.png") == "train" and part_of("films/Validation/1.png") == "valid"
    assert part_of("a/b/testing/1.png") == "test" and part_of("trainees/1.png") is None
