"""The 704 pairs among what the archive holds, by a tree of the published file names."""

from __future__ import annotations

from pathlib import Path

from muscle.data.splits import PaperSplit
from muscle.datasets.chest_xray_masks import ChestXrayMasks
from muscle.datasets.montgomery import Montgomery
from muscle.datasets.shenzhen import Shenzhen
from muscle.types import MaskFiles, Sample

# The published list of Shenzhen films without a mask; the second half has tuberculosis.
WELL = {25, *range(36, 41), 65, *range(181, 221)}
SICK = {336, *range(341, 361), *range(481, 501), 502, 505, *range(560, 566)}


def lay(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def published(root: Path, number: int = 10_000) -> Path:
    """The archive's tree with films of at most this number, as empty files."""
    chinese = [(i, f"CHNCXR_{i:04d}_{int(i > 326)}") for i in range(1, 663) if i <= number]
    american = [f"MCUCXR_{i:04d}_{int(i > 80)}" for i in range(1, 139) if i <= number]
    bare = [name for i, name in chinese if i in WELL | SICK]
    for top in ("Lung Segmentation", "data/Lung Segmentation"):
        lay(root, *(f"{top}/CXR_png/{name}.png" for name in american + [name for _, name in chinese]))
        lay(root, *(f"{top}/ClinicalReadings/{name}.txt" for name in american))
        lay(root, *(f"{top}/masks/{name}.png" for name in american))
        lay(root, *(f"{top}/masks/{name}_mask.png" for i, name in chinese if i not in WELL | SICK))
        lay(root, *(f"{top}/test/{name}.png" for name in bare))
    return root


def read(root: Path) -> dict[str, Sample]:
    return {s.path: s for s in ChestXrayMasks(root=root.as_posix()).read("c")[0]}


def test_of_the_published_tree_704_pairs_are_left_and_the_papers_split_fits(tmp_path: Path) -> None:
    assert len(WELL | SICK) == 96
    samples, targets = ChestXrayMasks(root=published(tmp_path).as_posix()).read("c")
    assert len(samples) == len({s.patient for s in samples}) == 704 == ChestXrayMasks.published["images"]
    assert sum(s.patient.startswith("montgomery:") for s in samples) == 138
    assert {s.path.split("/")[:2] == ["Lung Segmentation", "CXR_png"] for s in samples} == {True}
    assert {s.split for s in samples} == {None}  # the folder test is no published part
    parts = PaperSplit().assign(samples, targets)
    assert [parts.count(part) for part in ("train", "valid", "test")] == [564, 70, 70]


def test_both_namings_of_masks(tmp_path: Path) -> None:
    found = read(published(tmp_path, 2))
    top = "Lung Segmentation"
    assert {p: s.annotations["lungs"] for p, s in found.items()} == {
        f"{top}/CXR_png/{film}.png": MaskFiles(((f"{top}/masks/{mask}.png", ((255, 1),)),))
        for film, mask in (("CHNCXR_0001_0", "CHNCXR_0001_0_mask"), ("CHNCXR_0002_0", "CHNCXR_0002_0_mask"),
                           ("MCUCXR_0001_0", "MCUCXR_0001_0"), ("MCUCXR_0002_0", "MCUCXR_0002_0"))
    }  # fmt: skip


def test_the_same_film_is_the_same_person_in_every_adapter(tmp_path: Path) -> None:
    published(tmp_path, 330)
    ours = {Path(path).stem: s.patient for path, s in read(tmp_path).items()}
    theirs = {}
    for adapter, targets in ((Shenzhen, None), (Montgomery, ("tuberculosis",))):
        samples, _ = adapter(root=tmp_path.as_posix(), targets=targets).read("x")
        theirs |= {Path(s.path).stem: s.patient for s in samples}
    assert ours.items() <= theirs.items()
    assert len(theirs) == 330 + 138
    assert ours["CHNCXR_0001_0"] == "shenzhen:CHNCXR_0001"
    assert ours["MCUCXR_0001_0"] == "montgomery:MCUCXR_0001"


def test_checkpoints_forks_and_the_unmasked_do_not_count(tmp_path: Path) -> None:
    ChestXrayMasks.write_example(tmp_path, 4, seed=0)
    films = {path.name for path in (tmp_path / "Lung Segmentation/CXR_png").glob("*.png")}
    assert {Path(path).name for path in read(tmp_path)} == films - {"CHNCXR_0340_1.png"}
    assert len(films) == 5
