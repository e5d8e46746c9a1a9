"""DENTEX: panoramic films with boxes of quadrants, of all teeth, or of the teeth that are ill."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from muscle.data.files import PARTS, images, inside, walk
from muscle.data.source import Source
from muscle.datasets._boxes import Box, check_size, fit
from muscle.datasets._example import drawn, save
from muscle.datasets.coco import load_json
from muscle.errors import UserError
from muscle.types import BoxList, Sample, SplitName, Target

TARGETS = {
    "quadrant": Target(name="quadrant", kind="boxes", classes=("1", "2", "3", "4")),
    "quadrant_enumeration": Target(
        name="tooth", kind="boxes", classes=tuple(f"{q}{n}" for q in range(1, 5) for n in range(1, 9))
    ),
    "quadrant_enumeration_disease": Target(
        name="disease", kind="boxes", classes=("Impacted", "Caries", "Periapical Lesion", "Deep Caries")
    ),
}
_DISEASES = TARGETS["quadrant_enumeration_disease"].classes
_LISTS = {
    "quadrant": ("categories",),
    "quadrant_enumeration": ("categories_1", "categories_2"),
    "quadrant_enumeration_disease": ("categories_3",),
}
_VALID = "validation_triple.json"  # lies above validation_data, not beside its films


class Dentex(Source):
    """``training_data/<subset>/xrays/*.png`` with a JSON beside ``xrays``, ``validation_data`` and its JSON above it.

    Three subsets are annotated, each with more than the one before: ``quadrant``, ``quadrant_enumeration``,
    ``quadrant-enumeration-disease`` (hyphens or underscores); ``unlabelled`` is images alone. Each teaches one target:
    ``quadrant``; ``tooth``, with the FDI number; ``disease``. In the last subset only ill teeth have a box, so it does
    not teach ``tooth``. The films of one subset are other files than those of the next; whether of other persons is
    not published. The layout of the test part's annotations was not verified: its films are read as images.
    """

    kind: ClassVar[str] = "dentex"
    shows: ClassVar[tuple[str, ...]] = ("teeth",)
    citation: ClassVar[str] = "Hamamci et al., DENTEX challenge at MICCAI 2023, arXiv:2305.19112"
    licence: ClassVar[str] = "CC BY-NC-SA 4.0"
    url: ClassVar[str] = "https://huggingface.co/datasets/ibrahimhamamci/DENTEX"
    published: ClassVar[Mapping[str, int]] = {"part:valid": 50}

    def records(self, name: str) -> tuple[list[Sample], list[Target]]:
        """Every film, with the boxes of its subset in pixels.

        Raises:
            UserError: a JSON that makes no sense, or that lists films that are not there.
        """
        found = []
        for folder in sorted({PurePosixPath(p).parent for p in images(self.folder) if "/xrays/" in f"/{p}"}):
            subset = folder.parent.name.replace("-", "_").lower()
            file = self._json(folder) if subset in TARGETS else None
            boxes = _boxes(file, self.folder / folder, subset) if file else {}
            for path in (p for p in images(self.folder / folder) if "/" not in p):
                full = (folder / path).as_posix()
                truth = {TARGETS[subset].name: boxes[path]} if path in boxes else {}
                found.append(Sample(id=f"{name}/{full}", path=full, source=name, patient=f"{name}/{full}",
                                    body_part="teeth", split=_part(folder), annotations=truth))  # fmt: skip
        return found, list(TARGETS.values())

    def _json(self, folder: PurePosixPath) -> Path | None:
        beside = sorted(p for p in (self.folder / folder.parent).glob("*.json") if p.name[0] != ".")
        if beside:
            return beside[0]
        if _part(folder) != "valid":
            return None
        return next((self.folder / p for p in walk(self.folder) if PurePosixPath(p).name == _VALID), None)

    @classmethod
    def write_example(cls, root: Path, n: int, seed: int) -> None:
        """All subsets, hyphens in one and underscores in the others, ids from 0, file names that repeat."""
        folders = ("training_data/quadrant", "training_data/quadrant_enumeration",
                   "training_data/quadrant-enumeration-disease", "validation_data/quadrant_enumeration_disease",
                   "training_data/unlabelled")  # fmt: skip
        for k, folder in enumerate(folders):
            data: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": []}
            for number, names in enumerate((TARGETS["quadrant"].classes, "12345678", _DISEASES), start=1):
                data[f"categories_{number}"] = [{"id": i, "name": name} for i, name in enumerate(names)]
            if k == 0:
                data["categories"] = data.pop("categories_1")
            for i in range(k, n, len(folders)):
                phantom = drawn("teeth", seed + i)
                height, width = phantom.image.shape
                save(root / folder / "xrays" / f"train_{i // len(folders)}.png", phantom.image)
                data["images"].append({"id": i, "file_name": f"train_{i // len(folders)}.png", "width": width,
                                       "height": height})  # fmt: skip
                for j, (_, x0, y0, x1, y1) in enumerate(phantom.boxes or [("", 20, 20, 60, 60)]):
                    of = {"category_id": j % 4} if k == 0 else {"category_id_1": j % 4, "category_id_2": j % 8,
                                                                "category_id_3": (i + j) % 4}  # fmt: skip
                    data["annotations"].append({"id": len(data["annotations"]), "image_id": i, "iscrowd": 0,
                                                "bbox": [x0, y0, x1 - x0, y1 - y0], **of})  # fmt: skip
            if data["images"] and k < 4:
                file = f"{folder}/train_{folder.split('/')[1].replace('-', '_')}.json" if k < 3 else _VALID
                (root / file).write_text(json.dumps(data))


def _part(folder: PurePosixPath) -> SplitName | None:
    words = (part.lower().removesuffix("_data") for part in folder.parts if part.lower().endswith("_data"))
    return next((PARTS[word] for word in words if word in PARTS), None)


def _boxes(file: Path, folder: Path, subset: str) -> dict[str, BoxList]:
    """File name -> boxes of the subset's target; a listed film without any was read and has none."""
    lists = _LISTS[subset]
    data = load_json(file, ("images", "annotations", *lists))
    try:
        return _read(file, folder, data, TARGETS[subset], lists)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UserError(
            f"{file}: not as DENTEX publishes it: {type(error).__name__} {error} in images, annotations or {lists[0]}"
        ) from None


def _read(
    file: Path, folder: Path, data: dict[str, Any], target: Target, lists: tuple[str, ...]
) -> dict[str, BoxList]:
    names = {entry: {c["id"]: str(c["name"]) for c in data[entry]} for entry in lists}
    films = {image["id"]: image for image in data["images"]}
    boxes: dict[Any, list[tuple[Box, int]]] = defaultdict(list)
    for annotation in data["annotations"]:
        where = f"{file} annotation {annotation['id']}"
        if annotation["image_id"] not in films:
            raise UserError(f"{where}: its image {annotation['image_id']} is not listed in images")
        ids = [annotation[entry.replace("categories", "category_id")] for entry in lists]
        if None in ids:
            continue  # partly annotated
        if any(number not in names[entry] for entry, number in zip(lists, ids, strict=True)):
            raise UserError(f"{where}: unknown label {', '.join(map(str, ids))}")
        label = "".join(names[entry][number] for entry, number in zip(lists, ids, strict=True))
        if label not in target.classes:
            raise UserError(f"{where}: unknown label {label!r}; allowed: {', '.join(target.classes)}")
        film = films[annotation["image_id"]]
        x, y, width, height = (float(v) for v in annotation["bbox"])
        size = int(film["width"]), int(film["height"])
        box = fit((x, y, x + width, y + height), *size, where)
        boxes[film["id"]].append((box, target.classes.index(label) + 1))
    paths = {
        number: inside(str(film["file_name"]), f"{file} image {number}") for number, film in films.items()
    }
    missing = [path for path in paths.values() if not (folder / path).is_file()]
    if missing:
        raise UserError(
            f"{file}: {len(missing)} of {len(films)} films are missing, such as {missing[0]}; fetch them"
        )
    found = {}
    for number, film in films.items():
        path = paths[number]
        check_size(folder / path, path, (int(film["width"]), int(film["height"])), f"{file} image {number}")
        found[path] = BoxList(tuple(b for b, _ in boxes[number]), tuple(label for _, label in boxes[number]))
    return found
