"""A tree of DICOM files of one's own, with labels by UID."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from muscle.data.dicom import is_dicom, read_header
from muscle.data.files import images, part_of
from muscle.data.headers import RADIOGRAPHS
from muscle.data.tables import read_table
from muscle.datasets._columns import Columns, Row
from muscle.datasets._example import drawn, save, windows_text
from muscle.datasets._frames import Framed
from muscle.datasets._patients import hidden
from muscle.datasets._person import sex_of, years_of
from muscle.errors import UsageError, UserError
from muscle.types import Annotation, Sample, Target

_SCANNER = ("Manufacturer", "ManufacturerModelName")
_TAGS = {"sop": "SOPInstanceUID", "study": "StudyInstanceUID", "path": "path"}


class DicomFolder(Columns, Framed):
    """All radiographs among the DICOM files below the root; patient, study, view and body part from their headers.

    What is no radiograph (another modality, a report, a presentation state, DICOMDIR, a picture of another kind) is
    left out. A film whose header is damaged stays, so that preparing says what is wrong with it. Patient and study
    are kept as hashes; without Patient ID, the films of one study are one person. A folder named train, val, valid
    or test is the published part.

    Attributes:
        table: CSV, Parquet or XLSX with the labels, relative to the root; empty: images alone.
        by: what its rows are about: ``sop`` (SOP Instance UID: one film), ``study`` (Study Instance UID: all films
            of it) or ``path`` (relative to the root). Films without a row are unknown; rows without a film do nothing,
            as hospitals' tables hold more than was exported, but one row at least must fit.
        id_column: the column in which that stands; by default SOPInstanceUID, StudyInstanceUID or path.
        modalities: which modalities are radiographs.
    """

    kind: ClassVar[str] = "dicom_folder"
    example: ClassVar[Mapping[str, Any]] = {"table": "labels.csv", "label": "finding"}

    table: str = ""
    by: Literal["sop", "study", "path"] = "sop"
    id_column: str = ""
    modalities: tuple[str, ...] = RADIOGRAPHS

    def records(self, name: str) -> tuple[list[Sample], list[Target]]:
        """Every radiograph, with what the table says of it.

        Raises:
            UserError: names the table and line of a wrong cell or a key that stands twice, or that no row fits.
            UsageError: columns are named, but no table.
        """
        if self.named and not self.table:
            raise UsageError(
                f"source {name}: columns {', '.join(self.named)} are named, but no table; give table:"
            )
        rows = self._rows(name) if self.table else {}
        targets = self.taught(name, [row for _, row in rows.values()])
        found: list[Sample] = []
        fitting = 0
        for path in images(self.folder):
            header = self._header(self.folder / path)
            if header is None:
                continue
            key = path if self.by == "path" else _said(header, _TAGS[self.by])
            where, row = rows.get(key, ("", {}))
            fitting += bool(row)
            truth = self.truths(row, targets, where) if row else {}
            found += self.films(self._sample(name, path, header, row, truth))
        if rows and found and not fitting:
            where, row = next(iter(rows.values()))
            raise UserError(
                f"{where}: none of the {len(rows)} rows fits by {self.by}, such as {row[self._column]!r}; correct "
                "by: or id_column:"
            )
        return found, targets

    def _rows(self, name: str) -> dict[str, tuple[str, Row]]:
        """What stands in ``key`` -> (table and line, row); rows without a key are left out."""
        file = self.one_table(name, self.table, "table")
        found: dict[str, tuple[str, Row]] = {}
        for line, row in read_table(file, (self._column, *self.named), self.sheet):
            key = row[self._column]
            if self.by == "path":
                key = key.replace("\\", "/").removeprefix("./")
            if key in found:
                raise UserError(
                    f"{file} line {line}: {self._column} {key!r} stands there twice; keep one row"
                )
            if key:
                found[key] = f"{file} line {line}", row
        return found

    @property
    def _column(self) -> str:
        return self.id_column or _TAGS[self.by]

    def _header(self, file: Path) -> Any:
        """The header of a radiograph; empty of a damaged one; None of anything else."""
        try:
            if not is_dicom(file):
                return None
            header = read_header(file)
            if modality := str(header.get("Modality") or ""):
                return header if modality in self.modalities else None
            return None if "Rows" in header or "DirectoryRecordSequence" in header else {}
        except Exception:  # whatever a damaged header makes the reader trip over
            return {}

    def _sample(self, name: str, path: str, header: Any, row: Row, truth: dict[str, Annotation]) -> Sample:
        study, who = hidden(_said(header, "StudyInstanceUID")), self.who(row)
        patient = f"{name}/{path}"
        if who:
            patient = self.person(name, who)
        elif key := hidden(_said(header, "PatientID")):
            patient = self.person("dicom", key)
        elif study:
            patient = self.person("dicom", f"study-{study}")
        return Sample(id=f"{name}/{path}", path=path, source=name, patient=patient, study=study, split=part_of(path),
                      view=_said(header, "ViewPosition"), body_part=_said(header, "BodyPartExamined").lower(),
                      annotations=truth, sex=sex_of(_said(header, "PatientSex")),
                      age=years_of(_said(header, "PatientAge")),
                      scanner=" ".join(filter(None, (_said(header, tag) for tag in _SCANNER))))  # fmt: skip

    @classmethod
    def write_example(cls, root: Path, n: int, seed: int) -> None:
        """Chests of 12 bits in both polarities, two of a study, with a CT slice, a report, a DICOMDIR and a preview.

        Some names end in .DCM or in nothing; the table has a byte-order mark, CRLF, and rows of films that are not
        there.
        """
        lines = ["SOPInstanceUID;finding", "1.2.3;normal"]
        for i in range(n):
            pixels = drawn("chest", seed + i, pneumonia=i % 2).image.astype("uint16") * 16
            if i % 3 == 2:
                pixels = 4080 - pixels
            file = root / f"pat{i // 4}" / f"st{i // 2}" / f"IM{i:04d}{('.dcm', '.DCM', '')[i % 3]}"
            header = {"Modality": ("DX", "CR")[i % 2], "PatientID": f"P{seed}-{i // 4}", "BodyPartExamined": "CHEST",
                      "ViewPosition": ("PA", "LL")[i % 2],
                      "PhotometricInterpretation": ("MONOCHROME2", "MONOCHROME2", "MONOCHROME1")[i % 3]}  # fmt: skip
            uid = _write(file, f"{seed}.{i}", f"{seed}.{i // 2}", header, pixels)
            lines.append(f"{uid};{('normal', 'pneumonia')[i % 2]}")
        _write(root / "pat0/ct/1.dcm", f"{seed}.ct", f"{seed}.ct", {"Modality": "CT"}, pixels)
        _write(root / "pat0/sr/1.dcm", f"{seed}.sr", f"{seed}.0", {"Modality": "SR"}, None)
        _write(root / "DICOMDIR", f"{seed}.dir", f"{seed}.dir", {"DirectoryRecordSequence": []}, None)
        save(root / "pat0/preview.jpg", drawn("chest", seed, pneumonia=0).image)
        windows_text(root / "labels.csv", lines)


def _said(header: Any, tag: str) -> str:
    """A header's text, without the blanks that pad it."""
    try:
        return str(header.get(tag) or "").strip()
    except Exception:  # pydicom reads values when they are asked for
        return ""


def _write(file: Path, name: str, study: str, header: dict[str, Any], pixels: Any) -> str:
    """Writes a DICOM file and returns its SOP Instance UID; UIDs follow from the names."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    ds = Dataset()
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    ds.SOPInstanceUID = generate_uid(entropy_srcs=["sop", name])
    ds.StudyInstanceUID = generate_uid(entropy_srcs=["study", study])
    for tag, value in header.items():
        setattr(ds, tag, value)
    if pixels is not None:
        ds.Rows, ds.Columns = pixels.shape
        ds.SamplesPerPixel, ds.PixelRepresentation = 1, 0
        ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
        ds.PhotometricInterpretation = header.get("PhotometricInterpretation", "MONOCHROME2")
        ds.PixelData = pixels.astype("<u2").tobytes()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    file.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(file, enforce_file_format=True)
    return str(ds.SOPInstanceUID)
