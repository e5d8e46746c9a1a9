"""Cells of the table: one recipe, one task, one seed, scored on the test part with intervals."""

from __future__ import annotations

from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any

from muscle.data.corpus import Corpus
from muscle.machine import Machine
from muscle.pipeline import Pipeline, best
from muscle.predictions import Predictions
from muscle.progress import SILENT, Progress
from muscle.recipe import Recipe
from muscle.report_scores import COLUMNS
from muscle.results import Results
from muscle.scoring import predict
from muscle.statistics import describe, intervals


def run_cell(pipeline: Pipeline, task: str, seed: int, results: Results) -> dict[str, Any]:
    """Fine-tunes, predicts the test part once, writes predictions and scores; a finished cell is found again."""
    recipe, corpus = pipeline.recipe, pipeline.corpus
    backbone = recipe.backbone.architecture
    tried = pipeline.finetune_grid(task, seed)
    checkpoint, minutes = best(tried), sum(c.about["minutes"] for c in tried)
    rows = corpus.tasks[task]
    about = {"key": checkpoint.about["key"], "test": rows.test.digest(rows.target), "intervals": describe()}
    there = results.cell(recipe.name, backbone, task, seed)
    if there and about.items() <= there.items() and (results.out / there["predictions"]).is_file():
        return there
    model, module = pipeline.load(checkpoint, pipeline.tasks()[task], rows.target)
    made = predict(
        model, module, rows.test, rows.target, recipe.normalization, pipeline.machine.torch_device()
    )
    file = f"predictions/{recipe.name}-{backbone}-{task}-{seed}.npz"
    made.save(results.out / file)
    cell = {
        "recipe": recipe.name, "title": recipe.title or recipe.name, "backbone": backbone, "task": task,
        "kind": rows.target.kind, "classes": list(rows.target.classes), "seed": seed, "metrics": scores(made),
        "predictions": file, "minutes": minutes, "settings": settings(recipe), "data": corpus.digest, **about,
        "commit": results.data["provenance"]["commit"], "threads": results.data["provenance"]["threads"],
        "valid": checkpoint.about["best"]["valid"], "best_epoch": checkpoint.about["best"]["turn"] + 1,
        "backbone_rate": checkpoint.about["stage"]["optimizer"]["backbone_rate"],
        "train_images": len(pipeline.learned(task, seed).train),
    }  # fmt: skip
    results.put_cell(cell)
    return cell


def settings(recipe: Recipe) -> str:
    """The key of a recipe whatever its seeds: cells of one row must agree in it."""
    return recipe.with_(seeds=(0,)).key()


def scores(predictions: Predictions) -> dict[str, dict[str, Any]]:
    """Every metric with its 95 % interval and number of cases; undefined ones are absent.

    An end of an interval that is not known is ``None``: JSON has no NaN.
    """
    found = {name: asdict(interval) for name, interval in intervals(predictions).items()}
    return {
        name: {k: None if isinstance(v, float) and not isfinite(v) else v for k, v in fields.items()}
        for name, fields in found.items()
    }


def run_recipe(
    recipe: Recipe,
    corpus: Corpus,
    machine: Machine,
    root: Path,
    results: Results,
    progress: Progress = SILENT,
) -> None:
    """All stages and all cells of a recipe, into ``results``."""
    recipe.check()
    pipeline = Pipeline(recipe, corpus, machine, root, progress)
    mine = {"recipe": recipe.name, "backbone": recipe.backbone.architecture}
    now = {"settings": settings(recipe), "data": corpus.digest}
    if dropped := results.drop_cells(lambda c: mine.items() <= c.items() and not now.items() <= c.items()):
        progress.message(f"{recipe.name}: {dropped} cells of other settings or data leave the table")
    results.put_stages(recipe, corpus, pipeline.pretrain())
    if recipe.finetune is None:
        return
    for seed in recipe.seeds:
        for task in pipeline.tasks():
            if not len(corpus.tasks[task].test):
                progress.message(
                    f"{task}: not scored, its test part is empty; "
                    "give more films, a larger split.test or another split.seed"
                )
                continue
            cell = run_cell(pipeline, task, seed, results)
            shown = ", ".join(
                f"{n} {m['value']:.3f} ("
                + ("?" if m["low"] is None else f"{m['low']:.3f} to {m['high']:.3f}")
                + ")"
                for n, m in cell["metrics"].items()
                if n in COLUMNS[cell["kind"]]
            )
            progress.message(f"{recipe.title or recipe.name}, {task}, seed {seed}: {shown}")
