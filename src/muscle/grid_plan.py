"""What a comparison has done and what is left: every cell and every stage, with minutes, before anything is run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from muscle import paths
from muscle.checkpoint import Checkpoint
from muscle.data.corpus import Corpus
from muscle.data.data_file import DataFile, shared_targets
from muscle.data.prepare import finished
from muscle.errors import UserError
from muscle.evaluate import found
from muscle.grid import Share
from muscle.machine import Machine
from muscle.parts import digest
from muscle.pipeline import Pipeline
from muscle.recipe import Recipe, assign_roles
from muscle.results import Results

Row = dict[str, Any]


def plan_grid(
    recipes: Sequence[Recipe],
    file: DataFile,
    out: Path,
    store: Path,
    machine: Machine,
    plans: Sequence[Row],
    share: Share = Share(),  # noqa: B008
) -> list[Row]:
    """The stages and cells of a comparison, in the order in which they are run; nothing is written.

    Args:
        out: the folder of the run.
        store: the folder of the stores; where one is still to be made, no cell is there.
        plans: what ``plan`` says of each recipe; its timing is the estimate where no finished cell tells.
        share: marks the cells of one job of several.

    Returns:
        Rows of a table: ``cell`` (its number, or ``stage``), ``recipe``, ``backbone``, ``task`` (of a stage its
        name), ``seed``, ``state`` (``exists``, ``to compute``, ``not needed`` (all its cells exist), ``shared with
        RECIPE``, ``another job``), ``minutes`` that it will take, 0 where nothing is computed.
    """
    corpora = _corpora(recipes, file, store)
    results = Results(out, "", file.synthetic, machine)
    taken = _minutes(results)
    rows: list[Row] = []
    stages: dict[str, list[Recipe]] = {}  # a stage and all before it -> the recipes that have it
    asked: list[list[Recipe]] = []  # of each row so far
    pipelines = [_pipeline(r, corpora, machine, paths.checkpoints(out)) for r in recipes]
    for recipe, pipeline, timed in zip(recipes, pipelines, plans, strict=True):
        keys = [job.key for job in pipeline.stage_jobs()] if pipeline else []
        for index, stage in enumerate(recipe.stages):
            before = recipe.with_(
                name="x", title="", stages=recipe.stages[: index + 1], finetune=None, seeds=(0,)
            )
            same = digest(before.dump())
            asked.append(stages.setdefault(same, []))
            asked[-1].append(recipe)
            first = asked[-1][0].name
            hours = sum(row["hours"] for row in timed["stages"] if row["stage"] == stage.name)
            state = "to compute" if first == recipe.name else f"shared with {first}"
            if keys and Checkpoint.there(paths.checkpoints(out), keys[index]):
                state = "exists"
            rows.append(_row("stage", recipe, stage.name, "", state, 60 * hours))
    every = [
        (recipe, pipeline, timed, task, seed)
        for seed in sorted({seed for recipe in recipes for seed in recipe.seeds})
        for recipe, pipeline, timed in zip(recipes, pipelines, plans, strict=True)
        if seed in recipe.seeds
        for task in _tasks(recipe, file, timed)
    ]
    needed = set()  # recipes with cells that are not there
    for number, (recipe, pipeline, timed, task, seed) in enumerate(every):
        state = "to compute" if number % share.jobs == share.job else "another job"
        if pipeline and found(pipeline, task, seed, results):
            state = "exists"
        else:
            needed.add((recipe.name, recipe.backbone.architecture))
        hours = sum(row["hours"] for row in timed["stages"] if row["stage"] == f"finetune-{task}")
        minutes = taken.get((recipe.backbone.architecture, task), 60 * hours / len(recipe.seeds))
        rows.append(_row(str(number), recipe, task, str(seed), state, minutes))
    for row, sharing in zip(rows, asked, strict=False):  # the stages come first
        open_ = any((recipe.name, recipe.backbone.architecture) in needed for recipe in sharing)
        if row["state"] == "to compute" and not open_ and every:
            row |= {"state": "not needed", "minutes": 0.0}
    return rows


def _row(cell: str, recipe: Recipe, task: str, seed: str, state: str, minutes: float) -> Row:
    return {
        "cell": cell, "recipe": recipe.name, "backbone": recipe.backbone.architecture, "task": task, "seed": seed,
        "state": state, "minutes": round(minutes, 1) if state == "to compute" else 0.0,
    }  # fmt: skip


def _tasks(recipe: Recipe, file: DataFile, timed: Row) -> list[str]:
    """What is fine-tuned and tested, as the plan has found it."""
    if recipe.finetune is None:
        return []
    targets = shared_targets({name: found for name, (_, found) in file.read().items()})
    known = {row["stage"] for row in timed["stages"]}
    return [t for t in assign_roles(recipe.finetune.tasks, targets, file) if f"finetune-{t}" in known]


def _corpora(recipes: Sequence[Recipe], file: DataFile, store: Path) -> dict[str, Corpus]:
    """The corpus of each way of decoding whose stores are all there."""
    records = file.read()
    made = {}
    for recipe in recipes:
        stores = []
        for name, source in file.sources.items():
            split = file.split_of(name)
            there = finished(
                name, source, records[name], split, recipe.size, recipe.decode, store, recipe.fit
            )
            stores += [there] if there else []
        if len(stores) == len(file.sources):
            made[_pixels(recipe)] = Corpus(file, tuple(stores))
    return made


def _pixels(recipe: Recipe) -> str:
    return json.dumps([recipe.size, recipe.decode.dump(), recipe.fit])


def _pipeline(recipe: Recipe, corpora: dict[str, Corpus], machine: Machine, root: Path) -> Pipeline | None:
    """The recipe on its stores; None without them, or where they will not do, which the run will say."""
    corpus = corpora.get(_pixels(recipe))
    if corpus is None:
        return None
    pipeline = Pipeline(recipe, corpus, machine, root)
    try:
        pipeline.check()
    except UserError:
        return None
    return pipeline


def _minutes(results: Results) -> dict[tuple[str, str], float]:
    """What a cell of a backbone and task has taken, on average of the finished ones."""
    taken: dict[tuple[str, str], list[float]] = {}
    for cell in results.data["cells"]:
        taken.setdefault((cell["backbone"], cell["task"]), []).append(float(cell["minutes"]))
    return {which: sum(minutes) / len(minutes) for which, minutes in taken.items()}
