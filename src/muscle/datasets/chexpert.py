"""CheXpert of Stanford: 14 observations taken from reports, with what the reports leave open."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from muscle.data.files import walk
from muscle.data.source import Source
from muscle.data.tables import read_table
from muscle.datasets._example import RESOURCE_FORK, drawn, put, save, windows_text
from muscle.datasets._person import sex_of, years_of
from muscle.datasets._trees import named, one_each, pictures
from muscle.errors import UserError
from muscle.types import Labels, Sample, SplitName, Target

OBSERVATIONS = Target(name="observations", kind="labels", exclusive=False,
                      classes=("No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity",
                               "Lung Lesion", "Edema", "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax",
                               "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices"))  # fmt: skip
_DEVICES = OBSERVATIONS.classes.index("Support Devices")
_PARTS: tuple[SplitName, ...] = ("train", "valid")
_FILM = re.compile(r"(patient\d{5})/(study\d+)/view\d+_(frontal|lateral)")
_HEADER = ",".join(("Path,Sex,Age,Frontal/Lateral,AP/PA", *OBSERVATIONS.classes))


class Chexpert(Source):
    """``train.csv`` and ``valid.csv`` with ``patient<n>/study<n>/view<n>_{frontal,lateral}.jpg``, however nested.

    That is ``CheXpert-v1.0`` and ``CheXpert-v1.0-small``, copies without this folder, and the four "batch" folders of
    the publisher's archives: the tables' paths are matched by patient, study and view. Rows without a film are left
    out, and so are films without a row (``test`` of later releases). The published parts are train and valid.

    ``observations``: 1 present, 0 absent, -1 (uncertain) unknown, blank (not mentioned) unknown. What a blank says
    all the same is used: where "No Finding" is 1, all but "Support Devices" are absent; where any of these is
    present, "No Finding" is absent.

    Differs: much published training code takes blank as absent; but a finding that a report does not mention is not
    excluded by it.
    """

    kind: ClassVar[str] = "chexpert"
    citation: ClassVar[str] = "Irvin et al., CheXpert, AAAI 2019, arXiv 1901.07031"
    licence: ClassVar[str] = (
        "Stanford University Dataset Research Use Agreement: research only, no redistribution"
    )
    url: ClassVar[str] = "https://stanfordmlgroup.github.io/competitions/chexpert/"
    shows: ClassVar[tuple[str, ...]] = ("chest",)
    published: ClassVar[Mapping[str, int]] = {
        "images": 223648, "patients": 64740, "part:train": 223414, "part:valid": 234,
    }  # fmt: skip

    def records(self, name: str) -> tuple[list[Sample], list[Target]]:
        """Every film that a table lists.

        Raises:
            UserError: neither table, a path in another form, or a label other than 1, 0, -1 and blank.
        """
        root = self.folder
        files = walk(root)
        films = one_each((p for p in pictures(files) if _FILM.fullmatch(_key(p))), key=_key)
        tables = {part: table for part in _PARTS if (table := named(files, f"{part}.csv"))}
        if not tables:
            raise UserError(f"{root}: neither train.csv nor valid.csv; get them from the publisher")
        known: dict[tuple[str, ...], Labels] = {}
        found = []
        for part, table in tables.items():
            for line, row in read_table(root / table, ("Path", "AP/PA", *OBSERVATIONS.classes)):
                where = f"{root / table} line {line}"
                match = _FILM.fullmatch(_key(row["Path"]))
                if match is None:
                    raise UserError(
                        f"{where}: path {row['Path']!r}; allowed: .../patient00001/study1/view1_frontal.jpg"
                    )
                if (path := films.pop(match[0], None)) is None:
                    continue
                cells = tuple(row[observation] for observation in OBSERVATIONS.classes)
                if cells not in known:
                    known[cells] = _labels(cells, where)
                truth = known[cells]
                silent = all(math.isnan(value) for value in truth.values)
                found.append(Sample(id=f"{name}/{path}", path=path, source=name, patient=f"chexpert:{match[1]}",
                                    study=f"chexpert:{match[1]}/{match[2]}", split=part, body_part="chest",
                                    view=row["AP/PA"] or match[3],
                                    sex=sex_of(row.get("Sex", "")), age=years_of(row.get("Age", "")),
                                    annotations={} if silent else {OBSERVATIONS.name: truth}))  # fmt: skip
        return found, [OBSERVATIONS]

    @classmethod
    def write_example(cls, root: Path, n: int, seed: int) -> None:
        """Paths with another top folder, blanks and -1, laterals (drawn from the front), a film without row and v.v."""
        rows: dict[SplitName, list[str]] = {part: [] for part in _PARTS}
        for i in range(n):
            part: SplitName = "valid" if i // 4 % 4 == 3 else "train"
            sick = i // 2 % 2
            person = i // 4 + (1, 64541)[part == "valid"]
            view = ("frontal", "lateral")[i % 2]
            place = f"{part}/patient{person:05d}/study{i // 2 % 2 + 1}/view{i % 2 + 1}_{view}"
            phantom = drawn("chest", seed + i, pneumonia=sick)
            path = root / f"{place}{('.jpg', '.JPG')[i % 5 == 4]}"
            save(path, phantom.image)
            rows[part].append(_row(place, view, _MARKS[sick]))
            if i == 0:
                save(root / "old" / "CheXpert-v1.0-small" / f"{place}.jpg", phantom.image)
                put(path.with_name(f"._{path.name}"), RESOURCE_FORK)
        rows["train"].append(_row("train/patient00999/study1/view1_frontal", "frontal", {"Edema": "1.0"}))
        save(root / "test/patient64741/study1/view1_frontal.jpg", phantom.image)
        for part, lines in rows.items():
            if lines:
                windows_text(root / f"{part}.csv", [_HEADER, *lines])


# what is told of a well and of a sick person
_MARKS = ({"No Finding": "1.0", "Support Devices": "-1.0"},
          {"Pneumonia": "1.0", "Lung Opacity": "1.0", "Edema": "-1.0", "Fracture": "0.0"})  # fmt: skip


def _row(place: str, view: str, marks: dict[str, str]) -> str:
    cells = (marks.get(observation, "") for observation in OBSERVATIONS.classes)
    which = "Frontal,AP" if view == "frontal" else "Lateral,"
    return ",".join((f"CheXpert-v1.0/{place}.jpg,Female,68,{which}", *cells))


def _key(path: str) -> str:
    """``patient00001/study1/view1_frontal``: the last three parts without suffix, in lower case."""
    parts = path.replace("\\", "/").lower().rsplit("/", 3)
    return "/".join(parts[-3:]).rpartition(".")[0]


def _labels(cells: tuple[str, ...], where: str) -> Labels:
    values = [_value(cell, where) for cell in cells]
    findings = [i for i in range(1, len(values)) if i != _DEVICES]
    if values[0] == 1:
        for i in findings:
            values[i] = 0.0 if math.isnan(values[i]) else values[i]
    elif any(values[i] == 1 for i in findings):
        values[0] = 0.0
    return Labels(tuple(values))


def _value(cell: str, where: str) -> float:
    if cell in ("", "-1", "-1.0"):
        return math.nan
    if cell in ("0", "0.0", "1", "1.0"):
        return float(cell)
    raise UserError(f"{where}: given {cell!r}; allowed: 1, 0, -1 (uncertain) or blank (not mentioned)")
