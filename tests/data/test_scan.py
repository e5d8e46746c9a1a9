"""Scanning a folder in which everything is known, and the layouts of every adapter's example."""

from __future__ import annotations

import json
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicoms import dataset, written
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from muscle.data import signatures
from muscle.data.data_file import DataFile
from muscle.data.scan import scan
from muscle.data.signatures import SIGNATURES
from muscle.data.source import Source
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
    if fields.pop("no_image", False):
        del ds.Rows, ds.Columns, ds.PhotometricInterpretation, ds.PixelData
    for name, value in fields.items():
        setattr(ds, name, value)
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
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
    dicom(root / "slice.dcm", "MR", SOPClassUID="1.2.840.10008.5.1.4.1.1.4")
    dicom(root / "film.dcm", "CR", NumberOfFrames=2)
    dicom(root / "screen.dcm", "OT", PatientID="other")
    dicom(root / "photo.dcm", "CR", PhotometricInterpretation="RGB")
    dicom(root / "report.dcm", "SR", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", no_image=True)
    for name in ("doc.pdf", "all.zip", "clip.mp4", "letter.docx", "list.xlsx"):
        (root / name).write_bytes(b"x")
    (root / "paper.png").write_bytes(b"%PDF-1.7 and so on")
    (root / "raw.IMG").write_bytes(np.zeros((64, 64), ">u2").tobytes())
    save(root / "masks/1.png", (GREY > 50).astype(np.uint8) * 255)
    save(root / "masks/2.png", (GREY > 40).astype(np.uint8) * 255)
    save(root / "masks/film.png", GREY)  # a film in a folder of masks stays one
    save(root / "drawing.png", GREY > 50)
    (root / "list.csv").write_text("a\n1\n")
    (root / "notes.json").write_text("{}")
    (root / "notes.txt").write_text("x")
    (root / "LICENSE").write_text("x")
    return root


def test_a_mixed_folder_is_counted_and_every_odd_file_named(mixed: Path) -> None:
    before = {p: p.read_bytes() for p in mixed.rglob("*") if p.is_file()}
    found = scan(mixed)
    assert {p: p.read_bytes() for p in mixed.rglob("*") if p.is_file()} == before
    assert found.counts == {"csv": 1, "dicom": 7, "jpeg": 2, "json": 1, "text": 1, "other (no suffix)": 1,
                            "png": 7, "tiff": 1, "unreadable": 3, "pdf": 1, "archive": 1, "video": 1, "raw img": 1,
                            "office file": 1, "spreadsheet": 1}  # fmt: skip
    reasons = dict(found.set_aside)
    for path, reason in {
        "b/broken.png": "unreadable: ",
        "b/empty.jpg": "unreadable: the file is empty",
        "b/photo.jpg": "photograph or colour picture: ",
        "film.dcm": "2 frames",
        "icon.png": "tiny: 16 x 16",
        "slice.dcm": "modality MR",
        "screen.dcm": "secondary capture, modality OT",
        "photo.dcm": "secondary capture in colour (RGB)",
        "report.dcm": "DICOM Basic Text SR (SR), no image",
        "paper.png": "unreadable: a PDF by its content",
        "doc.pdf": "PDF",
        "all.zip": "archive",
        "clip.mp4": "video",
        "letter.docx": "office file",
        "masks/1.png": "mask: 2 levels",
        "masks/2.png": "mask: 2 levels",
        "drawing.png": "mask or drawing: black and white only",
    }.items():
        assert reasons.pop(path).startswith(reason)
    assert not reasons
    assert found.patients == 1  # of the films: what is set aside does not count
    rows = {(row["folder"], row["type"], row["bits"]): row for row in found.rows()}
    assert rows.keys() == {
        (".", "dicom", "12"),
        ("a", "png", "8"),
        ("a", "png", "16"),
        ("b", "jpeg", "8"),
        ("b", "tiff", "8"),
        (".", "raw img", "12"),
        ("masks", "png", "8"),
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
    one_each = {path.partition(" and ")[0]: why for path, why in tables["no film"]}
    assert one_each.items() <= {r["path"]: r["why"] for r in plain["set_aside"]}.items()
    assert ("masks/1.png and 1 more in its folder", "mask: 2 levels") in tables["no film"]
    assert len(tables["folder"]) == len(plain["films"]) == 7
    assert plain["patients"] == 1
    assert DataFile.parse(plain["proposal"]) == found.proposal


def test_the_proposed_data_file_loads_and_leaves_the_odd_files_out(mixed: Path, tmp_path: Path) -> None:
    file = tmp_path / "lists/data.yaml"
    file.parent.mkdir()
    found = scan(mixed)
    found.write(file)
    data = DataFile.load(file)
    assert data == found.proposal
    head = file.read_text().splitlines()
    assert head[0].startswith("# Nothing names the persons of mixed.") and "patient_pattern: '" in head[2]
    samples, targets = data.read()["mixed"]
    films = ["IM0001", "IM0002", "a/1.png", "a/2.PNG", "b/3.jpg", "b/4.tif", "masks/film.png"]
    assert [s.path for s in samples] == films
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
    places = [
        tmp_path / "here",
        *(p for p in (tmp_path / "here").iterdir() if p.is_dir()),
    ]  # archives hold a folder
    assert proposed.folder in places
    assert proposed == source.parse({"root": proposed.root, **PROPOSED.get(kind, {})})
    beside = {s.kind for s in found.proposal.sources.values()} - {kind}
    assert beside == (
        {"kermany"} if kind == "v7_lungs" else set()
    )  # the same films with their other annotation
    assert f"{kind}, 16 images" in found.notes[0]


@pytest.mark.parametrize(
    ("films", "masks"), [("images", "masks"), ("CXR_png", "mask"), ("films", "labels_mask")]
)
def test_masks_alone_are_answered_with_the_folder_above(tmp_path: Path, films: str, masks: str) -> None:
    """Where a folder beside holds their films, it is named; a folder of other films is not."""
    for i in range(3):
        save(tmp_path / f"x/{masks}/{i}_mask.png", (i + 50 < GREY).astype(np.uint8) * 255)
        save(tmp_path / f"x/another/film{i}.png", GREY)
    alone = scan(tmp_path / "x" / masks)
    assert alone.proposal is None
    with pytest.raises(UserError, match=r"masks alone, no radiograph; give the folder that holds both"):
        alone.write(tmp_path / "d.yaml")
    for i in range(4):
        save(tmp_path / f"x/{films}/{i}.png", GREY)
    alone = scan(tmp_path / "x" / masks)
    x = tmp_path / "x"
    said = f"masks alone; their films are in {x / films}: give {x}, the folder above, which holds both"
    assert alone.notes == (said,)
    assert (("proposed data file",), [(said,)]) in alone.tables()
    with pytest.raises(UserError, match="give .*, the folder above"):
        alone.write(tmp_path / "d.yaml")


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


def test_a_table_of_names_is_found_for_films_in_folders_that_are_no_classes(tmp_path: Path) -> None:
    """Wards, one after the other in the table; the labels are in it, not in the folders."""
    names = [f"{ward}/{i}.png" for ward in ("north", "south") for i in range(30)]
    for i, name in enumerate(names):
        save(tmp_path / name.replace("/", f"/{name[0]}"), GREY + np.uint8(i))
    lines = [f"{name[0]}{Path(name).name},{i % 2}" for i, name in enumerate(names)]
    (tmp_path / "findings.csv").write_text("\n".join(("file,edema", *lines)))
    found = scan(tmp_path)
    assert found.proposal is not None
    (source,) = found.proposal.sources.values()
    samples, (target,) = source.read("wards")
    assert source.kind == "table" and target.kind == "labels" and len(samples) == 60
    assert {s.path.split("/")[0] for s in samples} == {"north", "south"}


def test_reports_in_a_table_are_no_names_of_films(tmp_path: Path) -> None:
    """Systems refuse to look for a name of more than 255 letters."""
    for i in range(4):
        save(tmp_path / f"ward/{i}.png", GREY + np.uint8(i))
    lines = [f'"{"no focal consolidation, " * 20}{i}",{i}.png,{i % 2}' for i in range(4)]
    (tmp_path / "findings.csv").write_text("\n".join(("report,film,edema", *lines)))
    found = scan(tmp_path)
    assert found.proposal is not None
    assert [s.dump()["image"] for s in found.proposal.sources.values()] == ["film"]


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
                     "covid-chestxray-dataset": "covid_images", "dental-xray-roboflow": "yolo"}  # fmt: skip
    assert {path for path, why in found.set_aside if not why.startswith("mask: 2 levels")} == {
        "dicom/pydicom-data/MR2_J2KR.dcm", "msd_lung_2mm/val_patches.h5"}  # fmt: skip
    assert len(found.set_aside) == 537 + 2
    assert found.counts["dicom"] == 8


def test_what_names_give_away_is_said_and_not_repeated(tmp_path: Path) -> None:
    dicom(tmp_path / "Miller^0012_knee.dcm", "DX")
    dicom(tmp_path / "plain 12.dcm", "DX", PatientID="12")  # too short to tell from any number
    uid = "1.2.826.0.1.3680043.8.498.1"
    dicom(tmp_path / f"{uid}.dcm", "DX", SOPInstanceUID=uid, PatientID="other")
    save(tmp_path / "1.2.840.113619.2.5.1762583153.png", GREY)
    save(tmp_path / "version 1.2.3.png", GREY)
    notes = [note for note in scan(tmp_path).notes if note.startswith("privacy: ")]
    assert [note.partition(";")[0] for note in notes] == [
        "privacy: the paths of 1 files hold a Patient ID",
        "privacy: the paths of 2 files hold a UID",
    ]
    assert not any(secret in " ".join(notes) for secret in ("Miller", "0012", uid))


def test_body_parts_by_header_and_by_name(tmp_path: Path) -> None:
    root = tmp_path / "films"
    dicom_folder = root / "x"
    dicom_folder.mkdir(parents=True)
    dicom(dicom_folder / "a.dcm", "DX", BodyPartExamined="CHEST")
    save(root / "XR_ELBOW/1.png", GREY)
    save(root / "wrist and hand/1.png", GREY)
    rows = {row["folder"]: row["body parts"] for row in scan(root).rows()}
    assert rows == {"x": "chest 1", "XR_ELBOW": "elbow? 1", "wrist and hand": ""}


def test_grey_films_in_colour_channels_stay_and_a_folder_of_photographs_goes(tmp_path: Path) -> None:
    """More pictures than are looked at: the rest is as those; of a mixed folder each is looked at."""
    colour = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8).repeat(16, 0).repeat(16, 1)
    for i in range(70):
        save(tmp_path / f"grey/{i}.jpg", np.stack([GREY] * 3, -1))
        save(tmp_path / f"photos/{i}.jpg", colour)
        save(tmp_path / f"mixed/{i}.jpg", colour if i % 2 else np.stack([GREY] * 3, -1))
    found = scan(tmp_path)
    gone = [path for path, why in found.set_aside if why.startswith("photograph")]
    assert sorted(gone) == sorted(
        [f"photos/{i}.jpg" for i in range(70)] + [f"mixed/{i}.jpg" for i in range(1, 70, 2)]
    )
    assert found.proposal is not None
    (source,) = found.proposal.sources.values()
    exclude: Any = source.dump()["exclude"]
    assert "photos/*" in exclude and len(exclude) == 36
    assert len(source.read("x")[0]) == 70 + 35


