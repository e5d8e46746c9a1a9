"""Faults planted one by one in a sound source: each is found, named with its file, and nothing else is."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pydicom
import pytest

from muscle.data.check import Checked, check, counts
from muscle.data.data_file import DataFile
from muscle.data.source import Source
from muscle.data.splits import OfficialSplit, PatientSplit
from muscle.parts import known, member
from muscle.types import BoxList, Labels, MaskFiles, MaskRuns, Points, Sample, Target, Value

SICK = Target(name="sick", kind="labels", classes=("no", "yes"))
LUNG = Target(name="lung", kind="mask", classes=("lung",))
FIND = Target(name="find", kind="boxes", classes=("a", "b"))
TIPS = Target(name="tips", kind="points", classes=("left", "right"))
AGE = Target(name="age", kind="value")
TARGETS = (SICK, LUNG, FIND, TIPS, AGE)
WHITE = ((255, 1),)


def sound(i: int, **changes: Any) -> Sample:
    """Film i, 30 x 20 pixels, with a truth of every kind; ``changes`` replace truths, or fields."""
    truths: dict[str, Any] = {
        "sick": Labels((float(i % 2 == 0), float(i % 2))),
        "lung": MaskFiles(((f"masks/{i}.png", WHITE),)),
        "find": BoxList(((1, 1, 9, 9),), (1 + i % 2,)),
        "tips": Points(((3, 3), (math.nan, math.nan))),
        "age": Value(12.0 + i),
    }
    fields: dict[str, Any] = {"patient": f"p{i}", "split": "train"}
    for name, value in changes.items():
        (truths if name in truths else fields)[name] = value
    truths = {name: truth for name, truth in truths.items() if truth is not None}
    return Sample(id="", path=f"{i}.png", source="", annotations=truths, **fields)


@pytest.fixture
def checked(given: Callable[..., Source], tmp_path: Path) -> Callable[..., Checked]:
    def run(
        samples: list[Sample], plant: Callable[[Path], None] = lambda root: None, **options: Any
    ) -> Checked:
        for i in range(len(samples)):
            (tmp_path / "a/masks").mkdir(parents=True, exist_ok=True)
            mask = np.zeros((20, 30), np.uint8)
            mask[5:9, 5:9] = 255
            cv2.imwrite(str(tmp_path / f"a/masks/{i}.png"), mask)
        source = given("a", samples, TARGETS)
        plant(source.folder)
        split = options.pop("split", PatientSplit())
        (found,) = check(DataFile(sources={"a": source}, split=split), workers=0, **options)
        return found

    return run


def faults(found: Checked) -> list[tuple[str, str, str]]:
    return [(fault.level, fault.what, fault.path) for fault in found.faults]


def test_a_sound_source_has_no_fault(checked: Callable[..., Checked]) -> None:
    found = checked([sound(i) for i in range(4)])
    assert faults(found) == [] and found.wrong == 0 and found.decoded == 4
    assert found.counts == {"images": 4, "patients": 4, "part:train": 4, "labels:sick:no": 2, "labels:sick:yes": 2,
                            "mask:lung": 4, "boxes:find": 4, "boxes:find:a": 2, "boxes:find:b": 2, "points:tips": 4,
                            "value:age": 4}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "what", "seen"),
    [
        ({"sick": Labels((0.0, 2.0))}, "label value", "2"),
        ({"sick": Labels((1.0, 1.0))}, "label value", "2 of 2 classes that exclude each other"),
        ({"sick": Labels((1.0, 0.0, 0.0))}, "label value", "3 values for 2 classes"),
        ({"find": BoxList(((5, 5, 5, 9),), (1,))}, "empty box", "(5, 5, 5, 9)"),
        ({"find": BoxList(((5, 5, 32, 9),), (1,))}, "box outside its image", "(5, 5, 32, 9) of 30x20"),
        ({"find": BoxList(((5, 5, 9, 9),), (3,))}, "box label", "3; allowed: 1 to 2"),
        ({"tips": Points(((40, 3), (1, 1)))}, "point outside its image", "(40, 3) of 30x20"),
        ({"tips": Points(((4, 3),))}, "points", "1 for 2 names"),
        ({"age": Value(math.inf)}, "value", "inf is no number"),
        ({"lung": MaskFiles((("masks/9.png", WHITE),))}, "missing mask", "masks/9.png"),
        ({"lung": MaskRuns(20, 31, ((0, 5),))}, "mask of another size", "31x20, its image 30x20"),
        ({"lung": MaskRuns(20, 30, ((598, 5),))}, "mask run", "(598, 5) of 600 pixels"),
    ],
)
def test_a_wrong_truth_is_an_error_of_its_film(
    checked: Callable[..., Checked], change: dict[str, Any], what: str, seen: str
) -> None:
    found = checked([sound(0), sound(1, **change), sound(2), sound(3)])
    errors = [fault for fault in found.faults if fault.level == "error"]
    assert {(fault.what, fault.path) for fault in errors} == {(what, "1.png")}
    assert any(fault.seen == f"{next(iter(change))}: {seen}" and fault.do for fault in errors)


def test_masks_of_another_size_or_level_and_empty_ones(checked: Callable[..., Checked]) -> None:
    def plant(root: Path) -> None:
        cv2.imwrite(str(root / "masks/0.png"), np.full((21, 30), 255, np.uint8))
        cv2.imwrite(str(root / "masks/1.png"), np.full((20, 30), 7, np.uint8))
        cv2.imwrite(str(root / "masks/2.png"), np.zeros((20, 30), np.uint8))
        both = np.full((20, 30), 255, np.uint8)
        both[0] = 127
        cv2.imwrite(str(root / "masks/3.png"), both)

    found = checked([sound(i) for i in range(4)], plant)
    assert faults(found) == [
        ("error", "cannot be used", "1.png"),  # the decoder's own refusal
        ("error", "mask of another size", "0.png"),
        ("warning", "empty mask", "2.png"),
        ("warning", "mask levels not listed", "3.png"),
    ]
    assert "127 taken for background" in found.faults[-1].seen
    scaled = [
        sound(0, lung=MaskFiles((("masks/0.png", WHITE),), scaled=True)),
        *(sound(i) for i in (1, 2, 3)),
    ]
    assert ("error", "mask of another size", "0.png") not in faults(checked(scaled, plant))


def test_missing_torn_and_unused_files(checked: Callable[..., Checked]) -> None:
    def plant(root: Path) -> None:
        (root / "0.png").unlink()
        (root / "1.png").write_bytes(b"no picture")
        data = (root / "2.png").read_bytes()
        (root / "2.png").write_bytes(data[: len(data) // 2])
        cv2.imwrite(str(root / "extra/x.png"), np.zeros((9, 9), np.uint8)) if (
            root / "extra"
        ).mkdir() is None else None

    found = checked([sound(i) for i in range(4)], plant)
    assert faults(found) == [
        ("error", "cannot be used", "2.png"),
        ("error", "missing file", "0.png"),
        ("error", "unreadable file", "1.png"),
        ("warning", "file not used", "extra/x.png"),
    ]
    assert found.decoded == 2  # those that were not found out before
    shallow = checked([sound(i) for i in range(4)], decoded=0)
    assert shallow.decoded == 0


def test_torn_pixels_are_found_when_all_are_decoded(checked: Callable[..., Checked]) -> None:
    def plant(root: Path) -> None:
        data = (root / "3.png").read_bytes()
        (root / "3.png").write_bytes(data[: len(data) // 2])

    samples = [sound(i) for i in range(6)]
    assert faults(checked(samples, plant, decoded=1)) == []
    assert faults(checked(samples, decoded=None)) == [("error", "cannot be used", "3.png")]


def test_equal_files_and_equal_files_with_other_labels(checked: Callable[..., Checked]) -> None:
    def plant(root: Path) -> None:
        shutil.copy(root / "0.png", root / "2.png")
        shutil.copy(root / "1.png", root / "4.png")

    one = {"find": None, "age": None}
    samples = [sound(0, **one), sound(1, **one), sound(2, split="test", **one), sound(3), sound(4, **one)]
    found = checked(samples, plant)
    assert faults(found) == [("error", "duplicate file", "4.png"), ("warning", "duplicate file", "2.png")]
    assert found.faults[0].seen == "the same bytes as 1.png, with another annotation"
    published = checked(samples, plant, split=OfficialSplit())
    assert faults(published)[1:2] == [("error", "duplicate file", "4.png")]
    assert published.faults[0].path == "2.png" and published.faults[0].seen.endswith(
        "in another part of the split"
    )


def test_unknown_contradicts_nothing(checked: Callable[..., Checked]) -> None:
    def plant(root: Path) -> None:
        shutil.copy(root / "0.png", root / "1.png")

    bare = {"find": None, "age": None, "tips": None}
    samples = [sound(0, **bare), sound(1, sick=Labels((math.nan, 0.0)), **bare), sound(2), sound(3)]
    assert [f for f in faults(checked(samples, plant)) if f[1] == "duplicate file"] == [
        ("warning", "duplicate file", "1.png")
    ]


def test_persons_in_two_published_parts(checked: Callable[..., Checked]) -> None:
    samples = [sound(0, patient="x"), sound(1), sound(2, patient="x", split="test"), sound(3)]
    found = checked(samples)
    assert faults(found) == [("warning", "person in two published parts", "0.png")] and found.wrong == 0
    assert found.faults[0].seen == "the same person or group as test: 2.png"
    assert faults(checked(samples, split=OfficialSplit()))[0][0] == "error"


def test_films_that_name_no_patient_are_said_once_with_what_to_do(
    checked: Callable[..., Checked], tmp_path: Path
) -> None:
    """Each would count as a person of its own; a source whose fields can name them says which."""
    found = checked([sound(0), sound(1, patient="a/1.png"), sound(2, patient="a/2.png")])
    (fault,) = found.faults
    assert (fault.level, fault.what) == ("warning", "no patient named")
    assert fault.seen.startswith("2 of 3 images name no patient (first 1.png)")
    assert fault.do.startswith("the publisher does not say")
    folder = member(Source, "folder")
    folder.write_example(tmp_path / "films", 4, 0)
    for pattern, said in (("", True), (r"(\d+)", False)):
        source = folder(root=str(tmp_path / "films"), labels="folder", patient_pattern=pattern)
        (own,) = check(DataFile(sources={"films": source}), workers=0)
        told = [fault for fault in own.faults if fault.what == "no patient named"]
        assert bool(told) == said
        assert not told or told[0].do.startswith("give patient_pattern in the data file")


def test_classes_that_differ_in_case_or_blanks_alone(given: Callable[..., Source]) -> None:
    target = Target(name="sick", kind="labels", classes=("Normal", "pneumonia", "normal ", "pneu monia"))
    samples = [
        Sample(id="", path=f"{i}.png", source="", patient="p", annotations={"sick": Labels(truth)})
        for i, truth in enumerate(((1, 0, 0, 0), (0, 1, 0, 0)))
    ]
    (found,) = check(DataFile(sources={"a": given("a", samples, [target])}), workers=0)
    assert [(f.level, f.what, f.path, f.seen) for f in found.faults] == [
        ("warning", "classes alike", "sick", "'Normal' and 'normal ' are learned as two classes")
    ]


def test_images_without_annotation(checked: Callable[..., Checked]) -> None:
    nothing = dict.fromkeys(("sick", "lung", "find", "tips", "age"))
    few = checked([sound(0), sound(1), sound(2), sound(3, **nothing)])
    assert [f for f in faults(few) if "masks" not in f[2]] == [
        ("warning", "image without annotation", "3.png")
    ]
    assert ("warning", "file not used", "masks/3.png") in faults(few)  # an annotation without its image


class Published(Source):
    """Of a set that was published with counts."""

    published: ClassVar[Any] = {"images": 4, "labels:sick:yes": 2, "patients": 3}
    samples: Any = ()

    def records(self, name: str) -> tuple[list[Sample], list[Target]]:
        found = []
        for s in self.samples:
            truth = {"sick": s.annotations["sick"]}
            found.append(Sample(id=s.path, path=s.path, source=name, patient=s.patient, annotations=truth))
        return found, [SICK]


def test_other_counts_than_published_are_warnings_under_any_name(given: Callable[..., Source]) -> None:
    root = given("a", [sound(i) for i in range(4)]).root
    for rename in ({}, {"sick": "ill"}):
        source = Published(root=root, samples=tuple(sound(i) for i in range(4)), rename=rename)
        (found,) = check(DataFile(sources={"a": source}), workers=0)
        assert faults(found) == [("warning", "other count than published", "patients")]
        assert found.faults[0].seen == "4 of 3"
    source = Published(root=root, samples=tuple(sound(i) for i in range(3)))
    (found,) = check(DataFile(sources={"a": source}), workers=0)
    what = {fault.path: fault.seen for fault in found.faults if fault.what.startswith("other count")}
    assert what == {"images": "a subset: 3 of 4 published images"}
    source = Published(root=root, samples=tuple(sound(i, sick=Labels((0.0, 1.0)) if i else sound(0).annotations["sick"])
                                                for i in (0, 1, 2, 3)))  # fmt: skip
    (found,) = check(DataFile(sources={"a": source}), workers=0)
    more = {
        fault.path: (fault.seen, fault.do) for fault in found.faults if fault.what.startswith("other count")
    }
    assert more["labels:sick:yes"] == ("3 of 2", "look whether this is another release")
    assert more["patients"][0] == "4 of 3" and "persons are read from their names" in more["patients"][1]


class Larger(Published):
    """Of a larger set, of which few are ill."""

    published: ClassVar[Any] = {"images": 9, "labels:sick:yes": 1, "labels:sick:no": 8, "patients": 9}


def test_of_a_subset_only_what_is_too_many_is_said_beside_it(given: Callable[..., Source]) -> None:
    samples = [sound(i) for i in (0, 1, 3)]
    source = Larger(root=given("a", samples).root, samples=tuple(samples))
    (found,) = check(DataFile(sources={"a": source}), workers=0)
    what = {fault.path: fault.seen for fault in found.faults if fault.what.startswith("other count")}
    assert what == {"images": "a subset: 3 of 9 published images", "labels:sick:yes": "2 of 1"}


def test_every_cause_has_its_own_remedy(checked: Callable[..., Checked]) -> None:
    """A mask whose levels the data file does not name is not mended by fetching it again."""

    def plant(root: Path) -> None:
        cv2.imwrite(str(root / "masks/0.png"), np.full((20, 30), 128, np.uint8))
        some = np.full((20, 30), 255, np.uint8)
        some[0] = 128
        cv2.imwrite(str(root / "masks/1.png"), some)
        data = (root / "2.png").read_bytes()
        (root / "2.png").write_bytes(data[: len(data) // 2])

    found = checked([sound(i) for i in range(4)], plant)
    said = {fault.path: (fault.what, fault.seen, fault.do) for fault in found.faults}
    assert said["0.png"] == ("cannot be used", "masks/0.png: holds levels 128, none of the listed 255",
                             "name its levels in the data file (classes, or ignore)")  # fmt: skip
    assert (
        said["1.png"][2]
        == "right if they are background; else name them in the data file (classes, or ignore)"
    )
    assert said["2.png"][0] == "cannot be used" and "get it again" in said["2.png"][2]


def test_files_of_a_neighbouring_source_are_no_extra_files(
    given: Callable[..., Source], tmp_path: Path
) -> None:
    """One below the other, two in one folder, one behind a link: an unused file is told once, by the innermost."""
    outer = given("a", [sound(0), sound(1)], TARGETS[:1])
    inner = given("a/deep", [sound(0), sound(1)], TARGETS[:1])
    for file in ("a/deep/unused.png", "a/unused.png"):
        shutil.copy(tmp_path / "a/0.png", tmp_path / file)
    (tmp_path / "b").mkdir()
    (tmp_path / "b/link").symlink_to(tmp_path / "a/deep", target_is_directory=True)
    linked = given("b", [sound(0), sound(1)], TARGETS[:1]).with_(follow_links=True)
    data = DataFile(sources={"outer": outer, "again": outer, "inner": inner, "linked": linked})
    unused = {
        one.name: [f.path for f in one.faults if f.what == "file not used"] for one in check(data, workers=0)
    }
    assert unused == {
        "outer": ["unused.png"],
        "again": [],
        "inner": ["unused.png"],
        "linked": ["link/unused.png"],
    }


def test_text_burned_in_and_what_is_not_readable(given: Callable[..., Source], tmp_path: Path) -> None:
    ds = pydicom.Dataset()
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = "1.2.3"
    ds.Modality, ds.PhotometricInterpretation, ds.Rows, ds.Columns = "DX", "MONOCHROME2", 20, 30
    ds.SamplesPerPixel, ds.PixelRepresentation, ds.BitsAllocated, ds.BitsStored, ds.HighBit = 1, 0, 8, 8, 7
    for name, said in (("yes.dcm", "YES"), ("no.dcm", "NO"), ("unknown.dcm", None)):
        if said:
            ds.BurnedInAnnotation = said
        elif "BurnedInAnnotation" in ds:
            del ds.BurnedInAnnotation
        ds.Modality = "MR" if said == "NO" else "DX"
        ds.Rows, ds.Columns = (20, 30) if said == "YES" else (70, 64)
        ds.PixelData = bytes(range(128)) * (ds.Rows * ds.Columns // 128) + b"x" * (ds.Rows * ds.Columns % 128)
        (tmp_path / "d").mkdir(exist_ok=True)
        ds.save_as(tmp_path / "d" / name, enforce_file_format=True)
    data = DataFile.parse({"sources": {"d": {"kind": "folder", "root": str(tmp_path / "d")},
                                       "none": {"kind": "kermany", "root": str(tmp_path / "nowhere")}}})  # fmt: skip
    films, none = check(data, workers=0)
    assert [f for f in faults(films) if f[1] == "text burned in"] == [
        ("warning", "text burned in", "yes.dcm")
    ]
    odd = {fault.path: fault.seen for fault in films.faults if fault.what == "no radiograph"}
    assert odd.keys() == {"no.dcm", "yes.dcm"} and films.wrong == 0
    assert odd["no.dcm"].startswith("modality MR") and odd["yes.dcm"].startswith("tiny: 30 x 20")
    assert [fault.what for fault in none.faults] == ["not readable as this kind"] and none.wrong == 1
    assert json.loads(json.dumps([films.as_dict(), none.as_dict()]))[1]["errors"] == 1


def test_counts_leave_unknown_and_absent_out() -> None:
    many = Target(name="m", kind="labels", classes=("a", "b"), exclusive=False)
    samples = [
        Sample(
            id=str(i), path=str(i), source="s", patient="p", study=f"s{i}", annotations={"m": Labels(values)}
        )
        for i, values in enumerate([(1.0, math.nan), (0.0, 1.0), (1.0, 1.0)])
    ]
    assert counts(samples, [many]) == {
        "images": 3,
        "patients": 1,
        "studies": 3,
        "labels:m:a": 2,
        "labels:m:b": 2,
    }


@pytest.mark.parametrize("kind", known(Source))
def test_every_example_passes(kind: str, tmp_path: Path) -> None:
    adapter: Any = member(Source, kind)
    adapter.write_example(tmp_path / "x", 16, seed=2)
    source = adapter.parse({"root": (tmp_path / "x").as_posix(), **adapter.example})
    (found,) = check(DataFile(sources={"mine": source}), decoded=None, workers=0)
    assert [fault for fault in found.faults if fault.level == "error"] == []


@pytest.mark.real
def test_the_real_sets(real_data: Path) -> None:
    dev = (real_data / "dev").as_posix()
    data = DataFile.parse({"sources": {"k": {"kind": "kermany", "root": f"{dev}/chest_xray"},
                                       "bone": {"kind": "yolo", "root": f"{dev}/bone-fracture-roboflow"}}})  # fmt: skip
    kermany, bone = check(data, decoded=2, workers=0)
    assert (kermany.counts["images"], kermany.counts["labels:pneumonia:pneumonia"]) == (537, 343)
    assert kermany.wrong == bone.wrong == 0
    assert {fault.what for fault in bone.faults} == {
        "image without annotation",
        "person in two published parts",
    }
    assert sum(fault.what == "image without annotation" for fault in bone.faults) == 31
