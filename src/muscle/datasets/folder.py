"""Any folder of films of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal

from muscle.data.classes import negative_first
from muscle.data.dicom import is_dicom, read_header
from muscle.data.files import PARTS, images, part_of
from muscle.datasets._example import drawn, save
from muscle.datasets._frames import Framed
from muscle.datasets._patients import NamedPatients, hidden
from muscle.errors import UsageError, UserError
from muscle.types import NO_TRUTH, Labels, Sample, Target


class Folder(NamedPatients, Framed):
    """All pictures below the root, however deep; hidden files and ``__MACOSX`` are left out.

    Attributes:
        labels: ``folder``: the folder directly above a file names its class; ``none``: images alone.
        classes: the classes in order, of two the negative first; None: as found, by name, with a class such as
            "normal" or "negative" first.
        target: the name of the classification; by default the source's.
        exclude: paths relative to the root to leave out; ``*`` and ``?`` as in a shell, ``*`` across folders too.

    A folder above named train, val, valid or test is the published part. Without ``patient_pattern`` the patient of
    a DICOM file is the Patient ID in its header, kept as a hash; any other file counts as a patient.
    """

    kind: ClassVar[str] = "folder"
    example: ClassVar[Mapping[str, Any]] = {"labels": "folder"}

    labels: Literal["none", "folder"] = "none"
    classes: tuple[str, ...] | None = None
    target: str = ""
    exclude: tuple[str, ...] = ()

    def records(self, name: str) -> tuple[list[Sample], list[Target]]:
        """Every picture, with the label of its folder if asked."""
        exact = {pattern for pattern in self.exclude if not any(sign in pattern for sign in "*?[")}
        patterns = [pattern for pattern in self.exclude if pattern not in exact]
        paths = [
            path
            for path in images(self.folder)
            if path not in exact and not any(fnmatchcase(path, pattern) for pattern in patterns)
        ]
        if self.labels == "none":
            return [film for path in paths for film in self.films(self._sample(name, path))], []
        if not paths:
            return [], []
        classes = self._classes(name, paths)
        target = Target(name=self.target or name, kind="labels", classes=classes)
        truths = {c: Labels(tuple(float(c == other) for other in classes)) for c in classes}
        samples = (self._sample(name, path, {target.name: truths[_above(path)]}) for path in paths)
        return [film for sample in samples for film in self.films(sample)], [target]

    def _sample(self, name: str, path: str, truth: dict[str, Labels] | None = None) -> Sample:
        patient = self.patient(name, path) if self.patient_pattern else self._dicom_patient(path)
        film = f"{name}/{path}"
        return Sample(id=film, path=path, source=name, patient=patient or film, split=part_of(path),
                      annotations=truth or NO_TRUTH)  # fmt: skip

    def _dicom_patient(self, path: str) -> str:
        """The patient that a DICOM header names, as a key that does not show the ID; empty for other files.

        One ID is one person in every source: two persons taken for one cost some films, one for two spoils a test.
        """
        file = self.folder / path
        try:
            key = hidden(str(read_header(file).get("PatientID") or "")) if is_dicom(file) else ""
        except Exception:  # a damaged header: prepare says why this file cannot be used
            return ""
        return self.person("dicom", key) if key else ""

    def _classes(self, name: str, paths: list[str]) -> tuple[str, ...]:
        for path in paths:
            if not _above(path) or _above(path).lower() in PARTS:
                raise UserError(
                    f"source {name}: {path} has no class folder above it; put it into one, or use labels: none"
                )
        found = negative_first(_above(path) for path in paths)
        if self.classes is None:
            return found
        for path in paths:
            if _above(path) not in self.classes:
                raise UserError(
                    f"source {name}: {path}: unknown label {_above(path)!r}; allowed: {', '.join(self.classes)}"
                )
        if len(set(self.classes)) < max(len(self.classes), 2):
            raise UsageError(
                f"source {name}: classes: given {', '.join(self.classes)}; allowed: two or more, all different"
            )
        return self.classes

    @classmethod
    def write_example(cls, root: Path, n: int, seed: int) -> None:
        """Hands in class folders, 8 and 12 bits, suffixes in mixed case, and a resource fork."""
        for i in range(n):
            phantom = drawn("hand", seed + i, fracture=i % 2)
            deep = phantom.image.astype("uint16") * 16
            file = (
                root / ("normal", "fractured")[i % 2] / f"{i // 2:04d}_{i}{('.png', '.PNG', '.jpg')[i % 3]}"
            )
            save(file, deep if i % 6 == 0 else phantom.image)
        (root / "normal" / "._0000_0.png").write_bytes(b"\0\5\26\7")


def _above(path: str) -> str:
    return PurePosixPath(path).parent.name
