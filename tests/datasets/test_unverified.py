"""Every unverified data file parses, says what is unverified, and reads a tree of phantoms laid out here."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import muscle.datasets
from muscle.data.data_file import DataFile
from muscle.datasets._example import drawn, save
from muscle.datasets._unverified import MARK, remark, unverified
from muscle.phantom import draw
from muscle.types import Annotation, Labels, MaskFiles


def jsrt_png(root: Path) -> dict[str, Annotation]:
    lines = ["study_id,subtlety,size,age,gender,x,y,state,position,diagnosis"]
    names = {"JPCLN001.png": "malignant", "JPCLN002.png": "benign", "JPCNN001.png": "non-nodule"}
    for i, (name, state) in enumerate(names.items()):
        save(root / "images/images" / name, drawn("chest", i).image)
        lines.append(f"{name},5,15,53,Male,1634,692,{state},l.upper lobe,lung cancer")
    (root / "jsrt_metadata.csv").write_text("\n".join(lines))
    truths = (Labels((0, 0, 1)), Labels((0, 1, 0)), Labels((1, 0, 0)))
    return {f"images/images/{name}": truth for name, truth in zip(names, truths, strict=True)}


def siim_acr_png(root: Path) -> dict[str, Annotation]:
    for i in range(2):
        phantom = drawn("chest", i)
        save(root / f"png_images/{i}_train_1_.png", phantom.image)
        save(root / f"png_masks/{i}_train_1_.png", phantom.masks["heart"])
    (root / "stage_1_train_images.csv").write_text(
        "new_filename,ImageId,has_pneumo\n0_train_1_.png,1.2.3,1\n"
    )
    return {
        f"png_images/{i}_train_1_.png": MaskFiles(((f"png_masks/{i}_train_1_.png", ((255, 1),)),))
        for i in range(2)
    }


def covid_radiography_2020(root: Path) -> dict[str, Annotation]:
    found: dict[str, Annotation] = {}
    for i, folder in enumerate(("NORMAL", "COVID-19", "Viral Pneumonia")):
        path = f"{folder}/{folder} (1).png"
        save(root / path, drawn("chest", i).image)
        found[path] = Labels(tuple(float(i == j) for j in range(3)))
    (root / "COVID-19.metadata.xlsx").write_bytes(b"PK")
    return found


def hip_dysplasia(root: Path) -> dict[str, Annotation]:
    found: dict[str, Annotation] = {}
    for i, name in enumerate(("Normal/n1.jpg", "Normal/n2.JPG", "DDH/d1.jpg")):
        save(root / "hip_dysplasia" / name, draw("long_bone", i, (64, 48)).image)
        found[name] = Labels((float(i < 2), float(i == 2)))
    (root / "hip_dysplasia/DDH/._d1.jpg").write_bytes(b"")
    return found


TREES: dict[str, Callable[[Path], dict[str, Annotation]]] = {
    "covid_radiography_2020": covid_radiography_2020,
    "hip_dysplasia": hip_dysplasia,
    "jsrt_png": jsrt_png,
    "siim_acr_png": siim_acr_png,
}


@pytest.mark.parametrize("name", unverified())
def test_it_reads_a_tree_as_its_comments_describe_it(name: str, tmp_path: Path) -> None:
    truth = TREES[name](tmp_path)
    packaged = Path(muscle.datasets.__file__).parent / "unverified" / f"{name}.yaml"
    shutil.copyfile(packaged, tmp_path / "data.yaml")
    data = DataFile.load(tmp_path / "data.yaml")
    assert list(data.sources) == [name]
    (samples, targets), *_ = data.read().values()
    assert {s.path: next(iter(s.annotations.values())) for s in samples} == truth
    assert len(targets) == 1 and all(s.body_part for s in samples)


@pytest.mark.parametrize("name", unverified())
def test_its_comments_say_what_to_distrust(name: str) -> None:
    text = unverified()[name]
    assert text.startswith(MARK) and len(remark(text, MARK)) > 20
    for head in ("# Not verified:", "# Get it:", "# Licence:", "# Citation:", "# Use:"):
        assert remark(text, head), head


def test_every_tree_is_of_a_file() -> None:
    assert set(TREES) == set(unverified())
