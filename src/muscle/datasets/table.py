"""Films of one's own with a table that says what is known of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import model_validator

from muscle.data.files import PARTS, inside
from muscle.data.source import Source
from muscle.data.tables import read_table
from muscle.datasets._example import drawn, save, windows_text
from muscle.errors import UserError
from muscle.types import Annotation, Labels, Sample, SplitName, Target, Value

_YES, _NO, _UNKNOWN = ("1", "1.0", "true", "yes"), ("0", "0.0", "false", "no"), ("", "nan", "na")


class Table(Source):
    """A CSV (comma, semicolon or tab; UTF-8) or Parquet file with one row an image. Fields name its columns.

    Attributes:
        file: the table, relative to the root; empty: the only .csv or .parquet directly in the root.
        image: the path of the film, relative to the folder ``images``.
        images: the folder of the films, relative to the root.
        labels: columns of 1, 0 or blank (unknown), each a finding of its own.
        label: one column that names the class instead; blank, "nan" and "NA" are unknown, here and everywhere.
        classes: the classes of ``label`` in order, of two the negative first; None: as found, sorted.
        target: the name of the classification; by default the source's.
        value: a column with a number, taught under the column's name; blank is unknown.
        patient, study, split, view, part: columns with the person, the study, the published part (train, valid, test),
            the projection and the body part.
    """

    kind: ClassVar[str] = "table"
    example: ClassVar[Mapping[str, Any]] = {"label": "finding", "patient": "patient", "view": "view"}

    file: str = ""
    image: str = "image"
    images: str = "."
    labels: tuple[str, ...] = ()
    label: str = ""
    classes: tuple[str, ...] | None = None
    target: str = ""
    value: str = ""
    patient: str = ""
    study: str = ""
    split_column: str = ""
    view: str = ""
    part_column: str = ""

    @model_validator(mode="after")
    def _one_kind_of_label(self) -> Table:
        if self.labels and self.label:
            raise ValueError(
                "labels and label are both given; allowed: columns of 1 and 0, or one column of classes"
            )
        return self

    def records(self, name: str) -> tuple[list[Sample], list[Target]]:
        """One sample a row.

        Raises:
            UserError: names the table and the line of a cell that is not allowed, or the missing images.
        """
        file = self._file(name)
        asked = (self.image, *self.labels, self.label, self.value, self.patient, self.study, self.split_column,
                 self.view, self.part_column)  # fmt: skip
        rows = read_table(file, tuple(column for column in asked if column))
        targets = self._targets(name, [row for _, row in rows])
        found, missing = [], []
        for line, row in rows:
            where = f"{file} line {line}"
            path = inside(f"{self.images}/{inside(row[self.image], where)}", where)
            if not (self.folder / path).is_file():
                missing.append(path)
            who = _known(row.get(self.patient, ""))
            found.append(Sample(id=f"{name}/{path}", path=path, source=name, body_part=row.get(self.part_column, ""),
                                patient=self.person(name, who) if who else f"{name}/{path}",
                                view=row.get(self.view, ""), study=row.get(self.study, ""),
                                split=self._part(row, where),
                                annotations=self._annotations(row, targets, where)))  # fmt: skip
        if missing:
            raise UserError(f"{file}: {len(missing)} of {len(found)} images are missing, such as {missing[0]}; "
                            "images: names the folder they are in, relative to the root")  # fmt: skip
        return found, targets

    def _file(self, name: str) -> Path:
        if self.file:
            return self.folder / inside(self.file, f"source {name}: file")
        found = sorted(
            p for p in self.folder.iterdir() if p.suffix.lower() in (".csv", ".parquet") and p.name[0] != "."
        )
        if len(found) != 1:
            shown = ", ".join(p.name for p in found) or "none"
            raise UserError(f"source {name}: tables in {self.folder}: {shown}; name one with file:")
        return found[0]

    def _targets(self, name: str, rows: list[dict[str, str]]) -> list[Target]:
        targets = []
        if self.labels:
            targets.append(
                Target(name=self.target or name, kind="labels", classes=self.labels, exclusive=False)
            )
        elif self.label:
            classes = self.classes or tuple(sorted({_known(row[self.label]) for row in rows} - {""}))
            targets.append(Target(name=self.target or name, kind="labels", classes=classes))
        if self.value:
            targets.append(Target(name=self.value, kind="value"))
        return targets

    def _annotations(self, row: dict[str, str], targets: list[Target], where: str) -> dict[str, Annotation]:
        found: dict[str, Annotation] = {}
        for target in targets:
            if target.kind == "value":
                if row[self.value].lower() not in _UNKNOWN:
                    found[target.name] = Value(_number(row[self.value], f"{where} column {self.value}"))
            elif self.labels:
                values = tuple(_mark(row[column], f"{where} column {column}") for column in self.labels)
                if not all(math.isnan(v) for v in values):
                    found[target.name] = Labels(values)
            elif _known(row[self.label]):
                if row[self.label] not in target.classes:
                    allowed = ", ".join(target.classes)
                    raise UserError(
                        f"{where} column {self.label}: unknown label {row[self.label]!r}; allowed: {allowed}"
                    )
                found[target.name] = Labels(tuple(float(c == row[self.label]) for c in target.classes))
        return found

    def _part(self, row: dict[str, str], where: str) -> SplitName | None:
        if not self.split_column:
            return None
        word = row[self.split_column]
        if word.lower() not in PARTS:
            raise UserError(
                f"{where} column {self.split_column}: given {word!r}; allowed: train, valid, test"
            )
        return PARTS[word.lower()]

    @classmethod
    def write_example(cls, root: Path, n: int, seed: int) -> None:
        """Chests, two of each person, in a table with byte-order mark, CRLF and quoted cells."""
        lines = ["image,finding,patient,view"]
        for i in range(n):
            save(root / "films" / f"{i:04d}.png", drawn("chest", seed + i, pneumonia=i % 2).image)
            lines.append(f'films/{i:04d}.png,{("normal", "pneumonia")[i % 2]},{i // 4:04d},"PA, erect"')
        windows_text(root / "table.csv", lines)


def _known(cell: str) -> str:
    """The cell, empty where it says that nothing is known."""
    return "" if cell.lower() in _UNKNOWN else cell


def _mark(cell: str, where: str) -> float:
    word = cell.lower()
    if word in _UNKNOWN:
        return math.nan
    if word not in _YES + _NO:
        raise UserError(f"{where}: given {cell!r}; allowed: 1 (present), 0 (absent) or blank (unknown)")
    return float(word in _YES)


def _number(cell: str, where: str) -> float:
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"{where}: given {cell!r}; allowed: a number or blank (unknown)")
    return number
