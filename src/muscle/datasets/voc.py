"""Boxes in Pascal VOC's XML files, one an image."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, ClassVar, Literal

from muscle.data.files import part_of
from muscle.data.texts import read_xml
from muscle.datasets._boxes import Box, BoxSource, check_size
from muscle.datasets._example import drawn, save, windows_text
from muscle.datasets._patients import NamedPatients
from muscle.datasets._stems import by_stem
from muscle.errors import UserError
from muscle.types import BoxList, Sample, Target


class Voc(BoxSource, NamedPatients):
    """A folder of films and one of XML files; the XML of ``a/x.jpg`` is ``a/x.xml``, whatever its ``filename`` says.

    Each holds ``size`` (width, height) and ``object`` (name, bndbox with xmin, ymin, xmax, ymax), any number of them.
    An image without XML is unknown; one whose XML has no object, see ``empty``.

    Attributes:
        images, annotations: the two folders, relative to the root; they may be one and the same.
        first: the number of the first pixel: 1, as VOC counts, with xmax and ymax counted in; 0 where a tool wrote
            corners that count from 0.
    """

    kind: ClassVar[str] = "voc"

    images: str = "JPEGImages"
    annotations: str = "Annotations"
    first: Literal[0, 1] = 1

    def records(self, name: str) -> tuple[list[Sample], list[Target]]:
        """Every film, with the boxes of its XML in pixels.

        Raises:
            UserError: names the XML that is damaged, has no film, or was made on another size of it.
        """
        films = by_stem(name, self.folder, self.images, "images")
        sheets = by_stem(name, self.folder, self.annotations, "annotations", ".xml")
        if films and not sheets:
            raise UserError(
                f"source {name}: no .xml in {self.folder / self.annotations}; correct annotations"
            )
        trees = {key: _parsed(self.folder / path) for key, path in sheets.items()}
        names = sorted(
            {
                _text(one, "name", self.folder / sheets[key])
                for key in trees
                for one in trees[key].findall("object")
            }
        )
        target, label = self.taught(name, names)
        found = []
        for key, path in films.items():
            boxes = None
            if key in trees:
                boxes = self._boxes(path, sheets[key], trees.pop(key), label)
            truth = {target.name: boxes} if boxes is not None else {}
            found.append(Sample(id=f"{name}/{path}", path=path, source=name, patient=self.patient(name, path),
                                split=part_of(path), annotations=truth))  # fmt: skip
        if trees and films:
            key = next(iter(trees))
            raise UserError(
                f"{self.folder / sheets[key]}: no film {self.images}/{key}.* ({len(trees)} such); add it, delete the "
                "XML, or correct images"
            )
        return found, [target]

    def _boxes(self, path: str, sheet: str, tree: Any, label: dict[str, int]) -> BoxList | None:
        objects = tree.findall("object")
        if not objects:
            return BoxList((), ()) if self.empty == "negative" else None
        file = self.folder / sheet
        width, height = (int(_number(tree, f"size/{side}", file)) for side in ("width", "height"))
        check_size(self.folder / path, path, (width, height), str(file))
        boxes, labels = [], []
        for i, one in enumerate(objects, start=1):
            where = f"{file} object {i}"
            x0, y0, x1, y1 = (_number(one, f"bndbox/{n}", where) for n in ("xmin", "ymin", "xmax", "ymax"))
            if (found := _text(one, "name", where)) in label:
                box: Box = (x0 - self.first, y0 - self.first, x1, y1)
                boxes.append(self.fitted(box, width, height, where))
                labels.append(label[found])
        return BoxList(tuple(boxes), tuple(labels))

    @classmethod
    def write_example(cls, root: Path, n: int, seed: int) -> None:
        """Teeth; file names of the annotator's machine, suffixes in mixed case, a body-part box, one film unread."""
        for i in range(n):
            phantom = drawn("teeth", seed + i)
            height, width = phantom.image.shape
            save(root / "JPEGImages" / f"{i:04d}{('.jpg', '.JPG', '.png')[i % 3]}", phantom.image)
            if i == n - 1:
                continue
            lines = ["<annotation>", f"<filename>D:\\films\\IMG {i}.bmp</filename>",
                     f"<size><width>{width}</width><height>{height}</height><depth>1</depth></size>"]  # fmt: skip
            for kind, x0, y0, x1, y1 in phantom.boxes:
                lines.append(f"<object><name>{kind}</name><part><name>crown</name></part><bndbox>"
                             f"<xmax>{x1:.0f}</xmax><xmin>{x0 + 1:.0f}</xmin><ymax>{y1:.0f}</ymax>"
                             f"<ymin>{y0 + 1:.0f}</ymin></bndbox></object>")  # fmt: skip
            windows_text(
                root / "Annotations" / f"{i:04d}{('.xml', '.XML')[i % 2]}", [*lines, "</annotation>"]
            )
        (root / "Annotations" / "._0000.xml").write_bytes(b"\0\5\26\7")


def _parsed(file: Path) -> Any:
    """The root element of an XML file.

    Raises:
        UserError: unreadable, not XML, or with a document type, in which a hostile file grows without end.
    """
    try:
        return read_xml(file)
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: not readable XML: {error}") from None


def _text(element: Any, path: str, where: Path | str) -> str:
    text = (element.findtext(path) or "").strip()
    if not text:
        raise UserError(f"{where}: no {path}; VOC's XML holds size and, of each object, name and bndbox")
    return text


def _number(element: Any, path: str, where: Path | str) -> float:
    text = _text(element, path, where)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"{where}: {path} is {text!r}; allowed: a number of pixels")
    return number
