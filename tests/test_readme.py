"""The README is true: its blocks run, its tables match the code; so does the file tree of CONTRIBUTING.md.

Oracles: the exit status of the very text of each block, the files on the disk, ``RECIPES`` and ``PRESETS``.

What is substituted, and nothing else: ``muscle`` on the PATH is this environment's command line with every preset
cut down (64 x 48 pixels, one epoch, one round, one rate, a lean detector), one thread, no processes that decode and
no fsync, and Python blocks run with the same; the folders and films that the blocks name are synthetic. Two blocks
are marked ``<!-- not run: WHY -->`` in the README: installation, and ``make``.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import openpyxl
import pytest

from muscle.data.data_file import DataFile
from muscle.data.source import Source
from muscle.lineup import compared
from muscle.parts import member
from muscle.recipes import PRESETS, RECIPES
from muscle.tasks.moco import MoCo

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
NOT_RUN = 2  # blocks that may be marked so

BLOCK = re.compile(r"(<!-- not run: [^>]+ -->\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [(language, text) for mark, language, text in BLOCK.findall(README) if not mark]
RUN = [(language, text) for language, text in BLOCKS if language in ("sh", "python")]

SMALL = """
import dataclasses, os, runpy, sys
from muscle import machine, recipes
from muscle.data import reuse
from muscle.tasks.detection import Detection

os.fsync = lambda handle: None
machine.allowed_cores = lambda: 1
films = reuse.films
reuse.films = lambda jobs, workers: films(jobs, 0)

def small(tasks):
    return tuple(
        Detection.lean().with_(batch_size=8) if t.kind == "detection" else t.with_(batch_size=8) for t in tasks
    )

for name, p in recipes.PRESETS.items():
    finetune = p.finetune.with_(epochs=1, least_steps=0, backbone_rates=(1e-3,), tasks=small(p.finetune.tasks))
    recipes.PRESETS[name] = dataclasses.replace(
        p, size=(64, 48), pretrain_epochs=1, rounds=1, moco=p.moco.with_(queue="auto", batch_size=8),
        annotated=small(p.annotated), finetune=finetune,
    )
"""
COMMAND = "from muscle.cli.main import main\nmain()\n"
SCRIPT = "runpy.run_path(sys.argv[1], run_name='__main__')\n"

EXAMPLES = {"xrays": "folder", "wrist": "folder", "elsewhere": "folder", "chest": "table", "lungs": "masks",
            "teeth": "coco", "forearm": "yolo", "jaws": "voc", "pacs": "dicom_folder"}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the README's blocks name, and the substituted ``muscle`` in ``bin``."""
    folder = tmp_path_factory.mktemp("readme")
    for seed, (name, kind) in enumerate(EXAMPLES.items()):
        member(Source, kind).write_example(folder / name, 24 if name == "wrist" else 10, seed * 100)
    for language, text in BLOCKS:
        if language == "yaml":
            name = re.match(r"# ([\w.]+)", text)
            assert name, "a YAML block says its file name in its first line"
            (folder / name[1]).write_text(text, encoding="utf-8")
    (folder / "bin").mkdir()
    for name, code in {"muscle": COMMAND, "small-python": SCRIPT}.items():
        program = folder / "bin" / name
        program.write_text(f"#!{sys.executable}\n{SMALL}{code}")
        program.chmod(0o755)
    return folder


