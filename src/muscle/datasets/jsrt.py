"""JSRT: chest films with and without a lung nodule, and the outlines of SCR: lungs, heart, clavicles."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import ClassVar

import numpy as np
from PIL import Image

from muscle.data.files import walk
from muscle.data.source import Source
from muscle.data.tables import number
from muscle.data.texts import check_text
from muscle.errors import UserError
from muscle.phantom import Phantom, draw
from muscle.types import Annotation, BoxList, Labels, MaskFiles, Sample, Target

NODULE = Target(name="nodule", kind="labels", classes=("absent", "present"))
MALIGNANT = Target(name="nodule_malignant", kind="labels", classes=("benign", "malignant"))
BOXES = Target(name="nodule_boxes", kind="boxes", classes=("nodule",))
_REGIONS = {"lungs": ("left lung", "right lung"), "heart": ("heart",),
            "clavicles": ("left clavicle", "right clavicle")}  # fmt: skip
_MASKS = {name: Target(name=name, kind="mask", classes=(name.removesuffix("s"),)) for name in _REGIONS}
_LEVELS = ((255, 1), (1, 1))  # a GIF says 255, or its palette's second entry
_SPACING = 0.175  # mm a pixel
_SIDE = 2048.0  # pixels
_FILM = re.compile(r"(JPC[LN]N\d{3})\.IMG", re.IGNORECASE)

Nodule = tuple[Labels, BoxList]


class Jsrt(Source):
    """``JPCLN*.IMG`` (nodule) and ``JPCNN*.IMG`` (none), ``CLNDAT_EN.txt``, SCR's ``fold1/masks``: anywhere below.

    Films are raw: no header, 2048 x 2048, big-endian, 12 bits, 0 white. The table has no header either (file,
    subtlety, size in mm, age, sex, x, y, malignant or benign, place, diagnosis; tabs), and its lines end in more than
    one way. Differs: a nodule's box is the square of the stated size around the stated centre. SCR's masks are GIFs of
    half the size, in two folds (films of odd and of even number), a folder a region; both folds are read. The lungs
    leave out what lies behind the heart. One film a person.
    """

    kind: ClassVar[str] = "jsrt"
    citation: ClassVar[str] = (
        "Shiraishi et al., AJR 174(1):71-74, 2000; SCR: van Ginneken et al., Med. Image Anal. 10(1):19-40, 2006"
    )
    licence: ClassVar[str] = "JSRT and SCR terms: research, with citation"
    url: ClassVar[str] = "http://db.jsrt.or.jp/eng.php"
    shows: ClassVar[tuple[str, ...]] = ("chest",)
    published: ClassVar[Mapping[str, int]] = {
        "images": 247, "patients": 247, "labels:nodule:present": 154, "labels:nodule:absent": 93,
        "labels:nodule_malignant:malignant": 100, "labels:nodule_malignant:benign": 54,
        "boxes:nodule_boxes:nodule": 154, "mask:lungs": 247, "mask:heart": 247, "mask:clavicles": 247,
    }  # fmt: skip

    def records(self, name: str) -> tuple[list[Sample], list[Target]]:
        """Every raw film, with its nodule where the table is there and its regions where SCR is."""
        files = walk(self.folder)
        nodules = _nodules(self.folder, files)
        masks = {tuple(p.lower() for p in PurePosixPath(f).parts[-2:]): f for f in files if _is_mask(f)}
        films: dict[str, str] = {}
        for path in files:
            if match := _FILM.fullmatch(PurePosixPath(path).name):
                films.setdefault(match[1].upper(), path)
        found = []
        for key, path in films.items():
            sick = key.startswith("JPCLN")
            truth: dict[str, Annotation] = {"nodule": Labels((float(not sick), float(sick)))}
            if key in nodules:
                truth["nodule_malignant"], truth["nodule_boxes"] = nodules[key]
            elif not sick:
                truth["nodule_boxes"] = BoxList((), ())
            for region, folders in _REGIONS.items():
                mine = [
                    masks[folder, gif] for folder in folders if (folder, gif := f"{key.lower()}.gif") in masks
                ]
                if len(mine) == len(folders):
                    truth[region] = MaskFiles(tuple((file, _LEVELS) for file in mine), scaled=True)
            found.append(Sample(id=f"{name}/{path}", path=path, source=name, patient=f"jsrt:{key}", body_part="chest",
                                view="PA", spacing=(_SPACING, _SPACING), annotations=truth))  # fmt: skip
        return found, [NODULE, MALIGNANT, BOXES, *_MASKS.values()]

    @classmethod
    def write_example(cls, root: Path, n: int, seed: int) -> None:
        """Small raw films; a table without header whose lines end in CR, CRLF or nothing; GIF masks in two folds."""
        table = ""
        for i in range(n):
            sick, k = i % 2 == 0, i // 2 + 1
            key = f"JPC{'LN'[not sick]}N{k:03d}"
            phantom = draw("chest", 1000 * seed + i, (128, 128), bits=12)
            folder = root / ("Nodule154images" if sick else "NonNodule93images")
            folder.mkdir(parents=True, exist_ok=True)
            (4095 - phantom.image).astype(">u2").tofile(folder / f"{key}.{'IMG' if k % 2 else 'img'}")
            if sick:
                state = ("malignant", "benign")[k % 2]
                end = ("\r", "\r\r\n", "", "\n")[k % 4]
                table += (
                    f"{key}.IMG\t5\t3.5\t5{k}\tMale\t{40 + k}\t60\t{state}\tl.upper lobe\tlung cancer{end}"
                )
            _write_masks(root / "scr" / "scratch" / f"fold{2 - k % 2}" / "masks", key, phantom)
        (root / "Clinical_Information").mkdir(parents=True, exist_ok=True)
        (root / "Clinical_Information" / "CLNDAT_EN.txt").write_bytes(table.encode())
        (root / "Clinical_Information" / "CNNDAT_EN.txt").write_bytes(
            b"JPCNN001.IMG\t69\tFemale\tnon-nodule\r\n"
        )


def _nodules(root: Path, files: list[str]) -> dict[str, Nodule]:
    """State and box of the nodule of each film in the table; none without the table."""
    name = next((f for f in files if PurePosixPath(f).name.lower() == "clndat_en.txt"), None)
    if name is None:
        return {}
    check_text(root / name)
    text = (root / name).read_text("latin-1")
    starts = [match.start() for match in _FILM.finditer(text)]
    if not starts:
        raise UserError(f"{root / name}: no line of a nodule; get the table again")
    found = {}
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        cells = [cell.strip() for cell in text[start:end].split("\t")]
        where = f"{root / name} {cells[0]}"
        if len(cells) < 8 or cells[7].lower() not in MALIGNANT.classes:
            raise UserError(
                f"{where}: not the line of a nodule: {' '.join(cells)[:80]!r}; get the table again"
            )
        size, x, y = (number(cells[i], f"{where}, cell {i + 1}") for i in (2, 5, 6))
        half = size / _SPACING / 2
        state = Labels(tuple(float(cells[7].lower() == c) for c in MALIGNANT.classes))
        box = (max(0.0, x - half), max(0.0, y - half), min(_SIDE, x + half), min(_SIDE, y + half))
        found[cells[0][:8].upper()] = state, BoxList((box,), (1,))
    return found


def _is_mask(file: str) -> bool:
    path = PurePosixPath(file)
    return path.suffix.lower() == ".gif" and "masks" in path.parts


def _write_masks(folder: Path, key: str, phantom: Phantom) -> None:
    """The regions of one film as GIFs of half its size."""
    left = np.arange(phantom.image.shape[1]) < phantom.image.shape[1] // 2
    lungs, heart = phantom.masks["lungs"], phantom.masks["heart"]
    band = np.zeros_like(lungs)
    band[20:26] = True
    regions = {"right lung": lungs & left, "left lung": lungs & ~left, "heart": heart,
               "right clavicle": band & left, "left clavicle": band & ~left}  # fmt: skip
    for region, mask in regions.items():
        (folder / region).mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask[::2, ::2].astype(np.uint8) * 255).save(folder / region / f"{key}.gif")
