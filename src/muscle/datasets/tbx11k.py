"""TBX11K: healthy, sick and tuberculous chests; the publisher's tree and its simplified mirror."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from muscle.data.files import PARTS, inside
from muscle.data.source import Source
from muscle.data.tables import number, read_table
from muscle.data.texts import read_json
from muscle.datasets._example import drawn, save, windows_text
from muscle.datasets._trees import check_films, top
from muscle.errors import UserError
from muscle.types import Annotation, BoxList, Labels, Sample, SplitName, Target

CLASSES = Target(name="tbx_class", kind="labels", classes=("healthy", "sick", "tuberculosis"))
BOXES = Target(name="tb_lesions", kind="boxes", classes=("active", "latent"))
_JSON: dict[str, SplitName] = {"TBX11K_train.json": "train", "TBX11K_val.json": "valid"}
_FOLDERS = {"health": "healthy", "sick": "sick", "tb": "tuberculosis"}
_TYPES = {"healthy": "healthy", "sick_but_no_tb": "sick", "tb": "tuberculosis"}
_CATEGORIES = {"ActiveTuberculosis": 1, "ObsoletePulmonaryTuberculosis": 2, "PulmonaryTuberculosis": 0}
_TB_TYPES = {"active_tb": 1, "latent_tb": 2}
_LAYOUT = "imgs/, annotations/json/TBX11K_{train,val}.json; or, simplified, images/ and data.csv"

Found = tuple[float, float, float, float, int]  # corners and label; label 0: activity not stated


class Tbx11k(Source):
    """``imgs/{health,sick,tb}`` with ``annotations/json``, or the mirror's ``images`` with ``data.csv``.

    Boxes are read from the JSON: those under ``annotations/xml`` are in the pixels of films that are not shipped. Only
    the films of ``TBX11K_train.json`` and ``TBX11K_val.json`` are read. ``imgs/extra`` holds the Shenzhen and
    Montgomery sets, DA and DB, and ``imgs/test``, whose truth is not public, more films than the paper has, so these
    and the ``all_*`` lists stay closed. Healthy and sick films have no box because they were looked at; a tuberculous
    film without box, or with one of unknown activity, is unknown.

    Attributes:
        only_tb: the films of tuberculosis alone, as in MUSCLE (800, their boxes the only target).
    """

    kind: ClassVar[str] = "tbx11k"
    citation: ClassVar[str] = "Liu et al., Rethinking Computer-Aided Tuberculosis Diagnosis, CVPR 2020"
    licence: ClassVar[str] = "not clear (CC BY-NC-SA or CC BY): treat as non-commercial"
    url: ClassVar[str] = "https://github.com/yun-liu/Tuberculosis"
    shows: ClassVar[tuple[str, ...]] = ("chest",)
    published: ClassVar[Mapping[str, int]] = {
        "images": 8400, "part:train": 6600, "part:valid": 1800, "labels:tbx_class:healthy": 3800,
        "labels:tbx_class:sick": 3800, "labels:tbx_class:tuberculosis": 800,
        "boxes:tb_lesions:active": 972, "boxes:tb_lesions:latent": 239,
    }  # fmt: skip
    shares: ClassVar[Mapping[str, str]] = {
        "shenzhen": "imgs/extra holds the whole set; it is not read",
        "montgomery": "imgs/extra holds the whole set; it is not read",
    }

    only_tb: bool = False

    def records(self, name: str) -> tuple[list[Sample], list[Target]]:
        """The films of both parts with their class and, where they are known, boxes in pixels of the 512 px film."""
        root = top(self.folder, _LAYOUT, "data.csv", "annotations/json")
        films = _simplified(root) if (root / "data.csv").is_file() else _published(root)
        found = []
        for file, (word, part, boxes) in films.items():
            if not (root / file).is_file() or (self.only_tb and word != "tuberculosis"):
                continue
            path = (root / file).relative_to(self.folder).as_posix()
            truth: dict[str, Annotation] = {}
            if not self.only_tb:
                truth["tbx_class"] = Labels(tuple(float(word == c) for c in CLASSES.classes))
            if (boxes or word != "tuberculosis") and all(box[4] for box in boxes):
                truth["tb_lesions"] = BoxList(tuple(box[:4] for box in boxes), tuple(box[4] for box in boxes))
            found.append(Sample(id=f"{name}/{path}", path=path, source=name, patient=f"tbx11k:{Path(file).stem}",
                                body_part="chest", split=part, annotations=truth))  # fmt: skip
        check_films(root, films, ((self.folder / s.path).relative_to(root).as_posix() for s in found))
        return found, [BOXES] if self.only_tb else [CLASSES, BOXES]

    @classmethod
    def write_example(cls, root: Path, n: int, seed: int) -> None:
        """With XML in another resolution, extra/, test/, all_train.json, and a tuberculous film without box."""
        top, listed = root / "TBX11K", {part: _empty() for part in (*_JSON, "all_train.json")}
        for i in range(n):
            folder, phantom = _drawn(i, seed)
            file = f"{folder}/{folder[0] if folder != 'tb' else 'tb'}{i + 1:04d}.png"
            save(top / "imgs" / file, phantom.image)
            part = "TBX11K_val.json" if i % 8 > 5 else "TBX11K_train.json"
            height, width = phantom.image.shape
            boxes = [] if i == 2 or folder != "tb" else phantom.boxes
            for data in (listed[part], listed["all_train.json"]):
                number = len(data["images"]) + 1
                data["images"].append({"id": number, "file_name": file, "width": width, "height": height})
                data["annotations"] += [
                    {"id": len(data["annotations"]) + k, "image_id": number, "category_id": 1 + i // 3 % 2,
                     "bbox": [x0, y0, x1 - x0, y1 - y0], "iscrowd": 0, "width": width, "height": height}
                    for k, (_, x0, y0, x1, y1) in enumerate(boxes, 1)
                ]  # fmt: skip
            _write_xml(top / "annotations" / "xml" / f"{Path(file).stem}.xml", boxes)
        extra = "extra/shenzhen/CHNCXR_0001_0.png"
        listed["all_train.json"]["images"].append(
            {"id": 9999, "file_name": extra, "width": 512, "height": 512}
        )
        for file in (extra, "extra/montgomery/MCUCXR_0001_0.png", "test/0001.png"):
            save(top / "imgs" / file, drawn("chest", seed + n).image)
        for file, data in listed.items():
            (top / "annotations/json").mkdir(parents=True, exist_ok=True)
            (top / "annotations/json" / file).write_text(json.dumps(data))

    @classmethod
    def write_simplified(cls, root: Path, n: int, seed: int) -> None:
        """The films and truth of ``write_example`` in the mirror's layout: a row a box, boxes as words, test/ too."""
        lines = ["fname,image_height,image_width,source,bbox,target,tb_type,image_type"]
        types = dict(zip(_FOLDERS, _TYPES, strict=True))
        for i in range(n):
            folder, phantom = _drawn(i, seed)
            file = f"{folder[0] if folder != 'tb' else 'tb'}{i + 1:04d}.png"
            save(root / "images" / file, phantom.image)
            head = f"{file},{phantom.image.shape[0]},{phantom.image.shape[1]},{('train', 'val')[i % 8 > 5]}"
            tail = f"{('no_tb', 'tb')[folder == 'tb']},{{}},{types[folder]}"
            for _, x0, y0, x1, y1 in phantom.boxes if folder == "tb" and i != 2 else ():
                box = f"{{'xmin': {x0}, 'ymin': {y0}, 'width': {x1 - x0}, 'height': {y1 - y0}}}"
                lines.append(f'{head},"{box}",{tail.format(list(_TB_TYPES)[i // 3 % 2])}')
            if folder != "tb" or i == 2:
                lines.append(f"{head},none,{tail.format('none')}")
        save(root / "test" / "0001.png", drawn("chest", seed + n).image)
        windows_text(root / "data.csv", lines)


