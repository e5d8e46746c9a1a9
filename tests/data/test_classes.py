"""Which of two classes is the positive. Oracle: folders and tables whose answer is plain to a reader."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from muscle.data.check import check
from muscle.data.classes import guessed_positive, negative_first
from muscle.data.data_file import DataFile
from muscle.datasets.folder import Folder
from muscle.datasets.table import Table


@pytest.mark.parametrize(
    ("names", "classes", "positive"),
    [
        (("FRACTURE", "WHOLE"), None, "WHOLE"),  # the alphabet alone decided
        (("FRACTURE", "INTACT"), None, ""),
        (("ABNORMAL", "NORMAL"), None, ""),  # a word that says negative
        (("FRACTURE", "WHOLE"), ("WHOLE", "FRACTURE"), ""),
        (("a", "b", "c"), None, ""),
    ],
)
def test_a_positive_class_that_the_alphabet_chose_is_told(
    tmp_path: Path, names: tuple[str, ...], classes: tuple[str, ...] | None, positive: str
) -> None:
    """Sensitivity would be of the healthy, and nobody would see it."""
    for name in names:
        (tmp_path / name).mkdir()
        for i in range(2):
            cv2.imwrite(
                str(tmp_path / name / f"{i}{name}.png"), np.random.default_rng(i).integers(0, 255, (70, 70))
            )
    own = Folder(root=str(tmp_path), labels="folder", classes=classes)
    samples, targets = own.read("own")
    (target,) = targets
    found = [fault.seen for fault in guessed_positive(own, targets)]
    assert found == (
        [f"own: {positive} counts as positive, for FRACTURE comes first in the alphabet"] if positive else []
    )
    if positive:
        assert target.classes[1] == positive
        (checked,) = check(DataFile(sources={"own": own}), workers=0)
        assert "positive class is a guess" in {fault.what for fault in checked.faults}


def test_of_two_classes_a_word_for_nothing_comes_first_in_folders_and_tables(tmp_path: Path) -> None:
    """``normal`` comes after ``abnormal`` in the alphabet, and would count as the positive class."""
    assert negative_first(["Zebra", "ABNORMAL", "Normal"]) == ("Normal", "ABNORMAL", "Zebra")
    for i, name in enumerate(("abnormal", "normal", "abnormal", "normal")):
        (tmp_path / name).mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name / f"{i}.png"), np.full((70, 70), i, np.uint8))
    rows = [f"{name}/{i}.png,{name}" for i, name in enumerate(("abnormal", "normal", "abnormal", "normal"))]
    (tmp_path / "t.csv").write_text("\n".join(("film,finding", *rows)))
    for own in (
        Folder(root=str(tmp_path), labels="folder"),
        Table(root=str(tmp_path), file="t.csv", image="film", label="finding"),
    ):
        (target,) = own.read("own")[1]
        assert target.classes == ("normal", "abnormal")
