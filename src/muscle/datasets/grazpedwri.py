"""GRAZPEDWRI-DX: wrists of children and adolescents, with nine kinds of boxes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal

from muscle.data.files import walk
from muscle.datasets._example import drawn, save
from muscle.datasets.yolo import Yolo
from muscle.errors import UserError
from muscle.types import Sample, Target

CLASSES = ("boneanomaly", "bonelesion", "foreignbody", "fracture", "metal", "periostealreaction", "pronatorsign",
           "softtissue", "text")  # fmt: skip
_FILM = re.compile(r"(\d{4})_(\d{10})_(\d{2})_WRI-([LR])(\d)_([MF])(\d{3})", re.IGNORECASE)
_LABELS = "folder_structure/yolov5/labels"


class GrazPedWri(Yolo):
    """``images_part1..4/*.png`` (or one folder) beside ``folder_structure/yolov5/labels/*.txt``.

    A name is ``<patient>_<time>_<study>_WRI-<side><view>_<sex><age>``: patient and study are read from it. Most films
    have 16 bits. Every film was read, so an empty text is an empty list of boxes; a film without text is unknown;
    texts of films that were not fetched do nothing. The class ``text`` is burned-in writing; ``classes: [fracture]``
    teaches fractures alone.
    """

    kind: ClassVar[str] = "grazpedwri"
    shows: ClassVar[tuple[str, ...]] = ("wrist",)
    citation: ClassVar[str] = "Nagy et al., Scientific Data 9:222, 2022"
    licence: ClassVar[str] = "CC BY 4.0"
    url: ClassVar[str] = "https://doi.org/10.6084/m9.figshare.14825193"
    published: ClassVar[Mapping[str, int]] = {
        "images": 20327, "patients": 6091,
        "boxes:findings:boneanomaly": 276, "boxes:findings:bonelesion": 45, "boxes:findings:foreignbody": 8,
        "boxes:findings:fracture": 18090, "boxes:findings:metal": 818, "boxes:findings:periostealreaction": 3453,
        "boxes:findings:pronatorsign": 567, "boxes:findings:softtissue": 464, "boxes:findings:text": 23722,
    }  # fmt: skip

    target: str = "findings"
    empty: Literal["unknown", "negative"] = "negative"

    def records(self, name: str) -> tuple[list[Sample], list[Target]]:
        """Every film, with its boxes in pixels.

        Raises:
            UserError: a film that is there twice, or a wrong line of a label file.
        """
        target, label = self.taught(name, CLASSES)
        paths = walk(self.folder)
        texts = {
            PurePosixPath(path).stem: path
            for path in paths
            if path.endswith(".txt") and PurePosixPath(path).parent.as_posix().endswith(_LABELS)
        }
        found: dict[str, Sample] = {}
        for path in paths:
            stem = PurePosixPath(path).stem
            match = _FILM.fullmatch(stem)
            if match is None or not path.lower().endswith(".png"):
                continue
            if stem in found:
                raise UserError(f"source {name}: {found[stem].path} and {path} are one film; keep one")
            text = texts.get(stem)
            boxes = self.boxes(self.folder / path, self.folder / text, CLASSES, label) if text else None
            patient = f"grazpedwri:{match[1]}"
            found[stem] = Sample(id=f"{name}/{path}", path=path, source=name, patient=patient, body_part="wrist",
                                 study=f"{patient}/{match[3]}", view=f"WRI-{match[4]}{match[5]}".upper(),
                                 annotations={target.name: boxes} if boxes is not None else {})  # fmt: skip
        return list(found.values()), [target]

    @classmethod
    def write_example(cls, root: Path, n: int, seed: int) -> None:
        """Four folders of 16-bit PNG, two studies a person; burned-in text; one film unread."""
        (root / _LABELS).mkdir(parents=True)
        (root / _LABELS).with_name("meta.yaml").write_text(f"nc: 9\nnames: [{', '.join(CLASSES)}]\n")
        for i in range(n):
            stem = f"{i // 4 + 1:04d}_{1297860395 + i // 2}_{i // 2 % 2 + 1:02d}_WRI-{'LR'[i // 4 % 2]}{i % 2 + 1}_M014"
            phantom = drawn("long_bone", seed + i, fracture=i % 2)
            height, width = phantom.image.shape
            deep = phantom.image.astype("uint16") * 257
            save(root / f"images_part{i % 4 + 1}" / f"{stem}.png", phantom.image if i % 8 == 6 else deep)
            lines = [f"3 {(x0 + x1) / 2 / width} {(y0 + y1) / 2 / height} {(x1 - x0) / width} {(y1 - y0) / height}\n"
                     for _, x0, y0, x1, y1 in phantom.boxes]  # fmt: skip
            if i % 4 == 2:
                lines.append("8 .05 .05 .1 .1\n")
            if i != n - 1:
                (root / _LABELS / f"{stem}.txt").write_text("".join(lines))
        (root / "images_part1" / "._junk.png").write_bytes(b"\0\5\26\7")
