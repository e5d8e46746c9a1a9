"""Films that are frames of one file: pages of a TIFF and frames of a DICOM file, from the records to the audit."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicoms import dicom
from PIL import Image

from muscle.data.check import check
from muscle.data.corpus import Corpus
from muscle.data.data_file import DataFile
from muscle.data.decode import Decode
from muscle.data.histogram import histograms
from muscle.data.normalization import ZScore
from muscle.data.scan import scan
from muscle.data.splits import PatientSplit
from muscle.data.store import Store
from muscle.errors import UsageError
from muscle.types import Labels, Sample

SIDE = 64
BLACK = np.zeros((SIDE, SIDE), np.uint8)


def picture(seed: int) -> np.ndarray:
    """Blots, so that a picture has coarse and fine detail, and no two are alike."""
    return np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE), np.uint8)


def pages(file: Path, *pixels: np.ndarray) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    first, *rest = map(Image.fromarray, pixels)
    first.save(file, save_all=True, append_images=rest)
    return file


def run_of(file: Path, *pixels: np.ndarray, **fields: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    many = {"NumberOfFrames": len(pixels), "PixelData": b"".join(p.tobytes() for p in pixels)}
    return dicom(file, pixels[0], 8, **(many | fields))


def tree(root: Path) -> Path:
    pages(root / "no/a.tif", picture(1), picture(2), picture(3))
    pages(root / "no/b.png", picture(4))
    run_of(root / "yes/c.dcm", picture(5), picture(6), PatientID="P1")
    run_of(root / "yes/d.dcm", picture(7), PatientID="P1")
    return root


def given(root: Path, **fields: Any) -> DataFile:
    return DataFile.parse(
        {"sources": {"f": {"kind": "folder", "root": root.as_posix(), "frames": "each", **fields}}}
    )


def read(file: DataFile) -> list[Sample]:
    ((samples, _),) = file.read().values()
    return samples


def prepared(file: DataFile, where: Path, **fields: Any) -> Corpus:
    return Corpus.prepare(file, (SIDE, SIDE), Decode(**fields), "stretch", where, workers=0)


def test_each_frame_is_a_film_with_the_patient_and_the_truth_of_its_file(tmp_path: Path) -> None:
    samples = read(given(tree(tmp_path), labels="folder"))
    assert [s.id for s in samples] == [
        "f/no/a.tif#1", "f/no/a.tif#2", "f/no/a.tif#3", "f/no/b.png", "f/yes/c.dcm#1", "f/yes/c.dcm#2",
        "f/yes/d.dcm",
    ]  # fmt: skip
    assert [s.frame for s in samples] == [1, 2, 3, 0, 1, 2, 0]
    assert all(f"f/{s.picture}" == s.id and (tmp_path / s.path).is_file() for s in samples)
    assert [s.patient for s in samples[:4]] == ["f/no/a.tif"] * 3 + ["f/no/b.png"]
    assert len({s.patient for s in samples[4:]}) == 1  # two files of one person
    assert [s.annotations["f"] for s in samples] == [Labels((1, 0))] * 4 + [Labels((0, 1))] * 3
    assert len(read(given(tmp_path, frames="file"))) == 4
    with pytest.raises(UsageError, match="frames: given 'all'"):
        given(tmp_path, frames="all")
    with pytest.raises(UsageError, match="frames: unknown field"):  # a row of a table is a file
        DataFile.parse({"sources": {"t": {"kind": "table", "root": ".", "frames": "each"}}})


def test_frames_of_a_dicom_folder_share_what_the_header_and_the_table_say(tmp_path: Path) -> None:
    run_of(tmp_path / "a.dcm", picture(1), picture(2), SOPInstanceUID="1.2.1", StudyInstanceUID="1.9")
    run_of(tmp_path / "b.dcm", picture(3), SOPInstanceUID="1.2.2", StudyInstanceUID="1.8")
    (tmp_path / "t.csv").write_text("SOPInstanceUID,finding\n1.2.1,yes\n1.2.2,no\n")
    fields = {"kind": "dicom_folder", "table": "t.csv", "label": "finding"}
    first, second, third = read(given(tmp_path, **fields))
    assert (first.id, second.id, third.id) == ("f/a.dcm#1", "f/a.dcm#2", "f/b.dcm")
    assert (first.patient, first.study, first.annotations) == (
        second.patient,
        second.study,
        second.annotations,
    )
    assert first.annotations != third.annotations and first.patient != third.patient


def test_rows_are_the_frames_and_all_of_a_file_are_in_one_part(tmp_path: Path) -> None:
    """Oracle: the arrays that were written; 8 bits are stored as they are."""
    for i in range(20):
        pages(
            tmp_path / f"f/{'no' if i % 2 else 'yes'}/{i:02}.tif", *(picture(100 * i + j) for j in range(3))
        )
    run_of(tmp_path / "f/no/x.dcm", picture(5), picture(6))
    corpus = prepared(given(tmp_path / "f", labels="folder"), tmp_path / "s")
    (store,) = corpus.stores
    assert len(store) == 62 and not store.quarantine
    rows = dict(zip(store.strings("id"), store.images, strict=True))
    for i in range(20):
        for j in range(3):
            found = rows[f"f/{'no' if i % 2 else 'yes'}/{i:02}.tif#{j + 1}"]
            assert np.array_equal(found, picture(100 * i + j))
    assert np.array_equal(rows["f/no/x.dcm#2"], picture(6))
    assert len(set(store.strings("file_hash"))) == 62  # no frame is the bytes of another
    parts: dict[str, set[str]] = {}
    for path, part in zip(store.strings("path"), store.strings("split"), strict=True):
        parts.setdefault(path, set()).add(part)
    assert all(len(mine) == 1 for mine in parts.values())
    assert set.union(*parts.values()) == {"train", "valid", "test"}
    assert not corpus.audit().pairs
    assert len(corpus.pool) == store.strings("split").count("train")


def test_what_the_decoder_says_of_frames_holds_for_the_rest(tmp_path: Path) -> None:
    tree(tmp_path / "f")
    (refused,) = prepared(given(tmp_path / "f", frames="file"), tmp_path / "s").stores
    assert [path for path, _ in refused.quarantine] == ["no/a.tif", "yes/c.dcm"]
    (first,) = prepared(given(tmp_path / "f", frames="file"), tmp_path / "s", frames="first").stores
    assert len(first) == 4 and np.array_equal(first.images[0], picture(1))
    (each,) = prepared(given(tmp_path / "f"), tmp_path / "s", frames="first").stores
    assert len(each) == 7 and np.array_equal(each.images[2], picture(3))


def test_a_frame_that_cannot_be_decoded_is_set_aside_alone(tmp_path: Path) -> None:
    """A header that states more frames than there are pixels refuses them; a page that is no film leaves the others."""
    pages(tmp_path / "f/a.tif", picture(1), picture(2))
    deep = Image.fromarray(np.full((4, 4), np.nan, np.float32))
    Image.fromarray(picture(3)).save(tmp_path / "f/b.tif", save_all=True, append_images=[deep])
    run_of(tmp_path / "f/c.dcm", picture(4), picture(5), NumberOfFrames=3)
    run_of(tmp_path / "f/d.dcm", picture(4), NumberOfFrames=10**9)
    (store,) = prepared(given(tmp_path / "f"), tmp_path / "s").stores
    assert store.strings("id") == ["f/a.tif#1", "f/a.tif#2", "f/b.tif#1"]
    why = dict(store.quarantine)
    assert list(why) == ["b.tif#2", "c.dcm#1", "c.dcm#2", "c.dcm#3", "d.dcm"]
    assert why["b.tif#2"] == "no pixel is a number" and "bytes of pixels" in why["c.dcm#1"]
    assert why["d.dcm"].startswith("1000000000 frames; allowed: one")


def test_copies_of_frames_are_leaks_and_frames_of_one_file_are_none(tmp_path: Path) -> None:
    """A file whose copy is tested on, frame by frame; equal frames of one file are learned from once."""
    for part, copies in (("train", 1), ("test", 1)):
        pages(tmp_path / f"f/{part}/no/a.tif", picture(1), picture(2))
        pages(tmp_path / f"f/{part}/yes/{part}.tif", *(picture(len(part)) for _ in range(2 * copies)))
    pages(tmp_path / "f/test/no/alone.png", picture(1))
    file = given(tmp_path / "f", labels="folder").with_(split="official")
    corpus = prepared(file, tmp_path / "s")
    found = {(p.first, p.second): p.rule for p in corpus.audit().pairs}
    assert found == {
        ("f/test/no/a.tif#1", "f/train/no/a.tif#1"): "bytes",
        ("f/test/no/a.tif#2", "f/train/no/a.tif#2"): "bytes",
        ("f/test/no/a.tif#1", "f/test/no/alone.png"): "pixels",
        ("f/test/yes/test.tif#1", "f/test/yes/test.tif#2"): "pixels",
        ("f/train/yes/train.tif#1", "f/train/yes/train.tif#2"): "pixels",
    }
    assert corpus.audit().to_leave_out() == ["f/train/no/a.tif#1", "f/train/no/a.tif#2"]
    (tmp_path / "list.txt").write_text("f/train/no/a.tif#2\n")
    left = prepared(file.with_(exclude=str(tmp_path / "list.txt")), tmp_path / "s")
    assert "f/train/no/a.tif#2" not in left.all_rows.ids and "f/train/no/a.tif#1" in left.all_rows.ids


def test_frames_in_the_pool_are_pruned_where_they_are_one_picture(tmp_path: Path) -> None:
    pages(tmp_path / "f/no/a.tif", picture(1), picture(1), picture(2))
    assert prepared(given(tmp_path / "f"), tmp_path / "s").pool.ids == ["f/no/a.tif#1", "f/no/a.tif#3"]


def test_check_scan_and_histogram_speak_of_frames(tmp_path: Path) -> None:
    tree(tmp_path / "f")
    shutil.copy(tmp_path / "f/no/a.tif", tmp_path / "f/yes/copy.tif")
    run_of(tmp_path / "f/yes/e.dcm", picture(8), picture(9), BurnedInAnnotation="YES")
    run_of(tmp_path / "f/yes/g.dcm", picture(8), NumberOfFrames=2)
    (found,) = check(given(tmp_path / "f", labels="folder"), workers=0)
    assert found.counts["images"] == 14
    seen = [(fault.level, fault.what, fault.path) for fault in found.faults]
    assert seen == [
        ("error", "cannot be used", "yes/g.dcm#1"), ("error", "cannot be used", "yes/g.dcm#2"),
        ("error", "duplicate file", "yes/copy.tif"), ("warning", "no patient named", "images"),
        ("warning", "text burned in", "yes/e.dcm"),
    ]  # fmt: skip
    each = "; to take each for a film, set frames: each and take it out of exclude"
    aside = dict(scan(tmp_path / "f").set_aside)
    assert aside["no/a.tif"] == f"3 frames{each}" and aside["yes/c.dcm"] == f"2 frames{each}"
    looked = histograms(given(tmp_path / "f"), Decode(), ZScore(), workers=0)
    assert looked.films == {"f": 12}
    assert [path for _, path, _ in looked.set_aside] == ["yes/g.dcm#1", "yes/g.dcm#2"]


def test_frames_are_taken_from_another_store_and_one_that_moved_is_found(tmp_path: Path) -> None:
    pages(tmp_path / "f/a.tif", picture(1), picture(2))
    (first,) = prepared(given(tmp_path / "f"), tmp_path / "s").stores
    pages(tmp_path / "f/b.tif", picture(3), picture(4))
    os.utime(tmp_path / "f/a.tif", ns=(1, 1))
    (second,) = prepared(given(tmp_path / "f"), tmp_path / "s").stores
    assert second.path != first.path and np.array_equal(second.images[:2], first.images)
    assert np.array_equal(second.images[3], picture(4))
    assert second.strings("file_hash")[:2] == first.strings("file_hash")


SCRIPT = """
import os, signal, sys
from pathlib import Path
from muscle.data import journal
from muscle.data.decode import Decode
from muscle.data.prepare import prepare
from muscle.data.data_file import DataFile
from muscle.data.splits import PatientSplit
journal.COMMIT = 2
source = DataFile.parse({"sources": {"f": {"kind": "folder", "root": sys.argv[1], "frames": "each"}}}).sources["f"]
def progress(done, total):
    print(done, flush=True)
    if done == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