Films = dict[str, tuple[str, SplitName | None, list[Found]]]  # path -> class, part, boxes


def _published(root: Path) -> Films:
    films: Films = {}
    for file, part in _JSON.items():
        json_file = root / "annotations/json" / file
        try:
            data = read_json(json_file)
            names = {c["id"]: _CATEGORIES[c["name"]] for c in data["categories"]}
            boxes: dict[Any, list[Found]] = {}
            for a in data["annotations"]:
                x, y, width, height = (float(v) for v in a["bbox"])
                mine = boxes.setdefault(a["image_id"], [])
                mine.append((x, y, x + width, y + height, names[a["category_id"]]))
            for image in data["images"]:
                path = inside(str(image["file_name"]), f"{json_file} image {image['id']}")
                word = _FOLDERS[path.partition("/")[0]]
                films[f"imgs/{path}"] = word, part, boxes.get(image["id"], [])
        except OSError as error:
            raise UserError(f"{json_file}: {error.strerror}; get the publisher's annotations") from None
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise UserError(f"{json_file}: not TBX11K's COCO: {type(error).__name__} {error}") from None
    return films


def _simplified(root: Path) -> Films:
    table, films = root / "data.csv", Films()
    for line, row in read_table(table, needed=("fname", "source", "bbox", "tb_type", "image_type")):
        where = f"{table} line {line}"
        if row["image_type"] not in _TYPES:
            raise UserError(
                f"{where}: unknown label {row['image_type']!r}; allowed image_type: {', '.join(_TYPES)}"
            )
        path = f"images/{inside(row['fname'], where)}"
        part = PARTS.get(row["source"].lower())
        _, _, boxes = films.setdefault(path, (_TYPES[row["image_type"]], part, []))
        if row["bbox"] != "none":
            boxes.append(_box(row["bbox"], _TB_TYPES.get(row["tb_type"], 0), where))
    return films