def _run(place: Path, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    search = os.pathsep.join([str(place / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    own = {k: v for k, v in os.environ.items() if not k.startswith("MUSCLE_")}
    settings = own | {"PATH": search, "MUSCLE_OFFLINE": "1", "MUSCLE_SALT": "x", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        arguments, cwd=place, env=settings, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.parametrize("number", range(len(RUN)))
def test_block_runs(number: int, place: Path) -> None:
    """Every shell and Python block, in the README's order, ends with status 0; the first failing line ends a block."""
    language, text = RUN[number]
    if language == "sh":
        done = _run(place, ["sh", "-e", "-c", text])
    else:
        (place / "block.py").write_text(text, encoding="utf-8")
        done = _run(place, [str(place / "bin" / "small-python"), "block.py"])
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"


def test_the_blocks_left_what_they_promise(place: Path) -> None:
    """The files that the README's comments and sentences name are there after its blocks."""
    if not (place / "runs").is_dir():
        pytest.skip("runs after the blocks")
    for promised in ("runs/mine/backbone.safetensors", "runs/hospital/backbone.safetensors", "proposal.yaml",
                     "runs/muscle/report.html", "runs/muscle/results.json", "runs/muscle/tables",
                     "runs/muscle/predictions", "runs/muscle/logs", "runs/checkpoints"):  # fmt: skip
        assert (place / promised).exists(), promised


def test_at_most_two_blocks_are_not_run() -> None:
    """Marks and fences counted in the text; every language is one that a test reads, and the tree has none."""
    assert README.count("<!-- not run:") == len([m for m, *_ in BLOCK.findall(README) if m]) <= NOT_RUN
    assert README.count("```") == 2 * len(BLOCK.findall(README))
    assert {language for language, _ in BLOCKS} == {"sh", "python", "yaml", ""}


OWN_DATA = (ROOT / "docs" / "own-data.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", [README, OWN_DATA], ids=["README", "own-data"])
def test_data_files_read(page: str, place: Path) -> None:
    """A page's block with the sources names the kinds of own data, and each of its sources is read."""
    text = next(t for _, language, t in BLOCK.findall(page) if language == "yaml" and "external: true" in t)
    (place / "page.yaml").write_text(text, encoding="utf-8")
    found = DataFile.load(place / "page.yaml")
    more = {"voc", "dicom_folder"} if page == OWN_DATA else set()
    assert {source.kind for source in found.sources.values()} == {
        "folder",
        "table",
        "masks",
        "coco",
        "yolo",
    } | more
    assert {t.kind for _, targets in found.read().values() for t in targets} == {"labels", "mask", "boxes"}
    assert [name for name, source in found.sources.items() if source.external] == list(found.sources)[-1:]


def test_the_table_with_several_findings_reads(place: Path) -> None:
    """Its YAML block, over a workbook with the columns that it names."""
    text = next(
        t for _, language, t in BLOCK.findall(OWN_DATA) if language == "yaml" and "findings.xlsx" in t
    )
    (place / "findings.yaml").write_text(text, encoding="utf-8")
    book = openpyxl.Workbook()
    for row in (["image", "edema", "effusion", "age", "patient"], ["films/0000.png", 1, -1, 60, "0001"],
                ["films/0001.png", 0, None, 70, "0002"]):  # fmt: skip
        book.active.append(row)
    book.save(place / "chest" / "findings.xlsx")
    samples, targets = DataFile.load(place / "findings.yaml").read()["chest"]
    (place / "chest" / "findings.xlsx").unlink()  # other tests take the folder as its example left it
    assert [(t.name, t.kind) for t in targets] == [("chest", "labels"), ("age", "value")]
    assert [s.annotations["chest"].values[0] for s in samples] == [1, 0]  # type: ignore[union-attr]
    assert all(math.isnan(s.annotations["chest"].values[1]) for s in samples)  # type: ignore[union-attr]


def test_scratch_takes_over_the_backbone_of_the_run(tmp_path: Path) -> None:
    """A run as ``pretrain`` leaves it, of a ResNet-50 at 64 x 48, beside starts and defaults that are neither."""
    about = {"recipe": {"backbone": {"kind": "resnet", "name": "resnet50"}}, "size": [64, 48], "fit": "stretch",
             "normalization": {"kind": "zscore"}, "decode": {}}  # fmt: skip
    (tmp_path / "backbone.json").write_text(json.dumps(about))
    (tmp_path / "backbone.safetensors").write_bytes(b"not looked into")
    found = compared(["scratch", "imagenet", tmp_path], [], None, 1, "small", [], [])
    assert [(r.backbone.dump()["name"], r.size) for r in found] == [("resnet50", (64, 48))] * 3


def _table(first: str) -> list[list[str]]:
    """The rows of the Markdown table whose head begins with a word, as cells without backticks."""
    body = README.partition(f"| {first} |")[2].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip().strip("`") for cell in row.strip("|").split("|")] for row in body]


def test_recipes_and_presets() -> None:
    """Names, titles and numbers of both tables, against the values themselves."""
    shipped = [[name, make(PRESETS["paper"]).title] for name, make in RECIPES.items()]
    assert [row[:2] for row in _table("name")] == shipped
    rows = _table("preset")
    assert [row[0] for row in rows] == list(PRESETS)
    for name, size, pretext, rounds, epochs, _ in rows:
        p = PRESETS[name]
        assert isinstance(p.moco, MoCo)
        assert size == f"{p.size[0]}x{p.size[1]}"
        assert pretext == f"{p.moco.batch_size}, {p.moco.queue}, {p.pretrain_epochs}"
        least = f", at least {p.finetune.least_steps} steps" if p.finetune.least_steps else ""
        assert (rounds, epochs) == (str(p.rounds), f"{p.finetune.epochs}{least}")


def test_a_new_reader_finds_things_in_order() -> None:
    """What it is, then installing it, then the ten lines; one's own data before recipes, the tree near the end."""
    headings = re.findall(r"^## (.+)$", README, re.MULTILINE)
    assert headings[:3] == ["Install", "Ten lines", "Your own data"]
    order = [
        headings.index(name)
        for name in (
            "What it does",
            "Recipes",
            "Presets",
            "Glossary",
            "Where things are",
            "More",
            "Developers",
        )
    ]
    assert order == sorted(order)
    assert len(README.partition("\n\n")[2].partition("\n\n")[0].splitlines()) == 3
    pages = {page.relative_to(ROOT).as_posix() for page in (ROOT / "docs").rglob("*.md")}
    assert pages <= set(re.findall(r"\]\(([^)]+)\)", README.partition("## More")[2]))


def test_glossary_has_twelve_lines() -> None:
    """Between its heading and the next, one line a word."""
    lines = README.partition("## Glossary\n")[2].partition("\n## ")[0].strip().splitlines()
    assert len(lines) == 12
    assert all(re.fullmatch(r"- \*\*[A-Z][a-z ]+\*\*: .+", line) for line in lines)


def test_the_short_tree() -> None:
    """What it names exists, and no package is missing."""
    section = README.partition("## Where things are")[2]
    lines = next(text for _, language, text in BLOCK.findall(section) if not language).splitlines()[1:]
    named = [word for line in lines for word in line.split("   ")[0].split()]
    top = ROOT / "src" / "muscle"
    assert all((top / name).exists() for name in named)
    packages = {p.name for p in top.iterdir() if (p / "__init__.py").is_file()}
    assert packages == {name.rstrip("/") for name in named if name.endswith("/")}


def test_file_tree() -> None:
    """Every file that the tree names exists, and every module and folder of the package stands in it."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    tree = next(text for _, language, text in BLOCK.findall(page) if not language)
    top = ROOT / "src" / "muscle"
    named: set[str] = set()
    for line in tree.splitlines()[1:]:
        entry, duty = line.split(maxsplit=1)
        assert (top / entry).exists(), entry
        named.add(entry.rstrip("/"))
        for other in re.findall(r"[\w/]+\.py\b", duty):
            inside = top / entry / other if entry.endswith("/") else top / other
            assert inside.is_file(), f"{entry}: {other}"
            named.add(other)
    there = {p.name for p in top.iterdir() if not p.name.startswith("_") and p.name != "py.typed"}
    assert there <= named, f"not in the tree: {sorted(there - named)}"
    parts = {
        p.name for folder in ("tasks", "datasets", "backbones") for p in (top / folder).glob("[a-z]*.py")
    }
    assert parts <= named, f"not in the tree: {sorted(parts - named)}"


PAPER = (ROOT / "docs" / "papers" / "muscle.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("where", sorted(set(re.findall(r"`([\w/]+\.py:[\w.]+)`", PAPER))))
def test_names_on_the_paper_page(where: str) -> None:
    """Each file:function exists, looked up by importing the file."""
    file, _, name = where.partition(":")
    assert (ROOT / "src" / "muscle" / file).is_file()
    found = import_module("muscle." + file.removesuffix(".py").replace("/", "."))
    for step in name.split("."):
        found = getattr(found, step)


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links(page: Path) -> None:
    """Every relative link of the README, of CONTRIBUTING.md and of the pages under docs leads to a file."""
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" not in link and not link.startswith("#"):
            assert (page.parent / link.partition("#")[0]).exists(), link
