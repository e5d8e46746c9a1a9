"""The evidence on real films: nine recipes, five tasks over three body parts, five seeds, two networks.

    MUSCLE_REAL_DATA=DIR python benchmarks/real_films.py [--steps classification,dense] [--methods A,B] [--seeds N]

Writes ``docs/results/real-films.json`` and ``real-films-tables.md`` after each step, from all that is there: command,
commit, machine, hash of the file list, wall time, tables with intervals. The same command resumes, also beside another
of its kind: two processes of ``--threads 1`` fill a machine of two cores better than one; with fewer methods or seeds
a part of it is there sooner. Nothing here is tuned to the test parts. ``--steps ''`` only writes.

Steps: ``classification``, Table 2 in form; ``frozen``, k-NN and linear probe on few and on all labels; ``few``,
fine-tuning on a tenth of the patients, MUSCLE without the task that is tested; ``dense``, Table 3 in form; ``tricks``,
the ablation of MUSCLE's two tricks; ``compute``, at equal total compute; ``resnet50``. Other ways to hold the backbone
are compared on validation films, by ``penalties.py``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from muscle.case_table import write_cases
from muscle.cli.console import Shown
from muscle.data.data_file import DataFile
from muscle.equal_compute import equal_compute
from muscle.errors import UserError
from muscle.grid import run_grid
from muscle.leave_one_out import left_out
from muscle.machine import Machine
from muscle.parts import digest, has_leaf, override
from muscle.paths import atomic_write
from muscle.probing import run_probes
from muscle.progress import Progress
from muscle.recipe import Recipe
from muscle.recipes import recipe
from muscle.report.page import report
from muscle.report.scores import COLUMNS
from muscle.yaml_text import from_yaml

METHODS = (
    "scratch",
    "imagenet",
    "simclr",
    "moco",
    "moco-cxr",
    "md-moco",
    "md-moco-raw",
    "muscle-naive",
    "muscle",
)
TRICKS = ("muscle", "muscle-no-memory", "muscle-constant", "muscle-rounds", "muscle-naive", "joint")
NO_WEIGHTS = ("imagenet", "moco-cxr")  # begin with weights from the network
SHARES = (0.01, 0.05, 0.1, 1.0)
DRAWS = 5
SEEDS = (0, 1, 2, 3, 4)
FEW_SEEDS = SEEDS[:2]  # of tricks, of equal compute, of ResNet-50: what costs most
LEAST_TEST = 60  # cases a task must have in its test part

# One person falls in one part wherever he occurs. The 224-pixel films enter the pool without their labels; with them
# they are validated and tested on alone, for a hundred test films tell nothing apart. Every fracture class of the
# export is one class: it has few boxes.
DATA = """
split: {kind: patient, valid: 0.1, test: 0.3}
exclude: not-learned.txt
sources:
  chest: {kind: kermany, root: dev/chest_xray}
  lungs: {kind: v7_lungs, root: dev}
  chest-224: {kind: kermany, root: chest_xray_224, targets: []}
  chest-224-judged: {kind: kermany, root: chest_xray_224}
  bones:
    kind: yolo
    root: dev/bone-fracture-roboflow
    target: fracture
    body_part: bones
    merge: {angle: fracture, line: fracture, messed_up_angle: fracture}
  teeth: {kind: yolo, root: dev/dental-xray-roboflow, target: teeth, body_part: teeth}
