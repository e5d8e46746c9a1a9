"""RSNA Pneumonia Detection Challenge 2018: lung opacities in boxes on a part of NIH ChestX-ray14."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from muscle.data.files import images
from muscle.data.source import Source
from muscle.data.tables import number, read_table
from muscle.data.texts import read_json
from muscle.datasets._example import drawn, windows_text
from muscle.datasets._example_dicom import save_dicom
from muscle.datasets._trees import check_films, top
from muscle.errors import UserError
from muscle.types import Annotation, BoxList, Labels, Sample, Target

PRESENCE = Target(name="lung_opacity", kind="labels", classes=("absent", "present"))
CLASSES = Target(
    name="rsna_class",
    kind="labels",
    classes=("Normal", "No Lung Opacity / Not Normal", "Lung Opacity"),
)
BOXES = Target(name="opacity", kind="boxes", classes=("opacity",))
_LABELS = "stage_2_train_labels.csv"
_DETAILS = "stage_2_detailed_class_info.csv"
_TRAIN, _TEST = "stage_2_train_images", "stage_2_test_images"
_MAPPING = "pneumonia-challenge-dataset-mappings_2018.json"

Corner = tuple[float, float, float, float]


class RsnaPneumonia(Source):
    """``stage_2_train_images/<patientId>.dcm``, ``stage_2_test_images`` and the ``stage_2_*.csv`` of Kaggle.

    Both tables repeat a film once a box. Boxes are left, top, width, height in pixels of the film. Films of the test
    part have no truth. ``patientId`` names a film, not a person: one person of NIH has several. With RSNA's
    ``pneumonia-challenge-dataset-mappings_2018.json`` beside the tables the patients are those of
    ``nih_chestxray14``, and the two sets agree on who is who; without it each film counts as a person.
    """

    kind: ClassVar[str] = "rsna_pneumonia"
    citation: ClassVar[str] = "Shih et al., Radiology: Artificial Intelligence 1(1):e180041, 2019"
    licence: ClassVar[str] = "RSNA challenge terms: non-commercial research and education"
    url: ClassVar[str] = "https://www.kaggle.com/c/rsna-pneumonia-detection-challenge"
    shows: ClassVar[tuple[str, ...]] = ("chest",)
    published: ClassVar[Mapping[str, int]] = {
        "images": 29684, "part:train": 26684, "part:test": 3000,
        "labels:lung_opacity:present": 6012, "boxes:opacity:opacity": 9555,
        "labels:rsna_class:Normal": 8851, "labels:rsna_class:No Lung Opacity / Not Normal": 11821,
        "labels:rsna_class:Lung Opacity": 6012,
    }  # fmt: skip
    shares: ClassVar[Mapping[str, str]] = {
        "nih_chestxray14": f"every film is one of NIH's; which, says {_MAPPING} of RSNA",
    }

    def records(self, name: str) -> tuple[list[Sample], list[Target]]:
        """Every film of both parts; class, presence and boxes of the training part."""
        root = top(self.folder, f"{_TRAIN}/*.dcm and the stage_2_*.csv of Kaggle", _LABELS)
        boxes, details = _boxes(root / _LABELS), _details(root / _DETAILS)
        people = _people(root / _MAPPING)
        found = []
        for folder in (_TRAIN, _TEST):
            for file in images(root / folder):
                path = (root / folder / file).relative_to(self.folder).as_posix()
                key = Path(file).stem
                truth: dict[str, Annotation] = {}
                if key in boxes:
                    mine = tuple(boxes[key])
                    truth["lung_opacity"] = Labels((float(not mine), float(bool(mine))))
                    truth["opacity"] = BoxList(mine, (1,) * len(mine))
                if key in details:
                    truth["rsna_class"] = details[key]
                found.append(Sample(id=f"{name}/{path}", path=path, source=name, body_part="chest",
                                    patient=people.get(key, f"rsna_pneumonia:{key}"),
                                    split="train" if folder == _TRAIN else "test", annotations=truth))  # fmt: skip
        check_films(root / _LABELS, boxes, (Path(sample.path).stem for sample in found))
        return found, [PRESENCE, CLASSES, BOXES]

    @classmethod
    def write_example(cls, root: Path, n: int, seed: int) -> None:
        """JPEG-compressed DICOM; several boxes and repeated rows a film, blank boxes, a test part without truth."""
        labels, details, mapping = ["patientId,x,y,width,height,Target"], ["patientId,class"], []
        for i in range(n):
            key = f"{seed:04d}{i:04d}-14fd-4e49-80ba-63a80b6bddd6"
            phantom = drawn("chest", seed + i, pneumonia=i % 2)
            folder = _TEST if i % 8 == 6 else _TRAIN
            save_dicom(
                root / folder / f"{key}.dcm", phantom.image, f"1.2.826.0.1.{seed}.{i}", jpeg=True, patient=key
            )
            mapping.append({"subset_img_id": key, "img_id": f"{i // 2:08d}_{i % 2:03d}.png"})
            if folder == _TEST:
                continue
            for _, x0, y0, x1, y1 in phantom.boxes:
                labels.append(f"{key},{x0},{y0},{x1 - x0},{y1 - y0},1")
                details.append(f"{key},Lung Opacity")
            if not phantom.boxes:
                labels.append(f"{key},,,,,0")
                details.append(f"{key},{CLASSES.classes[i // 2 % 2]}")
        windows_text(root / _LABELS, labels)
        windows_text(root / _DETAILS, details)
        (root / "stage_2_sample_submission.csv").write_text("patientId,PredictionString\n")
        (root / _MAPPING).write_text(json.dumps(mapping))


def _boxes(table: Path) -> dict[str, list[Corner]]:
    """The boxes of each film that was read, none where it has no opacity."""
    columns = ("x", "y", "width", "height")
    found: dict[str, list[Corner]] = {}
    for line, row in read_table(table, needed=("patientId", *columns, "Target")):
        mine = found.setdefault(row["patientId"], [])
        if row["Target"] not in ("0", "1"):
            raise UserError(f"{table} line {line}: Target {row['Target']!r}; allowed: 0, 1")
        if row["Target"] == "1":
            x, y, width, height = (number(row[c], f"{table} line {line} column {c}") for c in columns)
            mine.append((x, y, x + width, y + height))
    return found


def _details(table: Path) -> dict[str, Labels]:
    found = {}
    for line, row in read_table(table, needed=("patientId", "class")):
        if row["class"] not in CLASSES.classes:
            raise UserError(
                f"{table} line {line}: unknown label {row['class']!r}; allowed: {', '.join(CLASSES.classes)}"
            )
        found[row["patientId"]] = Labels(tuple(float(row["class"] == c) for c in CLASSES.classes))
    return found


def _people(mapping: Path) -> dict[str, str]:
    """Film -> the key of the person in NIH's set, where RSNA's mapping is there."""
    if not mapping.is_file():
        return {}
    try:
        rows = read_json(mapping)
        return {str(r["subset_img_id"]): f"nih:{str(r['img_id']).partition('_')[0]}" for r in rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{mapping}: not RSNA's mapping: {type(error).__name__} {error}; get it again or delete it"
        ) from None
