"""Children's chest films of Kermany et al.: normal or pneumonia, and of pneumonia bacterial or viral."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from muscle.data.files import PARTS
from muscle.data.source import Source
from muscle.datasets._example import drawn, save
from muscle.errors import UserError
from muscle.phantom import Phantom
from muscle.types import Annotation, Labels, Sample, SplitName, Target

PNEUMONIA = Target(name="pneumonia", kind="labels", classes=("normal", "pneumonia"))
GERM = Target(name="germ", kind="labels", classes=("bacteria", "virus"))
_FIRST, _SECOND = Labels((1.0, 0.0)), Labels((0.0, 1.0))
_CLASSES = {"NORMAL": _FIRST, "PNEUMONIA": _SECOND}
_GERMS = {"bacteria": _FIRST, "virus": _SECOND}
_SICK = re.compile(r"(person\d+)_(bacteria|virus)_\d+", re.IGNORECASE)
_WELL = re.compile(r"(?:NORMAL2-)?(IM-\d+)-\d+", re.IGNORECASE)


class Kermany(Source):
    """``{train,val,test}/{NORMAL,PNEUMONIA}/*.jpeg``, in the root or in its folder ``chest_xray``.

    Only these folders are read, so the nested copy ``chest_xray/chest_xray`` and ``__MACOSX`` of the usual archive
    do not count twice. The patient is ``person<id>`` or ``IM-<number>``. An id that occurs in two published
    parts, or with and without the prefix ``NORMAL2-``, counts as one person: joining two persons costs little,
    parting one leaks.
    """

    kind: ClassVar[str] = "kermany"
    citation: ClassVar[str] = "Kermany et al., Cell 172(5):1122-1131, 2018; Mendeley Data rscbjbr9sj"
    licence: ClassVar[str] = "CC BY 4.0"
    shows: ClassVar[tuple[str, ...]] = ("chest",)
    published: ClassVar[Mapping[str, int]] = {
        "images": 5856, "labels:pneumonia:normal": 1583, "labels:pneumonia:pneumonia": 4273,
        "part:train": 5216, "part:valid": 16, "part:test": 624,
    }  # fmt: skip
    url: ClassVar[str] = "https://doi.org/10.17632/rscbjbr9sj.2"

    def records(self, name: str) -> tuple[list[Sample], list[Target]]:
        """Every film with its folder's class; the germ where the file name says it."""
        root = self.folder
        found = []
        for path, part in films(root):
            annotations: dict[str, Annotation] = {"pneumonia": _CLASSES[path.parent.name.upper()]}
            sick = _SICK.match(path.stem)
            if sick and path.parent.name.upper() == "PNEUMONIA":
                annotations["germ"] = _GERMS[sick[2].lower()]
            relative = path.relative_to(root).as_posix()
            found.append(Sample(id=f"{name}/{relative}", path=relative, source=name, split=part, body_part="chest",
                                patient=patient(relative, f"{name}/{relative}"), annotations=annotations))  # fmt: skip
        return found, [PNEUMONIA, GERM]

    @classmethod
    def write_example(cls, root: Path, n: int, seed: int) -> None:
        """With a nested copy, resource forks, suffixes in mixed case and several films a person."""
        lay_out(root, n, seed)


def lay_out(root: Path, n: int, seed: int) -> list[tuple[Path, Phantom]]:
    """Writes the example; each film with what is drawn on it, for adapters that annotate the same films."""
    films = []
    for i in range(n):
        part = ("train", "train", "train", "test")[i // 4 % 4]
        suffix = (".jpeg", ".JPEG")[i % 2]
        person = i // 8 + 1  # of each block of eight: one well and one sick person with four films each
        if i % 4 < 2:
            phantom = drawn("chest", seed + i, pneumonia=0)
            file = f"NORMAL/{('', 'NORMAL2-')[i % 2]}IM-{person:04d}-{i % 8 + 1:04d}{suffix}"
        else:
            phantom = drawn("chest", seed + i, pneumonia=1, virus=i % 2)
            file = f"PNEUMONIA/person{person}_{('bacteria', 'virus')[i % 2]}_{i}{suffix}"
        films.append((root / part / file, phantom))
        save(root / part / file, phantom.image)
    first = films[0][0].relative_to(root)
    save(root / "chest_xray" / first, films[0][1].image)
    for folder in (root / first.parent, root / "__MACOSX" / first.parent):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"._{first.name}").write_bytes(b"\0\5\26\7")  # a resource fork, not a picture
    return films


def films(root: Path) -> list[tuple[Path, SplitName]]:
    """The films of the layout with their published part.

    Raises:
        UserError: no part folder, or a class folder that is neither NORMAL nor PNEUMONIA.
    """
    parts = [p for base in (root, root / "chest_xray") for p in _folders(base) if p.name.lower() in PARTS]
    parts = [p for p in parts if p.parent == parts[0].parent]  # the root's own parts hide the nested copy's
    if not parts:
        raise UserError(
            f"{root}: not the Kermany layout; it holds {{train,val,test}}/{{NORMAL,PNEUMONIA}}/*.jpeg"
        )
    found = []
    for folder in (c for part in parts for c in _folders(part)):
        if folder.name.upper() not in _CLASSES:
            raise UserError(f"{folder}: unknown label {folder.name!r}; allowed folders: NORMAL, PNEUMONIA")
        for path in folder.iterdir():
            if path.suffix.lower() in (".jpeg", ".jpg", ".png") and not path.name.startswith("."):
                found.append((path, PARTS[folder.parent.name.lower()]))
    return found


def patient(path: str, fallback: str) -> str:
    """The global key of the person on a film, from its file name; ``fallback`` where the name does not say."""
    stem = Path(path).stem
    match = _SICK.match(stem) or _WELL.match(stem)
    return f"kermany:{match[1]}" if match else fallback


def _folders(base: Path) -> list[Path]:
    return [p for p in base.iterdir() if p.is_dir() and not p.name.startswith(".")] if base.is_dir() else []
