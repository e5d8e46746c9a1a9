"""MURA's layout with the traps of its mirrors, by names and tables made by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from muscle.datasets.mura import Mura
from muscle.errors import UserError
from muscle.types import Labels

FILMS = (
    "train/XR_SHOULDER/patient00001/study1_positive/image1.png",
    "train/XR_SHOULDER/patient00001/study1_positive/image2.png",
    "train/XR_HAND/patient00001/study1_negative/image1.png",
    "valid/XR_WRIST/patient11185/study2_negative/image1.PNG",
)


def lay(root: Path, *films: str, **tables: str) -> Mura:
    for film in films or FILMS:
        (root / "MURA-v1.1" / film).parent.mkdir(parents=True, exist_ok=True)
        (root / "MURA-v1.1" / film).write_bytes(b"x")
    for name, text in tables.items():
        (root / "MURA-v1.1" / f"{name}_labeled_studies.csv").write_text(text)
    return Mura(root=root.as_posix())


@pytest.mark.parametrize("inside", ["", "MURA-v1.1"])
def test_folders_give_part_person_study_and_class(tmp_path: Path, inside: str) -> None:
    lay(tmp_path)
    samples, targets = Mura(root=(tmp_path / inside).as_posix()).read("m")
    assert targets[0].classes == ("normal", "abnormal")
    assert [(s.body_part, s.patient, s.study, s.split, s.annotations["abnormality"]) for s in samples] == [
        ("hand", "mura:patient00001", "mura:patient00001/hand/study1", "train", Labels((1.0, 0.0))),
        ("shoulder", "mura:patient00001", "mura:patient00001/shoulder/study1", "train", Labels((0.0, 1.0))),
        ("shoulder", "mura:patient00001", "mura:patient00001/shoulder/study1", "train", Labels((0.0, 1.0))),
        ("wrist", "mura:patient11185", "mura:patient11185/wrist/study2", "valid", Labels((1.0, 0.0))),
    ]


def test_resource_forks_and_other_pictures_do_not_count(tmp_path: Path) -> None:
    source = lay(tmp_path, *FILMS, *(f.replace("image", "._image") for f in FILMS), "train/cover.png")
    lay(tmp_path / "__MACOSX", *FILMS)
    assert len(source.read("m")[0]) == 4


STUDY = "MURA-v1.1/train/XR_SHOULDER/patient00001/study1_positive/"


def test_tables_have_no_header(tmp_path: Path) -> None:
    """A reader that takes the first line for a header does not see that the first study is wrong."""
    lay(
        tmp_path, train=f"{STUDY},1\n", valid="MURA-v1.1/valid/XR_WRIST/patient11185/study2_negative/,0\n"
    ).read("m")
    source = lay(tmp_path, train=f"{STUDY},0\n{STUDY.replace('00001', '00002')},1\n")
    with pytest.raises(UserError, match=r"train_labeled_studies.csv line 1: says 0, but the folder is "
                                        r"train/shoulder/patient00001/study1_positive"):  # fmt: skip
        source.read("m")


@pytest.mark.parametrize("text", ["a,1\n", f"{STUDY}\n", f"{STUDY},2\n"])
def test_a_wrong_table_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match=r"train_labeled_studies.csv line 1: not a study and 0 or 1"):
        lay(tmp_path, train=text).read("m")


def test_an_unknown_body_part_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown body part 'knee'; allowed folders: XR_ELBOW"):
        lay(tmp_path, *FILMS, FILMS[0].replace("SHOULDER", "KNEE")).read("m")
