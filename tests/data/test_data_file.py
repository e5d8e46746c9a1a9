"""Data files, and command-line words, over hand-made folders."""

from __future__ import annotations

from pathlib import Path

import pytest
from blank import films

from muscle.data.data_file import DataFile, shared_targets
from muscle.data.splits import OfficialSplit, PatientSplit
from muscle.errors import UsageError
from muscle.types import Target
from muscle.yaml_text import from_yaml


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
        ("sources: {a: {kind: kermani, root: x}}", "unknown kind 'kermani'; did you mean kermany? known: "),
        (
            "sources: {a: {kind: folder, rot: x}}",
            "rot: unknown field; did you mean root? known: root, external",
        ),
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
        ([f"martian={tmp_path}"], "unknown kind 'martian'; known: cephalometric"),
        ([f"Kermani={tmp_path}"], r"unknown kind 'Kermani'; did you mean kermany\? known: "),
        (["size=[64,64]"], r"a leaf of a recipe is given as --set size=\[64,64\]"),
        ([str(tmp_path / "1.yaml"), str(tmp_path / "2.yaml")], "split differs"),
        ([str(tmp_path / "1.yaml"), str(tmp_path / "3.yaml")], "was given already"),
    ):
        with pytest.raises(UsageError, match=reason):
            DataFile.of(words)


def test_targets_of_one_name_must_mean_one_thing() -> None:
    one = Target(name="t", kind="labels", classes=("a", "b"))
    two = Target(name="t", kind="labels", classes=("b", "a"))
    assert shared_targets({"x": [one], "y": [one]}) == {"t": one}
    with pytest.raises(
        UsageError, match=r"labels of a, b in source x, labels of b, a in y; .*rename: {t: NAME}"
    ):
        shared_targets({"x": [one], "y": [two]})
