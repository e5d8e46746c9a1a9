"""Sex and age of persons. Oracle: what the tables of the publishers write."""

from __future__ import annotations

from pathlib import Path

import pytest

from muscle.data.source import Source
from muscle.datasets._person import sex_of, years_of
from muscle.datasets.chexpert import Chexpert
from muscle.datasets.nih_chestxray14 import NihChestXray14
from muscle.datasets.table import Table
from muscle.types import Sample


@pytest.mark.parametrize(
    ("text", "years"),
    [("68", 68.0), ("068Y", 68.0), ("006M", 0.5), ("0", 0.0), ("411", None), ("", None), ("adult", None)],
)
def test_years(text: str, years: float | None) -> None:
    assert years_of(text) == years


def test_sex() -> None:
    assert [sex_of(t) for t in ("Female", "M", "f", "Unknown", "")] == ["F", "M", "F", "", ""]


@pytest.mark.parametrize(("kind", "age"), [(Chexpert, {68.0}), (NihChestXray14, {40.0, 41.0, 42.0, 43.0})])
def test_tables_that_tell(kind: type[Source], age: set[float], tmp_path: Path) -> None:
    kind.write_example(tmp_path, 8, 0)
    samples, _ = kind(root=str(tmp_path)).read("x")
    told = [s for s in samples if s.age is not None]
    assert {s.sex for s in told} == {"F"} and {s.age for s in told} == age


def test_the_columns_of_a_table_of_ones_own(tmp_path: Path) -> None:
    Table.write_example(tmp_path, 2, 0)
    text = (tmp_path / "table.csv").read_text(encoding="utf-8-sig").splitlines()
    told = [
        f"{line},{more}"
        for line, more in zip(text, ("Gender,Years,Machine", "female,31,A 1", ",055Y,"), strict=True)
    ]
    (tmp_path / "table.csv").write_text("\n".join(told))
    samples, _ = Table(
        root=str(tmp_path), label="finding", sex="Gender", age="Years", scanner="Machine"
    ).read("x")
    assert [(s.sex, s.age, s.scanner) for s in samples] == [("F", 31.0, "A 1"), ("", 55.0, "")]


def test_they_are_in_no_store_key() -> None:
    """A store's key is made of ``repr``; these three are read anew instead."""
    plain = Sample(id="x/1", path="1", source="x", patient="1")
    assert repr(plain) == repr(
        Sample(id="x/1", path="1", source="x", patient="1", sex="F", age=3.0, scanner="A 1")
    )
