"""A results folder as a run writes it, of predictions made by NumPy: three recipes, tasks of three kinds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from muscle.predictions import Predictions
from muscle.statistics.intervals import intervals

RECIPES = {"scratch": "Scratch", "md-moco": "MD-MoCo", "muscle": "MUSCLE"}


def films(n: int) -> np.ndarray:
    y, x = np.mgrid[0:32, 0:24]
    one = 200 * np.exp(-((x - 12) ** 2 + (y - 16) ** 2) / 150)
    return np.stack([(one + 10 * i).clip(0, 255) for i in range(n)]).astype(np.uint8)


def labels(strength: float, seed: int, n: int = 40) -> Predictions:
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % 2
    sick = 1 / (1 + np.exp(-rng.normal(size=n) - strength * (2 * truth - 1)))
    return Predictions(
        task="pneumonia", kind="labels", classes=("normal", "pneumonia"), exclusive=True,
        ids=[f"k/{i}" for i in range(n)], patients=[f"p{i // 2}" for i in range(n)],
        truth=np.stack([1 - truth, truth], 1).astype(np.float32),
        output=np.stack([1 - sick, sick], 1).astype(np.float32), pictures=films(2),
    )  # fmt: skip


def mask(strength: float, seed: int, n: int = 6) -> Predictions:
    rng = np.random.default_rng(seed)
    truth = np.zeros((n, 32, 24), np.uint8)
    truth[:, 8:24, 3:10] = truth[:, 8:24, 14:21] = 1
    flip = rng.random(truth.shape) > 0.9 + 0.05 * strength
    ids = [f"m/{i}" for i in range(n)]
    return Predictions(task="lungs", kind="mask", classes=("lungs",), exclusive=True, ids=ids, patients=ids,
                       truth=truth, output=np.where(flip, 1 - truth, truth), pictures=films(3))  # fmt: skip


def boxes(strength: float, seed: int, n: int = 6) -> Predictions:
    rng = np.random.default_rng(seed)
    truth, output = [], []
    for i in range(n):
        box = np.array([[4, 5, 12, 15], [14, 18, 22, 30]], np.float32)[: i % 3]
        label = np.array([1, 2])[: i % 3]
        near = (box + rng.normal(0, 2 / (1 + strength), box.shape)).astype(np.float32)
        truth.append((box, label))
        output.append((near, rng.uniform(0.2, 1, len(box)).astype(np.float32), label))
    ids = [f"b/{i}" for i in range(n)]
    return Predictions(task="fractures", kind="boxes", classes=("fracture", "metal"), exclusive=True, ids=ids,
                       patients=ids, truth=truth, output=output, pictures=films(3))  # fmt: skip


def write_results(
    out: Path, makers: tuple[Any, ...] = (labels, mask, boxes), seeds: int = 2
) -> dict[str, Any]:
    """A results folder as evaluation writes it: two seeds of three recipes on three tasks, logs, one matrix."""
    cells, stages = [], []
    for strength, (recipe, title) in enumerate(RECIPES.items()):
        for make in makers:
            for seed in range(seeds):
                p = make(strength / 2, seed)
                name = f"predictions/{recipe}-{p.task}-{seed}.npz"
                p.save(out / name)
                found = {m: {"value": i.value, "low": i.low, "high": i.high, "n": i.n}
                         for m, i in intervals(p).items()}  # fmt: skip
                cells.append({"recipe": recipe, "title": title, "backbone": "resnet18", "task": p.task,
                              "kind": p.kind, "classes": list(p.classes), "seed": seed, "metrics": found,
                              "predictions": name, "minutes": 0.5, "key": f"{recipe}{seed}"})  # fmt: skip
        if strength:
            log = f"logs/{recipe}.jsonl"
            (out / "logs").mkdir(exist_ok=True)
            lines = [{"step": s, "epoch": s // 10, "task": "moco", "rate": 1e-3 * (1 - s / 50),
                      "loss:infonce": 5 - s / 20} for s in range(50)]  # fmt: skip
            lines += [{"step": 49, "knn:pneumonia": 0.8, "effective_rank": 40.0}]
            (out / log).write_text("\n".join(map(json.dumps, lines)) + '\n{"cut')
            stages.append({"recipe": recipe, "name": "pretrain", "key": "k1", "minutes": 3.0, "log": log})
    turns = [
        {"turn": t, "round": t // 2, "task": ("lungs", "pneumonia")[t % 2],
         "shared": {"lungs": 0.8 - 0.02 * t, "pneumonia": 0.7 + 0.05 * t if t else None},
         "recomputed": {"lungs": 0.82, "pneumonia": 0.75 + 0.05 * t if t else None},
         "n": {"lungs": 6, "pneumonia": 40}} for t in range(4)]  # fmt: skip
    results = {
        "version": 1, "title": "A small comparison", "synthetic": True,
        "provenance": {"command": "muscle run muscle --data x.yaml", "commit": "abc", "wall_s": 61.5,
                       "versions": {"torch": "2.15"}},
        "sources": [{"name": "kermany", "kind": "kermany", "body_part": "chest", "modality": "xray",
                     "targets": ["pneumonia"], "train": 30, "valid": 5, "test": 40, "total": 75, "quarantined": 1,
                     "licence": "CC BY 4.0", "store": "nowhere"}],
        "cells": cells, "stages": stages,
        "forgetting": [{"recipe": "muscle", "title": "MUSCLE", "tasks": ["lungs", "pneumonia"],
                        "turns": turns,
                        "backward_transfer": -0.01, "forgetting": 0.02, "average": 0.8125, "forward_transfer": 0.03,
                        "steps": 40, "replayed": 30}],
    }  # fmt: skip
    save(out, results)
    return results


def save(out: Path, results: dict[str, Any]) -> None:
    (out / "results.json").write_text(json.dumps(results))
