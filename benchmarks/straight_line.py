"""The straight line on real films: scratch, MD-MoCo, MUSCLE-- and MUSCLE on five tasks over three body parts.

    MUSCLE_REAL_DATA=DIR python benchmarks/straight_line.py [--seeds 2] [--out runs/straight-line]

Writes ``docs/results/straight-line.json`` and ``.md``: command, commit, machine, hash of the file list, wall time,
the table with intervals. The same command resumes. Nothing here is tuned to the test parts.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from muscle.api import Compared
from muscle.console import Shown
from muscle.data.data_file import DataFile
from muscle.errors import UserError
from muscle.grid import run_grid
from muscle.machine import Machine
from muscle.parts import digest, override
from muscle.recipe import Recipe
from muscle.recipes import recipe
from muscle.report import report

METHODS = ("scratch", "md-moco", "muscle-naive", "muscle")
LEAST_TEST = 60  # cases a task must have in its test part

# One person falls in one part wherever he occurs; the 224-pixel films enter the pool without their labels, less the
# persons whom any part validates or tests on. Every fracture class of the export is one class: it has few boxes.
DATA = """
split: {kind: patient, valid: 0.1, test: 0.3}
sources:
  chest: {kind: kermany, root: dev/chest_xray}
  lungs: {kind: v7_lungs, root: dev}
  chest-224: {kind: kermany, root: chest_xray_224, targets: []}
  bones:
    kind: yolo
    root: dev/bone-fracture-roboflow
    target: fracture
    body_part: bones
    merge: {angle: fracture, line: fracture, messed_up_angle: fracture}
  teeth: {kind: yolo, root: dev/dental-xray-roboflow, target: teeth, body_part: teeth}
"""

# The `small` preset cut to what two cores do within the hour; the same for every method.
EFFORT = (
    "size=[96, 160]",  # upright, teeth would be a few pixels wide
    "stages.0.schedule.epochs_per_task=10",
    "stages.1.schedule.rounds=6",
    "stages.1.schedule.epochs_per_task=6",
    "finetune.epochs=10",
    "finetune.backbone_rates=[0.001]",
)


def main() -> None:
    """Runs the grid, checks the test parts, writes the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/straight-line"))
    arguments = parser.parse_args()
    root = os.environ.get("MUSCLE_REAL_DATA")
    if not root or not Path(root).is_dir():
        sys.exit(
            f"MUSCLE_REAL_DATA={root or ''}: no such folder; set it to the folder of real films (see README, make real)"
        )
    arguments.out.mkdir(parents=True, exist_ok=True)
    data = arguments.out / "data.yaml"
    data.write_text(DATA.replace("root: ", f"root: {Path(root).resolve().as_posix()}/"))
    file = DataFile.load(data)
    seeds = tuple(range(arguments.seeds))
    recipes = [effort(recipe(name, "small")).with_(seeds=seeds) for name in METHODS]
    shown = Shown()
    try:
        results = run_grid(
            recipes, file, arguments.out, arguments.out / "store", Machine(threads=arguments.threads),
            "The straight line on real films", progress=shown,
        )  # fmt: skip
    except UserError as error:
        sys.exit(f"error: {error}")
    finally:
        shown.close()
    few = {
        c["task"]: n
        for c in results.data["cells"]
        if (n := max(m["n"] for m in c["metrics"].values())) < LEAST_TEST
    }
    if few:
        sys.exit(f"test parts under {LEAST_TEST} cases: {few}")
    write(Compared(arguments.out, results, report(arguments.out)))


def _forgetting(entry: dict[str, Any]) -> str:
    fields = ("forgetting", "backward_transfer")
    lost, moved = (f"{entry.get(k, 0):+.3f} ({entry.get(k + '_shared', 0):+.3f})" for k in fields)
    return f"- {entry['title']}: {lost}, backward transfer {moved}"


def effort(found: Recipe) -> Recipe:
    """The recipe with those of the changes that it has a place for."""
    changed = found
    for change in EFFORT:
        path, _, _ = change.partition("=")
        if has(found.dump(), path.split(".")):
            changed = override(changed, (change,))
    return changed


def has(data: Any, path: list[str]) -> bool:
    """Whether plain data have a leaf at a path."""
    for step in path:
        if isinstance(data, list) and step.isdigit() and int(step) < len(data):
            data = data[int(step)]
        elif isinstance(data, dict) and step in data:
            data = data[step]
        else:
            return False
    return True


def write(made: Compared) -> None:
    """``docs/results/straight-line.json`` and ``.md``."""
    data = made.results.data
    files = sorted((s["name"], s["digest"], s["train"], s["valid"], s["test"]) for s in data["sources"])
    kept = {
        "provenance": data["provenance"],
        "file_list_sha256": digest([list(f) for f in files]),
        "sources": [{k: v for k, v in s.items() if k != "store"} for s in data["sources"]],
        "stages": [{k: v for k, v in s.items() if k != "log"} for s in data["stages"]],
        "forgetting": data["forgetting"],
        "cells": [{k: v for k, v in c.items() if k != "predictions"} for c in data["cells"]],
    }
    folder = Path(__file__).resolve().parent.parent / "docs" / "results"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "straight-line.json").write_text(json.dumps(kept, indent=1) + "\n")
    facts = data["provenance"]
    lines = [
        "# The straight line on real films",
        "",
        f"- Command: `{facts['command']}`",
        f"- Commit: `{facts['commit']}`",
        f"- Machine: {facts['machine']}, {facts['threads']} threads, torch {facts['versions']['torch']}",
        f"- File list: SHA-256 `{kept['file_list_sha256']}`; {facts['films pre-trained on']} films pre-trained on",
        f"- Wall time: {facts['wall_s'] / 60:.0f} minutes",
        f"- Settings: preset `small` with {', '.join(f'`{e}`' for e in EFFORT)}",
        "",
        made.table(),
        "",
        "Forgetting on recomputed batch-norm statistics (on shared ones in brackets); positive is lost:",
        "",
        *(_forgetting(entry) for entry in data["forgetting"]),
        "",
    ]
    (folder / "straight-line.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
