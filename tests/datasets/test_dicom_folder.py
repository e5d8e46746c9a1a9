"""A tree of DICOM files, written here by pydicom, with tables by UID and path."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from muscle.datasets.dicom_folder import DicomFolder
from muscle.errors import UsageError, UserError
from muscle.types import Labels, Value


def film(file: Path, uid: str, **header: Any) -> Path:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID, ds.StudyInstanceUID = (
        "1.2.840.10008.5.1.4.1.1.1",
        uid,
        uid.rsplit(".", 1)[0],
    )
    ds.Modality, ds.Rows, ds.Columns, ds.SamplesPerPixel = "CR", 4, 4, 1
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.PixelData = np.arange(16, dtype=np.uint8).tobytes()
    for tag, value in header.items():
        if value is None:
            delattr(ds, tag)
        else:
            setattr(ds, tag, value)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(file, enforce_file_format=True)
    return file


def tree(root: Path) -> Path:
    film(root / "a/1.dcm", "1.2.1.1", PatientID=" P7", ViewPosition=" PA", BodyPartExamined="CHEST")
    film(root / "a/2.DCM", "1.2.1.2", PatientID="P7", Modality="DX")
    film(root / "test/IM3", "1.2.2.1")
    return root


def hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read(root: Path, text: str = "", **fields: Any) -> dict[str, Any]:
    """What the one target says of each film; ``text`` is the table."""
    if text:
        (root / "t.csv").write_bytes(("\ufeff" + text.replace("\n", "\r\n")).encode())
        fields |= {"table": "t.csv"}
    samples, _ = DicomFolder.parse({"root": root.as_posix(), **fields}).read("d")
    return {s.path: next(iter(s.annotations.values()), None) for s in samples}


def test_headers_give_person_study_view_and_part(tmp_path: Path) -> None:
    samples, targets = DicomFolder(root=tree(tmp_path).as_posix(), body_part="wrist").read("d")
    assert not targets
    assert [(s.path, s.patient, s.study, s.view, s.body_part, s.split) for s in samples] == [
        ("a/1.dcm", f"dicom:{hashed('P7')}", hashed("1.2.1"), "PA", "chest", None),
        ("a/2.DCM", f"dicom:{hashed('P7')}", hashed("1.2.1"), "", "wrist", None),
        ("test/IM3", f"dicom:study-{hashed('1.2.2')}", hashed("1.2.2"), "", "wrist", "test"),
    ]


def test_headers_give_sex_age_and_scanner_for_subgroups(tmp_path: Path) -> None:
    film(
        tmp_path / "1.dcm",
        "1.2.1.1",
        PatientSex="F",
        PatientAge="067Y",
        Manufacturer="Acme ",
        ManufacturerModelName="X1",
    )
    film(tmp_path / "2.dcm", "1.2.1.2", PatientSex="O", Manufacturer="Acme")
    samples, _ = DicomFolder(root=tmp_path.as_posix()).read("d")
    assert [(s.sex, s.age, s.scanner) for s in samples] == [("F", 67.0, "Acme X1"), ("", None, "Acme")]


def test_what_is_no_radiograph_is_left_out(tmp_path: Path) -> None:
    film(tree(tmp_path) / "ct.dcm", "1.3.1.1", Modality="CT")
    film(tmp_path / "none.dcm", "1.3.1.2", Modality=None)
    film(tmp_path / "sr.dcm", "1.3.1.3", Modality="SR", Rows=None, Columns=None, PixelData=None)
    film(
        tmp_path / "DICOMDIR", "1.3.1.4", Modality=None, Rows=None, PixelData=None, DirectoryRecordSequence=[]
    )
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "a/1.jpg")
    (tmp_path / "._1.dcm").write_bytes(b"\0\5\26\7")
    assert list(read(tmp_path)) == ["a/1.dcm", "a/2.DCM", "test/IM3"]
    assert list(read(tmp_path, modalities=("CT",))) == ["ct.dcm"]


def test_a_damaged_film_stays_for_prepare_to_name(tmp_path: Path) -> None:
    whole = film(tree(tmp_path) / "b/1.dcm", "1.4.1.1").read_bytes()
    (tmp_path / "b/1.dcm").write_bytes(whole[:200])
    (tmp_path / "b/2.dcm").write_bytes(b"")
    assert list(read(tmp_path)) == ["a/1.dcm", "a/2.DCM", "b/1.dcm", "b/2.dcm", "test/IM3"]


def test_labels_by_film_study_and_path(tmp_path: Path) -> None:
    tree(tmp_path)
    by_film = read(tmp_path, "SOPInstanceUID;kind\n1.2.1.1;a\n1.2.2.1;b\n9.9;a\n;b\n;a\n", label="kind")
    assert by_film == {"a/1.dcm": Labels((1.0, 0.0)), "a/2.DCM": None, "test/IM3": Labels((0.0, 1.0))}
    by_study = read(tmp_path, "study,tb,fluid\n1.2.1,1,\n1.2.2,0,-1\n", labels=["tb", "fluid"], unknown=["", -1],
                    by="study", id_column="study", targets=["d"])  # fmt: skip
    assert {path: truth.values[0] for path, truth in by_study.items()} == {
        "a/1.dcm": 1,
        "a/2.DCM": 1,
        "test/IM3": 0,
    }
    by_path = read(tmp_path, "path,age\na\\1.dcm,61\n./test/IM3,7.5\n", value="age", by="path")
    assert by_path == {"a/1.dcm": Value(61.0), "a/2.DCM": None, "test/IM3": Value(7.5)}


def test_the_tables_person_counts_before_the_headers(tmp_path: Path) -> None:
    """Where export tools wrote one Patient ID into every file, the table knows better."""
    tree(tmp_path)
    (tmp_path / "t.csv").write_text("SOPInstanceUID,who,age\n1.2.1.1,12,3\n1.2.1.2,,4\n")
    source = DicomFolder(root=tmp_path.as_posix(), table="t.csv", value="age", patient="who")
    assert [s.patient for s in source.read("d")[0]][:2] == ["d:12", f"dicom:{hashed('P7')}"]
    assert source.with_(collection="clinic").read("d")[0][1].patient == f"clinic:{hashed('P7')}"


def test_wrong_tables_are_named(tmp_path: Path) -> None:
    tree(tmp_path)
    with pytest.raises(UserError, match=r"t.csv line 2: none of the 1 rows fits by sop, such as '1.2.1'"):
        read(tmp_path, "SOPInstanceUID,kind\n1.2.1,a\n", label="kind")
    with pytest.raises(UserError, match=r"t.csv line 3: SOPInstanceUID '1.2.1.1' stands there twice"):
        read(tmp_path, "SOPInstanceUID,kind\n1.2.1.1,a\n1.2.1.1,b\n", label="kind")
    with pytest.raises(UserError, match=r"t.csv: no column 'StudyInstanceUID'; it has: SOPInstanceUID, kind"):
        read(tmp_path, "SOPInstanceUID,kind\n1.2.1.1,a\n", label="kind", by="study")
    with pytest.raises(UserError, match=r"t.csv line 2 column kind: unknown label 'c'; allowed: a, b"):
        read(tmp_path, "SOPInstanceUID,kind\n1.2.1.1,c\n", label="kind", classes=["a", "b"])
    with pytest.raises(UsageError, match=r"columns kind are named, but no table"):
        DicomFolder(root=tmp_path.as_posix(), label="kind").read("d")


def test_no_identity_is_kept(tmp_path: Path) -> None:
    film(
        tmp_path / "1.dcm",
        "1.2.77.1",
        PatientID="SECRET7",
        PatientName="Secret^Name",
        PatientBirthDate="19701231",
    )
    assert not [word for word in ("SECRET", "Secret", "1970", "1.2.77") if word in repr(DicomFolder(
        root=tmp_path.as_posix()).read("d"))]  # fmt: skip


@pytest.mark.real
def test_real_radiographs_without_the_real_slice(real_data: Path) -> None:
    """Counted by hand: one DX, one RG and five hips, and an MR slice that is none; two headers name the body part."""
    samples, _ = DicomFolder(root=(real_data / "dev/dicom").as_posix()).read("d")
    assert len(samples) == len({s.patient for s in samples}) == 7
    assert not any("MR2" in s.path for s in samples)
    assert [s.body_part for s in samples if s.body_part] == ["thorax", "chest"]
    assert all(s.patient.startswith("dicom:") and s.study for s in samples)
