"""The grid: several recipes on the same data, tasks and seeds, every stage they share computed once."""

from __future__ import annotations

from pathlib import Path

from muscle import paths
from muscle.data.corpus import Corpus
from muscle.data.data_file import DataFile
from muscle.errors import UsageError
from muscle.evaluate import run_recipe
from muscle.machine import Machine
from muscle.pipeline import Pipeline
from muscle.progress import SILENT, Progress
from muscle.recipe import Recipe
from muscle.results import Results


def prepare(
    recipe: Recipe, file: DataFile, store: Path, machine: Machine, progress: Progress = SILENT
) -> Corpus:
    """The corpus that a recipe trains on: its data at its size, decoded its way."""
    return Corpus.prepare(file, recipe.size, recipe.decode, recipe.fit, store, machine.workers, progress)


def run_grid(
    recipes: list[Recipe],
    file: DataFile,
    out: Path,
    store: Path,
    machine: Machine,
    title: str,
    progress: Progress = SILENT,
) -> Results:
    """Every cell of recipes x tasks x seeds, seed by seed, so that an interruption leaves whole columns.

    Raises:
        UsageError: no recipe, two of one name, or a recipe that breaks its rules.
        UserError: a test or validation case would be learned from; see ``Corpus.check_leaks``.
    """
    names = [r.name for r in recipes]
    if not recipes or len(set(names)) != len(names):
        raise UsageError(f"recipes {', '.join(names) or 'none'}: give at least one, each under its own name")
    for recipe in recipes:
        recipe.check()
    machine.torch_device()
    corpora: dict[tuple[object, ...], Corpus] = {}
    for recipe in recipes:
        pixels = (recipe.size, recipe.decode, recipe.fit)
        if pixels not in corpora:
            corpora[pixels] = prepare(recipe, file, store, machine, progress)
            corpora[pixels].check_leaks()
    root = paths.checkpoints(out)
    for recipe in recipes:  # before anything is written
        Pipeline(recipe, corpora[recipe.size, recipe.decode, recipe.fit], machine, root).check()
    results = Results(out, title, file.synthetic, machine)
    known = {corpus.digest for corpus in corpora.values()}
    if dropped := results.drop_cells(lambda cell: cell.get("data") not in known):
        progress.message(f"{dropped} cells of other data or pixels leave the table")
    results.put_sources(corpora[recipes[0].size, recipes[0].decode, recipes[0].fit])
    for recipe in recipes:
        paths.atomic_write(out / f"{recipe.name}.yaml", recipe.yaml())
        results.put_start(recipe, corpora[recipe.size, recipe.decode, recipe.fit])
    for seed in sorted({seed for recipe in recipes for seed in recipe.seeds}):
        for recipe in recipes:
            if seed in recipe.seeds:
                corpus = corpora[recipe.size, recipe.decode, recipe.fit]
                run_recipe(recipe.with_(seeds=(seed,)), corpus, machine, root, results, progress)
    return results