def test_sideways_names_are_excluded_as_they_are(tmp_path: Path) -> None:
    save(tmp_path / "a/[1].png", GREY[:10, :10])
    save(tmp_path / "a/1.png", GREY)
    found = scan(tmp_path)
    assert found.proposal is not None
    assert [s.path for s in found.proposal.read().popitem()[1][0]] == ["a/1.png"]


def test_signatures_of_public_sets_that_have_adapters() -> None:
    """Every adapter of a public set is told by a signature or by a recognizer of its own."""
    public = {kind for kind in known(Source) if getattr(member(Source, kind), "licence", "")}
    assert public - {kind for kind, _ in SIGNATURES} <= {"kermany", "v7_lungs"}


def test_a_signature_needs_all_of_its_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signatures, "known", lambda _: ("mura", "shenzhen", "chest_xray_masks"))
    (tmp_path / "CXR_png").mkdir()
    (tmp_path / "masks").mkdir()
    assert signatures.published(tmp_path) == []
    (tmp_path / "CXR_png/CHNCXR_0001_0.png").touch()
    assert signatures.published(tmp_path) == ["shenzhen"]
    (tmp_path / "masks/CHNCXR_0001_0_mask.png").touch()
    assert signatures.published(tmp_path) == ["chest_xray_masks", "shenzhen"]
    (tmp_path / "Data_Entry_2017.csv").touch()  # a kind without an adapter here
    assert signatures.published(tmp_path) == ["chest_xray_masks", "shenzhen"]