"""

# The `small` preset cut to what two cores do in some hours; the same for every method.
EFFORT = (
    "size=[64, 112]",  # upright, teeth would be a few pixels wide
    "stages.0.schedule.epochs_per_task=10",
    "stages.1.schedule.rounds=6",
    "stages.1.schedule.epochs_per_task=6",
    "finetune.epochs=10",
)
LABELS, MASKS, BOXES = "classification", "segmentation", "detection"
RATES = {
    LABELS: (3e-4, 1e-3),
    MASKS: (1e-3,),
    BOXES: (1e-3,),
}  # of the backbone, chosen on validation: METHODS 10


@dataclass(frozen=True)
class Bench:
    """What every step needs."""

    out: Path
    file: DataFile
    machine: Machine
    progress: Progress
    methods: tuple[str, ...]  # of Tables 2 and 3
    seeds: tuple[int, ...]

    @property
    def store(self) -> Path:
        """One store for all steps."""
        return self.out / "store"

    def compare(self, step: str, title: str, recipes: Sequence[Recipe], keep_weights: bool = False) -> None:
        """A grid of its own folder; models that a later step asks for again are kept."""
        run_grid(
            list(recipes), self.file, self.out / step, self.store, self.machine, title, self.progress,
            keep_weights=keep_weights,
        )  # fmt: skip

    def finetuned(
        self,
        names: Sequence[str],
        kinds: Sequence[str],
        backbone: str = "resnet18",
        rates: tuple[float, ...] = (),
        seeds: tuple[int, ...] = SEEDS,
    ) -> list[Recipe]:
        """Shipped recipes cut down, fine-tuned on tasks of some kinds, which share their rates."""
        found = [effort(recipe(name, "small", backbone)) for name in names]
        (shared,) = {rates or RATES[kind] for kind in kinds}
        return [
            r.with_(
                seeds=tuple(seed for seed in seeds if seed in self.seeds),
                finetune=r.finetune.with_(
                    backbone_rates=shared, tasks=tuple(t for t in r.finetune.tasks if t.kind in kinds)
                ),
            )
            for r in found
            if r.finetune is not None
        ]


def classification(bench: Bench) -> None:
    """Table 2 in form."""
    bench.compare(
        "classification", "Real films: classification", bench.finetuned(bench.methods, (LABELS,)), True
    )


def dense(bench: Bench) -> None:
    """Table 3 in form."""
    bench.compare(
        "dense", "Real films: lungs and boxes", bench.finetuned(bench.methods, (MASKS, BOXES)), True
    )


def frozen(bench: Bench) -> None:
    """Frozen features; MUSCLE on few labels only where its stages did not learn them."""
    full = bench.finetuned([name for name in METHODS if name not in NO_WEIGHTS], (LABELS,))
    random, *others = full
    without = left_out(bench.finetuned(("muscle",), (LABELS,)), bench.file)
    named = [r.with_(title=r.name.replace("muscle", "MUSCLE").replace("-", " ")) for r in without]
    recipes = [random.with_(title="Random init"), *others, *named]
    run_probes(
        recipes, bench.file, bench.out / "frozen", bench.store, bench.machine, "Real films: frozen features", SHARES,
        DRAWS, bench.progress,
    )  # fmt: skip


def few(bench: Bench) -> None:
    """A tenth of the annotated patients; a seed is a draw of its own."""
    found = []
    for kinds in ((LABELS,), (MASKS,)):
        base = bench.finetuned(("scratch", "md-moco"), kinds)
        without = left_out(bench.finetuned(("muscle",), kinds), bench.file)
        found.append(
            [r.with_(finetune=r.finetune.with_(labels=0.1)) for r in (*base, *without) if r.finetune]
        )
    for step, recipes in zip(("few-labels", "few-masks"), found, strict=True):
        bench.compare(step, f"Real films: a tenth of the {step.removeprefix('few-')}", recipes)


def tricks(bench: Bench) -> None:
    """Schedule x memorization at equal mean rate, and the joint upper bound; forgetting of each.

    Frozen features of all labels, for every stage learned all; then fine-tuned.
    """
    run_probes(
        bench.finetuned(("md-moco", *TRICKS), (LABELS,)), bench.file, bench.out / "tricks-frozen", bench.store,
        bench.machine, "MUSCLE's tricks: frozen features", (1.0,), 1, bench.progress,
    )  # fmt: skip
    bench.compare(
        "tricks-labels",
        "MUSCLE's tricks: classification",
        bench.finetuned(TRICKS, (LABELS,), seeds=FEW_SEEDS),
    )
    bench.compare(
        "tricks-masks", "MUSCLE's tricks: lungs", bench.finetuned(TRICKS, (MASKS,), seeds=FEW_SEEDS)
    )


def compute(bench: Bench) -> None:
    """Scratch and MD-MoCo fine-tuned until they took as many images as MUSCLE."""
    for step, kind in (("compute-labels", LABELS), ("compute-masks", MASKS)):
        found = bench.finetuned(("scratch", "md-moco", "muscle"), (kind,), seeds=FEW_SEEDS)
        longer = equal_compute(found, bench.file, bench.store, bench.machine, bench.progress)
        bench.compare(step, f"At equal total compute: {kind}", [*found, *longer])


def resnet50(bench: Bench) -> None:
    """The larger network, at the rate that ResNet-18 chose on validation in 57 of 70 fine-tunings on labels."""
    names = ("scratch", "md-moco", "muscle")
    for step, kinds, seeds in (
        ("resnet50-labels", (LABELS,), FEW_SEEDS),
        ("resnet50-dense", (MASKS, BOXES), FEW_SEEDS[:1]),
    ):
        recipes = bench.finetuned(names, kinds, "resnet50", (1e-3,), seeds)
        bench.compare(step, "Real films: ResNet-50", recipes)


STEPS: dict[str, Callable[[Bench], None]] = {
    f.__name__: f for f in (classification, frozen, few, dense, tricks, compute, resnet50)
}


def main() -> None:
    """Runs the steps, checks the test parts, writes the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", default=",".join(STEPS))
    parser.add_argument("--methods", default=",".join(METHODS), help="of classification and dense")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), choices=range(1, len(SEEDS) + 1))
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/real-films"))
    arguments = parser.parse_args()
    asked = [name for name in arguments.steps.split(",") if name]
    methods = tuple(name for name in arguments.methods.split(",") if name)
    for option, given, known in (("steps", asked, [*STEPS]), ("methods", methods, [*METHODS])):
        if unknown := [name for name in given if name not in known]:
            sys.exit(f"--{option} {','.join(unknown)}: known: {', '.join(known)}")
    root = os.environ.get("MUSCLE_REAL_DATA")
    if not root or not Path(root).is_dir():
        sys.exit(
            f"MUSCLE_REAL_DATA={root or ''}: no such folder; set it to the folder of real films (see README, make real)"
        )
    out = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("MUSCLE_CHECKPOINTS", str(out / "checkpoints"))  # steps share what they pre-train
    shown = Shown()
    seeds = SEEDS[: arguments.seeds]
    bench = Bench(out, data_file(out, Path(root)), Machine(threads=arguments.threads), shown, methods, seeds)
    try:
        for name in asked:
            STEPS[name](bench)
            write(out)
    except UserError as error:
        sys.exit(f"error: {error}")
    finally:
        shown.close()
    write(out)


