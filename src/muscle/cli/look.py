"""Commands that look at what is there: recipes, runs, reports."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from muscle import paths
from muscle.cli.console import out, shown, table
from muscle.cli.options import AsJson, Backbone, PresetName, Store
from muscle.errors import UsageError, UserError

RUNS = Path("runs")  # where nothing was run yet it is not there


def show(
    recipe: Annotated[
        str, typer.Argument(help="A shipped recipe or a YAML file; without one, their names.")
    ] = "",
    change: Annotated[list[str], typer.Argument(metavar="[PATH=VALUE...]")] = [],  # noqa: B006
    backbone: Backbone = None,
    preset: PresetName = "paper",
) -> None:
    """A recipe as YAML, every field resolved; `muscle run FILE` takes it back.

    Example: muscle show muscle --preset small > mine.yaml
    """
    from muscle import starts
    from muscle.recipes import PRESETS, RECIPES

    if not recipe:
        for name, make in RECIPES.items():
            found = make(PRESETS["paper"])
            out.print(
                f"{name}: {found.title}: {', then '.join(s.name for s in found.stages) or 'no pre-training'}",
                markup=False,
            )
        return
    sys.stdout.write(starts.load_recipe(recipe, preset, backbone, change).yaml())


def report(
    folder: Annotated[Path, typer.Argument(help="A run's folder.")],
    check: Annotated[
        bool,
        typer.Option("--check", help="List every table and figure with its rows; fail where one is missing."),
    ] = False,
    baseline: Annotated[
        str | None,
        typer.Option(help="Recipe that all are compared with; scratch, or the first one, by default."),
    ] = None,
) -> None:
    """report.html, and the tables as Markdown, CSV and LaTeX.

    Example: muscle report runs/compare --check
    """
    from muscle.report.page import check as check_report
    from muscle.report.page import report as write_report

    if check:
        table(("table or figure", "rows"), check_report(folder, baseline))
    else:
        out.print(str(write_report(folder, baseline)))


def list_runs(
    root: Annotated[Path, typer.Argument(help="A folder of runs.")] = RUNS,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Which runs, checkpoints and stores exist, and what they weigh.

    Example: muscle ls runs
    """
    from muscle.inventory import inventory

    if not root.is_dir() and root != RUNS:
        raise UsageError(f"{root}: no such folder; give one that holds folders of runs")
    found = inventory(root, store or paths.stores())
    if as_json:
        out.print_json(json.dumps(found))
    else:
        table(
            ("kind", "where", "MB", "what"),
            [(i["kind"], i["where"], round(i["bytes"] / 1e6, 1), i["what"]) for i in found],
        )


def verify(
    folder: Annotated[
        Path, typer.Argument(help="The folder of a run, or of what pretrain, probe or validate left.")
    ],
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Every hash of a run computed again, its predictions scored again; exit code 1 where something changed.

    Example: muscle verify runs/compare
    """
    from muscle import api

    with shown() as progress:
        found = api.verify(folder, store, progress)
    bad = [check for check in found if check.holds is False]
    if as_json:
        out.print_json(json.dumps([asdict(check) for check in found]))
    else:
        table(("kind", "file", "verdict"), [(c.kind, c.file, c.verdict) for c in found])
    if bad:
        named = "; ".join(dict.fromkeys(f"{check.file}: {check.verdict}" for check in bad))
        raise UserError(f"{folder}: {len(bad)} of {len(found)} checks fail: {named}")
    if not as_json:
        untold = sum(check.holds is None for check in found)
        more = f"; {untold} things could not be told" if untold else ""
        out.print(f"{folder}: as it was written: {len(found) - untold} checks hold{more}", markup=False)