def test_formats_that_run_programs_are_not_opened(tmp_path: Path) -> None:
    """PostScript by the name of a picture: Pillow would have it drawn by another program."""
    Image.new("RGB", (200, 200), "red").save(tmp_path / "x.eps")
    (tmp_path / "x.eps").rename(tmp_path / "x.png")
    ((path, why),) = scan(tmp_path).set_aside
    assert path == "x.png" and why.startswith("unreadable")


def test_a_deflated_file_is_not_inflated_for_its_header(tmp_path: Path) -> None:
    """200 MB of zeros in 200 kB; a header takes what is in front of them."""
    ds = dataset(np.zeros((64, 64), np.uint16), 12)
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    content = written(tmp_path / "x.dcm", ds).read_bytes()
    start = 144 + pydicom.dcmread(tmp_path / "x.dcm").file_meta.FileMetaInformationGroupLength
    squeezer = zlib.compressobj(9, wbits=-15)
    bomb = squeezer.compress(zlib.decompress(content[start:], -15))
    bomb += b"".join(squeezer.compress(bytes(10**6)) for _ in range(200)) + squeezer.flush()
    (tmp_path / "x.dcm").write_bytes(content[:start] + bomb)
    tracemalloc.start()
    (film,) = scan(tmp_path).films
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (film.width, film.height, film.problem) == (64, 64, "") and peak < 60e6
