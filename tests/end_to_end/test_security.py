"""What strangers send does nothing but produce an error. Oracle: a marker that each plant makes when it comes alive."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import command
import numpy as np
import pytest
import runs
import torch
from PIL import Image

from muscle.api import validate
from muscle.errors import UserError
from muscle.recipe import Recipe
from muscle.report.page import report
from muscle.seal import sealed
from muscle.snapshot import Snapshot


class Planted:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return os.mkdir, (str(self.marker),)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """A place where nothing is, before and after."""
    return tmp_path / "marker"


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A folder of three films."""
    (tmp_path / "films").mkdir()
    for i in range(3):
        noise = np.random.default_rng(i).integers(0, 255, (40, 48), np.uint8)
        Image.fromarray(noise).save(tmp_path / "films" / f"{i}.png")
    return tmp_path / "films"


def pretrain(sources: Path, *more: str | Path) -> command.Ended:
    place = sources.parent
    return command.muscle(
        "pretrain", sources, *command.PRETRAIN, "--out", place / "run", "--store", place / "store", *more
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of results."""
    runs.write_results(place := tmp_path_factory.mktemp("made"), (runs.labels,), seeds=1)
    return place


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """One of its own for a test."""
    return Path(shutil.copytree(made, tmp_path / "run"))


# --- pickles --------------------------------------------------------------------------------------------------


def as_torch(planted: Planted) -> bytes:
    out = io.BytesIO()
    torch.save({"state_dict": planted}, out)
    return out.getvalue()


def as_numpy(planted: Planted) -> bytes:
    out = io.BytesIO()
    np.savez(out, about=np.array([planted], object))
    return out.getvalue()


@pytest.mark.parametrize(("name", "made"), [
    ("x.pth", as_torch), ("x.pt", pickle.dumps), ("x.npz", as_numpy), ("x.safetensors", as_torch),
    ("backbone.safetensors", pickle.dumps),
])  # fmt: skip
def test_a_planted_pickle_as_weights(name: str, made: Any, sources: Path, marker: Path) -> None:
    """As ``--init``, and as ``--from``, which are one reader."""
    file = sources.parent / name
    file.write_bytes(made(Planted(marker)))
    assert name in pretrain(sources, "--init", file).refused(1)
    assert not marker.exists()


def test_the_plant_is_alive(marker: Path) -> None:
    pickle.loads(pickle.dumps(Planted(marker)))
    assert marker.exists()


def test_a_planted_pickle_as_snapshot(tmp_path: Path, marker: Path) -> None:
    snapshot = Snapshot(tmp_path, "0" * 64)
    snapshot.folder.mkdir(parents=True)
    for made in (pickle.dumps, as_torch):
        snapshot.file.write_bytes(made(Planted(marker)))
        with pytest.raises(UserError):
            snapshot.load()
        assert not marker.exists()


def test_a_planted_pickle_as_predictions(run: Path, marker: Path) -> None:
    """The report is written, says what is missing, and its check fails on it."""
    for file in (run / "predictions").iterdir():
        file.write_bytes(as_numpy(Planted(marker)))
    page = report(run).read_text()
    assert "Python objects" in page and not marker.exists()
    command.muscle("report", run, "--check").refused(1)


def test_weights_that_unpack_to_anything(sources: Path) -> None:
    """20 MB of zeros in 20 kB, of which torch would make room for all."""
    with zipfile.ZipFile(sources.parent / "x.pth", "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("archive/data/0", bytes(20_000_000))
    assert "unpack to 20 MB" in pretrain(sources, "--init", sources.parent / "x.pth").refused(1)


# --- archives, links, paths -----------------------------------------------------------------------------------


def test_a_zip_that_climbs_out_is_no_source(tmp_path: Path) -> None:
    """Nothing is ever unpacked; ``tests/data/test_texts.py`` has the same of workbooks."""
    (tmp_path / "a").mkdir()
    with zipfile.ZipFile(tmp_path / "a/films.zip", "w") as out:
        out.writestr("../evil.png", "x")
    command.muscle("data", "scan", tmp_path / "a" / "films.zip").refused(2)
    command.muscle("data", "prepare", tmp_path / "a" / "films.zip").refused(2)
    assert "no image in" in command.muscle("data", "prepare", tmp_path / "a").refused(1)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a", "films.zip"]


def test_a_link_out_of_the_folder(sources: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes((sources / "0.png").read_bytes())
    (sources / "x.png").symlink_to(tmp_path / "secret.png")
    for words in (("data", "prepare", sources), ("data", "scan", sources), ("pretrain", sources)):
        assert "x.png is a link to" in command.muscle(*words).refused(1)


@pytest.mark.parametrize("part", ["cells", "stages"])
@pytest.mark.parametrize(
    "path", ["../secret", "/etc/passwd", "a/../../x", "..\\x", "C:/x", 3, ["a"], "a\0b", "link/x"]
)
def test_paths_in_results_stay_in_their_folder(part: str, path: Any, run: Path) -> None:
    results = json.loads((run / "results.json").read_text())
    (run / "link").symlink_to(run.parent)
    results[part][0]["log" if part == "stages" else "predictions"] = path
    (run / "results.json").write_text(sealed(results))
    assert ("names" if isinstance(path, str) else "is no str") in command.muscle("report", run).refused(1)


def test_a_report_clears_no_folder_of_others(run: Path, tmp_path: Path) -> None:
    """Its folder ``tables`` is emptied of old tables: one that is a link to notes is not."""
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/mine.md").write_text("mine")
    (run / "tables").symlink_to(tmp_path / "notes")
    assert "'tables'" in command.muscle("report", run).refused(1)
    assert (tmp_path / "notes/mine.md").exists()


@pytest.mark.parametrize(("field", "value"), [("seed", "/../../evil"), ("key", "../../evil")])
def test_models_of_others_name_no_files(field: str, value: str, tmp_path: Path, sources: Path) -> None:
    about: dict[str, Any] = {
        "recipe": {}, "target": {"name": "t", "kind": "labels"}, "grey_levels": {}, "train_images": 9, "title": "T",
        "task": "t", "seed": 0, "threshold": None, "temperature": None, "seen_sha256": "",
    }  # fmt: skip
    files = {"model.json": about, "stage.json": {"format": 1, "key": "0" * 64, "files": {}}}
    for content in files.values():
        if field in content:
            content[field] = value
    (tmp_path / "model").mkdir()
    for name, content in files.items():
        (tmp_path / "model" / name).write_text(sealed(content))
    with pytest.raises(UserError, match=f"not as it was written \\({field}\\)"):
        validate(tmp_path / "model", sources, tmp_path / "out", store=tmp_path / "store")


@pytest.mark.parametrize("name", ["../evil", "/evil", ".hidden", "a/b", "a\\b", "c:x", "", "x" * 200, "a\nb"])
def test_names_of_recipes_and_stages_are_no_paths(name: str, tmp_path: Path) -> None:
    for text in ({"name": name}, {"name": "x", "stages": [{"name": name, "tasks": ["moco"]}]}):
        (tmp_path / "r.yaml").write_text(json.dumps(text))
        command.muscle("show", tmp_path / "r.yaml").refused(2)


# --- names from data ------------------------------------------------------------------------------------------

NAMES = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "$\\frac{",
    "a|b`c`",
    "</table>",
    "{{ 7*7 }}",
)


class Tags(HTMLParser):
    """What a browser would act on."""

    def __init__(self) -> None:
        super().__init__()
        self.bad: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "iframe", "object", "embed", "form", "base", "link"):
            self.bad.append(tag)
        self.bad += [name for name, _ in attrs if name.startswith("on")]
        self.bad += [
            str(v)
            for name, v in attrs
            if name in ("src", "href") and not str(v).startswith(("data:image/", "#"))
        ]


@pytest.mark.filterwarnings("ignore:Glyph")
def test_a_script_in_a_name_is_text(tmp_path: Path) -> None:
    """In the names of classes, recipes, tasks, sources and in the title; figures are drawn of them, too."""
    out = tmp_path / "run"
    results = runs.write_results(out, (runs.labels, runs.mask), seeds=1)
    text = json.dumps(results)
    for i, old in enumerate(("pneumonia", "MUSCLE", "kermany", "A small comparison", "lungs", "chest")):
        text = text.replace(json.dumps(old), json.dumps(NAMES[i % len(NAMES)]))
    (out / "results.json").write_text(text)
    for file in (out / "predictions").glob("*.npz"):
        with np.load(file) as old_file:
            parts = dict(old_file)
        about = json.loads(str(parts["about"]))
        about["classes"] = [*NAMES[: len(about["classes"])]]
        np.savez(file, **(parts | {"about": np.array(json.dumps(about))}))
    page = report(out).read_text()
    tags = Tags()
    tags.feed(page)
    assert not tags.bad and "&lt;script&gt;alert(1)" in page
    assert "data:image/" in page and "49" not in page.partition("<h1>")[2].partition("</h1>")[0]
    for file in (out / "tables").glob("*.md"):
        assert "<script" not in file.read_text() and "<img" not in file.read_text()


def test_names_do_not_order_the_terminal(tmp_path: Path) -> None:
    """A file's name may hold any byte but two; those that begin an order are written out."""
    (tmp_path / "a\x1b]52;c;eA==\x07.png").write_text("no picture")
    ended = command.muscle("data", "scan", tmp_path)
    assert "\x1b" not in ended.out + ended.err and "\\x1b]52" in ended.out


# --- code -----------------------------------------------------------------------------------------------------

TAGS = ("!!python/object/apply:os.mkdir [{}]", "!!python/object/new:os.mkdir [{}]", "!!python/name:os.mkdir")


@pytest.mark.parametrize("tag", TAGS)
def test_a_yaml_tag_of_python(tag: str, tmp_path: Path, marker: Path) -> None:
    tag = tag.format(marker)
    for name, text, words in (
        ("recipe.yaml", f"name: {tag}\n", ("show",)),
        ("data.yaml", f"sources: {{x: {tag}}}\n", ("data", "check")),
    ):
        (tmp_path / name).write_text(text)
        command.muscle(*words, tmp_path / name).refused(2)
    assert not marker.exists()


@pytest.mark.parametrize("kind", ["planted", "planted.Planted", "./planted.py", "../planted", "planted:Planted",
                                  "os.system", "muscle.datasets.folder", "__init__", "_columns"])  # fmt: skip
def test_code_in_a_foreign_file_is_not_imported(
    kind: str, tmp_path: Path, sources: Path, marker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The module lies in the folder, and even where Python would find it."""
    (tmp_path / "planted.py").write_text(f"import os; os.mkdir({str(marker)!r})\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    recipe = Recipe(name="x").dump() | {"backbone": {"kind": kind}}
    (tmp_path / "r.yaml").write_text(json.dumps(recipe))
    (tmp_path / "d.yaml").write_text(json.dumps({"sources": {"x": {"kind": kind, "root": "films"}}}))
    (tmp_path / "backbone.safetensors").write_bytes(b"x")
    (tmp_path / "backbone.json").write_text(sealed({
        "recipe": recipe, "size": [32, 32], "fit": "pad", "decode": {}, "normalization": {"kind": kind}
    }))  # fmt: skip
    command.muscle("show", tmp_path / "r.yaml").refused(2)
    command.muscle("data", "check", tmp_path / "d.yaml").refused(2)
    ended = command.muscle("embed", sources, "--from", tmp_path, "--out", tmp_path / "e.parquet")
    ended.refused(ended.code)
    assert ended.code in (1, 2) and not marker.exists()


def test_modules_that_lie_among_the_films_are_not_imported(sources: Path, marker: Path) -> None:
    """Who stands in a folder of others and decodes it runs no file of it, in the processes that decode either."""
    for name in ("multiprocessing", "pickle", "cv2", "muscle", "numpy", "sitecustomize"):
        (sources / f"{name}.py").write_text(f"import os; os.mkdir({str(marker)!r})\n")
    script = (
        "import sys; sys.path.remove('')\n"  # as in the installed command
        "import os; from muscle.data.workers import mapped; print(*mapped(os.path.basename, ['a/b'], 1))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=sources, capture_output=True, text=True, timeout=120,
                          check=False)  # fmt: skip
    assert done.stdout == "b\n"
    assert done.returncode == 0, done.stderr
    assert not marker.exists()
