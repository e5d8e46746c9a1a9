"""Cells of the table: one recipe, one task, one seed, scored on the test part with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from muscle.checkpoint import Checkpoint
from muscle.data.corpus import UNKNOWN, Corpus
from muscle.data.decode import Decode
from muscle.data.rows import Rows
from muscle.data.spacing import stored_spacing
from muscle.errors import UserError
from muscle.judging import chosen_on, one_sided, status, with_choice
from muscle.pipeline import Pipeline, best
from muscle.predictions import Predictions
from muscle.recipe import Recipe
from muscle.results import Results
from muscle.scoring import predict_together
from muscle.statistics.intervals import Interval, describe, intervals
from muscle.subgroups import as_rows, plain, subgroups, worst


class NotScored(UserError):
    """A model that has no scores; ``status`` says in two words why."""

    def __init__(self, status: str, why: str) -> None:
        """``why``: one line."""
        super().__init__(why)
        self.status = status


def named(pipeline: Pipeline, task: str, seed: int) -> dict[str, Any]:
    """What names a cell, computed or not."""
    recipe, target = pipeline.recipe, pipeline.corpus.targets[task]
    return {
        "recipe": recipe.name, "title": recipe.title or recipe.name, "backbone": recipe.backbone.architecture,
        "task": task, "kind": target.kind, "classes": list(target.classes), "seed": seed,
        "data": pipeline.corpus.digest,
    }  # fmt: skip


def found(pipeline: Pipeline, task: str, seed: int, results: Results) -> dict[str, Any] | None:
    """The finished cell, its weights there or not: of the same jobs, test part and intervals, with its predictions."""
    there = results.cell(pipeline.recipe.name, pipeline.recipe.backbone.architecture, task, seed)
    if there is None or results.ids_of(there) != pipeline.corpus.tasks[task].test.ids:
        return None
    if "predictions_valid" in there and results.ids_of(there, "predictions_valid") is None:
        return None
    return there if identity(pipeline, task, seed).items() <= there.items() else None


def identity(pipeline: Pipeline, task: str, seed: int) -> dict[str, Any]:
    """What decides a cell's numbers; ``tried``: the keys of the fine-tunings that its model is the best of."""
    rows = pipeline.corpus.tasks[task]
    tried = [job.key for job in pipeline.finetune_jobs(task, seed)]
    return {"tried": tried, "test": rows.test.digest(rows.target), "intervals": describe()}


