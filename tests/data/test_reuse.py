"""What is decoded again when a folder, its truth or its split changes; the oracle is a store made from nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from muscle.data import reuse
from muscle.data.decode import Decode
from muscle.data.film import Job
from muscle.data.prepare import prepare
from muscle.data.source import Source
from muscle.data.splits import AllTrain, PatientSplit, Split
from muscle.data.store import Store
from muscle.types import Annotation, BoxList, Labels, MaskFiles, MaskRuns, Sample, Target

TARGETS = [
    Target(name="sick", kind="labels", classes=("no", "yes")),
    Target(name="spot", kind="boxes", classes=("spot",)),
    Target(name="lung", kind="mask", classes=("lung",)),
]
ALL = AllTrain()
MASK = MaskFiles((("mask.png", ((255, 1),)),))


def films(n: int) -> list[Sample]:
    """The first with a mask, the second with a box, every other one sick."""
    found = [
        Sample(id="", path=f"{i}.png", source="", patient=f"p{i}", split="train",
               annotations={"sick": Labels((float(i % 2 == 0), float(i % 2)))})
        for i in range(n)
    ]  # fmt: skip
    for i, extra in ((0, {"lung": MASK}), (1, {"spot": BoxList(((2, 3, 9, 11),), (1,))})):
        found[i] = replace(found[i], annotations={**found[i].annotations, **extra})
    return found


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were decoded."""
    seen: list[str] = []
    films = reuse.films

    def counted(jobs: Sequence[Job], workers: int) -> object:
        seen.extend(job.path for job in jobs)
        return films(jobs, workers)

    monkeypatch.setattr(reuse, "films", counted)
    return seen


@pytest.fixture
def make(tmp_path: Path, given: Callable[..., Source]) -> Callable[..., Store]:
    mask = np.zeros((20, 30), np.uint8)
    mask[5:15, 8:20] = 255
    (tmp_path / "a").mkdir()
    cv2.imwrite(str(tmp_path / "a" / "mask.png"), mask)

    def made(samples: list[Sample], where: str = "s", name: str = "a", split: Split = ALL) -> Store:
        source = given("a", samples, TARGETS)
        return prepare(name, source, split, (8, 12), Decode(), tmp_path / where, workers=0)

    return made


def test_only_what_was_added_is_decoded(make: Callable[..., Store], decoded: list[str]) -> None:
    make(films(5))
    decoded.clear()
    grown = make(films(7))
    assert decoded == ["5.png", "6.png"]
    fresh = make(films(7), where="elsewhere")
    assert grown.digest == fresh.digest and grown.manifest["arrays"] == fresh.manifest["arrays"]
    assert (
        grown.manifest["index"] == fresh.manifest["index"]
        and grown.manifest["steps"] == fresh.manifest["steps"]
    )
    assert grown.boxes("spot").xyxy.tolist() == fresh.boxes("spot").xyxy.tolist() != []
    assert grown.known("lung").tolist() == [True] + [False] * 6 and grown.masks["lung"][0].any()


def test_another_split_label_or_name_decodes_nothing(make: Callable[..., Store], decoded: list[str]) -> None:
    first = make(films(5))
    decoded.clear()
    relabelled = films(5)
    relabelled[4] = replace(relabelled[4], annotations={"sick": Labels((0, 1))})
    others = [make(films(5), split=PatientSplit(test=0.6)), make(relabelled), make(films(5), name="b")]
    assert len({store.path for store in (first, *others)}) == 4
    assert decoded == []


def test_another_box_or_mask_is_made_anew(
    tmp_path: Path, make: Callable[..., Store], decoded: list[str]
) -> None:
    make(films(5))
    decoded.clear()
    samples = films(5)
    samples[1] = replace(samples[1], annotations={"spot": BoxList(((1, 1, 5, 5),), (1,))})
    cv2.imwrite(str(tmp_path / "a" / "mask.png"), np.full((20, 30), 255, np.uint8))
    changed = make(samples)
    assert decoded == ["0.png", "1.png"]
    assert changed.masks["lung"][0].all()


def test_a_file_of_a_new_time_is_compared_by_its_bytes(
    tmp_path: Path, make: Callable[..., Store], decoded: list[str]
) -> None:
    make(films(5))
    decoded.clear()
    for i in (2, 3):
        os.utime(tmp_path / "a" / f"{i}.png", ns=(1, 1))
    cv2.imwrite(str(tmp_path / "a" / "3.png"), np.arange(600, dtype=np.uint8).reshape(20, 30))
    changed = make(films(5))
    assert decoded == ["3.png"]
    assert changed.digest == make(films(5), where="elsewhere").digest


def test_a_damaged_row_is_not_handed_on(make: Callable[..., Store], tmp_path: Path) -> None:
    first = make(films(5))
    whole = make(films(6), where="elsewhere")
    raw = bytearray((first.path / "images.npy").read_bytes())
    raw[-1] ^= 255
    (first.path / "images.npy").write_bytes(raw)
    assert make(films(6)).digest == whole.digest


def test_a_mask_of_other_runs_or_another_scale_is_another_row(
    make: Callable[..., Store], decoded: list[str]
) -> None:
    """Oracle: the mask that the truth says, by hand: the left half of 30 columns, then all of them."""
    runs: list[Annotation] = [MaskRuns(20, 30, ((0, 300),)), MaskRuns(20, 30, ((0, 600),))]
    for truth, share in zip(runs, (0.5, 1.0), strict=True):
        store = make([replace(s, annotations={**s.annotations, "lung": truth}) for s in films(2)])
        assert store.masks["lung"].mean() == share
    assert decoded == ["0.png", "1.png"] * 2
    decoded.clear()
    make(films(2))
    make([replace(s, annotations={**s.annotations, "lung": replace(MASK, scaled=True)}) for s in films(2)])
    assert decoded.count("0.png") == 2


def test_a_stamp_is_of_everything_that_makes_a_row(tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(b"some")
    job = Job(str(tmp_path), "0.png", (8, 12), Decode(), "stretch")
    jobs = [
        job,
        replace(job, fit="pad"),
        replace(job, size=(8, 13)),
        replace(job, frame=1),
        replace(job, points={"p": ((1.0, 2.0),)}),
        replace(job, boxes={"b": ((1.0, 2.0, 3.0, 4.0),)}),
        replace(job, runs={"m": (2, 2, ((0, 1),), 1)}),
        replace(job, masks={"m": (("0.png", ((255, 1),)),)}),
    ]
    stamps = [reuse.stamp(j, key, j.root) for j in jobs for key in ("decoder", "another")]
    assert len({timed for timed, _ in stamps}) == len({timeless for _, timeless in stamps}) == 16
    (tmp_path / "other").mkdir()
    os.link(tmp_path / "0.png", tmp_path / "other" / "0.png")
    exact, timeless = reuse.stamp(replace(job, root=str(tmp_path / "other")), "decoder", "other")
    assert (
        timeless == stamps[0][1] and exact != stamps[0][0]
    )  # of another root: only if the bytes are the same


def test_a_damaged_mask_is_not_handed_on(
    tmp_path: Path, make: Callable[..., Store], decoded: list[str]
) -> None:
    first = make(films(3))
    file = next(first.path.glob("mask-*.npy"))
    whole = bytearray(file.read_bytes())
    whole[128:] = bytes(len(whole) - 128)
    file.write_bytes(bytes(whole))
    decoded.clear()
    grown = make(films(4))
    assert sorted(decoded) == ["0.png", "3.png"] and grown.masks["lung"][0].any()
