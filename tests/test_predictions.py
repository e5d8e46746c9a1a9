"""Predictions go to a file and back. Oracle: the arrays that were put in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from muscle.errors import UserError
from muscle.predictions import Predictions


def labels(**changes: object) -> Predictions:
    fields: dict[str, object] = {
        "task": "pneumonia", "kind": "labels", "classes": ("normal", "pneumonia"), "exclusive": True,
        "ids": ["a/1.png", "a/2.png", "a/ü.png"], "patients": ["p1", "p1", "p2"],
        "truth": np.array([[1, 0], [0, 1], [np.nan, np.nan]], np.float32),
        "output": np.array([[0.7, 0.3], [0.4, 0.6], [0.5, 0.5]], np.float32),
        "pictures": np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
    }  # fmt: skip
    return Predictions(**(fields | changes))  # type: ignore[arg-type]


def assert_same(a: Predictions, b: Predictions) -> None:
    assert (a.task, a.kind, a.classes, a.exclusive, a.ids, a.patients) == (
        b.task, b.kind, b.classes, b.exclusive, b.ids, b.patients)  # fmt: skip
    np.testing.assert_array_equal(a.pictures, b.pictures)
    for mine, other in ((a.truth, b.truth), (a.output, b.output)):
        if isinstance(mine, np.ndarray):
            assert mine.dtype == other.dtype  # type: ignore[union-attr]
            np.testing.assert_array_equal(mine, other)  # type: ignore[arg-type]
        else:
            assert len(mine) == len(other)
            for row, same in zip(mine, other, strict=True):
                for x, y in zip(row, same, strict=True):
                    assert x.dtype == y.dtype and x.shape == y.shape
                    np.testing.assert_array_equal(x, y)


def test_labels_and_masks_return_from_their_file(tmp_path: Path) -> None:
    mask = np.random.default_rng(0).integers(0, 3, (3, 5, 4)).astype(np.uint8)
    for p in (labels(), labels(kind="mask", truth=mask, output=mask[::-1].copy())):
        p.save(tmp_path / "deep" / "x.npz")
        assert_same(p, Predictions.load(tmp_path / "deep" / "x.npz"))
    assert [f.name for f in (tmp_path / "deep").iterdir()] == ["x.npz"]  # nothing half-written is left


def test_boxes_return_with_images_that_have_none(tmp_path: Path) -> None:
    none = (np.zeros((0, 4), np.float32), np.zeros(0, np.int64))
    two = (np.array([[0, 0, 5, 5], [1, 1, 2, 3]], np.float32), np.array([1, 2], np.int64))
    nothing = (none[0], np.zeros(0, np.float32), none[1])
    one = (two[0][:1], np.array([0.5], np.float32), two[1][:1])
    p = labels(kind="boxes", truth=[two, none, none], output=[nothing, one, nothing])
    p.save(tmp_path / "x.npz")
    assert_same(p, Predictions.load(tmp_path / "x.npz"))
    empty = labels(kind="boxes", truth=[], output=[], ids=[], patients=[])
    empty.save(tmp_path / "x.npz")
    assert_same(empty, Predictions.load(tmp_path / "x.npz"))


def test_a_wrong_file_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "other.npz", x=np.zeros(2))
    whole = tmp_path / "whole.npz"
    labels().save(whole)
    (tmp_path / "cut.npz").write_bytes(whole.read_bytes()[:-300])
    for name in ("none.npz", "text.npz", "other.npz", "cut.npz"):
        with pytest.raises(UserError, match=name) as caught:
            Predictions.load(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_byte_that_the_disk_has_changed_is_no_other_number_and_no_traceback(tmp_path: Path) -> None:
    """Wherever it lies: the file is refused, or it says what was put in (a byte of a date, say)."""
    file, p = tmp_path / "x.npz", labels()
    p.save(file)
    whole = file.read_bytes()
    assert Predictions.ids_in(file) == p.ids
    refused = 0
    for i in range(0, len(whole), 5):
        file.write_bytes(whole[:i] + bytes([whole[i] ^ 0x55]) + whole[i + 1 :])
        try:
            assert_same(p, Predictions.load(file))
        except UserError as error:
            assert "not a file of predictions" in str(error)
            assert Predictions.ids_in(file) is None  # so that the command of the run writes it again
            refused += 1
    assert refused > 100


@pytest.mark.parametrize("name, change", [
    ("output_xyxy", lambda a: a[:, :1]), ("output_xyxy", lambda a: a[None]), ("truth_label", lambda a: a.astype(float)),
    ("output_score", lambda a: a[:1]), ("truth_count", lambda a: a - 1), ("pictures", lambda a: a.astype(np.int64)),
    ("about", lambda a: np.array(str(a).replace("p1", "p1\", 3, \"p1"))),
])  # fmt: skip
def test_arrays_of_another_shape_or_type_are_no_predictions(
    name: str, change: Callable[[NDArray[Any]], NDArray[Any]], tmp_path: Path
) -> None:
    """What another person may have put into the file; all else of it stays."""
    two = (np.array([[0, 0, 5, 5], [1, 1, 2, 3]], np.float32), np.array([1, 2], np.int64))
    said = (two[0], np.array([0.5, 0.6], np.float32), two[1])
    labels(kind="boxes", truth=[two] * 3, output=[said] * 3).save(tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz") as file:
        arrays = dict(file)
    np.savez(tmp_path / "x.npz", **arrays)  # type: ignore[arg-type]
    Predictions.load(tmp_path / "x.npz")
    np.savez(tmp_path / "x.npz", **(arrays | {name: change(arrays[name])}))  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"x\.npz: not a file of predictions"):
        Predictions.load(tmp_path / "x.npz")


def test_what_does_not_fit_together_is_refused() -> None:
    with pytest.raises(ValueError, match="lengths"):
        labels(ids=["one"])
    with pytest.raises(ValueError, match="against output"):
        labels(output=np.zeros((3, 3), np.float32))
    with pytest.raises(ValueError, match="classes"):
        labels(classes=("one",))
    with pytest.raises(ValueError, match="tuple"):
        labels(kind="boxes")
    two, one = np.zeros((2, 4), np.float32), np.ones(1, np.int64)
    with pytest.raises(ValueError, match=r"\[2, 1\] boxes"):
        labels(kind="boxes", truth=[(two, one)] * 3, output=[(two, one, one)] * 3)
    with pytest.raises(ValueError, match="not boxes"):
        _ = labels().boxes
