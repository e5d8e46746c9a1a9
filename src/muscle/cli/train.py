"""The commands that train: folders to a backbone, a backbone to a model, models to a table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from muscle import paths
from muscle.cli.console import out, shown, table
from muscle.cli.options import (
    AsJson,
    Backbone,
    Deterministic,
    Device,
    Memory,
    Out,
    Overrides,
    Plan,
    PresetName,
    Recompute,
    Sources,
    Store,
    Threads,
)
from muscle.errors import UsageError


def pretrain(
    sources: Sources,
    method: Annotated[
        str, typer.Option(help="A shipped recipe, see `muscle show`, or a YAML file.")
    ] = "md-moco",
    backbone: Backbone = None,
    init: Annotated[str | None, typer.Option(help="imagenet, or a file of weights to start from.")] = None,
    preset: PresetName = "auto",
    folder: Out = None,
    store: Store = None,
    plan: Plan = False,
    device: Device = "auto",
    threads: Threads = 0,
    memory: Memory = 0.0,
    recompute: Recompute = False,
    deterministic: Deterministic = False,
    change: Overrides = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Folders of films to a backbone. Prepares by itself; the same command resumes.

    Example: muscle pretrain /data/films --plan
    """
    from muscle import api, starts
    from muscle.machine import Machine
    from muscle.plan import plan as make_plan

    machine = Machine(
        device=device, threads=threads, memory=memory, recompute=recompute, deterministic=deterministic
    )
    with shown() as progress:
        if plan:
            file = starts.data_file(sources)
            recipe = starts.load_recipe(
                method, starts.choose_preset(preset, file, progress), backbone, change, init
            ).with_(finetune=None)
            where = paths.run_folder(folder, recipe.name)
            made_plan = make_plan(recipe, file, where, store or paths.stores(), machine, progress)
            raise typer.Exit(print_plans([made_plan], as_json))
        made = api.pretrain(sources, method, backbone, folder, init, preset, change, store, machine, progress)
    if as_json:
        out.print_json(
            json.dumps(
                {
                    "out": str(made.out),
                    "backbone": str(made.backbone_file),
                    "sha256": made.sha256,
                    **made.about,
                }
            )
        )
    else:
        out.print(f"{made.backbone_file}\nsha256 {made.sha256}")


def finetune(
    sources: Sources,
    task: Annotated[
        str,
        typer.Option(
            "--task",
            "--tasks",
            help="classification, segmentation, detection, or KIND:TARGET; all by default.",
        ),
    ] = "",
    start: Annotated[
        str, typer.Option("--from", help="A run's folder, a file of weights, imagenet, or scratch.")
    ] = "scratch",
    backbone: Backbone = None,
    preset: PresetName = "auto",
    folder: Out = None,
    store: Store = None,
    seeds: Annotated[int, typer.Option(min=1)] = 1,
    device: Device = "auto",
    threads: Threads = 0,
    memory: Memory = 0.0,
    recompute: Recompute = False,
    deterministic: Deterministic = False,
    change: Overrides = [],  # noqa: B006
    plan: Plan = False,
    as_json: AsJson = False,
) -> None:
    """One task's model, its scores on the test part with intervals, and a report.

    Example: muscle finetune wrist.yaml --task classification --from runs/md-moco
    """
    folder = paths.run_folder(folder, f"finetune-{task.replace(':', '-') or 'annotated'}")
    _compare(
        sources, [start], [], [task] if task else [], backbone, seeds, preset, folder, store,
        {"device": device, "threads": threads, "memory": memory, "recompute": recompute,
         "deterministic": deterministic}, change, plan, as_json,
        f"Fine-tuning {task}".strip(),
    )  # fmt: skip


