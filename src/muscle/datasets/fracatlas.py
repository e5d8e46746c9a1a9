"""FracAtlas: hands, legs, hips and shoulders, with and without fractures, boxes around these."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from muscle.data.files import PARTS, images
from muscle.data.source import Source
from muscle.data.tables import read_table
from muscle.datasets._example import drawn, save, windows_text
from muscle.datasets.coco import Coco
from muscle.errors import UserError
from muscle.types import Annotation, BoxList, Labels, Sample, SplitName, Target

FRACTURE = Target(name="fracture", kind="labels", classes=("not fractured", "fractured"))
_CLASSES = {"non_fractured": Labels((1.0, 0.0)), "fractured": Labels((0.0, 1.0))}
_JSON = "Annotations/COCO JSON/COCO_fracture_masks.json"
_SHOWN = ("hand", "leg", "hip", "shoulder")
_VIEWS = ("frontal", "lateral", "oblique")


class FracAtlas(Source):
    """``images/{Fractured,Non_fractured}/IMG*.jpg`` with boxes in COCO JSON, in the root or in its ``FracAtlas``.

    The JSON lists the fractured films only; the others were read and have none, so they have empty boxes. Body part
    and view come from ``dataset.csv``, where it states exactly one of each. ``Utilities/Fracture Split`` parts the
    fractured films only, so that the split ``official`` does not fit all. Patients are not published. Some fifty
    films of the release are cut short; they are set aside when they are decoded.
    """

    kind: ClassVar[str] = "fracatlas"
    shows: ClassVar[tuple[str, ...]] = _SHOWN
    citation: ClassVar[str] = "Abedeen et al., Scientific Data 10:521, 2023"
    licence: ClassVar[str] = "CC BY 4.0"
    url: ClassVar[str] = "https://doi.org/10.6084/m9.figshare.22363012"
    published: ClassVar[Mapping[str, int]] = {
        "images": 4083, "labels:fracture:fractured": 717, "boxes:fractures:fractured": 922,
    }  # fmt: skip

    def records(self, name: str) -> tuple[list[Sample], list[Target]]:
        """Every film with its folder's class and its boxes."""
        base = "FracAtlas/" if (self.folder / "FracAtlas").is_dir() else ""
        root = self.folder / base
        boxes, fractures = self._boxes(name, root)
        table, parts = self._table(root), self._parts(root)
        found = []
        for path in images(root / "images") if (root / "images").is_dir() else []:
            folder = PurePosixPath(path).parent.name.lower()
            if folder not in _CLASSES:
                raise UserError(
                    f"{root}/images/{path}: unknown label {folder!r}; allowed folders: Fractured, Non_fractured"
                )
            film, full = PurePosixPath(path).name, f"{base}images/{path}"
            truth: dict[str, Annotation] = {"fracture": _CLASSES[folder]}
            if folder == "non_fractured":
                truth["fractures"] = BoxList((), ())
            elif film in boxes:
                truth["fractures"] = boxes[film]
            row = table.get(film, {})
            found.append(Sample(id=f"{name}/{full}", path=full, source=name, patient=f"{name}/{full}",
                                body_part=_only(row, _SHOWN), view=_only(row, _VIEWS), split=parts.get(film),
                                annotations=truth))  # fmt: skip
        return found, [FRACTURE, fractures]

    @staticmethod
    def _boxes(name: str, root: Path) -> tuple[dict[str, BoxList], Target]:
        """File name -> boxes; ``coco`` checks them, the size of the film and that it is there."""
        source = Coco(root=root.as_posix(), file=_JSON, images="images/Fractured", target="fractures")
        samples, targets = source.records(name)
        found = {}
        for sample in samples:
            if isinstance(boxes := sample.annotations.get("fractures"), BoxList):
                found[PurePosixPath(sample.path).name] = boxes
        return found, targets[0]

    @staticmethod
    def _table(root: Path) -> dict[str, dict[str, str]]:
        file = root / "dataset.csv"
        return {row["image_id"]: row for _, row in read_table(file, ("image_id",))} if file.is_file() else {}

    @staticmethod
    def _parts(root: Path) -> dict[str, SplitName]:
        found = {}
        for file in sorted((root / "Utilities/Fracture Split").glob("*.csv")):
            if file.stem.lower() in PARTS:
                for _, row in read_table(file, ("image_id",)):
                    found[row["image_id"]] = PARTS[file.stem.lower()]
        return found

    @classmethod
    def write_example(cls, root: Path, n: int, seed: int) -> None:
        """Half of the films fractured, only these in JSON and split; BOM and CRLF; one film of two parts and views."""
        listed: list[dict[str, Any]] = []
        boxes: list[dict[str, Any]] = []
        parts = {part: ["image_id"] for part in ("train", "valid", "test")}
        columns = (
            "hand,leg,hip,shoulder,mixed,hardware,multiscan,fractured,fracture_count,frontal,lateral,oblique"
        )
        lines = [f"image_id,{columns}"]
        for i in range(n):
            film, broken = f"IMG{i:07d}.jpg", i % 2
            phantom = drawn(("hand", "long_bone")[i // 2 % 2], seed + i, fracture=broken)
            height, width = phantom.image.shape
            save(root / "images" / ("Non_fractured", "Fractured")[broken] / film, phantom.image)
            mixed = int(i == n - 1)
            lines.append(f"{film},{1 - i // 2 % 2 or mixed},{i // 2 % 2 or mixed},0,0,{mixed},0,{mixed},{broken},"
                         f"{len(phantom.boxes)},1,{mixed},0")  # fmt: skip
            if broken:
                parts[("train", "train", "valid", "test")[i // 2 % 4]].append(film)
                listed.append({"id": i, "file_name": film, "width": width, "height": height})
                for _, x0, y0, x1, y1 in phantom.boxes:
                    boxes.append({"id": len(boxes), "image_id": i, "category_id": 1, "iscrowd": 0,
                                  "bbox": [x0, y0, x1 - x0, y1 - y0]})  # fmt: skip
        data = {"categories": [{"id": 1, "name": "fractured"}], "images": listed, "annotations": boxes}
        (root / _JSON).parent.mkdir(parents=True)
        (root / _JSON).write_text(json.dumps(data))
        windows_text(root / "dataset.csv", lines)
        for part, films in parts.items():
            if films[1:]:
                windows_text(root / f"Utilities/Fracture Split/{part}.csv", films)


def _only(row: Mapping[str, str], columns: tuple[str, ...]) -> str:
    """The one column that says 1, or nothing."""
    said = [column for column in columns if row.get(column) == "1"]
    return said[0] if len(said) == 1 else ""
