"""Data files and sources, on adapters that ship and on hand-made folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from muscle.data.files import images, inside, part_of, walk
from muscle.data.source import DataFile, shared_targets
from muscle.data.splits import OfficialSplit, PatientSplit
from muscle.errors import UsageError, UserError
from muscle.parts import from_yaml
from muscle.types import Target


def films(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(root / name, "PNG")
    return root


def test_roots_are_relative_to_the_data_file_wherever_it_is_read_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    films(tmp_path / "wards/east", "a.png")
    file = tmp_path / "lists/data.yaml"
    file.parent.mkdir()
    file.write_bytes(
        "\ufeffsources:\r\n  east: {kind: folder, root: ../wards/east}\r\nsplit: official\r\n".encode()
    )
    monkeypatch.chdir(tmp_path)
    data = DataFile.load("lists/data.yaml")
    assert data.sources["east"].root == (tmp_path / "wards/east").as_posix()
    assert data.split == OfficialSplit()
    assert [s.id for s in data.sources["east"].read("east")[0]] == ["east/a.png"]


def test_yaml_round_trip_is_byte_stable(tmp_path: Path) -> None:
    films(tmp_path / "x", "a.png")
    data = DataFile.of([f"folder={tmp_path / 'x'}"])
    assert DataFile.parse(from_yaml(data.yaml())).yaml() == data.yaml()
    assert DataFile.parse(from_yaml(data.yaml())) == data


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("sources: {a: {kind: kermani, root: x}}", "unknown kind 'kermani'; known: "),
        ("sources: {a: {kind: folder, rot: x}}", "unknown field; known: root, external"),
        ("sources: {a/b: {kind: folder, root: x}}", "allowed: letters, digits"),
        ("sources: {}", "no source"),
        ("- a", "no mapping"),
        ("sources: {a: {kind: folder, root: x}}\nsplit: {kind: patient, test: 1.5}", "test"),
        ("sources: {a: {kind: folder, root: x, patient_pattern: '('}}", "not a regular expression"),
        ("sources: {a: {kind: folder, root: x, patient_pattern: 'x'}}", "exactly one"),
    ],
)
def test_a_wrong_data_file_is_one_line_with_what_is_allowed(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(UsageError) as error:
        DataFile.load(tmp_path / "data.yaml")
    assert reason in str(error.value)
    assert "data.yaml" in str(error.value)
    assert "\n" not in str(error.value)


def test_command_line_words_folder_kind_and_files_merge(tmp_path: Path) -> None:
    films(tmp_path / "a/x rays", "1.png")
    films(tmp_path / "b/x rays", "1.png")
    (tmp_path / "d.yaml").write_text(
        "sources: {east: {kind: folder, root: a}}\nsplit: {kind: patient, seed: 3}\n"
    )
    data = DataFile.of([str(tmp_path / "a/x rays"), f"folder={tmp_path / 'b/x rays'}", str(tmp_path / "d.yaml"),
                        str(tmp_path / "b/x rays")])  # fmt: skip
    assert list(data.sources) == ["x-rays", "folder", "east", "x-rays-2"]
    assert data.split == PatientSplit(seed=3)


def test_wrong_command_line_words(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "1.yaml").write_text("sources: {s: {kind: folder, root: a}}")
    (tmp_path / "2.yaml").write_text("sources: {t: {kind: folder, root: a}}\nsplit: official")
    (tmp_path / "3.yaml").write_text("sources: {s: {kind: folder, root: a}}")
    for words, reason in (
        ([], "no source given"),
        (["nowhere"], "no such file or folder"),
        ([f"kermany={tmp_path / 'no'}"], "no such folder"),
        (["kermany="], "no such file or folder"),  # and not the folder that we stand in
        ([f"martian={tmp_path}"], "unknown kind 'martian'"),
        (["size=[64,64]"], r"a leaf of a recipe is given as --set size=\[64,64\]"),
        ([str(tmp_path / "1.yaml"), str(tmp_path / "2.yaml")], "split differs"),
        ([str(tmp_path / "1.yaml"), str(tmp_path / "3.yaml")], "was given already"),
    ):
        with pytest.raises(UsageError, match=reason):
            DataFile.of(words)


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


def test_targets_of_one_name_must_mean_one_thing() -> None:
    one = Target(name="t", kind="labels", classes=("a", "b"))
    two = Target(name="t", kind="labels", classes=("b", "a"))
    assert shared_targets({"x": [one], "y": [one]}) == {"t": one}
    with pytest.raises(
        UsageError, match=r"labels of a, b in source x, labels of b, a in y; .*rename: {t: NAME}"
    ):
        shared_targets({"x": [one], "y": [two]})


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
