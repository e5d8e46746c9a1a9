"""Boxes in YOLO's text files, as Roboflow and Ultralytics export them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import ClassVar

from muscle.data.decode import image_size
from muscle.data.files import images, part_of
from muscle.data.texts import read_text
from muscle.datasets._boxes import Box, BoxSource
from muscle.datasets._example import drawn, save
from muscle.errors import UserError
from muscle.types import BoxList, Sample, Target
from muscle.yaml_text import from_yaml

MAX_LABELS = 1_000_000  # bytes of a label file, or of data.yaml


class Yolo(BoxSource):
    """``data.yaml`` with ``names``; each ``.../images/x.jpg`` has its ``.../labels/x.txt``, in any order of folders.

    A line is ``class x y width height`` (centre and size as fractions of the image) or ``class`` and a polygon, of
    which the bounds are taken. An image without label file is unknown; one with an empty file, see ``empty``.
    Exports hold several augmented copies of one film: the name before ``.rf.`` is the patient, so that copies
    stay together when the published parts are pooled and split anew.
    """

    kind: ClassVar[str] = "yolo"

    def records(self, name: str) -> tuple[list[Sample], list[Target]]:
        """Every picture that has a folder ``images`` above it, with its boxes in pixels."""
        root = self.folder
        names = _names(root)
        target, label = self.taught(name, names)
        found = []
        for path in (p for p in images(root) if "images" in PurePosixPath(p).parts[:-1]):
            boxes = self.boxes(root / path, root / _label_file(path), names, label)
            source, mark, _ = PurePosixPath(path).name.partition(".rf.")
            found.append(Sample(id=f"{name}/{path}", path=path, source=name, split=part_of(path),
                                patient=self.person(name, source) if mark else f"{name}/{path}",
                                annotations={target.name: boxes} if boxes is not None else {}))  # fmt: skip
        return found, [target]

    def boxes(
        self, image: Path, file: Path, names: Sequence[str], label: Mapping[str, int]
    ) -> BoxList | None:
        """The boxes in the label file of an image, in its pixels; None is unknown.

        Args:
            image: the film; one that cannot be read is unknown.
            file: its label file, or where that would be.
            names: the classes by number.
            label: class that is used -> its label.

        Raises:
            UserError: names file and line of what makes no sense.
        """
        if not file.is_file():
            return None
        lines = [
            (i, line.split())
            for i, line in enumerate(read_text(file, MAX_LABELS, "replace").splitlines(), 1)
            if line.strip()
        ]
        if not lines:
            return BoxList((), ()) if self.empty == "negative" else None
        try:
            width, height = image_size(image)
        except UserError:
            return None  # prepare says why this picture cannot be used
        boxes, labels = [], []
        for number, words in lines:
            where = f"{file} line {number}"
            found, box = _parsed(words, names, width, height, where)
            if found in label:
                boxes.append(self.fitted(box, width, height, where))
                labels.append(label[found])
        return BoxList(tuple(boxes), tuple(labels))

    @classmethod
    def write_example(cls, root: Path, n: int, seed: int) -> None:
        """Forearms in Roboflow's layout: three copies of a source, some in other parts, every eighth without boxes."""
        root.mkdir(parents=True, exist_ok=True)
        (root / "data.yaml").write_text(
            "train: ../train/images\nval: ../valid/images\n\nnc: 1\nnames: ['fracture']\n"
        )
        for i in range(n):
            part = ("train", "train", "train", "valid", "test")[i % 5]
            phantom = drawn("long_bone", seed + i // 3, fracture=1)
            stem = f"{i // 3:03d}_jpg.rf.{i:032x}"
            mirrored = i % 3 == 1
            save(
                root / part / "images" / f"{stem}{('.jpg', '.JPG')[i % 2]}",
                phantom.image[:, :: -1 if mirrored else 1],
            )
            height, width = phantom.image.shape
            lines = []
            for _, x0, y0, x1, y1 in phantom.boxes if i % 8 != 7 else ():
                x = (x0 + x1) / 2 / width
                lines.append(
                    f"0 {1 - x if mirrored else x} {(y0 + y1) / 2 / height} {(x1 - x0) / width} {(y1 - y0) / height}\n"
                )
            (root / part / "labels").mkdir(parents=True, exist_ok=True)
            (root / part / "labels" / f"{stem}.txt").write_text("".join(lines))


def _names(root: Path) -> list[str]:
    """The class names, by class number."""
    file = next((f for f in (root / "data.yaml", root / "data.yml") if f.is_file()), None)
    if file is None:
        raise UserError(
            f"{root}: no data.yaml; a YOLO export holds data.yaml with names, images/ and labels/"
        )
    data = from_yaml(read_text(file, MAX_LABELS, "replace"), str(file))
    names = data.get("names") if isinstance(data, dict) else None
    if isinstance(names, dict) and sorted(names) == list(range(len(names))):
        names = [names[i] for i in range(len(names))]
    if not isinstance(names, list) or not names:
        raise UserError(
            f"{file}: no class names; allowed: names: [first, second] or names: {{0: first, 1: second}}"
        )
    return [str(name) for name in names]


def _label_file(path: str) -> PurePosixPath:
    """The last folder ``images`` becomes ``labels``."""
    parts = list(PurePosixPath(path).parts)
    last = max(i for i, part in enumerate(parts[:-1]) if part == "images")
    return PurePosixPath(*parts[:last], "labels", *parts[last + 1 :]).with_suffix(".txt")


def _parsed(words: list[str], names: Sequence[str], width: int, height: int, where: str) -> tuple[str, Box]:
    try:
        number, values = int(words[0]), [float(word) for word in words[1:]]
    except ValueError:
        raise UserError(
            f"{where}: given {' '.join(words)[:60]!r}; allowed: class number and fractions"
        ) from None
    if not 0 <= number < len(names):
        raise UserError(f"{where}: unknown label {number}; data.yaml names 0 to {len(names) - 1}")
    if len(values) == 4:
        x, y, w, h = values[0] * width, values[1] * height, values[2] * width, values[3] * height
        return names[number], (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
    if len(values) >= 6 and len(values) % 2 == 0:
        xs, ys = values[0::2], values[1::2]
        return names[number], (min(xs) * width, min(ys) * height, max(xs) * width, max(ys) * height)
    raise UserError(
        f"{where}: {len(values)} numbers after the class; allowed: 4 for a box, or a polygon of 3 points or more"
    )
