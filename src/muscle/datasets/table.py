"""Films of one's own with a table that says what is known of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from muscle.data.files import PARTS, Named, inside
from muscle.data.tables import read_table
from muscle.datasets._columns import Columns
from muscle.datasets._example import drawn, save, windows_text
from muscle.datasets._person import sex_of, years_of
from muscle.errors import UserError
from muscle.types import Sample, SplitName, Target


class Table(Columns):
    """A CSV (comma, semicolon or tab; UTF-8), Parquet or XLSX file with one row an image. Fields name its columns.

    Attributes:
        file: the table, relative to the root; empty: the only .csv, .parquet or .xlsx directly in the root.
        image: the film: its path below the folder ``images``, or its file name, with or without suffix, where one film
            alone has it, in whichever folder below.
        images: the folder of the films, relative to the root.
        study, split_column, view, part_column: columns with the study, the published part (train, valid, test), the
            projection and the body part.
        sex, age, scanner: columns with what begins with F or M, years (``68``, ``068Y``), and the machine; for
            subgroups.
    """

    kind: ClassVar[str] = "table"
    example: ClassVar[Mapping[str, Any]] = {"label": "finding", "patient": "patient", "view": "view"}

    file: str = ""
    image: str = "image"
    images: str = "."
    study: str = ""
    split_column: str = ""
    view: str = ""
    part_column: str = ""
    sex: str = ""
    age: str = ""
    scanner: str = ""

    def records(self, name: str) -> tuple[list[Sample], list[Target]]:
        """One sample a row.

        Raises:
            UserError: names the table and the line of a cell that is not allowed, or the missing images.
        """
        file = self.one_table(name, self.file, "file")
        asked = (self.image, *self.named, self.study, self.split_column, self.view, self.part_column, self.sex,
                 self.age, self.scanner)  # fmt: skip
        rows = read_table(file, tuple(column for column in asked if column), self.sheet)
        targets = self.taught(name, [row for _, row in rows])
        found, missing = [], []
        films = Named(self.folder / self.images)
        for line, row in rows:
            where = f"{file} line {line}"
            called = inside(row[self.image], where)
            film = films.path(called)
            path = inside(f"{self.images}/{film or called}", where)
            if film is None:
                missing.append(path)
            who = self.who(row)
            found.append(Sample(id=f"{name}/{path}", path=path, source=name, body_part=row.get(self.part_column, ""),
                                patient=self.person(name, who) if who else f"{name}/{path}",
                                view=row.get(self.view, ""), study=row.get(self.study, ""),
                                split=self._part(row, where),
                                sex=sex_of(row.get(self.sex, "")), age=years_of(row.get(self.age, "")),
                                scanner=row.get(self.scanner, ""),
                                annotations=self.truths(row, targets, where)))  # fmt: skip
        if missing:
            raise UserError(
                f"{file}: {len(missing)} of {len(found)} images are missing, such as {missing[0]}, or several are "
                "called so; images: names the folder they are in, relative to the root"
            )
        return found, targets

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
