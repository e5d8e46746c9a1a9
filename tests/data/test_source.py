"""What holds for every source, on hand-made folders."""

from __future__ import annotations

from pathlib import Path

import pytest
from blank import films

from muscle.data.data_file import DataFile
from muscle.errors import UsageError, UserError
from muscle.types import Target


def read(root: Path, **fields: object) -> tuple[list[str], list[Target]]:
    data = DataFile.parse({"sources": {"s": {"kind": "folder", "root": root.as_posix(), **fields}}})
    samples, targets = data.read()["s"]
    return [sample.path for sample in samples], targets


def test_targets_can_be_left_out_and_renamed(tmp_path: Path) -> None:
    films(tmp_path, "normal/1.png", "fracture/2.png")
    assert [t.name for t in read(tmp_path, labels="folder")[1]] == ["s"]
    paths, targets = read(tmp_path, labels="folder", rename={"s": "broken"}, targets=["s"])
    assert targets == [Target(name="broken", kind="labels", classes=("normal", "fracture"))]
    assert read(tmp_path, labels="folder", targets=[])[1] == []
    for fields in ({"rename": {"x": "y"}}, {"targets": ["x"]}):
        with pytest.raises(UsageError, match="no target 'x'; known: s"):
            read(tmp_path, labels="folder", **fields)


@pytest.mark.parametrize("name", ["a/../../x", "..", ".x", "a b", "", "a\\b"])
def test_names_of_targets_are_names_of_files(tmp_path: Path, name: str) -> None:
    films(tmp_path, "normal/1.png", "fracture/2.png")
    with pytest.raises(UsageError, match="source s: target .*; allowed: letters, digits.*rename") as error:
        read(tmp_path, labels="folder", rename={"s": name})
    assert "\n" not in str(error.value)
    assert read(tmp_path, labels="folder", target="a b", rename={"a b": "a-b"})[1][0].name == "a-b"


def test_missing_empty_and_one_class_folders(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read(tmp_path / "no")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no image in"):
        read(tmp_path / "empty")
    films(tmp_path / "one", "normal/1.png")
    with pytest.raises(UserError, match=r"only one class occurs \(normal\) in 1 images; .* targets: \[\]"):
        read(tmp_path / "one", labels="folder")
    assert len(read(tmp_path / "one", labels="folder", targets=[])[0]) == 1
