"""Open-i's layouts and Kaggle's copy, by reports written by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from muscle.datasets.indiana import Indiana
from muscle.errors import UserError
from muscle.types import Labels, Sample

WELL, SICK = Labels((1.0, 0.0)), Labels((0.0, 1.0))


def lay(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def report(root: Path, uid: int, *major: str) -> None:
    folder = root / "NLMCXR_reports/ecgen-radiology"
    folder.mkdir(parents=True, exist_ok=True)
    terms = "".join(f"<major>{term}</major>" for term in major)
    text = f'<eCitation><uId id="CXR{uid}"/><MeSH>{terms}<automatic>normal</automatic></MeSH></eCitation>'
    (folder / f"{uid}.xml").write_bytes(f'\ufeff<?xml version="1.0"?>\r\n{text}\r\n'.encode())


def read(root: Path) -> dict[str, Sample]:
    return {s.path: s for s in Indiana(root=root.as_posix()).read("i")[0]}


def truths(root: Path) -> dict[str, object]:
    return {path: sample.annotations.get("normal_abnormal") for path, sample in read(root).items()}


@pytest.mark.parametrize(
    ("major", "truth"),
    [
        (("normal",), WELL),
        (("Normal",), WELL),
        (("Cardiomegaly/borderline", "Pulmonary Artery/enlarged"), SICK),
        (("normal", "Calcinosis/lung"), SICK),
        (("No Indexing",), None),
        (("Technical Quality of Image Unsatisfactory ",), None),
        (("Technical Quality of Image Unsatisfactory", "Opacity/lung"), SICK),
        (("Technical Quality of Image Unsatisfactory", "normal"), WELL),
        ((), None),
    ],
)
def test_the_label_is_what_the_major_headings_say_in_xml_and_csv(
    tmp_path: Path, major: tuple[str, ...], truth: Labels | None
) -> None:
    films = ("CXR1_1_IM-0001-3001.png", "CXR2_IM-0652-1001.png", "CXR7_IM-2263-1001.png")
    lay(tmp_path, *(f"xml/NLMCXR_png/{film}" for film in films))
    report(tmp_path / "xml", 1, "normal")
    report(tmp_path / "xml", 2, "Opacity")
    report(tmp_path / "xml", 7, *major)
    assert truths(tmp_path / "xml")[f"NLMCXR_png/{films[2]}"] == truth
    lay(tmp_path, *(f"csv/images/{name}.dcm.png" for name in ("1_IM-1-1", "2_IM-2-1", "7_IM-3-1")))
    rows = ["uid,MeSH,Problems", "1,normal,normal", "2,Opacity,Opacity", f"7,{';'.join(major)},x"]
    (tmp_path / "csv/indiana_reports.csv").write_text("\n".join(rows))
    assert truths(tmp_path / "csv")["images/7_IM-3-1.dcm.png"] == truth


def test_one_person_is_one_report_in_all_three_forms_of_names(tmp_path: Path) -> None:
    names = {
        "png/CXR1_1_IM-0001-3001.png": 1,
        "png/CXR1_1_IM-0001-4001.PNG": 1,
        "png/CXR2_IM-0652-1001.png": 2,
        "png/CXR3_IM-1384-2001-0001.png": 3,
        "dcm/1/1_IM-0001-5001.dcm": 1,
        "kaggle/images/images_normalized/2_IM-0652-2001.dcm.png": 2,
    }
    lay(tmp_path, *names)
    report(tmp_path, 1, "normal")
    report(tmp_path, 2, "Opacity/lung")
    found = read(tmp_path)
    assert {p: s.patient for p, s in found.items()} == {p: f"indiana:CXR{uid}" for p, uid in names.items()}
    assert all(s.study == s.patient for s in found.values())
    assert truths(tmp_path) == {p: {1: WELL, 2: SICK, 3: None}[uid] for p, uid in names.items()}


def test_a_film_in_two_forms_counts_once_and_kaggle_knows_its_view(tmp_path: Path) -> None:
    lay(tmp_path, "png/CXR1_1_IM-0001-3001.png", "kaggle/images/1_IM-0001-3001.dcm.png", "png/CXR2_IM-0652-1001.png",
        "kaggle/images/2_IM-0652-1001.dcm.png", "kaggle/images/2_IM-0652-2001.dcm.png")  # fmt: skip
    lay(tmp_path, "png/._CXR1_1_IM-0001-3001.png", "png/cover.png", "png/CXR5_logo.png")
    (tmp_path / "indiana_reports.csv").write_bytes(
        b'uid,MeSH,findings\r\n1,normal,"two,\r\nlines"\r\n2,Mass,\r\n'
    )
    (tmp_path / "indiana_projections.csv").write_bytes(
        "\ufeffuid,filename,projection\r\n1,1_IM-0001-3001.dcm.png,Frontal\r\n"
        "2,2_IM-0652-2001.dcm.png,Lateral\r\n9,9_IM-1-1.dcm.png,Lateral\r\n".encode()
    )
    assert {p: s.view for p, s in read(tmp_path).items()} == {
        "png/CXR1_1_IM-0001-3001.png": "frontal",
        "png/CXR2_IM-0652-1001.png": "",
        "kaggle/images/2_IM-0652-2001.dcm.png": "lateral",
    }


def test_reports_without_film_and_films_without_report(tmp_path: Path) -> None:
    lay(tmp_path, "CXR1_1_IM-0001-3001.png", "CXR2_IM-1-1.png", "CXR9_IM-1-1.png")
    for uid, major in ((1, "normal"), (2, "Opacity"), (3, "normal")):
        report(tmp_path, uid, major)
    assert truths(tmp_path) == {
        "CXR1_1_IM-0001-3001.png": WELL,
        "CXR2_IM-1-1.png": SICK,
        "CXR9_IM-1-1.png": None,
    }


def test_wrong_reports_are_named(tmp_path: Path) -> None:
    lay(tmp_path, "CXR1_1_IM-0001-3001.png")
    with pytest.raises(UserError, match=r"no reports; get NLMCXR_reports.tgz"):
        read(tmp_path)
    file = tmp_path / "NLMCXR_reports/ecgen-radiology/1.xml"
    bomb = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">' + "".join(
        f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(9)
    )
    for text, reason in (
        ("<eCitation>", "no element found"),
        ('<?xml version="1.0" encoding="klingon"?><eCitation/>', "unknown encoding: klingon"),
        ("<eCitation/>", "no uId"),
        ("", "no element found"),
        (" " * 1_000_001, "more than 1,000,000 bytes"),
        (bomb + ']><eCitation><uId id="CXR1"/>&j;</eCitation>', "holds a DOCTYPE"),
    ):
        report(tmp_path, 1, "normal")
        file.write_text(text)
        with pytest.raises(UserError, match=rf"1.xml: not a report of Open-i: .*{reason}") as error:
            read(tmp_path)
        assert "\n" not in str(error.value)
