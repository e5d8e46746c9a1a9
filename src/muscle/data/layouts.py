"""Recognizes how a folder is laid out and proposes the sources that read it.

Every proposal is tried: only what its adapter reads without complaint is proposed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from glob import escape
from pathlib import Path, PurePosixPath
from shlex import quote
from typing import Any

from muscle.data.data_file import DataFile, free_name
from muscle.data.disagreements import nameless
from muscle.data.files import PARTS, Named, folders, images, is_file, looks_like_image, walk
from muscle.data.mask_folders import masks_apart, masks_beside
from muscle.data.signatures import published
from muscle.data.tables import TABLE_SUFFIXES, read_table
from muscle.data.texts import read_json
from muscle.errors import UserError
from muscle.types import Sample

_PATIENT = ("patient", "patientid", "patient_id", "patient id", "subject", "subject_id", "subjectid")
_CLASS = ("label", "class", "finding", "diagnosis", "target", "category")
_MAX_CLASSES = 20  # more folders, or values of a column, are persons or free text rather than classes
_YOLO_NAMES = ("data.yaml", "data.yml")
_YOLO_LINE = re.compile(r"\d+( [0-9.]+){4,}\s*$")
_V7 = "covid-19-xray-dataset"

Fields = dict[str, Any]


@dataclass
class Proposal:
    """Sources by name as plain fields, and what to know about each, a line each.

    ``nameless``: of those whose field ``patient_pattern`` would say who is who, the names where nothing else does.
    """

    root: Path
    problems: Mapping[str, str]
    follow_links: bool = False
    sources: dict[str, Fields] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    nameless: list[str] = field(default_factory=list)

    def add(self, folder: Path, fields: Fields) -> bool:
        """Adds a source if it can be read."""
        name = free_name(folder.name, self.sources)
        full: Fields = {"root": folder.as_posix()} | fields
        if self.follow_links:
            full["follow_links"] = True
        try:
            source = DataFile.parse({"sources": {name: full}}).sources[name]
            samples, targets = source.read(name)
        except UserError as error:
            self.notes.append(f"{folder}: looks like {fields['kind']}, but {error}")
            return False
        self.sources[name] = full
        known = {t.name: sum(t.name in s.annotations for s in samples) for t in targets}
        taught = (
            ", ".join(f"{t.name} ({t.kind}, known in {known[t.name]})" for t in targets) or "images alone"
        )
        self.notes.append(f"{name}: {fields['kind']}, {len(samples)} images, {_persons(samples)}; {taught}")
        if "patient_pattern" in type(source).model_fields and any(nameless(source, samples)):
            self.nameless.append(name)
        return True

    def known_layouts(self, folder: Path, depth: int = 3) -> bool:
        """Adds what is recognized in a folder, or else below it; whether there was anything."""
        rest = folders(folder)
        some = False
        if (folder / _V7 / "mask_to_image.csv").is_file() and self.add(folder, {"kind": "v7_lungs"}):
            rest, some = [child for child in rest if child.name != _V7], True
        elif any(self.add(folder, fields) for fields in _recognized(folder)):
            return True
        plain = [child for child in rest if not (depth and self.known_layouts(child, depth - 1))]
        if not some and len(plain) == len(rest):
            return False
        for child in plain:  # beside something recognized, a folder stands for itself
            self.any_films(child)
        here = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
        loose = sum(map(looks_like_image, here))
        if loose:
            self.notes.append(
                f"{folder}: {loose} pictures directly in it belong to no source; give them a folder"
            )
        return True

    def any_films(self, folder: Path) -> None:
        """Adds a folder as such: its radiographs, with classes where its folders look like some, or masks beside."""
        base = folder.relative_to(self.root)
        problems = {path: self.problems.get((base / path).as_posix(), "") for path in images(folder)}
        good = [path for path, problem in problems.items() if not problem]
        if not good:
            return
        fields: Fields = {"kind": "folder"}
        if len(good) < len(problems):
            fields["exclude"] = _patterns(problems)
        if class_folders(good) and self.add(folder, fields | {"labels": "folder"}):
            self.notes.append(
                f"{folder}: its folders are taken for classes; if they are none, set labels: none"
            )
        elif (beside := masks_beside(folder)) is None or not self.add(folder, beside):
            self.add(folder, fields)


def _persons(samples: Sequence[Sample]) -> str:
    named = {s.patient for s in samples if s.names_patient}
    bare = sum(not s.names_patient for s in samples)
    if not named:
        return "no person named"
    return f"{len(named)} persons or groups" + (f", {bare} images of nobody named" if bare else "")


def class_folders(paths: Iterable[str]) -> list[str]:
    """The names of the folders directly above pictures where these look like classes; else none."""
    classes = Counter(PurePosixPath(path).parent.name for path in paths)
    named = not any(c == "" or c.lower() in PARTS for c in classes)
    return (
        sorted(classes) if named and 2 <= len(classes) <= _MAX_CLASSES and min(classes.values()) > 1 else []
    )


def how_to_label(data: DataFile) -> str:
    """What to do about sources that teach nothing: of a folder, whether its folders may be classes."""
    for name, source in data.sources.items():
        bare = source.kind == "folder" and getattr(source, "labels", "") == "none"
        if bare and (classes := class_folders(images(source.folder))):
            few = ", ".join(classes[:4]) + (", ..." if len(classes) > 4 else "")
            return (
                f"the folders {few} of source {name} may be classes: write labels: folder to it in a data file "
                f"(`muscle data scan {quote(source.root)} --write {name}.yaml` makes one), and give that"
            )
    return "add an annotated source to the data file"


def _patterns(problems: Mapping[str, str]) -> tuple[str, ...]:
    """What leaves out every picture with a problem and no other: folders of nothing else as one pattern."""
    kept = {
        parent for path, problem in problems.items() if not problem for parent in PurePosixPath(path).parents
    }
    found: dict[str, None] = {}
    for path, problem in problems.items():
        if problem:
            bad = [parent for parent in PurePosixPath(path).parents if parent not in kept]
            found[f"{escape(bad[-1].as_posix())}/*" if bad else escape(path)] = None
    return tuple(found)


def propose(root: Path, problems: Mapping[str, str], follow_links: bool = False) -> Proposal:
    """Sources for everything below a folder; ``problems``: picture below the root -> why it is no radiograph, or ''."""
    found = Proposal(root, problems, follow_links)
    if not found.known_layouts(root):
        found.any_films(root)
    found.notes += _nameless_boxes(root)
    return found


def _nameless_boxes(root: Path) -> Iterator[str]:
    """Of each folder whose label files are YOLO's and that lacks the file that names their classes: what to do."""
    paths = [PurePosixPath(path) for path in walk(root)]
    named = {path.parent for path in paths if path.name in _YOLO_NAMES}
    seen = set()
    for path in paths:
        if path.suffix != ".txt" or "labels" not in path.parts[:-1]:
            continue
        above = PurePosixPath(*path.parts[: path.parts.index("labels")])
        above = above.parent if above.name.lower() in PARTS else above
        if above in seen or named.intersection((above, *above.parents)):
            continue
        with (root / path).open(encoding="utf-8", errors="replace") as file:
            if _YOLO_LINE.match(file.readline(200)):
                seen.add(above)
                yield (
                    f"{root / above}: boxes as of YOLO, whose classes nothing names; write data.yaml there, such as "
                    "names: [fracture], and scan again"
                )