def run_cell(
    pipeline: Pipeline, task: str, seed: int, results: Results, keep_weights: bool = True
) -> dict[str, Any]:
    """Fine-tunes, predicts test and validation part, writes predictions and scores; a finished cell is found again.

    Args:
        keep_weights: False: the models that were trained here go once the cell is written.

    Raises:
        NotScored: predictions that are not numbers.
        UserError: what keeps the model from being trained; ``Busy`` where another process is at it.
    """
    recipe, corpus = pipeline.recipe, pipeline.corpus
    results.refresh()
    if there := found(pipeline, task, seed, results):
        return there
    jobs = pipeline.finetune_jobs(task, seed)
    kept = {job.key for job in jobs if keep_weights or Checkpoint.there(pipeline.root, job.key)}
    stages, tried = pipeline.pretrain(), pipeline.finetune_grid(task, seed)
    checkpoint, minutes = best(tried), sum(c.about["minutes"] for c in tried)
    rows = corpus.tasks[task]
    cell = named(pipeline, task, seed)
    file = f"predictions/{recipe.name}-{cell['backbone']}-{task}-{seed}.npz"
    model, module = pipeline.load(checkpoint, pipeline.tasks()[task], rows.target)
    how = (recipe.normalization, pipeline.machine)
    test = predict_together(model, module, rows.test, rows.target, *how)
    test = described(test, corpus, rows.test, recipe.decode)
    made_by = {k: cell[k] for k in ("recipe", "backbone", "seed", "data")} | {
        "key": checkpoint.about["key"], "commit": results.head["provenance"]["commit"]
    }  # fmt: skip
    cell["predictions_sha256"] = test.save(results.out / file, made_by)
    chosen = {"threshold": None, "temperature": None}
    if rows.target.kind == "labels" and len(
        rows.valid
    ):  # of others validation has chosen the epoch, and no more
        valid = predict_together(model, module, rows.valid, rows.target, *how)
        cell["predictions_valid"] = file.replace(".npz", "-valid.npz")
        whole = valid.take(np.arange(len(valid)))
        cell["predictions_valid_sha256"] = whole.save(results.out / cell["predictions_valid"], made_by)
        _refuse_nan(valid)
        chosen = chosen_on(valid)
    seen = {"pre-training": sum(j.images_seen for j in pipeline.stage_jobs()),
            "fine-tuning": sum(j.images_seen for j in jobs)}  # fmt: skip
    cell |= scored(test, chosen) | {
        "predictions": file, "minutes": minutes,
        "minutes_total": minutes + sum(c.about["minutes"] for c in stages),
        "images_seen": seen | {"total": sum(seen.values()), "tasks": len(pipeline.tested())},
        "settings": settings(recipe), "more_images": recipe.finetune.more_images if recipe.finetune else 0,
        "key": checkpoint.about["key"], **identity(pipeline, task, seed),
        "commit": results.head["provenance"]["commit"], "threads": results.head["provenance"]["threads"],
        "mixed": [said for one in tried for said in one.mixed],
        "skipped": sum(len(one.about["skipped"]) for one in tried),
        "valid": checkpoint.about["best"]["valid"], "best_epoch": checkpoint.about["best"]["turn"] + 1,
        "backbone_rate": checkpoint.about["stage"]["optimizer"]["backbone_rate"],
        "train_images": len(pipeline.learned(task, seed).train),
        "labels": recipe.finetune.labels if recipe.finetune else 1.0,
    }  # fmt: skip
    results.put_cell(cell)
    for made in tried:
        if made.about["key"] not in kept:
            made.drop()
    return cell


def scored(test: Predictions, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Everything of a cell that its test predictions decide: status, scores, subgroups.

    Args:
        chosen: on validation, see ``judging.chosen_on``.

    Raises:
        NotScored: predictions that are not numbers.
    """
    _refuse_nan(test)
    groups = subgroups(test)
    said, why = status(test)
    return {
        "status": said, "why": why, "exclusive": test.exclusive, "absent": one_sided(test),
        "metrics": scores(test, with_choice(test, chosen)),
        **chosen, "subgroups": as_rows(groups), "worst": worst(groups),
    }  # fmt: skip


def _refuse_nan(made: Predictions) -> None:
    try:
        made.refuse_nan()
    except UserError as error:
        raise NotScored("NaN predictions", str(error)) from None


def described(made: Predictions, corpus: Corpus, rows: Rows, decode: Decode) -> Predictions:
    """The same predictions of ``rows`` with sex, age and scanner of each case, and the spacing of masks."""
    told = [corpus.unstored.get(name, UNKNOWN) for name in made.ids]
    columns = {name: [getattr(t, name) for t in told] for name in ("sex", "age", "scanner")}
    made = replace(made, columns=made.columns | columns)
    if made.kind != "mask":
        return made
    known = {name: t.spacing for name, t in zip(made.ids, told, strict=True)}
    return replace(made, spacing=stored_spacing(rows, known, corpus.file.sources, decode))


def settings(recipe: Recipe) -> str:
    """The key of a recipe whatever its seeds: cells of one row must agree in it."""
    return recipe.with_(seeds=(0,)).key()


def scores(predictions: Predictions, more: Mapping[str, Interval] = {}) -> dict[str, dict[str, Any]]:
    """Every metric with its 95 % interval and number of cases; undefined ones are absent.

    An end of an interval that is not known is ``None``: JSON has no NaN.

    Args:
        more: other scores of the same cases.
    """
    return {name: plain(interval) for name, interval in (intervals(predictions) | dict(more)).items()}
