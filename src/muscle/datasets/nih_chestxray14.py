"""ChestX-ray14 of the NIH Clinical Center: 14 findings mined from reports, boxes on 880 films."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from muscle.data.decode import image_size
from muscle.data.files import walk
from muscle.data.source import Source
from muscle.data.tables import read_table
from muscle.datasets._example import RESOURCE_FORK, drawn, put, save, windows_text
from muscle.datasets._person import sex_of, years_of
from muscle.datasets._trees import named, one_each, pictures, place, read_lines, stem
from muscle.errors import UserError
from muscle.types import Annotation, BoxList, Labels, Sample, SplitName, Target

FINDINGS = Target(name="findings", kind="labels", exclusive=False,
                  classes=("Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia",
                           "Pneumothorax", "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening",
                           "Hernia"))  # fmt: skip
BOXES = Target(name="findings_boxes", kind="boxes", classes=FINDINGS.classes[:8])
_SIDE = 1024  # of the films on which the boxes were measured
_ENTRIES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
_LISTS: tuple[tuple[str, SplitName], ...] = (("train_val_list.txt", "train"), ("test_list.txt", "test"))
_FILM = re.compile(r"\d{8}_\d{3}")
_HEADER = ("Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,{},View Position,"
           "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],")  # fmt: skip


class NihChestXray14(Source):
    """``images/<patient>_<follow-up>.png`` beside ``Data_Entry_2017_v2020.csv``, as the twelve archives unpack.

    Or Kaggle's ``images_001/images/*.png`` to ``images_012``: films lie in any folder below the root whose name
    begins with ``images``. Needed: ``Data_Entry_2017_v2020.csv`` or, without it, ``Data_Entry_2017.csv``. Read where
    present: ``BBox_List_2017.csv``, and ``train_val_list.txt`` with ``test_list.txt``, the published parts. Archives
    that were not fetched are left out; a film that the table does not list has no labels.

    ``findings``: each of 14 present or absent; "No Finding" is all absent. ``findings_boxes``: the 880 films that a
    radiologist drew boxes on; all others are unknown. Boxes are in pixels of the published 1024 x 1024 films and are
    scaled to films that were resized.
    """

    kind: ClassVar[str] = "nih_chestxray14"
    citation: ClassVar[str] = (
        "Wang et al., ChestX-ray8, CVPR 2017 (extended to 14 findings); NIH Clinical Center"
    )
    licence: ClassVar[str] = (
        "free use; name the NIH Clinical Center as provider and cite the paper (Kaggle: CC0)"
    )
    url: ClassVar[str] = "https://nihcc.app.box.com/v/ChestXray-NIHCC"
    shows: ClassVar[tuple[str, ...]] = ("chest",)
    published: ClassVar[Mapping[str, int]] = {
        "images": 112120, "patients": 30805, "part:train": 86524, "part:test": 25596,
        **{f"labels:findings:{name}": count for name, count in zip(FINDINGS.classes, (
            11559, 2776, 13317, 19894, 5782, 6331, 1431, 5302, 4667, 2303, 2516, 1686, 3385, 227), strict=True)},
        "boxes:findings_boxes": 984,
    }  # fmt: skip
    shares: ClassVar[Mapping[str, str]] = {
        "rsna_pneumonia": "all its films are NIH films, under other names",
        "siim_acr": "all its films are NIH films, under other names",
    }

    def records(self, name: str) -> tuple[list[Sample], list[Target]]:
        """Every film with its findings, boxes and published part; the patient is the number in the file name."""
        root = self.folder
        files = walk(root)
        films = one_each(p for p in pictures(files) if _is_film(p))
        findings, views, persons = _findings(root, files)
        boxes = _boxes(root, files, films)
        parts = _parts(root, files)
        found = []
        for key, path in films.items():
            annotations: dict[str, Annotation] = {}
            if key in findings:
                annotations["findings"] = findings[key]
            if key in boxes:
                annotations["findings_boxes"] = boxes[key]
            found.append(Sample(id=f"{name}/{path}", path=path, source=name, patient=f"nih:{key[:8]}",
                                body_part="chest", view=views.get(key, ""), split=parts.get(key),
                                sex=persons[key][0] if key in persons else "",
                                age=persons[key][1] if key in persons else None,
                                annotations=annotations))  # fmt: skip
        return found, [FINDINGS, BOXES]

    @classmethod
    def write_example(cls, root: Path, n: int, seed: int) -> None:
        """Four films a person, some with alpha, one copied, one resource fork; both tables, one row without film."""
        rows, old, boxes = [], [], ["Image Index,Finding Label,Bbox [x,y,w,h],,,"]
        lists: dict[str, list[str]] = {"train_val_list.txt": [], "test_list.txt": ["00099999_000.png"]}
        for i in range(n):
            person, visit = i // 4 + 1, i % 4
            phantom = drawn("chest", seed + i, pneumonia=i % 2)
            virus = phantom.labels.get("virus", 0)
            file = f"{person:08d}_{visit:03d}.png"
            path = root / "images" / (file if i % 8 else file.replace(".png", ".PNG"))
            save(path, _with_alpha(phantom.image, (0, 2, 4)[i % 3]))
            labels = ("No Finding", "Pneumonia|Consolidation", "Infiltration")[i % 2 + virus]
            rows.append(
                f"{file},{labels},{visit},{person},{40 + visit},F,{('PA', 'AP')[i % 2]},2500,2048,0.14,0.14,"
            )
            old.append(f"{file},Hernia,{visit},{person},040Y,F,PA,2500,2048,0.14,0.14,")
            height, width = phantom.image.shape
            for _, x0, y0, x1, y1 in phantom.boxes:
                shown = (x0 / width, y0 / height, (x1 - x0) / width, (y1 - y0) / height)
                numbers = ",".join(f"{v * _SIDE:.12f}" for v in shown)
                boxes.append(f"{file},{('Pneumonia', 'Infiltrate')[virus]},{numbers},,,")
            lists["test_list.txt" if person % 4 == 0 else "train_val_list.txt"].append(file)
        first = (root / "images" / "00000001_000.PNG").read_bytes()
        put(root / "images_001" / "images" / "00000001_000.png", first)
        put(root / "images" / "._00000001_000.PNG", RESOURCE_FORK)
        unfetched = "00099999_000.png,Edema,0,99999,40,M,PA,2500,2048,0.14,0.14,"  # its archive is not there
        boxes.append("00099999_000.png,Mass,8,8,64,64,,,")
        windows_text(root / _ENTRIES[0], [_HEADER.format("Patient Sex"), *rows, unfetched])
        windows_text(root / _ENTRIES[1], [_HEADER.format("Patient Gender"), *old])
        windows_text(root / "BBox_List_2017.csv", boxes)
        for file, lines in lists.items():
            windows_text(root / file, lines)


def _with_alpha(image: NDArray[Any], channels: int) -> NDArray[Any]:
    """The film as [H, W], with opaque alpha as [H, W, 2], or as RGBA [H, W, 4]."""
    if not channels:
        return image
    opaque = np.full_like(image, 255)
    return np.stack([image] * (channels - 1) + [opaque], axis=-1)


def _is_film(path: str) -> bool:
    return place(path).startswith("images") and _FILM.fullmatch(stem(path)) is not None


_Person = tuple[Literal["F", "M", ""], float | None]


def _findings(root: Path, files: list[str]) -> tuple[dict[str, Labels], dict[str, str], dict[str, _Person]]:
    """Film -> findings, film -> projection, and film -> sex and age."""
    table = named(files, *_ENTRIES)
    if table is None:
        raise UserError(f"{root}: neither {_ENTRIES[0]} nor {_ENTRIES[1]}; get one from the publisher")
    known: dict[str, Labels] = {"No Finding": Labels((0.0,) * len(FINDINGS.classes))}
    findings, views = {}, {}
    persons: dict[str, _Person] = {}
    for line, row in read_table(root / table, ("Image Index", "Finding Labels", "View Position")):
        text = row["Finding Labels"]
        if text not in known:
            known[text] = _labels(text, f"{root / table} line {line}")
        key = stem(row["Image Index"])
        findings[key], views[key] = known[text], row["View Position"]
        sex = row.get("Patient Sex", row.get("Patient Gender", ""))
        persons[key] = sex_of(sex), years_of(row.get("Patient Age", ""))
    return findings, views, persons


def _labels(text: str, where: str) -> Labels:
    words = set(text.split("|"))
    if wrong := words - set(FINDINGS.classes):
        allowed = ", ".join(FINDINGS.classes)
        raise UserError(f"{where}: unknown label {min(wrong)!r}; allowed: {allowed}, or 'No Finding' alone")
    return Labels(tuple(float(name in words) for name in FINDINGS.classes))


def _boxes(root: Path, files: list[str], films: dict[str, str]) -> dict[str, BoxList]:
    """Film -> its boxes, in its own pixels."""
    table = named(files, "BBox_List_2017.csv")
    if table is None:
        return {}
    listed: dict[str, list[tuple[int, list[float]]]] = defaultdict(list)
    for line, row in read_table(root / table, ("Image Index", "Finding Label", "Bbox [x", "y", "w", "h]")):
        where = f"{root / table} line {line}"
        label = row["Finding Label"].replace("Infiltrate", "Infiltration")
        if label not in BOXES.classes:
            raise UserError(f"{where}: unknown label {label!r}; allowed: {', '.join(BOXES.classes)}")
        try:
            x, y, w, h = (float(row[column]) for column in ("Bbox [x", "y", "w", "h]"))
        except ValueError:
            raise UserError(f"{where}: a box is four numbers: left, top, width, height") from None
        box = [max(x, 0.0), max(y, 0.0), min(x + w, _SIDE), min(y + h, _SIDE)]
        if not (math.isfinite(x + y + w + h) and box[0] < box[2] and box[1] < box[3]):
            raise UserError(
                f"{where}: the box has no area inside a film of {_SIDE} x {_SIDE}; correct or delete it"
            )
        listed[stem(row["Image Index"])].append((BOXES.classes.index(label) + 1, box))
    found = {}
    for key in listed.keys() & films.keys():
        try:
            width, height = image_size(root / films[key])
        except UserError:
            continue  # prepare says why this picture cannot be used
        sx, sy = width / _SIDE, height / _SIDE
        xyxy = tuple((x0 * sx, y0 * sy, x1 * sx, y1 * sy) for _, (x0, y0, x1, y1) in listed[key])
        found[key] = BoxList(xyxy, tuple(label for label, _ in listed[key]))
    return found


def _parts(root: Path, files: list[str]) -> dict[str, SplitName]:
    """Film -> published part.

    Raises:
        UserError: a film is in both lists.
    """
    found: dict[str, SplitName] = {}
    for file, part in _LISTS:
        if (path := named(files, file)) is not None:
            for line in read_lines(root / path):
                if found.setdefault(stem(line), part) != part:
                    raise UserError(f"{root / path}: {line} is in both lists; get the published ones again")
    return found
