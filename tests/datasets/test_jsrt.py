"""JSRT and SCR, by names and lines made by hand; oracle of films and masks: what was drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from muscle.data.decode import Decode
from muscle.data.film import Film, Job, film
from muscle.datasets.jsrt import Jsrt
from muscle.errors import UserError
from muscle.phantom import draw
from muscle.types import BoxList, Labels, MaskFiles, Sample

LINE = "{}.IMG\t5\t{}\t53\tMale\t{}\t{}\t{}\tl.upper lobe\tlung cancer"


def lay(root: Path, table: bytes | None, *films: str) -> Path:
    root.mkdir(exist_ok=True)
    for name in films:
        np.zeros((64, 64), ">u2").tofile(root / name)
    if table is not None:
        (root / "CLNDAT_EN.txt").write_bytes(table)
    return root


def read(root: Path) -> dict[str, Sample]:
    samples, _ = Jsrt(root=root.as_posix()).records("j")
    return {Path(s.path).stem: s for s in samples}


def test_a_nodule_is_a_square_of_its_size(tmp_path: Path) -> None:
    """35 mm are 200 pixels of .175 mm: 100 to each side of the centre."""
    table = "\n".join(
        (
            LINE.format("JPCLN001", 35, 1634, 692, "malignant"),
            LINE.format("JPCLN002", "35", 60, 2000, "benign"),
        )
    )
    found = read(lay(tmp_path, table.encode(), "JPCLN001.IMG", "JPCLN002.IMG", "JPCNN001.IMG"))
    assert {k: dict(s.annotations) for k, s in found.items()} == {
        "JPCLN001": {
            "nodule": Labels((0.0, 1.0)),
            "nodule_malignant": Labels((0.0, 1.0)),
            "nodule_boxes": BoxList(((1534.0, 592.0, 1734.0, 792.0),), (1,)),
        },
        "JPCLN002": {
            "nodule": Labels((0.0, 1.0)),
            "nodule_malignant": Labels((1.0, 0.0)),
            "nodule_boxes": BoxList(((0.0, 1900.0, 160.0, 2048.0),), (1,)),
        },
        "JPCNN001": {"nodule": Labels((1.0, 0.0)), "nodule_boxes": BoxList((), ())},
    }
    assert found["JPCNN001"].patient == "jsrt:JPCNN001"


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\r\r\n", ""])
def test_lines_end_as_they_like_and_there_is_no_header(tmp_path: Path, end: str) -> None:
    names = ("JPCLN001", "JPCLN002", "JPCLN003")
    table = "".join(
        LINE.format(n, 20, 500, 600, "benign" if n[-1] == "1" else "malignant") + end for n in names
    )
    found = read(lay(tmp_path, table.encode(), *(f"{n}.IMG" for n in names)))
    assert [s.annotations["nodule_malignant"] for s in found.values()] == [
        Labels((1.0, 0.0)),
        Labels((0.0, 1.0)),
        Labels((0.0, 1.0)),
    ]


def test_without_the_table_the_name_still_tells(tmp_path: Path) -> None:
    found = read(lay(tmp_path, None, "JPCLN001.img", "JPCNN001.IMG", "JPCLN001.IMG.txt", "other.img"))
    assert {k: set(s.annotations) for k, s in found.items()} == {
        "JPCLN001": {"nodule"},
        "JPCNN001": {"nodule", "nodule_boxes"},
    }


def test_a_line_that_makes_no_sense_is_named(tmp_path: Path) -> None:
    for i, (line, message) in enumerate(
        (
            ("JPCLN001.IMG\t5\t15", "JPCLN001.IMG: not the line of a nodule"),
            (
                LINE.format("JPCLN001", "?", 1, 2, "benign"),
                "JPCLN001.IMG, cell 3: given '\\?'; allowed: a number",
            ),
        )
    ):
        with pytest.raises(UserError, match=message):
            read(lay(tmp_path / str(i), line.encode(), "JPCLN001.IMG"))


def test_an_empty_table_is_no_table_of_nodules(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"CLNDAT_EN.txt: no line of a nodule; get the table again"):
        read(lay(tmp_path, b"", "JPCLN001.IMG"))


def test_both_folds_and_both_sides_are_read(tmp_path: Path) -> None:
    Jsrt.write_example(tmp_path, 4, seed=5)
    found = read(tmp_path)
    assert set(found) == {"JPCLN001", "JPCLN002", "JPCNN001", "JPCNN002"}
    for key, sample in found.items():
        fold = f"fold{2 - int(key[-1]) % 2}"
        files = {
            n: [f for f, _ in a.files] for n, a in sample.annotations.items() if isinstance(a, MaskFiles)
        }
        base = f"scr/scratch/{fold}/masks"
        assert files == {
            "lungs": [f"{base}/left lung/{key}.gif", f"{base}/right lung/{key}.gif"],
            "heart": [f"{base}/heart/{key}.gif"],
            "clavicles": [f"{base}/left clavicle/{key}.gif", f"{base}/right clavicle/{key}.gif"],
        }
    (tmp_path / "scr/scratch/fold1/masks/left lung/JPCLN001.gif").unlink()
    assert "lungs" not in read(tmp_path)["JPCLN001"].annotations  # half a pair is no truth


@pytest.mark.parametrize("palette", [False, True])
def test_films_and_masks_are_as_drawn(tmp_path: Path, palette: bool) -> None:
    """Inverted raw film, masks of half its size; also where a GIF holds the indices 0 and 1 of its palette."""
    Jsrt.write_example(tmp_path, 2, seed=5)
    if palette:
        for file in (tmp_path / "scr").rglob("*.gif"):
            with Image.open(file) as opened:
                marked = Image.fromarray((np.asarray(opened.convert("L")) > 0).astype(np.uint8), mode="P")
            marked.putpalette([0, 0, 0, 250, 200, 0])
            marked.save(file, optimize=False)
    sample = read(tmp_path)["JPCLN001"]
    masks = {n: a for n, a in sample.annotations.items() if isinstance(a, MaskFiles)}
    job = Job(
        tmp_path.as_posix(),
        sample.path,
        (128, 128),
        Decode(),
        "stretch",
        masks={n: a.files for n, a in masks.items()},
        scaled=frozenset(n for n, a in masks.items() if a.scaled),
    )
    found = film(job)
    assert isinstance(found, Film), found
    phantom = draw("chest", 5000, (128, 128), bits=12)
    assert np.corrcoef(found.pixels.ravel(), phantom.image.ravel())[0, 1] > 0.99
    for name in ("lungs", "heart"):
        assert (found.masks[name] == phantom.masks[name]).mean() > 0.97
        assert 0.03 < found.masks[name].mean() < 0.5