def compare(
    sources: Sources,
    starts: Annotated[
        str, typer.Option("--from", help="Comma-separated: scratch, imagenet, run folders, files of weights.")
    ] = "",
    recipes: Annotated[str, typer.Option(help="Comma-separated recipes, run whole.")] = "",
    backbone: Annotated[
        str | None, typer.Option(help="resnet18, resnet50, or both with a comma; the runs' own by default.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1)] = 1,
    tasks: Annotated[
        str, typer.Option("--tasks", "--task", help="Comma-separated kinds or KIND:TARGET; all by default.")
    ] = "",
    preset: PresetName = "auto",
    folder: Out = None,
    store: Store = None,
    plan: Plan = False,
    device: Device = "auto",
    threads: Threads = 0,
    memory: Memory = 0.0,
    recompute: Recompute = False,
    deterministic: Deterministic = False,
    change: Overrides = [],  # noqa: B006
    as_json: AsJson = False,
    leave_one_task_out: Annotated[
        bool,
        typer.Option(
            "--leave-one-task-out",
            help="A row more for each recipe that learns tasks in turn: without the one that is tested.",
        ),
    ] = False,
    equal_compute: Annotated[
        bool,
        typer.Option(
            "--equal-compute",
            help="A second table: cheaper recipes fine-tuned until they took as many images in all. The films are "
            "prepared first, also with --plan, for only then can images be counted.",
        ),
    ] = False,
    cell: Annotated[
        str,
        typer.Option(
            "--cell",
            metavar="I/N",
            help="Only cells I, I + N, ... from 0, for job I of N; auto under torchrun or in a Slurm array.",
        ),
    ] = "",
    keep_weights: Annotated[
        bool,
        typer.Option("--keep-weights", help="Keep the models of every seed; by default those of the first."),
    ] = False,
) -> None:
    """Was it worth it? Every start fine-tuned alike on every task, with intervals. Interruptible; finished cells stay.

    With --plan every cell is listed: there or to compute, and its minutes. Several jobs may fill one folder.

    Example: muscle compare wrist.yaml --from scratch,imagenet,runs/md-moco --seeds 3
    """
    given, names, chosen = ([word for word in text.split(",") if word] for text in (starts, recipes, tasks))
    folder = paths.run_folder(folder, "compare")
    _compare(
        sources, given, names, chosen, backbone, seeds, preset, folder, store,
        {"device": device, "threads": threads, "memory": memory, "recompute": recompute,
         "deterministic": deterministic}, change, plan, as_json,
        leave_one_task_out=leave_one_task_out, equal_compute=equal_compute, cell=cell,
        keep_weights=keep_weights,
    )  # fmt: skip


def _compare(
    sources: list[str], given: list[str], names: list[str], tasks: list[str], backbone: str | None, seeds: int,
    preset: str, folder: Path, store: Path | None, on: dict[str, Any], change: list[str], plan: bool, as_json: bool,
    title: str = "", leave_one_task_out: bool = False, equal_compute: bool = False, cell: str = "",
    keep_weights: bool = True,
) -> None:  # fmt: skip
    """What ``finetune`` does of one start, and ``compare`` of several."""
    from muscle import api
    from muscle.grid import Share
    from muscle.grid_plan import plan_grid
    from muscle.lineup import compared, more_rows
    from muscle.machine import Machine
    from muscle.plan import plan as make_plan
    from muscle.starts import choose_preset, data_file

    machine = Machine(**on)
    share = Share.parse(cell)
    with shown() as progress:
        if plan:
            file = data_file(sources)
            asked = compared(
                given, names, backbone, seeds, choose_preset(preset, file, progress), tasks, change
            )
            where = store or paths.stores()
            asked += more_rows(asked, file, where, machine, progress, leave_one_task_out, equal_compute)
            plans = [make_plan(recipe, file, folder, where, machine, progress) for recipe in asked]
            cells = plan_grid(asked, file, folder, where, machine, plans, share)
            raise typer.Exit(print_plans(plans, as_json, cells))
        made = api.compare(
            sources, given, names, backbone, seeds, folder, preset, tasks, change, store, machine, title, progress,
            leave_one_task_out, equal_compute, cell, keep_weights,
        )  # fmt: skip
    if as_json:
        out.print_json(json.dumps(made.results.data))
    elif made.report_file.is_file():
        out.print(made.table(), markup=False)
        out.print(str(made.report_file))


def run(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe or a YAML file.")],
    bare: Annotated[list[str], typer.Argument(metavar="[PATH=VALUE...]", help="The same as --set.")] = [],  # noqa: B006
    data: Annotated[
        list[str], typer.Option("--data", help="A data file, a folder or KIND=ROOT; may be given again.")
    ] = [],  # noqa: B006
    change: Overrides = [],  # noqa: B006
    backbone: Backbone = None,
    preset: PresetName = "auto",
    folder: Out = None,
    store: Store = None,
    plan: Plan = False,
    device: Device = "auto",
    threads: Threads = 0,
    memory: Memory = 0.0,
    recompute: Recompute = False,
    deterministic: Deterministic = False,
    as_json: AsJson = False,
) -> None:
    """A whole recipe: its stages, its fine-tuning, its scores, a report. The same command resumes.

    Example: muscle run muscle --data data.yaml stages.1.schedule.rounds=5
    """
    from muscle import api, starts
    from muscle.machine import Machine
    from muscle.plan import plan as make_plan

    machine = Machine(
        device=device, threads=threads, memory=memory, recompute=recompute, deterministic=deterministic
    )
    with shown() as progress:
        if not data:
            raise UsageError(
                "--data is missing; give a data file, a folder or KIND=ROOT, such as --data data.yaml"
            )
        file = starts.data_file(data)
        found = starts.load_recipe(
            recipe, starts.choose_preset(preset, file, progress), backbone, [*bare, *change]
        )
        where = paths.run_folder(folder, found.name)
        if plan:
            made_plan = make_plan(found, file, where, store or paths.stores(), machine, progress)
            raise typer.Exit(print_plans([made_plan], as_json))
        made = api.run(found, file, where, store, machine, progress)
    if as_json:
        out.print_json(json.dumps(made.results.data))
        return
    out.print(made.table(), markup=False)
    for stage in made.results.data["stages"]:
        out.print(f"{stage['name']}: sha256 {stage['sha256']}", markup=False)
    out.print(str(made.report_file))


def print_plans(plans: list[dict[str, Any]], as_json: bool, cells: Sequence[dict[str, Any]] = ()) -> int:
    """Prints the plan of each recipe, as JSON one of them alone or a list; the exit code.

    Args:
        cells: of a comparison, see ``grid_plan``; in JSON each recipe has its own.
    """
    if as_json:
        for made in plans if cells else ():
            mine = (made["recipe"], made["backbone"])
            made["cells"] = [row for row in cells if (row["recipe"], row["backbone"]) == mine]
        out.print_json(json.dumps(plans[0] if len(plans) == 1 else plans))
    for made in plans if not as_json else ():
        table(("plan", ""), [(name, value) for name, value in made.items() if name != "stages"])
        if made["stages"]:
            table(tuple(made["stages"][0]), [tuple(stage.values()) for stage in made["stages"]])
    if cells and not as_json:
        table(tuple(cells[0]), [tuple(row.values()) for row in cells])
        there = sum(row["state"] == "exists" for row in cells)
        minutes = sum(row["minutes"] for row in cells)
        time = f"{minutes / 60:.1f} hours" if minutes >= 60 else f"{minutes:.1f} minutes"
        out.print(f"{len(cells)} stages and cells, {there} exist; about {time} to compute")
    return 0 if all(made["fits"] == "yes" for made in plans) else 1
