"""Truth in the columns of a table, for adapters of one's own data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from pydantic import field_validator, model_validator

from muscle.data.classes import negative_first
from muscle.data.files import inside
from muscle.data.source import Source
from muscle.data.tables import TABLE_SUFFIXES
from muscle.errors import UserError
from muscle.types import Annotation, Labels, Target, Value

_BLANK = ("", "nan", "na")

Words = tuple[str | int, ...]
Row = dict[str, str]


class Columns(Source):
    """Base of adapters whose truth stands in a table. Fields name its columns.

    Attributes:
        labels: columns of which each says whether one finding is there, in the words of the next three.
        present, absent, unknown: what cells may say, in any case; 1 and 1.0 are one word. With ``unknown: ['', -1]``
            and ``absent: [0]`` uncertain is unknown; ``absent: [0, '']`` takes blank for absent, and so on.
            ``unknown`` holds for ``label`` and ``value`` too.
        label: one column that names the class instead.
        classes: the classes of ``label`` in order, of two the negative first; None: as found, by name, with a
            class such as "normal" or "no" first.
        target: the name of the classification; by default the source's.
        value: a column with a number, or several, each taught under the column's name.
        patient: the column with the person; blank, "nan" and "NA" say nothing.
        sheet: of a workbook, the sheet to read; by default its first.
    """

    labels: tuple[str, ...] = ()
    present: Words = ("1", "true", "yes")
    absent: Words = ("0", "false", "no")
    unknown: Words = _BLANK
    label: str = ""
    classes: tuple[str, ...] | None = None
    target: str = ""
    value: str | tuple[str, ...] = ""
    patient: str = ""
    sheet: str = ""

    @field_validator("present", "absent", "unknown")
    @classmethod
    def _as_words(cls, words: Words) -> Words:
        return tuple(dict.fromkeys(_word(str(word)) for word in words))

    @model_validator(mode="after")
    def _one_meaning(self) -> Columns:
        if self.labels and self.label:
            raise ValueError(
                "labels and label are both given; allowed: columns of 1 and 0, or one column of classes"
            )
        words = [*self.present, *self.absent, *self.unknown]
        twice = next((word for word in words if words.count(word) > 1), None)
        if twice is not None:
            raise ValueError(f"{twice!r} stands in two of present, absent and unknown; give it one meaning")
        return self

    @property
    def values(self) -> tuple[str, ...]:
        """The columns of ``value``."""
        return ((self.value,) if self.value else ()) if isinstance(self.value, str) else self.value

    @property
    def named(self) -> tuple[str, ...]:
        """The columns that the fields of this class name."""
        return (*self.labels, *filter(None, (self.label, self.patient)), *self.values)

    def one_table(self, name: str, given: str, field: str) -> Path:
        """The table called ``given`` below the root, or the only one directly in it; ``field`` says who names it.

        Raises:
            UserError: there is none or there are several, or the name leaves the root.
        """
        if given:
            return self.folder / inside(given, f"source {name}: {field}")
        found = sorted(
            p for p in self.folder.iterdir() if p.suffix.lower() in TABLE_SUFFIXES and p.name[0] not in ".~"
        )
        if len(found) != 1:
            shown = ", ".join(p.name for p in found) or "none"
            raise UserError(f"source {name}: tables in {self.folder}: {shown}; name one with {field}:")
        return found[0]

    def taught(self, name: str, rows: Sequence[Row]) -> list[Target]:
        """The targets of the columns."""
        targets = []
        if self.labels:
            targets.append(
                Target(name=self.target or name, kind="labels", classes=self.labels, exclusive=False)
            )
        elif self.label:
            found = (row[self.label] for row in rows if self._says(row[self.label]))
            classes = self.classes or negative_first(found)
            targets.append(Target(name=self.target or name, kind="labels", classes=classes))
        return targets + [Target(name=column, kind="value") for column in self.values]

    def truths(self, row: Row, targets: Sequence[Target], where: str) -> dict[str, Annotation]:
        """What a row says of the targets; ``where`` names table and line.

        Raises:
            UserError: a cell that is none of what is allowed.
        """
        found: dict[str, Annotation] = {}
        for target in targets:
            if target.kind == "value":
                if self._says(row[target.name]):
                    found[target.name] = Value(_number(row[target.name], f"{where} column {target.name}"))
            elif self.labels:
                marks = tuple(self._mark(row[column], f"{where} column {column}") for column in self.labels)
                if not all(math.isnan(mark) for mark in marks):
                    found[target.name] = Labels(marks)
            elif self._says(row[self.label]):
                if row[self.label] not in target.classes:
                    allowed = ", ".join(target.classes)
                    raise UserError(
                        f"{where} column {self.label}: unknown label {row[self.label]!r}; allowed: {allowed}"
                    )
                found[target.name] = Labels(tuple(float(c == row[self.label]) for c in target.classes))
        return found

    def who(self, row: Row) -> str:
        """What the row calls the person; empty where it says nothing."""
        cell = row.get(self.patient, "")
        return "" if cell.lower() in _BLANK else cell

    def _says(self, cell: str) -> bool:
        return _word(cell) not in self.unknown

    def _mark(self, cell: str, where: str) -> float:
        word = _word(cell)
        if word in self.unknown:
            return math.nan
        if word not in self.present + self.absent:
            allowed = ", ".join(f"{'/'.join(w or 'blank' for w in map(str, words))} ({meaning})" for words, meaning in (
                (self.present[:1], "present"), (self.absent[:1], "absent"), (self.unknown, "unknown")))  # fmt: skip
            raise UserError(
                f"{where}: given {cell!r}; allowed: {allowed}; more words with present, absent, unknown"
            )
        return float(word in self.present)


def _word(cell: str) -> str:
    """Small letters; a whole number without its decimals."""
    text = cell.strip().lower()
    try:
        number = float(text)
    except ValueError:
        return text
    return str(int(number)) if number.is_integer() else text


def _number(cell: str, where: str) -> float:
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"{where}: given {cell!r}; allowed: a number or blank (unknown)")
    return number
