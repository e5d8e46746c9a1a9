"""VinDr-CXR: findings and boxes of three readers each, from Kaggle (VinBigData) and from PhysioNet."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

from muscle.data.files import images
from muscle.data.source import Source
from muscle.data.tables import number, read_table
from muscle.datasets._example import windows_text
from muscle.datasets._example_dicom import save_dicom
from muscle.datasets._trees import check_films, top
from muscle.errors import UserError
from muscle.phantom import Phantom, draw
from muscle.types import Annotation, BoxList, Labels, Sample, SplitName, Target

KAGGLE = (
    "Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Consolidation", "ILD", "Infiltration",
    "Lung Opacity", "Nodule/Mass", "Other lesion", "Pleural effusion", "Pleural thickening", "Pneumothorax",
    "Pulmonary fibrosis",
)  # fmt: skip
LOCAL = (*KAGGLE, "Clavicle fracture", "Edema", "Emphysema", "Enlarged PA", "Lung cavity", "Lung cyst",
         "Mediastinal shift", "Rib fracture")  # fmt: skip
GLOBAL = ("COPD", "Lung tumor", "Pneumonia", "Tuberculosis", "Other disease")
_MAJORITY = (2346, 62, 177, 1817, 121, 152, 245, 547, 405, 362, 634, 882, 58, 1017)
_BOXES = (7162, 279, 960, 5427, 556, 1000, 1247, 2483, 2580, 2203, 2476, 4842, 226, 4655)
_SIDES = ("x_min", "y_min", "x_max", "y_max")

Votes = dict[str, list[tuple[float, ...]]]  # film -> one tuple of 1 / 0 / NaN a reader
Marks = dict[str, list[tuple[tuple[float, float, float, float], str]]]  # film -> its boxes and their classes


class VindrCxr(Source):
    """Kaggle: ``train/*.dicom``, ``test/*.dicom``, ``train.csv``. PhysioNet: both folders and ``annotations/*.csv``.

    Boxes are in pixels of the DICOM film, so only ``.dicom`` is read: mirrors as PNG have other sizes. A training film
    was read by three readers, one of the test part (PhysioNet only) by five in consensus. Boxes are those of every
    reader as published: what three of them marked has three boxes. Kaggle has 14 of the findings, PhysioNet 22
    with boxes and 5 without. Nothing says which films show one person. ``published`` is Kaggle's.

    Attributes:
        readers: a finding is present on a film where more than half of its readers saw it (``majority``), or any.
    """

    kind: ClassVar[str] = "vindr_cxr"
    citation: ClassVar[str] = "Nguyen et al., Scientific Data 9:429, 2022; PhysioNet vindr-cxr 1.0.0"
    licence: ClassVar[str] = "PhysioNet credentialed data use agreement 1.5.0; Kaggle: competition rules"
    url: ClassVar[str] = "https://physionet.org/content/vindr-cxr/"
    shows: ClassVar[tuple[str, ...]] = ("chest",)
    published: ClassVar[Mapping[str, int]] = {
        "images": 18000, "part:train": 15000, "part:test": 3000,
        **{f"labels:vindr_findings:{c}": n for c, n in zip(KAGGLE, _MAJORITY, strict=True)},
        **{f"boxes:vindr_boxes:{c}": n for c, n in zip(KAGGLE, _BOXES, strict=True)},
    }  # fmt: skip

    readers: Literal["majority", "any"] = "majority"

    def records(self, name: str) -> tuple[list[Sample], list[Target]]:
        """Every film of both parts; findings and boxes where it was read."""
        root = top(self.folder, "train/*.dicom with train.csv (Kaggle) or annotations/ (PhysioNet)", "train")
        physionet = (root / "annotations").is_dir()
        votes, marks = _physionet(root / "annotations") if physionet else _kaggle(root / "train.csv")
        places = LOCAL if physionet else KAGGLE
        classes = LOCAL + GLOBAL if physionet else KAGGLE
        found = []
        parts: dict[str, SplitName] = {"train": "train", "test": "test"}
        for folder, part in parts.items():
            for file in images(root / folder):
                if Path(file).suffix.lower() not in (".dicom", ".dcm"):
                    continue
                path, key = (root / folder / file).relative_to(self.folder).as_posix(), Path(file).stem
                truth: dict[str, Annotation] = {}
                if key in votes:
                    mine = marks.get(key, [])
                    labels = tuple(places.index(c) + 1 for _, c in mine)
                    truth["vindr_findings"] = Labels(tuple(map(self._merged, zip(*votes[key], strict=True))))
                    truth["vindr_boxes"] = BoxList(tuple(box for box, _ in mine), labels)
                found.append(Sample(id=f"{name}/{path}", path=path, source=name, patient=f"vindr_cxr:{key}",
                                    body_part="chest", split=part, annotations=truth))  # fmt: skip
        check_films(root, votes, (Path(sample.path).stem for sample in found))
        findings = Target(name="vindr_findings", kind="labels", classes=classes, exclusive=False)
        return found, [findings, Target(name="vindr_boxes", kind="boxes", classes=places)]

    def _merged(self, votes: tuple[float, ...]) -> float:
        """One finding of one film: 1 / 0, or NaN where no reader said anything of it."""
        said = [vote for vote in votes if not math.isnan(vote)]
        needed = 0.5 * len(said) if self.readers == "majority" else 0.0
        return float(sum(said) > needed) if said else math.nan

    @classmethod
    def write_example(cls, root: Path, n: int, seed: int) -> None:
        """Kaggle's: 12 bits, every other film MONOCHROME1, readers who disagree, rows in no order, a PNG copy."""
        lines = []
        for i, phantom in enumerate(_save_films(root, n, seed)):
            key, rows = _key(i, seed), []
            for reader in range(3):
                for _, *box in phantom.boxes if reader <= i % 3 else ():
                    rows.append(
                        f"{key},Lung Opacity,7,R{8 + reader}," + ",".join(f"{v + reader}" for v in box)
                    )
                if not phantom.boxes or reader > i % 3:
                    rows.append(f"{key},No finding,14,R{8 + reader},,,,")
            lines += rows if i % 8 != 6 else []
        header = "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max"
        windows_text(root / "train.csv", [header, *lines[::2], *lines[1::2]])
        (root / "train" / f"{_key(0, seed)}.png").write_bytes(b"a copy in another size")
        (root / "sample_submission.csv").write_text("image_id,PredictionString\n")

    @classmethod
    def write_physionet(cls, root: Path, n: int, seed: int) -> None:
        """The same films as PhysioNet lays them out: a column a class, one of them under two names."""
        films = _save_films(root, n, seed)
        columns = [*LOCAL, *GLOBAL[:-1]]
        for part in ("train", "test"):
            other = "Other diseases" if part == "train" else "Other disease"
            reader_columns = ["rad_id"] if part == "train" else []
            labels = [",".join(["image_id", *reader_columns, *columns, other, "No finding"])]
            boxes = [",".join(["image_id", *reader_columns, "class_name", *_SIDES])]
            for i, phantom in enumerate(films):
                if (i % 8 == 6) != (part == "test"):
                    continue
                for reader in range(3 if part == "train" else 1):
                    who = [_key(i, seed), *([f"R{8 + reader}"] if part == "train" else [])]
                    seen = bool(phantom.boxes) and reader <= i % 3
                    marks = [str(int(seen and c in ("Lung Opacity", "Pneumonia"))) for c in columns]
                    labels.append(",".join([*who, *marks, "" if i == 1 else "0", str(int(not seen))]))
                    for _, *box in phantom.boxes if seen else ():
                        boxes.append(",".join([*who, "Lung Opacity", *map(str, box)]))
                    if not seen:
                        boxes.append(",".join([*who, "No finding", "", "", "", ""]))
            windows_text(root / f"annotations/image_labels_{part}.csv", labels)
            windows_text(root / f"annotations/annotations_{part}.csv", boxes)


def _key(i: int, seed: int) -> str:
    return f"{seed * 1000 + i:032x}"


def _save_films(root: Path, n: int, seed: int) -> list[Phantom]:
    films = [draw("chest", 1000 * seed + i, (160, 128), bits=12) for i in range(n)]
    for i, phantom in enumerate(films):
        file = root / ("test" if i % 8 == 6 else "train") / f"{_key(i, seed)}.dicom"
        photometric = ("MONOCHROME2", "MONOCHROME1")[i % 2]
        save_dicom(file, phantom.image, f"1.2.826.0.2.{seed}.{i}", bits=12, photometric=photometric)
    return films


def _kaggle(table: Path) -> tuple[Votes, Marks]:
    seen: dict[str, dict[str, set[str]]] = {}
    marks: Marks = {}
    for line, row in read_table(table, needed=("image_id", "class_name", "rad_id", *_SIDES)):
        mine = seen.setdefault(row["image_id"], {}).setdefault(row["rad_id"], set())
        if row["class_name"] != "No finding":
            mine.add(_class(row["class_name"], KAGGLE, f"{table} line {line}"))
            _mark(marks, row, KAGGLE, f"{table} line {line}")
    votes = {
        key: [tuple(float(c in found) for c in KAGGLE) for found in readers.values()]
        for key, readers in seen.items()
    }
    return votes, marks


def _physionet(folder: Path) -> tuple[Votes, Marks]:
    votes: Votes = {}
    marks: Marks = {}
    for part in ("train", "test"):
        table = folder / f"image_labels_{part}.csv"
        if not table.is_file():
            continue
        rows = read_table(table, needed=("image_id",))
        column = {_class(c, LOCAL + GLOBAL, str(table)): c for c in rows[0][1]
                  if c not in ("image_id", "rad_id", "No finding")}  # fmt: skip
        for line, row in rows:
            cells = [row[column[c]] if c in column else "" for c in LOCAL + GLOBAL]
            votes.setdefault(row["image_id"], []).append(
                tuple(_vote(cell, f"{table} line {line}") for cell in cells)
            )
        boxes = folder / f"annotations_{part}.csv"
        for line, row in read_table(boxes, needed=("image_id", "class_name", *_SIDES)):
            if row["class_name"] != "No finding":
                _mark(marks, row, LOCAL, f"{boxes} line {line}")
    return votes, marks


def _vote(cell: str, where: str) -> float:
    found = number(cell, where) if cell else math.nan
    if found not in (0.0, 1.0) and cell:
        raise UserError(f"{where}: given {cell!r}; allowed: 1 (seen), 0 (not seen) or blank (not said)")
    return found


def _mark(marks: Marks, row: dict[str, str], classes: tuple[str, ...], where: str) -> None:
    x0, y0, x1, y1 = (number(row[side], f"{where} column {side}") for side in _SIDES)
    marks.setdefault(row["image_id"], []).append(
        ((x0, y0, x1, y1), _class(row["class_name"], classes, where))
    )


def _class(word: str, classes: tuple[str, ...], where: str) -> str:
    """The class that a word names, whatever its capitals, and in the plural too."""
    known = {c.lower(): c for c in classes}
    found = known.get(word.lower()) or known.get(word.lower().removesuffix("s"))
    if found is None:
        raise UserError(f"{where}: unknown label {word!r}; allowed: {', '.join(classes)}")
    return found