def _box(cell: str, label: int, where: str) -> Found:
    given = dict(re.findall(r"'(\w+)': *([^,}]+)", cell))
    try:
        x, y, width, height = (
            number(given[key], f"{where} {key}") for key in ("xmin", "ymin", "width", "height")
        )
    except KeyError:
        raise UserError(
            f"{where}: bbox {cell[:60]!r}; allowed: none, or {{'xmin': , 'ymin': , 'width': , 'height': }}"
        ) from None
    return x, y, x + width, y + height, label


def _empty() -> dict[str, list[Any]]:
    names = (("ActiveTuberculosis", 1), ("ObsoletePulmonaryTuberculosis", 2), ("PulmonaryTuberculosis", 3))
    categories = [{"id": k, "name": n, "supercategory": "Tuberculosis"} for n, k in names]
    return {"images": [], "annotations": [], "categories": categories}


def _drawn(i: int, seed: int) -> tuple[str, Any]:
    """The folder and the phantom of one film of the example: every third one has tuberculosis."""
    folder = list(_FOLDERS)[i % 3]
    return folder, drawn("chest", seed + i, pneumonia=int(folder == "tb"))


def _write_xml(path: Path, boxes: list[tuple[str, float, float, float, float]]) -> None:
    """Boxes as the publisher's XML has them: in pixels of an original film, here of 16 times the size."""
    objects = "".join(
        f"<object><name>ActiveTuberculosis</name><bndbox><xmin>{x0 * 16}</xmin><ymin>{y0 * 16}</ymin>"
        f"<xmax>{x1 * 16}</xmax><ymax>{y1 * 16}</ymax></bndbox></object>"
        for _, x0, y0, x1, y1 in boxes
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"<annotation><size><width>2560</width><height>3072</height></size>{objects}</annotation>"
    )
