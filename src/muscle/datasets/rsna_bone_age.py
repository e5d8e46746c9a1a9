"""Hands of children with their bone age in months: the RSNA challenge of 2017."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import ClassVar

from muscle.data.files import walk
from muscle.data.source import Source
from muscle.data.tables import read_table
from muscle.datasets._example import drawn, save, windows_text
from muscle.errors import UserError
from muscle.types import Sample, SplitName, Target, Value

BONE_AGE = Target(name="bone_age", kind="value")
_IDS: dict[str, SplitName] = {"id": "train", "image id": "valid", "case id": "test"}
_AGES = ("boneage", "bone age (months)", "ground truth bone age (months)")
_FOLDERS: dict[str, SplitName] = {"train": "train", "valid": "valid", "test": "test"}


class RsnaBoneAge(Source):
    """``boneage-training-dataset/**/<id>.png`` with ``boneage-training-dataset.csv``, and so on for the other parts.

    The three tables name their columns differently (``id,boneage,male``; ``Image ID,male,Bone Age (months)``;
    ``Case ID,Sex``, in the later release with ``Ground truth bone age (months)``): a table is known by its columns,
    whatever its file is called, and the ids are one count through all parts. A film without an age is unknown. A part
    of which no film is there counts as not fetched. One film is one person. The sex is not read.
    """

    kind: ClassVar[str] = "rsna_bone_age"
    shows: ClassVar[tuple[str, ...]] = ("hand",)
    citation: ClassVar[str] = "Halabi et al., Radiology 290(2):498-503, 2019"
    licence: ClassVar[str] = "terms of the RSNA: non-commercial research"
    url: ClassVar[str] = (
        "https://www.rsna.org/rsnai/ai-image-challenge/rsna-pediatric-bone-age-challenge-2017"
    )
    published: ClassVar[Mapping[str, int]] = {
        "images": 14236, "part:train": 12611, "part:valid": 1425, "part:test": 200,
    }  # fmt: skip

    def records(self, name: str) -> tuple[list[Sample], list[Target]]:
        """Every film with its age.

        Raises:
            UserError: names the table and line of a wrong age, films that are missing, and ids that occur twice.
        """
        films, tables = self._films(name), self._tables()
        if films and not tables:
            raise UserError(
                f"{self.folder}: no table with the columns id and boneage; put boneage-training-dataset.csv there"
            )
        parts: dict[str, SplitName] = {}
        ages: dict[str, Value] = {}
        for part, file, rows in tables:
            missing = [film for film, _, _ in rows if film not in films]
            if len(missing) == len(rows):
                continue
            if missing:
                raise UserError(
                    f"{file}: {len(missing)} of {len(rows)} films are missing, such as {missing[0]}.png; fetch them"
                )
            for film, line, age in rows:
                parts[film] = part
                if age:
                    ages[film] = _months(age, f"{file} line {line}")
        found = []
        for film, path in films.items():
            truth = {"bone_age": ages[film]} if film in ages else {}
            split = parts.get(film) or _part_of(path)
            found.append(Sample(id=f"{name}/{path}", path=path, source=name, patient=f"rsna_bone_age:{film}",
                                body_part="hand", split=split, annotations=truth))  # fmt: skip
        return found, [BONE_AGE]

    def _films(self, name: str) -> dict[str, str]:
        """Id -> path."""
        found: dict[str, str] = {}
        for path in walk(self.folder):
            file = PurePosixPath(path)
            if file.suffix.lower() != ".png" or not file.stem.isdigit():
                continue
            if (other := found.setdefault(file.stem, path)) != path:
                raise UserError(f"source {name}: {other} and {path} are one film; keep one")
        return found

    def _tables(self) -> list[tuple[SplitName, Path, list[tuple[str, int, str]]]]:
        """Of each table that lists films: part, file, and (id, line, age as text) of its rows."""
        found = []
        for path in walk(self.folder):
            if not path.lower().endswith((".csv", ".xlsx")):
                continue
            rows = read_table(self.folder / path)
            columns = {column.lower(): column for column in rows[0][1]}
            film = next((column for column in _IDS if column in columns), None)
            age = next((columns[column] for column in _AGES if column in columns), "")
            if film is None or film == "id" and not age:
                continue
            listed = [(row[columns[film]], line, row.get(age, "")) for line, row in rows]
            found.append((_IDS[film], self.folder / path, listed))
        return found

    @classmethod
    def write_example(cls, root: Path, n: int, seed: int) -> None:
        """Three parts, three spellings of the columns, folders in folders, BOM and CRLF, a test table without ages."""
        lines = {"training": ["id,boneage,male"], "validation": ["Image ID,male,Bone Age (months)"],
                 "test": ["Case ID,Sex"]}  # fmt: skip
        for i in range(n):
            part = ("training", "training", "validation", "test")[i % 4]
            film, age, male = 1377 + i, 12 + 37 * i % 200, bool(i % 2)
            base = root / f"boneage-{part}-dataset" / f"boneage-{part}-dataset"
            save(base / f"{film}{('.png', '.PNG')[i // 4 % 2]}", drawn("hand", seed + i).image)
            lines[part].append({"training": f"{film},{age},{male}", "validation": f"{film},{str(male).upper()},{age}",
                                "test": f"{film},{'FM'[male]}"}[part])  # fmt: skip
        (root / "boneage-training-dataset/boneage-training-dataset/._1377.png").write_bytes(b"\0\5\26\7")
        windows_text(root / "boneage-training-dataset.csv", lines["training"])
        windows_text(root / "boneage-validation-dataset/Validation Dataset.csv", lines["validation"])
        windows_text(root / "boneage-test-dataset.csv", lines["test"])


def _part_of(path: str) -> SplitName | None:
    folders = PurePosixPath(path).parent.as_posix().lower()
    return next((part for word, part in _FOLDERS.items() if word in folders), None)


def _months(text: str, where: str) -> Value:
    try:
        age = float(text)
    except ValueError:
        age = math.nan
    if not 0 <= age <= 300:  # not finite, or no age of a child in months
        raise UserError(f"{where}: bone age {text!r}; allowed: months from 0 to 300, or blank")
    return Value(age)
