"""The grid: several recipes on the same data, tasks and seeds, every stage they share computed once."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from muscle import paths
from muscle.busy import Busy, as_they_get_free
from muscle.checkpoint import Checkpoint
from muscle.data.corpus import Corpus
from muscle.data.data_file import DataFile
from muscle.errors import UsageError, UserError
from muscle.evaluate import NotScored, found, named, run_cell, settings
from muscle.external import at_home, take_home
from muscle.machine import Machine
from muscle.pipeline import Pipeline
from muscle.progress import SILENT, Progress
from muscle.recipe import Recipe
from muscle.recompute import recomputing
from muscle.report.scores import COLUMNS
from muscle.results import Results


@dataclass(frozen=True)
class Cell:
    """One recipe, task and seed."""

    pipeline: Pipeline
    task: str
    seed: int


@dataclass(frozen=True)
class Share:
    """The cells of one job of several: ``job``, ``job + jobs``, and so on; both as numbers from 0."""

    job: int = 0
    jobs: int = 1

    @classmethod
    def parse(cls, text: str, environment: Mapping[str, str] = os.environ) -> Share:
        """``I/N``, I from 0; ``auto``: the rank of torchrun, or the place in a Slurm array; empty: all cells.

        Raises:
            UsageError: anything else.
        """
        if not text:
            return cls()
        if text == "auto":
            if "RANK" in environment and "WORLD_SIZE" in environment:
                text = f"{environment['RANK']}/{environment['WORLD_SIZE']}"
            elif "SLURM_ARRAY_TASK_ID" in environment and "SLURM_ARRAY_TASK_COUNT" in environment:
                first = int(environment.get("SLURM_ARRAY_TASK_MIN", "0"))
                text = f"{int(environment['SLURM_ARRAY_TASK_ID']) - first}/{environment['SLURM_ARRAY_TASK_COUNT']}"
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        if match is None or int(match[1]) >= int(match[2]):
            raise UsageError(
                f"--cell {text}: allowed: I/N with I from 0 to N - 1 (0/4), or auto under torchrun or a Slurm array"
            )
        return cls(int(match[1]), int(match[2]))

    def of(self, cells: Sequence[Cell]) -> list[Cell]:
        """The cells of this job."""
        return list(cells[self.job :: self.jobs])


def prepare(
    recipe: Recipe, file: DataFile, store: Path, machine: Machine, progress: Progress = SILENT
) -> Corpus:
    """The corpus that a recipe trains on: its data at its size, decoded its way.

    Raises:
        UserError: activations are to be computed again in a backbone that cannot, before anything is decoded.
    """
    if machine.recompute:
        with recomputing(recipe.backbone.build().net, nullcontext):
            pass
    return Corpus.prepare(file, recipe.size, recipe.decode, recipe.fit, store, machine.workers, progress)


def prepare_all(
    recipes: Sequence[Recipe], file: DataFile, store: Path, machine: Machine, progress: Progress = SILENT
) -> dict[tuple[object, ...], Corpus]:
    """The corpora of some recipes, each once, by size, decoder and fit.

    Raises:
        UserError: weights to start from that do not fill a backbone, before anything is decoded; a test or validation
            case would be learned from.
    """
    for recipe in recipes:
        recipe.check_weights()
    corpora: dict[tuple[object, ...], Corpus] = {}
    for recipe in recipes:
        pixels = (recipe.size, recipe.decode, recipe.fit)
        if pixels not in corpora:
            corpora[pixels] = prepare(recipe, file, store, machine, progress)
            corpora[pixels].check_leaks()
    return corpora


def cells_of(pipelines: Sequence[Pipeline]) -> list[Cell]:
    """Every cell, seed by seed, so that an interruption leaves whole columns; tasks without a test part too."""
    return [
        Cell(pipeline, task, seed)
        for seed in sorted({seed for p in pipelines for seed in p.recipe.seeds})
        for pipeline in pipelines
        if seed in pipeline.recipe.seeds and pipeline.recipe.finetune is not None
        for task in pipeline.tasks()
    ]


def run_grid(
    recipes: list[Recipe],
    file: DataFile,
    out: Path,
    store: Path,
    machine: Machine,
    title: str,
    progress: Progress = SILENT,
    share: Share = Share(),
    keep_weights: bool = True,
) -> Results:
    """Every cell of recipes x tasks x seeds, or a share of them; several processes may fill one folder.

    A cell that cannot be computed is named with its reason, and the others go on.

    Args:
        keep_weights: False: of seeds after the first only scores and predictions stay.

    Raises:
        UsageError: no recipe, two of one name and backbone, or a recipe that breaks its rules.
        UserError: a test or validation case would be learned from (``Corpus.check_leaks``); or no cell at all could
            be computed, in the words of the first.
    """
    names = [(r.name, r.backbone.architecture) for r in recipes]
    if not recipes or len(set(names)) != len(names):
        given = ", ".join(name for name, _ in names) or "none"
        raise UsageError(f"recipes {given}: give at least one, each under its own name")
    for recipe in recipes:
        recipe.check()
    machine.torch_device()
    corpora = prepare_all(recipes, file, store, machine, progress)
    root = paths.checkpoints(out)
    pipelines = [Pipeline(r, corpora[r.size, r.decode, r.fit], machine, root, progress) for r in recipes]
    for pipeline in pipelines:  # what is refused is refused before anything is written, or leaves the table
        pipeline.check()
    results = Results(out, title, file.synthetic, machine)
    for pipeline in pipelines:
        if said := results.put_start(pipeline.recipe, pipeline.corpus):
            progress.message(said)
    known = {corpus.digest for corpus in corpora.values()}
    if dropped := results.drop_cells(lambda cell: cell.get("data") not in known):
        progress.message(f"{dropped} cells of other data or pixels leave the table")
    results.put_sources(pipelines[0].corpus)
    for pipeline in pipelines:
        recipe = pipeline.recipe
        alone = sum(name == recipe.name for name, _ in names) == 1
        file_name = recipe.name if alone else f"{recipe.name}-{recipe.backbone.architecture}"
        results.put_file(f"{file_name}.yaml", recipe.yaml())
    with results.timed():
        run_pipelines(pipelines, results, progress, share, keep_weights)
    return results


def run_pipelines(
    pipelines: Sequence[Pipeline],
    results: Results,
    progress: Progress = SILENT,
    share: Share = Share(),
    keep_weights: bool = True,
) -> None:
    """All stages and all cells of some recipes, or a share of the cells and their stages, into ``results``.

    A stage or cell that another process is computing is left for later, and waited for at the end.

    Raises:
        UserError: nothing could be computed; the first reason.
    """
    for pipeline in pipelines:
        pipeline.recipe.check()
        _drop_stale(pipeline, results, progress)
    cells = cells_of(pipelines)
    asked = [named(c.pipeline, c.task, c.seed) | _not_run(c) for c in cells]
    results.put_grid(asked)
    for said in dict.fromkeys(f"{c.task}: not scored, {_not_run(c)['why']}" for c in cells if not _tested(c)):
        progress.message(said)
    first = min((c.seed for c in cells), default=0)
    wanted: list[Cell | Pipeline] = list(share.of([c for c in cells if _tested(c)]))
    if share.jobs == 1:
        wanted += pipelines  # stages that no cell asks for: nothing is fine-tuned, or every cell is there
    broken: dict[int, UserError] = {}  # by pipeline: what its stages failed on
    failed: list[UserError] = []
    done: list[bool] = []  # whether it was there already

    def run(one: Cell | Pipeline) -> None:
        try:
            if isinstance(one, Pipeline):
                if id(one) not in broken and _stages_lost(one, results):
                    _run_stages(one, results, broken)
            else:
                done.append(_run(one, results, keep_weights or one.seed == first, broken, progress))
        except Busy:
            raise
        except (UserError, MemoryError, torch.OutOfMemoryError) as error:
            failed.append(_told(one, error, results, progress))

    as_they_get_free(wanted, run, progress)
    if failed and not done:
        raise failed[0]
    if done:
        lost = f", {len(failed)} failed" if failed else ""
        progress.message(f"cells: {done.count(False)} computed, {done.count(True)} were there{lost}")


def _tested(cell: Cell) -> bool:
    return len(cell.pipeline.corpus.tasks[cell.task].test) > 0


def _not_run(cell: Cell) -> dict[str, str]:
    if _tested(cell):
        return {"status": "not run", "why": ""}
    why = "its test part is empty; give more films, a larger split.test or another split.seed"
    return {"status": "n too small", "why": why}


def _drop_stale(pipeline: Pipeline, results: Results, progress: Progress) -> None:
    recipe = pipeline.recipe
    mine = {"recipe": recipe.name, "backbone": recipe.backbone.architecture}
    now = {"settings": settings(recipe), "data": pipeline.corpus.digest}
    if dropped := results.drop_cells(lambda c: mine.items() <= c.items() and not now.items() <= c.items()):
        progress.message(f"{recipe.name}: {dropped} cells of other settings or data leave the table")


def _stages_lost(pipeline: Pipeline, results: Results) -> bool:
    """Whether the results lack a stage of this recipe, as it is now, or its log as it was copied."""
    mine = (pipeline.recipe.name, pipeline.recipe.backbone.architecture)
    stages = [s for s in results.data["stages"] if (s["recipe"], s["backbone"]) == mine]
    there = [s["key"] for s in stages if results.has_log(s)]
    return there != [job.key for job in pipeline.stage_jobs()]


def _run_stages(pipeline: Pipeline, results: Results, broken: dict[int, UserError]) -> None:
    """The stages of a recipe, once: what they failed on is not tried again for each of its cells."""
    if id(pipeline) in broken:
        raise broken[id(pipeline)]
    try:
        made = pipeline.pretrain()
    except Busy:
        raise
    except UserError as error:
        broken[id(pipeline)] = error
        raise
    if _stages_lost(pipeline, results):
        results.put_stages(pipeline.recipe, made)


def _run(cell: Cell, results: Results, keep: bool, broken: dict[int, UserError], progress: Progress) -> bool:
    """One cell into the results and to the user; whether it was there already."""
    pipeline, recipe = cell.pipeline, cell.pipeline.recipe
    results.refresh()
    there = made = found(pipeline, cell.task, cell.seed, results)
    if made is None:
        _run_stages(pipeline, results, broken)
        made = run_cell(pipeline, cell.task, cell.seed, results, keep)
    if not at_home(pipeline.root, made["key"]) and (weights := Checkpoint.find(pipeline.root, made["key"])):
        take_home(weights, pipeline, made)
    shown = ", ".join(
        f"{n} {m['value']:.3f} (" + ("?" if m["low"] is None else f"{m['low']:.3f} to {m['high']:.3f}") + ")"
        for n, m in made["metrics"].items()
        if n in COLUMNS[made["kind"]]
    )
    said = "" if made["status"] == "ok" else f" ({made['status']}: {made['why']})"
    progress.message(f"{recipe.title or recipe.name}, {cell.task}, seed {cell.seed}: {shown}{said}")
    return there is not None


def _told(one: Cell | Pipeline, error: BaseException, results: Results, progress: Progress) -> UserError:
    """Names a cell that could not be computed, in the results and to the user."""
    if not isinstance(error, UserError):
        error = UserError(f"out of memory ({error}); lower batch_size or size, or use another device")
    if isinstance(one, Cell):
        status = error.status if isinstance(error, NotScored) else "not run"
        told: dict[str, Any] = named(one.pipeline, one.task, one.seed) | {"status": status, "why": str(error)}
        results.put_missing(told)
        place = f"{one.pipeline.recipe.name}, {one.task}, seed {one.seed}"
    else:
        place = f"{one.recipe.name}, its stages"
    progress.message(f"warning: {place}: not computed: {error}")
    return error