def data_file(out: Path, root: Path) -> DataFile:
    """The data file, and beside it the list of the films of which no label is learned."""
    file, listed = out / "data.yaml", out / "not-learned.txt"
    text = DATA.replace("root: ", f"root: {root.resolve().as_posix()}/")
    whole = DataFile.parse(from_yaml(text.replace("exclude: not-learned.txt\n", "")))
    samples, targets = whole.sources["chest-224-judged"].read("chest-224-judged")
    parts = whole.split_of("chest-224-judged").assign(samples, targets)
    learned = [s.id for s, part in zip(samples, parts, strict=True) if part == "train"]
    for place, content in ((listed, "".join(f"{name}\n" for name in learned)), (file, text)):
        if not place.exists() or place.read_text() != content:  # another process may be reading it
            atomic_write(place, content)
    return DataFile.load(file)


def effort(found: Recipe) -> Recipe:
    """The recipe with those of the changes that it has a place for."""
    return override(found, tuple(change for change in EFFORT if has_leaf(found, change)))


def write(out: Path) -> None:
    """``docs/results/real-films.json`` and ``real-films-tables.md``, of every step that has begun.

    Exits where a test part has fewer than 60 cases.
    """
    found = {file.parent.name: json.loads(file.read_text()) for file in sorted(out.glob("*/results.json"))}
    kept, lines = {}, ["# Real films: every table", ""]
    for step, data in found.items():
        few_cases = {
            c["task"]: n
            for c in data["cells"]
            if (n := max(m["n"] for m in c["metrics"].values())) < LEAST_TEST
        }
        if few_cases:
            sys.exit(f"{step}: test parts under {LEAST_TEST} cases: {few_cases}")
        write_cases(out / step)
        report(out / step)
        kept[step] = _kept(data)
        lines += _page(out / step, data)
    folder = Path(__file__).resolve().parent.parent / "docs" / "results"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "real-films.json").write_text(_lines(kept) + "\n")
    (folder / "real-films-tables.md").write_text("\n".join(lines))


