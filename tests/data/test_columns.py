"""Tables beside films, written so that the meaning of every column is known."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from muscle.data.columns import Table, find_tables
from muscle.data.headers import Film

FILMS = [Film(f"images/f{i}.png", "png", study=f"1.2.3.{i // 2}", instance=f"1.2.3.4.{i}") for i in range(20)]


def roles(table: Table) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for role, column, _ in table.columns:
        found.setdefault(role, []).append(column)
    return found


def csv(root: Path, head: str, line: str, n: int = 20) -> Table:
    def words(i: int) -> dict[str, object]:
        odd = i % 2
        word, view = ("normal", "sick")[odd], ("PA", "AP")[odd]
        return {
            "i": i,
            "half": i // 2,
            "odd": odd,
            "word": word,
            "view": view,
            "part": ("train", "test")[i > 15],
        }

    lines = [head, *(line.format(**words(i)) for i in range(n))]
    (root / "t.csv").write_text("\n".join(lines) + "\n")
    (found,) = find_tables(root, ["t.csv"], FILMS)
    return found


def test_the_columns_of_a_table_of_labels(tmp_path: Path) -> None:
    found = csv(
        tmp_path,
        "id,file,person_id,diagnosis,fracture,split,pos,Reader Name",
        "9{i},images\\f{i}.PNG,p{half},{word},{odd},{part},{view},Dr A{odd}",
    )
    assert (found.kind, found.rows) == ("labels", 20)
    assert roles(found) == {"image": ["file"], "patient": ["person_id"], "class": ["diagnosis"],
                            "finding": ["fracture"], "split": ["split"], "view": ["pos"],
                            "person": ["Reader Name"]}  # fmt: skip
    said = {column: why for _, column, why in found.columns}
    assert said["file"] == "100% of its cells are films here, by path"
    assert said["diagnosis"] == "normal 10, sick 10" and said["person_id"] == "10 values in 20 rows"
    assert "Dr A" not in json.dumps(found.as_dict())  # values of a person's column are not repeated


def test_films_are_named_by_stem_or_by_what_the_header_says(tmp_path: Path) -> None:
    assert "name without suffix" in csv(tmp_path, "x,case", "{i},f{i}").columns[0][2]
    assert csv(tmp_path, "x,uid", "a,1.2.3.4.{i}").columns[0] == (
        "image",
        "uid",
        "100% of its cells are films here, by instance UID",
    )
    assert "by file name" in csv(tmp_path, "x,file", "a,/data/old place/F{i}.png").columns[0][2]
    assert "study UID" in csv(tmp_path, "StudyInstanceUID,label", "1.2.3.{half},{odd}").columns[0][2]


def test_names_that_several_films_share_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    """As in CheXpert and MURA: every film is called alike, and the table counts from a folder above ours."""
    films = [Film(f"train/patient{i}/study1/view1.jpg", "jpeg") for i in range(8)]
    lines = [f"Set-v1.0/train/patient{i}/study1/view1.jpg,{i % 2}" for i in range(8)]
    (tmp_path / "t.csv").write_text("\n".join(["Path,label", *lines]))
    (found,) = find_tables(tmp_path, ["t.csv"], films)
    assert found.columns[0] == ("image", "Path", "100% of its cells are films here, by path")
    twice = [Film(f"{folder}/x{i}.jpg", "jpeg") for folder in "ab" for i in range(8)]
    (tmp_path / "t.csv").write_text("\n".join(["Path,label", *(f"x{i}.jpg,0" for i in range(8))]))
    assert find_tables(tmp_path, ["t.csv"], twice)[0].kind == "names no film of this folder"
    below = [Film(f"a/b/{film.path}", "jpeg") for film in films]
    (tmp_path / "t.csv").write_text("\n".join(["Path,label", *lines]))
    assert "by path" in find_tables(tmp_path, ["t.csv"], below)[0].columns[0][2]


def test_classes_joined_in_one_cell(tmp_path: Path) -> None:
    found = csv(tmp_path, "Image Index,Finding Labels", "f{i}.png,A|{word}|B")
    assert found.kind == "labels" and found.columns[1] == ("classes", "Finding Labels", "4 joined by |")


def test_boxes_and_runs(tmp_path: Path) -> None:
    boxes = csv(tmp_path, "image,x_min,y_min,x_max,y_max,kind", "f{i}.png,1,2,3,4,{word}")
    assert boxes.kind == "boxes"
    assert roles(boxes)["box"] == ["x_min, y_min, x_max, y_max"] and roles(boxes)["class"] == ["kind"]
    runs = csv(tmp_path, "ImageId, EncodedPixels", "f{i},{i} 5 9 2")
    assert (runs.kind, roles(runs)["runs"]) == ("masks as runs", ["EncodedPixels"])


def test_what_names_no_film_and_what_has_no_header(tmp_path: Path) -> None:
    assert csv(tmp_path, "image,label", "other{i}.png,{odd}").kind == "names no film of this folder"
    assert csv(tmp_path, "no", "{i}", 60).kind == "names no film of this folder"
    some = [f"f{i}.png" if i < 8 else f"g{i}.png" for i in range(20)]
    (tmp_path / "t.csv").write_text("\n".join(["image", *some]))
    assert (
        find_tables(tmp_path, ["t.csv"], FILMS)[0].kind == "names no film of this folder"
    )  # 40 % are other films
    bare = csv(tmp_path, "images/f0.png,0", "images/f{i}.png,{odd}", 19)
    assert (bare.kind, bare.rows) == ("a list of films without a header", 20)
    other = csv(tmp_path, "images/f0.png,0", "far{i}.png,{odd}", 19)
    assert (other.kind, other.rows) == ("a list of films without a header", 20)
    (tmp_path / "t.csv").write_bytes(b"\xff\xfe\x00")
    (broken,) = find_tables(tmp_path, ["t.csv"], FILMS)
    assert broken.kind.startswith("not readable: ")


def test_parquet_json_yolo_and_voc(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"film": [f"f{i}.png" for i in range(20)], "n": list(range(20))}), tmp_path / "t.parquet"
    )
    coco = {
        "images": [{"id": i, "file_name": f"f{i}.png"} for i in range(4)],
        "annotations": [{}] * 7,
        "categories": [],
    }
    (tmp_path / "c.json").write_text(json.dumps(coco))
    (tmp_path / "l.json").write_text(json.dumps([{"name": f"f{i}", "label": "ab"[i % 2]} for i in range(9)]))
    (tmp_path / "other.json").write_text("{}")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/f1.txt").write_text("0 0.5 0.5 0.1 1e-2\n")
    (tmp_path / "labels/f2.txt").write_text("")
    (tmp_path / "notes.txt").write_text("a note\n")
    (tmp_path / "labels/f3.xml").write_text("<annotation><object/></annotation>")
    paths = [
        "t.parquet",
        "c.json",
        "l.json",
        "other.json",
        "labels/f1.txt",
        "labels/f2.txt",
        "labels/f3.xml",
        "notes.txt",
    ]
    found = {table.path: (table.kind, table.rows) for table in find_tables(tmp_path, paths, FILMS)}
    assert found == {"t.parquet": ("list of films", 20), "c.json": ("COCO annotations", 7), "l.json": ("labels", 9),
                     "labels/*.txt": ("YOLO boxes", 2), "labels/*.xml": ("VOC boxes", 1)}  # fmt: skip