def _recognized(folder: Path) -> Iterator[Fields]:
    """What a folder may be, public sets first."""
    yield from ({"kind": kind} for kind in published(folder))
    yield from (fields for recognize in _LAYOUTS if (fields := recognize(folder)) is not None)


def _kermany(folder: Path) -> Fields | None:
    parts = [p for p in folders(folder) if p.name.lower() in PARTS]
    classes = {c.name.upper() for part in parts for c in folders(part)}
    return {"kind": "kermany"} if classes == {"NORMAL", "PNEUMONIA"} else None


def _yolo(folder: Path) -> Fields | None:
    return {"kind": "yolo"} if any((folder / name).is_file() for name in _YOLO_NAMES) else None


def _coco(folder: Path) -> Fields | None:
    for file in sorted(folder.glob("*.json")) + sorted(folder.glob("annotations/*.json")):
        try:
            data = read_json(file)
            name = str(data["images"][0]["file_name"])
            _ = data["annotations"], data["categories"]
        except (OSError, ValueError, KeyError, TypeError, IndexError, UserError):
            continue
        for place in (".", *(child.name for child in folders(folder))):
            if is_file(folder / place / name):
                return {"kind": "coco", "file": file.relative_to(folder).as_posix(), "images": place}
    return None


def _table(folder: Path) -> Fields | None:
    films = Named(folder)
    for file in sorted(folder.glob("*.csv")) + sorted(folder.glob("*.parquet")):
        try:
            rows = [row for _, row in read_table(file)]
        except UserError:
            continue
        some = rows[:: max(1, len(rows) // 20)]
        for place in (".", *(child.name for child in folders(folder))):
            for column in rows[0]:
                cells = [row[column].replace("\\", "/") for row in some]
                if all(
                    cell and looks_like_image(Path(cell)) and is_file(folder / place / cell) for cell in cells
                ):
                    return {"kind": "table", "file": file.name, "image": column, "images": place} | _columns(
                        rows
                    )
        for column in rows[0]:  # names of films that lie in several folders; numbers may be anything
            names = {row[column] for row in some}
            if len(names) > 2 and all(name and films.path(name) for name in names):
                return {"kind": "table", "file": file.name, "image": column} | _columns(rows)
    return None


def _columns(rows: list[dict[str, str]]) -> Fields:
    """What the other columns of a table look like, by name and values."""
    values = {column: Counter(row[column] for row in rows if row[column]) for column in rows[0]}
    found: Fields = {}
    for names, name in (
        (_PATIENT, "patient"),
        (("view", "viewposition", "view_position", "projection"), "view"),
    ):
        column = next((c for c in values if c.lower() in names and values[c]), None)
        if column is not None:
            found[name] = column
    label = next((c for c in values if c.lower() in _CLASS and 2 <= len(values[c]) <= _MAX_CLASSES), None)
    marks = tuple(c for c in values if values[c].keys() in ({"0", "1"}, {"0.0", "1.0"}) and c != label)
    if label is not None and not values[label].keys() <= {"0", "1"}:
        found["label"] = label
    elif marks or label is not None:
        found["labels"] = marks or (label,)
    parts = next((c for c in values if c.lower() in ("split", "part", "fold", "set", "subset")), None)
    if parts is not None and all(row[parts].lower() in PARTS for row in rows):
        found["split_column"] = parts
    return found


def _voc(folder: Path) -> Fields | None:
    for left, right in (("JPEGImages", "Annotations"), ("images", "annotations")):
        if (folder / left).is_dir() and any(p.lower().endswith(".xml") for p in walk(folder / right)):
            return {"kind": "voc", "images": left, "annotations": right}
    return None


def _dicom_folder(folder: Path) -> Fields | None:
    """DICOM files with a table that names them by UID."""
    for file in sorted(
        p for p in folder.iterdir() if p.suffix.lower() in TABLE_SUFFIXES and p.name[0] not in ".~"
    ):
        try:
            rows = [row for _, row in read_table(file)]
        except UserError:
            continue
        for by, uid in (("sop", "sopinstanceuid"), ("study", "studyinstanceuid")):
            for column in rows[0]:
                if re.sub("[ _]", "", column.lower()) == uid:
                    fields = _columns(rows)
                    truth = {n: fields[n] for n in ("patient", "label", "labels") if n in fields}
                    return {"kind": "dicom_folder", "table": file.name, "by": by, "id_column": column} | truth
    return None


_LAYOUTS = (_kermany, _yolo, _coco, _voc, masks_apart, _dicom_folder, _table)
