"""Pascal VOC against boxes worked out by hand on images of 200 x 100."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from muscle.datasets.voc import Voc
from muscle.errors import UserError
from muscle.types import BoxList

OBJECT = "<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"
SIZE = "<size><width>200</width><height>100</height></size>"


def lay(root: Path, films: tuple[str, ...] = ("a/1.JPG", "2.png"), **sheets: str) -> Voc:
    """Films of 200 x 100, and XML files by name ("_" for "/") with what stands in their annotation."""
    for film in films:
        (root / "JPEGImages" / film).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((100, 200), np.uint8)).save(root / "JPEGImages" / film)
    for name, text in sheets.items():
        file = root / "Annotations" / f"{name.replace('_', '/')}.xml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"<annotation>{text}</annotation>")
    return Voc(root=root.as_posix())


def truths(source: Voc) -> dict[str, Any]:
    return {Path(s.path).stem: s.annotations.get("v") for s in source.read("v")[0]}


def test_the_first_pixel_is_one_and_the_last_counts(tmp_path: Path) -> None:
    """VOC's box 1 1 200 100 is the whole picture of 200 x 100."""
    source = lay(
        tmp_path, a_1=SIZE + OBJECT.format("tb", 1, 1, 200, 100) + OBJECT.format("node", 11, 21, 20, 40)
    )
    assert truths(source)["1"] == BoxList(((0.0, 0.0, 200.0, 100.0), (10.0, 20.0, 20.0, 40.0)), (2, 1))
    assert source.read("v")[1][0].classes == ("node", "tb")
    from_zero = source.with_(first=0, classes=("node",))
    assert truths(from_zero)["1"] == BoxList(((11.0, 21.0, 20.0, 40.0),), (1,))


def test_names_are_the_files_and_not_what_the_xml_says(tmp_path: Path) -> None:
    text = "<filename>C:\\films\\77.bmp</filename>" + SIZE + OBJECT.format("tb", 1, 1, 9, 9)
    source = lay(tmp_path, a_1=text)
    (tmp_path / "Annotations/a/1.xml").rename(tmp_path / "Annotations/a/1.XML")
    (tmp_path / "Annotations/a/._1.xml").write_bytes(b"\0\5\26\7")
    assert truths(source) == {"1": BoxList(((0.0, 0.0, 9.0, 9.0),), (1,)), "2": None}


def test_one_folder_may_hold_both(tmp_path: Path) -> None:
    source = lay(tmp_path, **{"2": SIZE + OBJECT.format("tb", 1, 1, 9, 9)})
    (tmp_path / "Annotations/2.xml").rename(tmp_path / "JPEGImages/2.xml")
    assert truths(source.with_(annotations="JPEGImages"))["2"] == BoxList(((0.0, 0.0, 9.0, 9.0),), (1,))


def test_no_object_is_unknown_unless_every_film_was_read(tmp_path: Path) -> None:
    source = lay(tmp_path, a_1=SIZE + OBJECT.format("tb", 1, 1, 9, 9), **{"2": SIZE})
    assert truths(source)["2"] is None
    assert truths(source.with_(empty="negative"))["2"] == BoxList((), ())


def test_a_part_of_an_object_is_no_class_and_no_box(tmp_path: Path) -> None:
    part = OBJECT.format("person", 1, 1, 9, 9).replace(
        "</object>", "<part><name>head</name><bndbox><xmin>3</xmin></bndbox></part></object>"
    )
    source = lay(tmp_path, a_1=SIZE + part)
    assert source.read("v")[1][0].classes == ("person",)
    assert truths(source)["1"] == BoxList(((0.0, 0.0, 9.0, 9.0),), (1,))


def test_overhang_is_cut_or_refused(tmp_path: Path) -> None:
    source = lay(tmp_path, a_1=SIZE + OBJECT.format("tb", 151, 51, 240, 100))
    assert truths(source)["1"] == BoxList(((150.0, 50.0, 200.0, 100.0),), (1,))
    with pytest.raises(UserError, match=r"1.xml object 1: box .*overhangs its image of 200 x 100"):
        source.with_(clip=False).read("v")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (SIZE + OBJECT.format("tb", 1501, 1501, 2000, 1900), "object 1: box .* lies outside its image of 200 x 100"),
        (SIZE.replace("200", "2000") + OBJECT.format("tb", 1, 1, 9, 9),
         "1.xml: JPEGImages/a/1.JPG is 200 x 100, but was 2000 x 100 when it was annotated"),
        (SIZE + OBJECT.format("tb", 30, 1, 9, 9), "object 1: box .* has no area"),
        (SIZE + OBJECT.format("tb", "nan", 1, 9, 9), "object 1: bndbox/xmin is 'nan'; allowed: a number"),
        (SIZE + OBJECT.format("", 1, 1, 9, 9), "1.xml: no name"),
        (SIZE + OBJECT.format("tb", "left", 1, 9, 9), "object 1: bndbox/xmin is 'left'; allowed: a number"),
        (SIZE + "<object><name>tb</name></object>", "object 1: no bndbox/xmin"),
        (OBJECT.format("tb", 1, 1, 9, 9), "1.xml: no size/width"),
        (SIZE.replace("200", "inf") + OBJECT.format("tb", 1, 1, 9, 9), "1.xml: size/width is 'inf'"),
        ("<size>", "1.xml: not readable XML: mismatched tag"),
    ],
)  # fmt: skip
def test_a_wrong_xml_is_named(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason) as error:
        lay(tmp_path, a_1=text).read("v")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("code", ["utf-8", "utf-16"])
def test_an_entity_bomb_is_refused(tmp_path: Path, code: str) -> None:
    source = lay(tmp_path, a_1="")
    bomb = f'<?xml version="1.0" encoding="{code}"?><!DOCTYPE a [<!ENTITY b "bbbb">]><annotation>&b;</annotation>'
    (tmp_path / "Annotations/a/1.xml").write_bytes(bomb.encode(code))
    with pytest.raises(UserError, match=r"1.xml: not readable XML: holds a DOCTYPE"):
        source.read("v")


def test_an_unknown_encoding_is_named(tmp_path: Path) -> None:
    source = lay(tmp_path, a_1="")
    (tmp_path / "Annotations/a/1.xml").write_bytes(b'<?xml version="1.0" encoding="klingon"?><annotation/>')
    with pytest.raises(UserError, match=r"1.xml: not readable XML"):
        source.read("v")


def test_xml_without_film_and_wrong_folders_are_named(tmp_path: Path) -> None:
    source = lay(tmp_path, a_3=SIZE + OBJECT.format("tb", 1, 1, 9, 9))
    with pytest.raises(UserError, match=r"Annotations/a/3.xml: no film JPEGImages/a/3\.\* \(1 such\)"):
        source.read("v")
    with pytest.raises(UserError, match=r"no folder .*/xml; annotations: names it"):
        source.with_(annotations="xml").read("v")
    with pytest.raises(UserError, match=r"no .xml in .*JPEGImages; correct annotations"):
        source.with_(annotations="JPEGImages").read("v")
