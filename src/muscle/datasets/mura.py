"""MURA: studies of seven parts of the arm, normal or abnormal."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from muscle.data.files import images
from muscle.data.source import Source
from muscle.data.tables import read_cells
from muscle.datasets._example import drawn, save
from muscle.errors import UserError
from muscle.types import Labels, Sample, SplitName, Target

ABNORMALITY = Target(name="abnormality", kind="labels", classes=("normal", "abnormal"))
PARTS = ("elbow", "finger", "forearm", "hand", "humerus", "shoulder", "wrist")
_STUDY = re.compile(r"(train|valid)/XR_([A-Z]+)/(patient\d+)/(study\d+)_(positive|negative)/", re.IGNORECASE)
_VALUES = {"negative": Labels((1.0, 0.0)), "positive": Labels((0.0, 1.0))}
_SPLITS: dict[str, SplitName] = {"train": "train", "valid": "valid"}


class Mura(Source):
    """``{train,valid}/XR_<PART>/patient<id>/study<n>_{positive,negative}/image<n>.png``, in the root or in a folder.

    The class of a film is its study's, from the folder's name; the header-less ``{train,valid}_labeled_studies.csv``
    must agree where they are there. ``._image1.png`` and other hidden files of some mirrors are left out. Scores in the
    literature are by study: ``Sample.study`` holds its key. The publisher's test part is not published.
    """

    kind: ClassVar[str] = "mura"
    shows: ClassVar[tuple[str, ...]] = PARTS
    citation: ClassVar[str] = "Rajpurkar et al., MIDL 2018, arXiv:1712.06957 (MURA v1.1)"
    licence: ClassVar[str] = "Stanford research use agreement: non-commercial, no redistribution"
    url: ClassVar[str] = "https://stanfordmlgroup.github.io/competitions/mura/"
    published: ClassVar[Mapping[str, int]] = {
        "images": 40005, "studies": 14656, "part:train": 36808, "part:valid": 3197,
        "labels:abnormality:normal": 23602, "labels:abnormality:abnormal": 16403,
    }  # fmt: skip

    def records(self, name: str) -> tuple[list[Sample], list[Target]]:
        """Every film with its study's class.

        Raises:
            UserError: an unknown body part, or a table that contradicts a folder.
        """
        found = []
        told: dict[tuple[str, ...], str] = {}
        for path in images(self.folder):
            match = _STUDY.search(path)
            if match is None:
                continue
            split, part, patient, study, sign = (group.lower() for group in match.groups())
            if part not in PARTS:
                allowed = ", ".join(f"XR_{p.upper()}" for p in PARTS)
                raise UserError(
                    f"source {name}: {path}: unknown body part {part!r}; allowed folders: {allowed}"
                )
            told[split, part, patient, study] = sign
            found.append(Sample(id=f"{name}/{path}", path=path, source=name, patient=f"mura:{patient}",
                                study=f"mura:{patient}/{part}/{study}", split=_SPLITS[split], body_part=part,
                                annotations={"abnormality": _VALUES[sign]}))  # fmt: skip
        self._check_tables(told)
        return found, [ABNORMALITY]

    def _check_tables(self, told: Mapping[tuple[str, ...], str]) -> None:
        """Studies that are not there may be listed: nobody has to fetch all parts of the body."""
        for file in sorted(self.folder.glob("**/*_labeled_studies.csv")):
            if file.name.startswith("."):
                continue
            for line, cells in read_cells(file):
                match = _STUDY.search(f"{cells[0].rstrip('/')}/")
                if match is None or len(cells) != 2 or cells[1] not in ("0", "1"):
                    raise UserError(f"{file} line {line}: not a study and 0 or 1; give the publisher's file")
                *study, _ = (group.lower() for group in match.groups())
                sign = told.get(tuple(study))
                if sign is not None and sign != ("negative", "positive")[int(cells[1])]:
                    raise UserError(
                        f"{file} line {line}: says {cells[1]}, but the folder is {'/'.join(study)}_{sign}; correct one"
                    )

    @classmethod
    def write_example(cls, root: Path, n: int, seed: int) -> None:
        """Studies of two films, tables without header (one line of which is the first study), ``._`` files."""
        paths: dict[str, list[str]] = {"train": [], "valid": []}
        studies: dict[str, list[str]] = {"train": [], "valid": []}
        for i in range(n):
            study = i // 2
            split, part, sick = ("train", "train", "train", "valid")[study % 4], PARTS[study % 7], study % 2
            sign = ("negative", "positive")[sick]
            folder = f"{split}/XR_{part.upper()}/patient{study // 2:05d}/study{study % 2 + 1}_{sign}"
            file = root / folder / f"image{i % 2 + 1}{('.png', '.PNG')[study % 2]}"
            save(
                file,
                drawn("hand" if part in ("hand", "finger") else "long_bone", seed + i, fracture=sick).image,
            )
            (file.parent / f"._{file.name}").write_bytes(b"\0\5\26\7")
            paths[split].append(f"MURA-v1.1/{folder}/{file.name}")
            if i % 2 == 0:
                studies[split].append(f"MURA-v1.1/{folder}/,{sick}")
        for split in paths:
            (root / f"{split}_image_paths.csv").write_text("".join(f"{line}\n" for line in paths[split]))
            (root / f"{split}_labeled_studies.csv").write_text(
                "".join(f"{line}\n" for line in studies[split])
            )
