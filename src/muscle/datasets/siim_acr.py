"""SIIM-ACR Pneumothorax Segmentation 2019: outlined pneumothoraces on a part of NIH ChestX-ray14."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from muscle.data.files import images
from muscle.data.source import Source
from muscle.data.tables import read_table
from muscle.datasets._example import drawn
from muscle.datasets._example_dicom import save_dicom
from muscle.datasets._trees import check_films, top
from muscle.errors import UserError
from muscle.types import Annotation, Labels, MaskRuns, Sample, Target

PRESENCE = Target(name="pneumothorax", kind="labels", classes=("absent", "present"))
REGION = Target(name="pneumothorax_region", kind="mask", classes=("pneumothorax",))
SIDE = 1024  # rows and columns of every film, and of the masks
_TABLE = "train-rle.csv"
_TEST = "dicom-images-test"

Run = tuple[int, int]


class SiimAcr(Source):
    """``dicom-images-{train,test}/<study>/<series>/<image>.dcm`` and ``train-rle.csv`` of Kaggle.

    The table's second column is called " EncodedPixels", with a space. It holds -1 where there is no pneumothorax,
    else pairs of numbers: how many pixels to leave out since the last run, and how many to mark, down the columns. A
    film with several outlines has several rows; its mask is their union. Some films have no row and stay unknown.
    Files say no person that several films share, so each film counts as a person.
    """

    kind: ClassVar[str] = "siim_acr"
    citation: ClassVar[str] = (
        "Society for Imaging Informatics in Medicine, SIIM-ACR Pneumothorax, Kaggle, 2019"
    )
    licence: ClassVar[str] = "SIIM-ACR challenge terms: research"
    url: ClassVar[str] = "https://www.kaggle.com/c/siim-acr-pneumothorax-segmentation"
    shows: ClassVar[tuple[str, ...]] = ("chest",)
    published: ClassVar[Mapping[str, int]] = {
        "mask:pneumothorax_region": 12047, "labels:pneumothorax:present": 2669, "labels:pneumothorax:absent": 9378,
    }  # fmt: skip
    shares: ClassVar[Mapping[str, str]] = {
        "nih_chestxray14": "every film is one of NIH's; which is not published",
        "rsna_pneumonia": "both are parts of NIH's films and may meet",
    }

    def records(self, name: str) -> tuple[list[Sample], list[Target]]:
        """Every film once, with presence and mask where the table has it."""
        root = top(self.folder, f"dicom-images-train, {_TEST} and {_TABLE} of Kaggle", _TABLE)
        outlines = _outlines(root / _TABLE)
        films: dict[str, str] = {}
        for path in images(root):
            if path.lower().endswith(".dcm"):
                films.setdefault(PurePosixPath(path).stem, path)
        check_films(root / _TABLE, outlines, films)
        found = []
        for key, file in films.items():
            path = (root / file).relative_to(self.folder).as_posix()
            truth: dict[str, Annotation] = {}
            if key in outlines:
                runs = tuple(outlines[key])
                truth["pneumothorax"] = Labels((float(not runs), float(bool(runs))))
                truth["pneumothorax_region"] = MaskRuns(SIDE, SIDE, runs)
            test = _TEST in PurePosixPath(file).parts
            found.append(Sample(id=f"{name}/{path}", path=path, source=name, patient=f"siim_acr:{key}",
                                split="test" if test else "train", body_part="chest", annotations=truth))  # fmt: skip
        return found, [PRESENCE, REGION]

    @classmethod
    def write_example(cls, root: Path, n: int, seed: int) -> None:
        """Drawn lungs as outlines, one or two rows a film; a film without row, a test part, a copied film."""
        lines = ["ImageId, EncodedPixels"]
        for i in range(n):
            phantom = drawn("chest", seed + i)
            film, lungs = (_square(pixels) for pixels in (phantom.image, phantom.masks["lungs"]))
            uid = f"1.2.276.0.7230010.3.1.4.8323329.{seed}.{i}"
            folder = root / (_TEST if i % 8 == 6 else "dicom-images-train") / f"{uid}.1" / f"{uid}.2"
            save_dicom(folder / f"{uid}.dcm", film, uid, jpeg=True, patient=f"{seed}-{i}")
            if i % 8 == 7:
                continue
            halves = (lungs & (np.arange(SIDE) < SIDE // 2), lungs & (np.arange(SIDE) >= SIDE // 2))
            lines += [f"{uid}, {encoded(half)}" for half in halves] if i % 2 else [f"{uid},-1"]
        (root / _TABLE).write_text("".join(f"{line}\n" for line in lines))
        first = min(root.glob("dicom-images-train/*/*/*.dcm"))
        copy = root / "samples" / first.name
        copy.parent.mkdir()
        copy.write_bytes(first.read_bytes())


def encoded(mask: NDArray[np.bool_]) -> str:
    """A mask as the table writes it."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.T.ravel().astype(np.int8), [0]])))
    gaps = np.diff(np.concatenate([[0], edges]))
    return " ".join(map(str, gaps.tolist())) or "-1"


def _square(pixels: NDArray[Any]) -> NDArray[Any]:
    """A small drawing as large as the published films."""
    rows, columns = (np.arange(SIDE) * size // SIDE for size in pixels.shape)
    large: NDArray[Any] = pixels[rows][:, columns]
    return large


def _outlines(table: Path) -> dict[str, list[Run]]:
    """The runs of each film in the table, in pixels down its columns; none where it says -1."""
    found: dict[str, list[Run]] = {}
    for line, row in read_table(table, needed=("ImageId", "EncodedPixels")):
        mine = found.setdefault(row["ImageId"], [])
        if row["EncodedPixels"] != "-1":
            mine += _runs(row["EncodedPixels"], f"{table} line {line}")
    return found


def _runs(cell: str, where: str) -> list[Run]:
    words = cell.split()
    if not words or len(words) % 2 or not all(word.isdecimal() and len(word) < 8 for word in words):
        raise UserError(f"{where}: given {cell[:40]!r}; allowed: -1, or pairs of pixels to skip and to mark")
    numbers, at, found = [int(word) for word in words], 0, []
    for skip, length in zip(numbers[::2], numbers[1::2], strict=True):
        found.append((at + skip, length))
        at += skip + length
    if at > SIDE * SIDE:
        raise UserError(f"{where}: the runs end at pixel {at:,} of {SIDE * SIDE:,}; get the table again")
    return [run for run in found if run[1]]
