"""What people write and runs leave, damaged and read again: recipes, data files, weights, checkpoints, results."""

from __future__ import annotations

import hashlib
import io
import json
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import pyarrow as pa
import pyarrow.parquet as pq
import runs
import torch
from fuzz_damage import damaged, misshapen, restructured
from fuzz_originals import Original

from muscle.backbones import BackboneModule
from muscle.backbones.timm import Timm
from muscle.case_table import write_cases
from muscle.checkpoint import Checkpoint
from muscle.data.audit import read_left_out
from muscle.data.data_file import DataFile
from muscle.data.levels import WORDS
from muscle.data.seen import HEAD, POOL_FILE, SUM, read_seen
from muscle.data.splits import Listed
from muscle.external import _model
from muscle.inventory import inventory
from muscle.paths import sha256_file
from muscle.predictions import Predictions
from muscle.recipe import Recipe
from muscle.recipes import RECIPES, recipe
from muscle.report.curves import read_log, training_curves
from muscle.report.page import report
from muscle.report.reading import load_results, read_embedding
from muscle.seal import sealed
from muscle.starts import load_recipe, of_run
from muscle.statistics.intervals import intervals
from muscle.weights import load_backbone
from muscle.yaml_text import from_yaml, to_yaml

KEY = "0123456789abcdef" * 4
LEVELS = {name: [0.1, 0.2, 0.3] for name in WORDS}
NETWORK = {"kind": "timm", "name": "test_resnet"}


@cache
def network() -> BackboneModule:
    """The smallest network that is one."""
    return Timm.parse({"name": NETWORK["name"]}).build()


def make_documents(folder: Path) -> list[Original]:
    """A folder of each kind below ``documents``; its files as originals of that kind.

    Raises:
        UserError: one is refused as it is, and no damage could be told from that.
    """
    root = folder / "documents"
    for name in RECIPES:
        _write(root / "recipe" / f"{name}.yaml", recipe(name, "demo").yaml())
    _write(
        root / "recipe" / "short.yaml",
        "name: mine\nstages: []\nfinetune: {tasks: [{kind: classification}]}\n",
    )
    films = (
        "sources:\n  a: {kind: kermany, root: films}\n"
        "  b:\n    kind: table\n    root: films\n    file: a.csv\n    label: finding\n"
    )
    _write(
        root / "data file" / "data.yaml", f"{films}split: {{kind: patient, valid: 0.2, test: 0.2, seed: 3}}\n"
    )
    _write(
        root / "data file" / "more.yaml",
        "sources:\n  a: {kind: folder, root: ., external: true}\nexclude: [x.txt]\n",
    )
    rows = [(f"a/{i}.png", f"p{i // 2}", ("train", "valid", "test")[i % 3]) for i in range(30)]
    text = "id,patient,part\n" + "".join(",".join(row) + "\n" for row in rows)
    _write(root / "split" / "split.csv", text)
    columns = dict(zip(("id", "patient", "part"), map(list, zip(*rows, strict=True)), strict=True))
    pq.write_table(pa.table(columns), root / "split" / "split.parquet")
    _write(root / "exclude" / "exclude.txt", "".join(f"{i}\n" for i, _, _ in rows))
    _results(root)
    _weights(root)
    made = [
        Original(p.relative_to(folder).as_posix(), f"documents/{p.relative_to(root).parts[0]}", "document")
        for p in sorted(root.rglob("*"))
        if p.is_file() and p.relative_to(root).parts[0] in READERS and p.name not in BESIDE
    ]  # fmt: skip
    for original in made:
        read_document(folder / original.path, original.tree.partition("/")[2])
    return made


DRAWN = 8  # of so many documents one is drawn, which takes seconds
BESIDE = ("report.html",)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _results(root: Path) -> None:
    found = runs.write_results(root / "results", (runs.labels, runs.boxes), seeds=1)
    (root / "results" / "results.json").write_text(sealed(found))
    out = root / "predictions"
    for make in (runs.labels, runs.boxes, runs.mask):
        made = make(0.5, 0)
        made.save(out / f"{made.task}.npz")
    (root / "embeddings").mkdir()
    np.savez_compressed(root / "embeddings" / "a.npz", xy=np.zeros((5, 2), np.float32), id=np.array(list("abcde")),
                        source=np.array(list("abcde")), body_part=np.array(["chest"] * 5))  # fmt: skip
    log = sorted((root / "results" / "logs").glob("*.jsonl"))[0]
    _write(root / "log" / "log.jsonl", log.read_text())