prepare("f", source, PatientSplit(), (64, 64), Decode(), Path(sys.argv[2]), workers=0, progress=progress)
"""


def test_a_killed_run_goes_on_within_a_file(tmp_path: Path) -> None:
    """Oracle: an unbroken run."""
    pages(tmp_path / "f/a.tif", *(picture(i) for i in range(7)))
    (tmp_path / "script.py").write_text(SCRIPT)

    def run(where: str, stop: int) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, tmp_path / "script.py", tmp_path / "f", tmp_path / where, str(stop)]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.run(
            words, env=environment, capture_output=True, text=True, timeout=100, check=False
        )

    assert run("s", 5).returncode == -signal.SIGKILL
    again = run("s", 0)
    assert again.returncode == 0 and again.stdout.split() == ["5", "6", "7"], again.stderr
    assert run("whole", 0).returncode == 0
    ((mine, wanted),) = zip((tmp_path / "s").glob("f-*/"), (tmp_path / "whole").glob("f-*/"), strict=True)
    assert Store.open(mine).digest == Store.open(wanted).digest
    for name in ("images.npy", "index.arrow"):
        assert (mine / name).read_bytes() == (wanted / name).read_bytes()


def test_a_split_by_person_never_parts_a_file(tmp_path: Path) -> None:
    samples = [Sample(id=f"f/{i}#{n}", path=f"{i}", source="f", patient=f"f/{i}", frame=n)
               for i in range(50) for n in (1, 2, 3)]  # fmt: skip
    parts = PatientSplit().parts(samples, [])
    assert all(
        len({p for s, p in zip(samples, parts, strict=True) if s.path == str(i)}) == 1 for i in range(50)
    )
