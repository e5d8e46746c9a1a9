"""TBX11K's two layouts; oracle of the boxes: what was drawn."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from muscle.datasets._example import drawn
from muscle.datasets.tbx11k import Tbx11k
from muscle.errors import UserError
from muscle.types import BoxList, Labels, Sample


def read(root: Path, **fields: Any) -> dict[str, Sample]:
    samples, _ = Tbx11k(root=root.as_posix(), **fields).read("t")
    return {Path(s.path).stem: s for s in samples}


@pytest.fixture
def published(tmp_path: Path) -> Path:
    Tbx11k.write_example(tmp_path / "p", 9, seed=2)
    return tmp_path / "p"


def edited(root: Path, file: str, change: Any) -> None:
    path = root / "TBX11K/annotations/json" / file
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def test_boxes_are_those_of_the_json_not_of_the_xml(published: Path) -> None:
    found = read(published)["tb0006"].annotations["tb_lesions"]
    wanted = drawn("chest", 2 + 5, pneumonia=1).boxes
    assert wanted and isinstance(found, BoxList)
    assert [pytest.approx(box) for box in found.xyxy] == [tuple(b[1:]) for b in wanted]
    assert found.label == (2,) * len(wanted)
    assert (
        max(max(box) for box in found.xyxy) <= 192
        and (published / "TBX11K/annotations/xml/tb0006.xml").is_file()
    )


def test_classes_and_parts_come_from_folder_and_list(published: Path) -> None:
    found = read(published)
    assert {k: s.annotations["tbx_class"] for k, s in found.items()} == {
        k: Labels(tuple(float(k[0] == c) for c in "hst")) for k in found
    }
    assert [k for k, s in found.items() if s.split == "valid"] == ["h0007", "s0008"]
    assert found["tb0003"].patient == "tbx11k:tb0003"


def test_extra_test_and_the_lists_of_all_are_never_read(
    published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    real = Path.open

    def watched(self: Path, *args: Any, **kwargs: Any) -> Any:
        opened.append(self.as_posix().removeprefix(published.as_posix()))
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", watched)
    found = read(published)
    assert len(found) == 9 and any("TBX11K_train.json" in path for path in opened)
    assert not any(word in path for path in opened for word in ("extra", "/test/", "all_", "/xml/"))
    assert not any(word in s.path for s in found.values() for word in ("extra", "/test/"))
    edited(published, "TBX11K_train.json", lambda d: d["images"].append(
        {"id": 77, "file_name": "extra/shenzhen/CHNCXR_0001_0.png", "width": 512, "height": 512}))  # fmt: skip
    with pytest.raises(UserError, match="TBX11K_train.json: not TBX11K's COCO: KeyError 'extra'"):
        read(published)


def test_looked_at_and_not_boxed_are_told_apart(published: Path) -> None:
    found = read(published)
    assert (
        found["h0001"].annotations["tb_lesions"]
        == found["s0002"].annotations["tb_lesions"]
        == BoxList((), ())
    )
    assert "tb_lesions" not in found["tb0003"].annotations  # tuberculosis, and nobody boxed it


def test_a_box_of_unknown_activity_leaves_the_film_unknown(published: Path) -> None:
    def change(data: Any) -> None:
        data["annotations"][0]["category_id"] = 3

    edited(published, "TBX11K_train.json", change)
    assert "tb_lesions" not in read(published)["tb0006"].annotations


def test_only_tb_is_what_the_paper_took(published: Path) -> None:
    found = read(published, only_tb=True)
    assert set(found) == {"tb0003", "tb0006", "tb0009"}
    assert {name for s in found.values() for name in s.annotations} == {"tb_lesions"}


def test_the_simplified_mirror_says_the_same(published: Path, tmp_path: Path) -> None:
    Tbx11k.write_simplified(tmp_path / "s", 9, seed=2)
    mirror, original = read(tmp_path / "s"), read(published)
    assert set(mirror) == set(original)  # neither test/ nor a film twice for its two boxes
    for key, sample in mirror.items():
        assert (sample.patient, sample.split) == (original[key].patient, original[key].split)
        assert sample.annotations["tbx_class"] == original[key].annotations["tbx_class"]
        one, two = sample.annotations.get("tb_lesions"), original[key].annotations.get("tb_lesions")
        assert (one is None) == (two is None)
        if isinstance(one, BoxList) and isinstance(two, BoxList):
            assert one.label == two.label
            assert [pytest.approx(box) for box in one.xyxy] == list(two.xyxy)
    boxes = [s.annotations.get("tb_lesions") for s in mirror.values()]
    assert max(len(b.label) for b in boxes if isinstance(b, BoxList)) == 2


def test_what_makes_no_sense_is_named(published: Path, tmp_path: Path) -> None:
    Tbx11k.write_simplified(tmp_path / "s", 6, seed=2)
    table = tmp_path / "s/data.csv"
    text = table.read_bytes()
    table.write_bytes(text.replace(b",healthy", b",well"))
    with pytest.raises(UserError, match="data.csv line 2: unknown label 'well'; allowed image_type: healthy"):
        read(tmp_path / "s")
    table.write_bytes(text.replace(b"'xmin'", b"'left'"))
    with pytest.raises(UserError, match=r"data.csv line 7: bbox .*; allowed: none, or \{'xmin'"):
        read(tmp_path / "s")
    (published / "TBX11K/annotations/json/TBX11K_val.json").unlink()
    with pytest.raises(UserError, match="TBX11K_val.json: No such file"):
        read(published)
    shutil.rmtree(published / "TBX11K/annotations")
    with pytest.raises(UserError, match="not this layout, no data.csv or annotations/json; it holds imgs/"):
        read(published / "TBX11K")
