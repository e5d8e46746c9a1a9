"""What every adapter must do, over every file of ``muscle.datasets``; and the counts of the real data sets."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from muscle.data.corpus import Corpus
from muscle.data.data_file import DataFile
from muscle.data.decode import Decode, decode, decode_mask, image_size
from muscle.data.source import Source
from muscle.data.split_file import make
from muscle.data.splits import PatientSplit
from muscle.parts import known, member
from muscle.types import BoxList, Labels, MaskFiles, MaskRuns, Points, Sample, Target, Value
from muscle.yaml_text import from_yaml

KINDS = known(Source)


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Source:
    kind: str = request.param
    root = tmp_path_factory.mktemp(kind)
    adapter: Any = member(Source, kind)
    adapter.write_example(root, 16, seed=3)
    return adapter.parse({"root": root.as_posix(), **adapter.example})  # type: ignore[no-any-return]


def all_kinds(test: Any) -> Any:
    return pytest.mark.parametrize("example", KINDS, indirect=True)(test)


@all_kinds
def test_the_records_are_sound(example: Source) -> None:
    samples, targets = example.read("mine")
    assert len(samples) == 16
    ids = [sample.id for sample in samples]
    assert ids == sorted(set(ids))
    assert targets
    assert len({target.name for target in targets}) == len(targets)
    by_name = {target.name: target for target in targets}
    for sample in samples:
        assert sample.id == f"mine/{sample.path}"
        assert sample.source == "mine"
        assert sample.patient and bool(sample.collection) == sample.names_patient
        assert "\\" not in sample.path
        assert (example.folder / sample.path).resolve().is_relative_to(example.folder.resolve())
        assert decode(example.folder / sample.path, Decode()).pixels.max() > 0
        for name, annotation in sample.annotations.items():
            check(annotation, by_name[name], example.folder, sample)
    assert {name for sample in samples for name in sample.annotations} == set(by_name)


def check(annotation: Any, target: Target, root: Path, sample: Sample) -> None:
    if target.kind == "labels":
        assert isinstance(annotation, Labels)
        assert len(annotation.values) == len(target.classes)
        assert not target.exclusive or sum(annotation.values) == 1
    elif isinstance(annotation, MaskRuns):
        assert target.kind == "mask" and 1 <= annotation.value <= len(target.classes)
        assert (annotation.width, annotation.height) == image_size(root / sample.path)
        pixels = annotation.width * annotation.height
        assert all(0 <= first < first + length <= pixels for first, length in annotation.runs)
    elif target.kind == "mask":
        assert isinstance(annotation, MaskFiles)
        for file, levels in annotation.files:
            mask = decode_mask(root / file, levels)
            assert annotation.scaled or mask.shape == decode(root / sample.path, Decode()).pixels.shape
            assert set(np.unique(mask)) - {0, 255} == {value for _, value in levels} - {255}
    elif target.kind == "boxes":
        assert isinstance(annotation, BoxList)
        assert len(annotation.xyxy) == len(annotation.label)
        width, height = image_size(root / sample.path)
        assert all(0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height for x0, y0, x1, y1 in annotation.xyxy)
        assert set(annotation.label) <= set(range(1, len(target.classes) + 1))
    elif target.kind == "points":
        assert isinstance(annotation, Points)
        assert len(annotation.xy) == len(target.classes)
        width, height = image_size(root / sample.path)
        assert all(0 <= x <= width and 0 <= y <= height for x, y in annotation.xy if not math.isnan(x))
    else:
        assert isinstance(annotation, Value)


@all_kinds
def test_two_readings_agree(example: Source) -> None:
    assert example.read("mine") == example.read("mine")


@all_kinds
def test_yaml_round_trip_is_byte_stable_and_the_kind_is_the_file(example: Source) -> None:
    data = DataFile(sources={"mine": example})
    assert DataFile.parse(from_yaml(data.yaml())) == data
    assert DataFile.parse(from_yaml(data.yaml())).yaml() == data.yaml()
    assert type(example).__module__ == f"muscle.datasets.{example.kind}"


@all_kinds
def test_examples_are_equal_for_equal_seeds_only(example: Source, tmp_path: Path) -> None:
    kind = type(example)
    for folder, seed in (("a", 5), ("b", 5), ("c", 6)):
        kind.write_example(tmp_path / folder, 4, seed)
    content = {
        folder: {
            p.relative_to(tmp_path / folder): p.read_bytes()
            for p in sorted((tmp_path / folder).rglob("*"))
            if p.is_file()
        }
        for folder in "abc"
    }
    assert content["a"] == content["b"]
    assert content["a"] != content["c"]


@all_kinds
def test_no_patient_is_in_two_parts(example: Source) -> None:
    samples, targets = example.read("mine")
    for split in (PatientSplit(valid=0.3, test=0.3), PatientSplit(valid=0.3, test=0.3, seed=1)):
        parts: dict[str, set[str]] = defaultdict(set)
        for sample, part in zip(samples, split.assign(samples, targets), strict=True):
            parts[sample.patient].add(part)
        assert all(len(found) == 1 for found in parts.values())
    file = DataFile(sources={"mine": example, "again": example.with_(collection=example.collection or "c")})
    parts = defaultdict(set)
    made = make(file)
    for sample, part in zip(made.samples, made.parts, strict=True):
        parts[sample.patient].add(part)
    assert all(len(found) == 1 for found in parts.values())


@all_kinds
def test_prepare_and_audit_pass(example: Source, tmp_path: Path) -> None:
    corpus = Corpus.prepare(DataFile(sources={"mine": example}), (64, 64), Decode(), "stretch", tmp_path, 0)
    assert len(corpus.stores[0]) == 16 and not corpus.stores[0].quarantine
    assert not corpus.leaks
    assert corpus.audit().films == 16


# --- the real data sets ---------------------------------------------------------------------------------------


def real(folder: Path, kind: str, root: str, **fields: Any) -> tuple[list[Sample], list[Target]]:
    source = member(Source, kind).parse({"root": (folder / root).as_posix(), **fields})
    return source.read("real")  # type: ignore[attr-defined, no-any-return]


def boxes(samples: list[Sample]) -> dict[int, int]:
    return Counter(
        label for s in samples if isinstance(a := s.annotations.get("real"), BoxList) for label in a.label
    )


@pytest.mark.real
def test_counts_of_the_real_kermany(real_data: Path) -> None:
    samples, targets = real(real_data, "kermany", "dev/chest_xray")
    assert [t.name for t in targets] == ["pneumonia", "germ"]
    assert len(samples) == 537
    assert len({s.patient for s in samples}) == 441
    counts = Counter((s.split, s.annotations["pneumonia"].values[1]) for s in samples)  # type: ignore[union-attr]
    assert counts == {
        ("train", 0): 134,
        ("train", 1): 239,
        ("valid", 0): 20,
        ("valid", 1): 35,
        ("test", 0): 40,
        ("test", 1): 69,
    }
    more, _ = real(real_data, "kermany", "chest_xray_224")
    assert len(more) == 3010
    assert {s.split for s in more} == {"train"}
    names = [{Path(s.path).name for s in part} for part in (samples, more)]
    assert not names[0] & names[1]
    both = {s.patient for s in samples} & {s.patient for s in more}
    assert len(both) == 50  # numbers that occur once with and once without NORMAL2-: taken for one person
    assert all(patient.startswith("kermany:IM-") for patient in both)


@pytest.mark.real
def test_counts_of_the_real_lung_masks(real_data: Path) -> None:
    samples, _ = real(real_data, "v7_lungs", "dev")
    assert len(samples) == sum("lungs" in s.annotations for s in samples) == 537
    films, _ = real(real_data, "kermany", "dev/chest_xray")
    assert [(s.patient, s.split) for s in samples] == [(s.patient, s.split) for s in films]


@pytest.mark.real
def test_counts_of_the_real_yolo_exports(real_data: Path) -> None:
    bone, targets = real(real_data, "yolo", "dev/bone-fracture-roboflow")
    assert targets[0].classes == ("angle", "fracture", "line", "messed_up_angle")
    assert len(bone) == 544
    assert sum(not s.annotations for s in bone) == 31
    assert len({s.patient for s in bone}) == 215
    assert boxes(bone) == {1: 29, 2: 318, 3: 221, 4: 85}
    merged, targets = real(real_data, "yolo", "dev/bone-fracture-roboflow",
                           merge=dict.fromkeys(("angle", "line", "messed_up_angle"), "fracture"))  # fmt: skip
    assert targets[0].classes == ("fracture",)
    assert boxes(merged) == {1: 29 + 318 + 221 + 85}
    dental, _ = real(real_data, "yolo", "dev/dental-xray-roboflow")
    assert len(dental) == 370
    assert boxes(dental) == {1: 232, 2: 1998, 3: 137, 4: 618}


@pytest.mark.real
def test_a_folder_finds_the_real_dicom_files_and_nothing_else(real_data: Path) -> None:
    samples, targets = real(real_data, "folder", "dev/dicom")
    assert len(samples) == 8  # beside six JSON and Markdown files
    assert not targets
