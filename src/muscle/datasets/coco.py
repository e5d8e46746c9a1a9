"""Boxes in a COCO JSON file."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any, ClassVar

from muscle.data.files import inside, part_of
from muscle.data.texts import read_json
from muscle.datasets._boxes import BoxSource, check_size
from muscle.datasets._example import drawn, save
from muscle.datasets._patients import NamedPatients
from muscle.errors import UserError
from muscle.types import BoxList, Sample, Target


class Coco(BoxSource, NamedPatients):
    """Images, boxes and categories in one JSON.

    It holds ``images`` (id, file_name, width, height), ``annotations`` (image_id, category_id, bbox as left, top,
    width, height in pixels) and ``categories`` (id, name).

    Attributes:
        file: the JSON, relative to the root.
        images: the folder that ``file_name`` is relative to, relative to the root.
    """

    kind: ClassVar[str] = "coco"

    file: str = "annotations.json"
    images: str = "images"

    def records(self, name: str) -> tuple[list[Sample], list[Target]]:
        """Every listed image, with its boxes in pixels."""
        file = self.folder / inside(self.file, f"source {name}: file")
        data = load_json(file)
        try:
            return self._records(name, file, data)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise UserError(
                f"{file}: not COCO: {type(error).__name__} {error} in images, annotations or categories"
            ) from None

    def _records(self, name: str, file: Path, data: dict[str, Any]) -> tuple[list[Sample], list[Target]]:
        categories = {category["id"]: str(category["name"]) for category in data["categories"]}
        target, label = self.taught(name, tuple(dict.fromkeys(categories.values())))
        boxes: dict[Any, list[tuple[Any, str, str]]] = defaultdict(list)
        for i, annotation in enumerate(data["annotations"]):
            where = f"{file} annotation {annotation.get('id', i)}"
            if annotation["category_id"] not in categories:
                known = ", ".join(map(str, categories))
                raise UserError(f"{where}: unknown label {annotation['category_id']}; categories: {known}")
            boxes[annotation["image_id"]].append(
                (annotation["bbox"], categories[annotation["category_id"]], where)
            )
        found, missing = [], []
        for image in data["images"]:
            where = f"{file} image {image['id']}"
            path = inside(f"{self.images}/{image['file_name']}", where)
            inside(str(image["file_name"]), where)
            if not (self.folder / path).is_file():
                missing.append(path)
            mine = boxes.pop(image["id"], [])
            if mine:
                said = int(image["width"]), int(image["height"])
                check_size(self.folder / path, path, said, where)
            kept = [(self._fitted(box, image, w), label[c]) for box, c, w in mine if c in label]
            truth = {target.name: BoxList(tuple(b for b, _ in kept), tuple(c for _, c in kept))}
            known_truth = bool(mine) or self.empty == "negative"
            found.append(Sample(id=f"{name}/{path}", path=path, source=name, patient=self.patient(name, path),
                                split=part_of(path), annotations=truth if known_truth else {}))  # fmt: skip
        if missing:
            raise UserError(f"{file}: {len(missing)} of {len(found)} images are missing, such as {missing[0]}; "
                            "images: names the folder they are in, relative to the root")  # fmt: skip
        if boxes:
            raise UserError(
                f"{next(iter(boxes.values()))[0][2]}: its image {next(iter(boxes))} is not listed in images"
            )
        return found, [target]

    def _fitted(self, box: Any, image: dict[str, Any], where: str) -> tuple[float, float, float, float]:
        x, y, width, height = (float(v) for v in box)
        return self.fitted((x, y, x + width, y + height), int(image["width"]), int(image["height"]), where)

    @classmethod
    def write_example(cls, root: Path, n: int, seed: int) -> None:
        """Teeth with four kinds of boxes; category ids with gaps; the last image without any."""
        kinds = {"cavity": 1, "filling": 3, "impacted": 7, "implant": 8}
        listed: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for i in range(n):
            phantom = drawn("teeth", seed + i)
            height, width = phantom.image.shape
            save(root / "images" / f"{i:04d}.jpg", phantom.image)
            listed.append({"id": i + 1, "file_name": f"{i:04d}.jpg", "width": width, "height": height})
            for kind, x0, y0, x1, y1 in phantom.boxes if i < n - 1 else ():
                annotations.append({"id": len(annotations) + 1, "image_id": i + 1, "category_id": kinds[kind],
                                    "bbox": [x0, y0, x1 - x0, y1 - y0], "iscrowd": 0})  # fmt: skip
        categories = [{"id": number, "name": kind} for kind, number in kinds.items()]
        data = {"images": listed, "annotations": annotations, "categories": categories}
        (root / "annotations.json").write_text(json.dumps(data))


def load_json(
    file: Path, needed: tuple[str, ...] = ("images", "annotations", "categories")
) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        UserError: missing, not JSON, or no object with the entries that are ``needed``.
    """
    try:
        data = read_json(file)
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}; file: names the JSON, relative to the root") from None
    except ValueError as error:
        raise UserError(f"{file}: not JSON: {error}") from None
    if not isinstance(data, dict) or not set(needed) <= data.keys():
        raise UserError(f"{file}: not COCO; it must hold {', '.join(needed[:-1])} and {needed[-1]}")
    return data
