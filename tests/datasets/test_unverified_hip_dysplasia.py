"""The data file for hip dysplasia, on a small tree as it supposes it."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

import muscle.datasets
from muscle.data.source import DataFile
from muscle.phantom import draw
from muscle.types import Labels

FILE = Path(muscle.datasets.__file__).parent / "unverified" / "hip_dysplasia.yaml"


def test_the_data_file_reads_a_tree_as_it_supposes_it(tmp_path: Path) -> None:
    for i, name in enumerate(("Normal/n1.jpg", "Normal/n2.JPG", "DDH/d1.jpg", "DDH/._d1.jpg")):
        file = tmp_path / "hip_dysplasia" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw("long_bone", i, (64, 48)).image).save(file, "JPEG")
    (tmp_path / FILE.name).write_text(FILE.read_text(encoding="utf-8"), encoding="utf-8")
    samples, targets = DataFile.load(tmp_path / FILE.name).read()["hip_dysplasia"]
    assert [(t.name, t.classes) for t in targets] == [("dysplasia", ("Normal", "DDH"))]
    assert {s.path: s.annotations["dysplasia"] for s in samples} == {
        "DDH/d1.jpg": Labels((0.0, 1.0)),
        "Normal/n1.jpg": Labels((1.0, 0.0)),
        "Normal/n2.JPG": Labels((1.0, 0.0)),
    }
    assert {s.body_part for s in samples} == {"hip"}


def test_the_first_line_warns_and_the_rest_says_where_from() -> None:
    text = FILE.read_text(encoding="utf-8")
    assert text.startswith("# unverified")
    assert all(word in text for word in ("Licence:", "Cite:", "Get it:", "Not verified:"))