def _weights(root: Path) -> None:
    state = network().net.state_dict()
    (root / "foreign").mkdir()
    torch.save(
        {"state_dict": {f"module.encoder_q.{k}": v for k, v in state.items()}, "epoch": 3},
        root / "foreign" / "a.pth",
    )
    torch.save(state, root / "foreign" / "b.pt", _use_new_zipfile_serialization=False)
    made = recipe("md-moco", "demo").with_(backbone=NETWORK)
    about: dict[str, Any] = {"stage": made.stages[0].dump(), "steps": 3, "minutes": 0.1, "matrix": [], "seed": 0,
                             "best": {"valid": None, "turn": -1}}  # fmt: skip
    head = {"fc.weight": torch.zeros(2, 8)}
    checkpoint = Checkpoint.write(
        root / "checkpoint", KEY, network(), {"pneumonia": head}, '{"step": 1}\n', {"size": "64x64"}, about
    )
    target = {"name": "pneumonia", "kind": "labels", "classes": ["no", "yes"], "exclusive": True}
    model = {"recipe": made.dump(), "target": target, "train_images": 9, "title": "Mine", "task": "pneumonia",
             "seed": 0, "threshold": None, "temperature": None, "grey_levels": LEVELS,
             "seen_sha256": _seen(checkpoint.folder)}  # fmt: skip
    (checkpoint.folder / "model.json").write_text(sealed(model))
    (root / "run").mkdir()
    (root / "run" / "backbone.safetensors").write_bytes(checkpoint.backbone_file.read_bytes())
    ran = {"recipe": made.dump(), "size": list(made.size), "fit": made.fit, "sha256": checkpoint.sha256, "images": 9,
           "normalization": made.normalization.dump(), "decode": made.decode.dump()}  # fmt: skip
    (root / "run" / "backbone.json").write_text(sealed(ran))


def _seen(folder: Path) -> str:
    """Writes a list of films seen beside weights; its SHA-256."""
    lines = HEAD + f"{'a' * 64}\tp\tx/1.png\tc\n"
    _write(folder / POOL_FILE, lines + SUM + hashlib.sha256(lines.encode()).hexdigest() + "\n")
    return sha256_file(folder / POOL_FILE)


# --- readers: what a command does with the file ---------------------------------------------------------------


def _recipe(path: Path) -> None:
    load_recipe(str(path), "demo").key()


def _data_file(path: Path) -> None:
    DataFile.load(path).key()


def _of_results(path: Path) -> None:
    out = next(folder for folder in path.parents if (folder / "results.json").exists())
    load_results(out)
    inventory(out.parent, out)
    write_cases(out)
    if path.stat().st_size % DRAWN == 0:
        report(out)


def _checkpoint(path: Path) -> None:
    folder = path.parent
    inventory(folder.parent.parent / "run", folder.parent)
    if (made := Checkpoint.find(folder.parent, KEY)) is not None:
        made.backbone_state(), made.head_state("pneumonia"), made.sha256
    _, about = _model(folder)
    Recipe.parse(about.recipe)
    read_seen(folder)


def _run(path: Path) -> None:
    of_run(path.with_name("backbone.safetensors"))
    load_backbone(network(), path.with_name("backbone.safetensors"))


def _log(path: Path) -> None:
    rows = read_log(path)
    if path.stat().st_size % DRAWN == 0:
        training_curves(rows, "log")


READERS: dict[str, Callable[[Path], Any]] = {
    "recipe": _recipe,
    "data file": _data_file,
    "split": Listed.read,
    "exclude": lambda path: read_left_out([str(path)]),
    "results": _of_results,
    "predictions": lambda path: intervals(Predictions.load(path)),
    "embeddings": read_embedding,
    "log": _log,
    "foreign": lambda path: load_backbone(network(), path),
    "checkpoint": _checkpoint,
    "run": _run,
}


def read_document(path: Path, kind: str) -> None:
    """Reads a file as the command that meets it does.

    Raises:
        UserError: it is refused.
    """
    READERS[kind](path)


# --- damage ---------------------------------------------------------------------------------------------------


def spoilt(path: Path, content: bytes, rng: np.random.Generator) -> bytes:
    """The content damaged: its bytes, or the structure of what is in it."""
    text = path.suffix in (".yaml", ".json", ".csv", ".txt", ".jsonl")
    choice = rng.random()
    if choice < 0.35 or path.suffix not in (".yaml", ".json", ".npz"):
        return damaged(content, rng, text)
    if path.suffix == ".npz":
        return _arrays(content, rng)
    if choice < 0.5:
        return misshapen(content, rng)
    if path.suffix == ".json":  # without its seal: a file of another version, or of another's hand
        data = {k: v for k, v in json.loads(content).items() if k != "seal"}
        return json.dumps(restructured(data, rng)).encode()
    return to_yaml(restructured(from_yaml(content.decode()), rng)).encode("utf-8", "surrogatepass")


def _arrays(content: bytes, rng: np.random.Generator) -> bytes:
    with np.load(io.BytesIO(content)) as file:
        arrays = {name: file[name] for name in file}
    name = str(rng.choice(sorted(arrays)))
    how = int(rng.integers(6))
    if name == "about" and how < 4:
        arrays[name] = np.array(json.dumps(restructured(json.loads(str(arrays[name][()])), rng)))
    elif how == 0:
        del arrays[name]
    elif how == 1:
        arrays[name] = arrays[name][..., None]
    elif how == 2 and arrays[name].ndim:
        arrays[name] = arrays[name][1:]
    elif how == 3:
        arrays[name] = np.zeros((0,), str(rng.choice(["f8", "i1", "U3", "?", "c8"])))
    elif how == 4 and arrays[name].dtype.kind in "fi":
        arrays[name] = arrays[name].astype(str(rng.choice(["f2", "i1", "c8", "u8"])))
    elif arrays[name].dtype.kind in "fiu" and arrays[name].size:
        flat = arrays[name].reshape(-1).copy()
        with np.errstate(all="ignore"):
            flat[int(rng.integers(len(flat)))] = rng.choice(np.array([-1, 0, 2**31, 1e30])).astype(flat.dtype)
        arrays[name] = flat.reshape(arrays[name].shape)
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()