def _kept(data: dict[str, Any]) -> dict[str, Any]:
    """What a step's results are judged by: the scores of the tables, not the hundreds beside."""
    same = ("recipe", "title", "backbone", "task", "seed")
    probed = ("start", "title", "task", "probe", "share", "draw", "n_train", "patients", "labels_seen")
    return {
        "provenance": data["provenance"],
        "file_list_sha256": _file_list(data),
        "sources": [{k: v for k, v in s.items() if k != "store"} for s in data["sources"]],
        "stages": [{k: v for k, v in s.items() if k not in ("log", "features")} for s in data["stages"]],
        "forgetting": data["forgetting"],
        "cells": [
            {k: c[k] for k in (*same, "status", "why", "valid", "backbone_rate", "minutes", "images_seen", "key")}
            | {"metrics": {m: v for m, v in c["metrics"].items() if m.partition(":")[0] in COLUMNS[c["kind"]]}}
            for c in data["cells"]
        ],
        "missing": [{k: c[k] for k in (*same, "status", "why")} for c in data["missing"]],
        "probes": [
            {k: p[k] for k in probed}
            | {"metrics": {m: v for m, v in p["metrics"].items() if m == "auc"}}
            for p in data.get("probes", [])
        ],
    }  # fmt: skip


def _file_list(data: dict[str, Any]) -> str:
    """SHA-256 of what every source holds and how it is split."""
    return digest(
        sorted([s["name"], s["digest"], s["train"], s["valid"], s["test"]] for s in data["sources"])
    )


def _lines(kept: dict[str, Any]) -> str:
    """JSON with one line for each entry of a list: small, and readable in a difference."""
    steps = []
    for step, parts in kept.items():
        texts = []
        for name, value in parts.items():
            inside = ",\n   ".join(json.dumps(entry) for entry in value) if isinstance(value, list) else ""
            shown = f"[\n   {inside}\n  ]" if inside else json.dumps(value)
            texts.append(f"  {json.dumps(name)}: {shown}")
        steps.append(f" {json.dumps(step)}: {{\n" + ",\n".join(texts) + "\n }")
    return "{\n" + ",\n".join(steps) + "\n}"


def _page(folder: Path, data: dict[str, Any]) -> list[str]:
    facts = data["provenance"]
    lines = [
        f"## {data['title']}",
        "",
        f"- Command: `{facts['command']}`",
        f"- Commit: `{facts['commit']}`",
        f"- Machine: {facts['machine']}, {facts['threads']} threads, torch {facts['versions']['torch']}",
        f"- File list: SHA-256 `{_file_list(data)}`",
        f"- Time of all processes: {facts['wall_s'] / 60:.0f} minutes",
        f"- Settings: preset `small` with {', '.join(f'`{e}`' for e in EFFORT)}",
        "",
    ]
    tables = folder / "tables"
    for pattern in ("table2", "table3*", "equal-compute", "differences", "frozen*"):
        for file in sorted(tables.glob(f"{pattern}.md")):
            lines += [f"### {file.read_text(encoding='utf-8').strip()}", ""]
    if data["missing"]:
        why = {(c["title"], c["why"]): None for c in data["missing"]}
        lines += ["Not run:", "", *(f"- {title}: {reason or 'open'}" for title, reason in why), ""]
    if data["forgetting"]:
        lines += [
            "Forgetting on recomputed batch-norm statistics (on shared ones in brackets); positive is lost:",
            "",
        ]
        lines += [*map(_forgetting, data["forgetting"]), ""]
    return lines


def _forgetting(entry: dict[str, Any]) -> str:
    fields = ("forgetting", "backward_transfer")
    lost, moved = (f"{entry.get(k) or 0:+.3f} ({entry.get(k + '_shared') or 0:+.3f})" for k in fields)
    return f"- {entry['title']}: {lost}, backward transfer {moved}"


if __name__ == "__main__":
    main()
