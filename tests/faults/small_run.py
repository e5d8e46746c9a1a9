"""A real run of the smallest size, finished and half-finished, and the commands that a user gives again on it."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import command
import numpy as np
import tiny
from copies import cloud, encoded
from kills import Killed, Killer
from PIL import Image

from muscle import api
from muscle.data import journal
from muscle.data.corpus import Corpus
from muscle.data.data_file import DataFile
from muscle.data.decode import Decode
from muscle.datasets.kermany import Kermany
from muscle.datasets.masks import Masks
from muscle.predictions import Predictions
from muscle.progress import Progress

SIZE = (64, 64)  # below this no near-duplicates are looked for
ON = ("--threads", "1", "--device", "cpu")
SOURCES = "sources:\n  chest: {kind: kermany, root: chest}\n  lungs: {kind: masks, root: lungs}\n"
SPLIT = "split: {{kind: patient, valid: 0.25, test: 0.25, seed: {}}}\n"
# Of a cell: when and by whom it was computed, not what came out; the files of predictions say that too.
VARIES = ("minutes", "minutes_total", "commit", "predictions_sha256", "predictions_valid_sha256")


class Place:
    """``given``: films, data files and a recipe; ``case``: what the commands leave; ``kept``: its states, to copy.

    A case always lies at one path, for results name files by their path. The states: ``finished``; ``stores`` alone;
    ``stage``: killed in the third epoch of pre-training; ``store``: killed while decoding.
    """

    def __init__(self, root: Path) -> None:
        """Paths alone; ``make`` makes what is there."""
        self.given, self.case, self.kept = root / "given", root / "case", root / "kept"
        runs, stores = self.case / "runs", ("--store", self.case / "stores")
        data, method = self.given / "data.yaml", self.given / "method.yaml"
        mine, table = runs / "mine", runs / "table"
        quick = ("--preset", "demo", "--set", "finetune.epochs=1", "--set", "finetune.least_steps=0",
                 "--set", "finetune.more_images=0", "--set", "precision=float32")  # fmt: skip
        compared = (
            "--from",
            mine,
            "--recipes",
            method,
            "--tasks",
            "classification:pneumonia",
            *quick,
            *stores,
            *ON,
        )
        self.commands: dict[str, tuple[str | Path, ...]] = {
            "pretrain": ("pretrain", data, "--method", method, "--out", mine, *stores, *ON),
            "compare": ("compare", data, *compared, "--out", table),
            "compare elsewhere": ("compare", data, *compared, "--out", runs / "anew"),
            "compare on films seen": ("compare", self.given / "leak.yaml", *compared, "--out", runs / "leak"),
            "report": ("report", table),
            "report of probes": ("report", runs / "probe"),
            "probe": ("probe", data, "--from", mine, "--shares", "1", "--out", runs / "probe", *stores, *ON),
            "embed": ("embed", data, "--from", mine, "--to", self.case / "features.parquet", *stores, *ON),
            "validate": ("validate", runs / "model", self.given / "elsewhere.yaml", "--out", runs / "val",
                         *stores, *ON),
            "validate on films seen": ("validate", runs / "model", data, "--out", runs / "val", *stores, *ON),
            "prepare": ("data", "prepare", data, "--size", "64x64", "--workers", "0", *stores),
        }  # fmt: skip

    def make(self) -> None:
        """The films, the finished run and the broken ones: some twenty seconds."""
        self.films()
        self.start("")
        with patch.object(journal, "COMMIT", 4):
            self._killed_while_decoding()
        self._keep("store")
        self.start("")
        self.run("prepare").done()
        names = [p.parent.name for p in sorted((self.case / "stores").glob("*/manifest.json"))]
        (self.kept / "stores.json").write_text(
            json.dumps(names)
        )  # of the data file that all but one command reads
        for name in (
            "pretrain",
            "compare on films seen",
            "validate",
        ):  # the latter two fail, with their stores made
            self.run(name)
        self._keep("stores", "stores")
        self._killed_while_training()
        self._keep("stage")
        for name in ("pretrain", "compare", "probe"):
            self.run(name).done()
        self._keep("finished")

    def films(self) -> None:
        """What is given, alone."""
        _films(self.given)

    def start(self, state: str) -> None:
        """Puts a state in the place of the case; empty: nothing."""
        shutil.rmtree(self.case, ignore_errors=True)
        if state:
            shutil.copytree(self.kept / state, self.case)

    def run(self, name: str) -> command.Ended:
        """Gives a command as a user does, in this process; only ``report`` draws figures."""
        words = list(self.commands[name])
        if words[0] == "validate":
            words[1] = self.model()
        # Figures take seconds and are judged by the command that makes nothing else
        with patch.object(api, "_report", lambda out: out / "report.html"):
            return command.muscle(*words)

    def model(self) -> Path:
        """The first fine-tuned classifier; what the place itself says, not what a file in it does."""
        found = sorted((self.kept / "finished" / "runs" / "checkpoints").glob("*/head-pneumonia.safetensors"))
        return self.case / "runs" / "checkpoints" / (found[0].parent.name if found else "none")

    def _keep(self, state: str, only: str = "") -> None:
        shutil.copytree(self.case / only, self.kept / state / only)

    def _killed_while_decoding(self) -> None:
        class Kill(Progress):
            def count(self, what: str, done: int, total: int, unit: str) -> None:
                if (what, done) == ("prepare lungs", 9):
                    raise Killed

        with _ends():
            file = DataFile.load(self.given / "data.yaml")
            Corpus.prepare(file, SIZE, Decode(), "stretch", self.case / "stores", 0, Kill())

    def _killed_while_training(self) -> None:
        shutil.rmtree(self.case / "runs")
        with _ends():
            api.pretrain(
                str(self.given / "data.yaml"), str(self.given / "method.yaml"), out=self.case / "runs" / "mine",
                store=self.case / "stores", machine=tiny.MACHINE, progress=Killer("pretrain", 3 * STEPS),
            )  # fmt: skip

    def outcome(self, name: str) -> dict[str, Any]:
        """What a command leaves behind that a user takes for its result."""
        runs = self.case / "runs"
        if name == "pretrain":
            about = json.loads((runs / "mine" / "backbone.json").read_bytes())
            files = ("backbone.safetensors", "log.jsonl", "recipe.yaml", "pool.txt")
            return {file: (runs / "mine" / file).read_bytes() for file in files} | {
                "about": {key: value for key, value in about.items() if key not in ("provenance", "seal")}
            }
        if name == "prepare":
            stores = [self.case / "stores" / n for n in json.loads((self.kept / "stores.json").read_bytes())]
            files = [p for store in stores for p in sorted(store.iterdir()) if p.name != "verified.json"]
            return {str(p): p.read_bytes() for p in files}
        if name == "embed":
            return {"features": (self.case / "features.parquet").read_bytes()}
        folders = {"compare": "table", "report": "table", "compare elsewhere": "anew", "compare on films seen": "leak",
                   "probe": "probe", "report of probes": "probe"}  # fmt: skip
        return _results(runs / folders.get(name, "val"), report=name.startswith("report"))


EPOCHS, STEPS = 3, 3  # of pre-training; steps of each


@contextmanager
def _ends() -> Iterator[None]:
    try:
        yield
    except Killed:
        return
    raise AssertionError("the run must not come to its end")


def _films(given: Path) -> None:
    """Real files in two layouts, of pictures that differ, but for one that was copied into two parts."""
    Kermany.write_example(given / "chest", 40, 0)
    Kermany.write_example(given / "elsewhere", 12, 5)
    Masks.write_example(given / "lungs", 16, 0)
    films = [p for p in sorted(given.rglob("*.*")) if p.is_file() and "masks" not in p.parts]
    films = [p for p in films if not p.name.startswith(".")]
    for i, film in enumerate(films):
        with Image.open(film) as image:
            width, height = image.size
        Image.fromarray(cloud(i, height, width)).save(film)
    lungs = sorted((given / "lungs" / "images").iterdir())
    twin = encoded(np.asarray(Image.open(lungs[0])), np.random.default_rng(0))
    Image.fromarray(twin).save(lungs[1])
    (given / "data.yaml").write_text(SOURCES + SPLIT.format(7))
    (given / "elsewhere.yaml").write_text(  # the same persons by name
        "sources:\n  elsewhere: {kind: kermany, root: elsewhere}\nallow_leaks: true\n"
    )
    (given / "leak.yaml").write_text(SOURCES + SPLIT.format(8))
    method = tiny.small("md-moco", epochs=EPOCHS)
    network = {"kind": "timm", "name": "test_resnet"}  # half a million weights
    (given / "method.yaml").write_text(method.with_(backbone=network, size=SIZE, name="method").yaml())


def _results(out: Path, report: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    results = json.loads((out / "results.json").read_bytes())
    for part in ("cells", "probes", "missing", "forgetting"):
        entries = [{k: v for k, v in entry.items() if k not in VARIES} for entry in results.get(part, [])]
        found[part] = sorted(entries, key=lambda entry: [str(entry.get(k)) for k in ("recipe", *entry)])
    for file in sorted((out / "predictions").glob("*.npz")) if not report else ():
        seen = Predictions.load(file)
        found[file.name] = [seen.ids, seen.patients, seen.truth, seen.output]
    if report:
        for file in sorted((out / "tables").glob("*.csv")):
            found[file.name] = file.read_text(encoding="utf-8")
        found["report"] = (out / "report.html").read_text(encoding="utf-8")
    return found


def same_results(one: Path, other: Path) -> bool:
    """Whether two folders of results tell the same scores of the same predictions."""
    return repr(_results(one, False)) == repr(_results(other, False))
