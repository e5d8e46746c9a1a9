"""Scanning a folder in which everything is known, and the layouts of every adapter's example."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from muscle.data.scan import scan
from muscle.data.source import DataFile, Source
from muscle.errors import UsageError, UserError
from muscle.parts import known, member

GREY = np.tile(np.arange(96, dtype=np.uint8), (80, 1))


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def dicom(path: Path, modality: str, **fields: Any) -> None:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.Modality, ds.PatientID, ds.ViewPosition = modality, "Miller^0012", "PA"
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = 80, 96, 1, "MONOCHROME1"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelData = (GREY.astype(np.uint16) * 16).tobytes()
    for name, value in fields.items():
        setattr(ds, name, value)
    ds.save_as(path, enforce_file_format=True)


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    root = tmp_path / "mixed"
    save(root / "a/1.png", GREY)
    save(root / "a/2.PNG", GREY.astype(np.uint16) * 256)
    save(root / "b/3.jpg", np.stack([GREY] * 3, -1))
    save(root / "b/4.tif", GREY)
    colour = np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8).repeat(16, 0).repeat(16, 1)
    save(root / "b/photo.jpg", colour)
    save(root / "icon.png", GREY[:16, :16])
    (root / "b/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (root / "b/empty.jpg").write_bytes(b"")
    dicom(root / "IM0001", "DX")
    dicom(root / "IM0002", "DX")
    dicom(root / "slice.dcm", "MR")
    dicom(root / "film.dcm", "CR", NumberOfFrames=2)
    (root / "list.csv").write_text("a\n1\n")
    (root / "notes.json").write_text("{}")
    (root / "notes.txt").write_text("x")
    (root / "LICENSE").write_text("x")
    return root


def test_a_mixed_folder_is_counted_and_every_odd_file_named(mixed: Path) -> None:
    before = {p: p.read_bytes() for p in mixed.rglob("*") if p.is_file()}
    found = scan(mixed)
    assert {p: p.read_bytes() for p in mixed.rglob("*") if p.is_file()} == before
    assert found.counts == {"csv": 1, "dicom": 4, "jpeg": 2, "json": 1, "other (.txt)": 1, "other (no suffix)": 1,
                            "png": 3, "tiff": 1, "unreadable": 2}  # fmt: skip
    reasons = dict(found.refused)
    for path, reason in {
        "b/broken.png": "unreadable: ",
        "b/empty.jpg": "unreadable: the file is empty",
        "b/photo.jpg": "colour picture: ",
        "film.dcm": "2 frames",
        "icon.png": "tiny: 16 x 16",
        "slice.dcm": "modality MR",
    }.items():
        assert reasons.pop(path).startswith(reason)
    assert not reasons
    assert found.patients == 1
    rows = {(row["folder"], row["type"], row["bits"]): row for row in found.rows()}
    assert rows.keys() == {
        (".", "dicom", "12"),
        ("a", "png", "8"),
        ("a", "png", "16"),
        ("b", "jpeg", "8"),
        ("b", "tiff", "8"),
    }
    row = rows[".", "dicom", "12"]
    assert (row["images"], row["width"], row["height"], row["views"]) == ("2", "96", "80", "PA 2")
    assert (row["modality"], row["photometric"]) == ("DX", "MONOCHROME1")


def test_the_tables_and_the_json_say_the_same(mixed: Path) -> None:
    found = scan(mixed)
    plain = json.loads(json.dumps(found.as_dict()))
    tables = {head[0]: rows for head, rows in found.tables()}
    assert all(len(row) == len(head) for head, rows in found.tables() for row in rows)
    assert {kind: int(n) for n, kind in tables["files"]} == plain["counts"]
    assert [list(row) for row in tables["no radiograph"]] == [[r["path"], r["why"]] for r in plain["refused"]]
    assert len(tables["folder"]) == len(plain["films"]) == 5
    assert plain["patients"] == 1
    assert DataFile.parse(plain["proposal"]) == found.proposal


def test_the_proposed_data_file_loads_and_leaves_the_odd_files_out(mixed: Path, tmp_path: Path) -> None:
    file = tmp_path / "lists/data.yaml"
    file.parent.mkdir()
    found = scan(mixed)
    found.write(file)
    data = DataFile.load(file)
    assert data == found.proposal
    samples, targets = data.read()["mixed"]
    assert [s.path for s in samples] == ["IM0001", "IM0002", "a/1.png", "a/2.PNG", "b/3.jpg", "b/4.tif"]
    assert not targets
    assert samples[0].patient == samples[1].patient  # by the header, and without showing it
    assert "Miller" not in samples[0].patient
    assert "0012" not in file.read_text()
    with pytest.raises(UsageError, match="the file exists"):
        found.write(file)


# what the proposal cannot know and need not say, beside kind and root
PROPOSED: dict[str, dict[str, Any]] = {
    "folder": {"labels": "folder"},
    "table": {"file": "table.csv", "label": "finding", "patient": "patient", "view": "view"},
    "masks": {"images": "images", "masks": "masks"},
    "dicom_folder": {"table": "labels.csv", "id_column": "SOPInstanceUID", "label": "finding"},
}


@pytest.mark.parametrize("kind", known(Source))
def test_the_layout_of_every_example_is_recognized(kind: str, tmp_path: Path) -> None:
    source: Any = member(Source, kind)
    source.write_example(tmp_path / "here", 16, seed=1)
    found = scan(tmp_path / "here")
    assert found.proposal is not None
    proposed = next(iter(found.proposal.sources.values()))
    assert proposed == source.parse({"root": (tmp_path / "here").as_posix(), **PROPOSED.get(kind, {})})
    beside = {s.kind for s in found.proposal.sources.values()} - {kind}
    assert beside == (
        {"kermany"} if kind == "v7_lungs" else set()
    )  # the same films with their other annotation
    assert f"{kind}, 16 images" in found.notes[0]


def test_layouts_side_by_side_are_sources_side_by_side(tmp_path: Path) -> None:
    for kind, name in (("yolo", "bones"), ("kermany", "chests"), ("folder", "hands/ward")):
        source: Any = member(Source, kind)
        source.write_example(tmp_path / "all" / name, 16, seed=1)
    save(tmp_path / "all/loose.png", GREY)
    found = scan(tmp_path / "all")
    assert found.proposal is not None
    assert {n: s.kind for n, s in found.proposal.sources.items()} == {
        "bones": "yolo",
        "chests": "kermany",
        "hands": "folder",
    }
    assert any("1 pictures directly in it belong to no source" in note for note in found.notes)


def test_masks_with_levels_of_their_own_are_proposed_by_level(tmp_path: Path) -> None:
    save(tmp_path / "x/images/1.png", GREY)
    save(tmp_path / "x/masks/1_mask.png", np.where(GREY > 50, 100, 200).astype(np.uint8))
    found = scan(tmp_path / "x")
    assert found.proposal is not None
    source: Any = found.proposal.sources["x"]
    assert (source.suffix, source.classes) == ("_mask", {"level_100": (100,), "level_200": (200,)})


def test_a_layout_that_cannot_be_read_is_noted_and_taken_as_a_folder(tmp_path: Path) -> None:
    save(tmp_path / "x/images/1.png", GREY)
    (tmp_path / "x/data.yaml").write_text("names: []\n")
    found = scan(tmp_path / "x")
    assert found.proposal is not None
    assert [s.kind for s in found.proposal.sources.values()] == ["folder"]
    assert "looks like yolo, but" in found.notes[0]


def test_nothing_to_look_at(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        scan(tmp_path / "no")
    with pytest.raises(UserError, match="empty"):
        scan(tmp_path)
    (tmp_path / "x.txt").write_text("x")
    found = scan(tmp_path)
    assert found.proposal is None
    with pytest.raises(UserError, match="no radiograph found"):
        found.write(tmp_path / "data.yaml")
    assert not (tmp_path / "data.yaml").exists()


@pytest.mark.real
def test_the_real_folder(real_data: Path) -> None:
    found = scan(real_data / "dev")
    assert found.proposal is not None
    kinds = {name: source.kind for name, source in found.proposal.sources.items()}
    assert kinds == {"dev": "v7_lungs", "bone-fracture-roboflow": "yolo", "chest_xray": "kermany", "dicom": "folder",
                     "covid-chestxray-dataset": "table", "dental-xray-roboflow": "yolo"}  # fmt: skip
    assert [path for path, _ in found.refused] == ["dicom/pydicom-data/MR2_J2KR.dcm"]
    assert found.counts["dicom"] == 8
