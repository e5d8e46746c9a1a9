"""Cohen's collection, by rows made by hand, and its open rows among the real films."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from muscle.datasets.covid_images import FINDINGS, CovidImages
from muscle.errors import UserError
from muscle.types import Labels, Sample

HEAD = "patientid,offset,finding,view,modality,folder,filename,clinical_notes,"


def lay(root: Path, *rows: str) -> Path:
    (root / "images").mkdir(parents=True, exist_ok=True)
    for file in ("a.jpg", "b.PNG", "c.jpeg", "d.png"):
        (root / "images" / file).write_bytes(b"x")
    (root / "metadata.csv").write_text("\n".join([HEAD, *rows]) + "\n", newline="")
    return root


def read(root: Path) -> dict[str, Sample]:
    samples, _ = CovidImages(root=root.as_posix()).records("c")
    return {Path(s.path).name: s for s in samples}


WELL = "9,0,No Finding,PA,X-ray,images,d.png,,"


def said(root: Path, finding: str) -> dict[str, float]:
    truth = read(lay(root, f'1,0,"{finding}",PA,X-ray,images,a.jpg,,', WELL))["a.jpg"].annotations
    labels = truth.get("covid_findings", Labels(()))
    assert isinstance(labels, Labels)
    return {c: v for c, v in zip(FINDINGS.classes, labels.values, strict=False) if v == v}


@pytest.mark.parametrize(
    ("finding", "known"),
    [
        (
            "Pneumonia/Viral/COVID-19",
            {"Pneumonia": 1, "Viral": 1, "COVID-19": 1, "Bacterial": 0, "Fungal": 0},
        ),
        (
            "Pneumonia/Bacterial/Klebsiella",
            {"Pneumonia": 1, "Bacterial": 1, "Viral": 0, "Fungal": 0, "COVID-19": 0},
        ),
        ("Pneumonia/Viral", {"Pneumonia": 1, "Viral": 1, "Bacterial": 0, "Fungal": 0}),
        ("Pneumonia", {"Pneumonia": 1}),
        ("COVID-19", {"COVID-19": 1}),
        ("COVID-19, ARDS", {"COVID-19": 1}),
        (
            "Pneumocystis",
            {"Pneumonia": 1, "Fungal": 1, "Viral": 0, "Bacterial": 0, "COVID-19": 0},
        ),
        (
            "Streptococcus",
            {"Pneumonia": 1, "Bacterial": 1, "Viral": 0, "Fungal": 0, "COVID-19": 0},
        ),
        ("ARDS", {"COVID-19": 0}),
        ("No Finding", {"Pneumonia": 0, "Viral": 0, "Bacterial": 0, "Fungal": 0, "COVID-19": 0}),
    ],
)
def test_a_finding_is_a_path_of_which_old_tables_have_the_end(
    tmp_path: Path, finding: str, known: dict[str, float]
) -> None:
    assert said(tmp_path, finding) == {"No Finding": float(finding == "No Finding")} | known


@pytest.mark.parametrize("finding", ["todo", "Unknown", ""])
def test_what_nobody_has_said_is_unknown(tmp_path: Path, finding: str) -> None:
    assert said(tmp_path, finding) == {}


def test_ct_is_left_out_and_a_person_has_several_films(tmp_path: Path) -> None:
    found = read(
        lay(
            tmp_path,
            "1,0,COVID-19,PA,X-ray,images,a.jpg,,",
            '1,9,COVID-19,L,X-ray,images,b.PNG,"two\r\nlines",',
            "2,0,COVID-19,Axial,CT,images,c.jpeg,,",
            "2,0,COVID-19,Axial,X-ray,volumes,c.jpeg,,",
            ",0,COVID-19,PA,X-ray,images,gone.png,,",
            WELL.removeprefix("9"),
        )
    )
    assert {k: (s.patient, s.view) for k, s in found.items()} == {
        "a.jpg": ("covid_images:1", "PA"),
        "b.PNG": ("covid_images:1", "L"),
        "d.png": ("c/images/d.png", "PA"),
    }


def test_paths_stay_inside_and_foreign_tables_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="metadata.csv line 2: path .* leaves the source's root"):
        read(lay(tmp_path, "1,0,COVID-19,PA,X-ray,images,../../x.png,,"))
    with pytest.raises(UserError, match="none of its 1 films is there, such as images/q.png"):
        read(lay(tmp_path, "1,0,COVID-19,PA,X-ray,images,q.png,,"))


@pytest.mark.real
def test_counts_of_the_real_collection(real_data: Path) -> None:
    found = read(real_data / "dev/covid-chestxray-dataset")
    assert len(found) == 53 and len({s.patient for s in found.values()}) == 21
    covid = FINDINGS.classes.index("COVID-19")
    counts = Counter(
        a.values[covid] for s in found.values() if isinstance(a := s.annotations["covid_findings"], Labels)
    )
    assert counts == {1.0: 51, 0.0: 2}
