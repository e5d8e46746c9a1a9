"""The command line: parses, calls the API, prints.

Exit codes: 0 done, 1 the data or the machine will not do, 2 misuse.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from muscle import __version__, paths
from muscle.cli_data import app as data_app
from muscle.console import Shown, out, table
from muscle.console import err as err_console
from muscle.errors import UsageError, UserError
from muscle.parts import load_plugin

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Pre-training on radiographs across data sets, tasks and body parts.",
)
app.add_typer(data_app, name="data")

INTERRUPTED = 130  # what typer makes of Ctrl-C
# Typer's mistakes of usage: their class is click's, or that of typer's own copy of click, by typer's version.
Misuse: type[Exception] = typer.BadParameter.__mro__[1]

Sources = Annotated[
    list[str], typer.Argument(metavar="SOURCE...", help="A folder, KIND=ROOT, or a data file.")
]
Overrides = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Change a leaf of the recipe, e.g. stages.0.schedule.epochs_per_task=5.",
    ),
]
Out = Annotated[Path | None, typer.Option("--out", help="Folder of the run; ./runs/NAME by default.")]
Store = Annotated[
    Path | None,
    typer.Option("--store", help="Folder of the stores; $MUSCLE_STORE or ./muscle-store by default."),
]
Backbone = Annotated[str, typer.Option(help="resnet18 or resnet50.")]
PresetName = Annotated[
    str, typer.Option("--preset", help="paper, small, demo, or auto by the number of images.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1.")]
Threads = Annotated[
    int, typer.Option(min=0, help="Threads to compute with; 0: all cores. Bits are equal at equal count.")
]
Plan = Annotated[
    bool,
    typer.Option("--plan", help="Decode 64 files, time a few steps, print sizes and hours; train nothing."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback(invoke_without_command=True)
def options(
    plugin: Annotated[
        list[Path], typer.Option(help="A Python file with parts of your own; may be given again.")
    ] = [],  # noqa: B006
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Options of every command."""
    for file in plugin:
        load_plugin(file)
    if version:
        out.print(__version__)
        raise typer.Exit


@app.command()
def pretrain(
    sources: Sources,
    method: Annotated[
        str, typer.Option(help="A shipped recipe, see `muscle show`, or a YAML file.")
    ] = "md-moco",
    backbone: Backbone = "resnet50",
    init: Annotated[str | None, typer.Option(help="imagenet, or a file of weights to start from.")] = None,
    preset: PresetName = "auto",
    folder: Out = None,
    store: Store = None,
    plan: Plan = False,
    device: Device = "auto",
    threads: Threads = 0,
    change: Overrides = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Folders of films to a backbone. Prepares by itself; the same command resumes.

    Example: muscle pretrain /data/films --plan
    """
    from muscle import api
    from muscle.machine import Machine
    from muscle.plan import plan as make_plan

    machine = Machine(device=device, threads=threads)
    with shown() as progress:
        if plan:
            file = api.data_file(sources)
            recipe = api.load_recipe(method, api.choose_preset(preset, file), backbone, change, init).with_(
                finetune=None
            )
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


@app.command()
def finetune(
    sources: Sources,
    task: Annotated[
        str, typer.Option(help="classification, segmentation, detection, or KIND:TARGET; all by default.")
    ] = "",
    start: Annotated[
        str, typer.Option("--from", help="A run's folder, a file of weights, imagenet, or scratch.")
    ] = "scratch",
    backbone: Backbone = "resnet50",
    preset: PresetName = "auto",
    folder: Out = None,
    store: Store = None,
    seeds: Annotated[int, typer.Option(min=1)] = 1,
    device: Device = "auto",
    threads: Threads = 0,
    change: Overrides = [],  # noqa: B006
) -> None:
    """One task's model, its scores on the test part with intervals, and a report.

    Example: muscle finetune wrist.yaml --task classification --from runs/md-moco
    """
    from muscle import api
    from muscle.machine import Machine

    with shown() as progress:
        made = api.finetune(
            sources, start, task, backbone, folder, preset=preset, seeds=seeds, overrides=change, store=store,
            machine=Machine(device=device, threads=threads), progress=progress,
        )  # fmt: skip
    out.print(made.table(), markup=False)
    out.print(str(made.report_file))


@app.command()
def compare(
    sources: Sources,
    starts: Annotated[
        str, typer.Option("--from", help="Comma-separated: scratch, imagenet, run folders, files of weights.")
    ] = "",
    recipes: Annotated[str, typer.Option(help="Comma-separated recipes, run whole.")] = "",
    backbone: Backbone = "resnet18",
    seeds: Annotated[int, typer.Option(min=1)] = 1,
    tasks: Annotated[str, typer.Option(help="Comma-separated kinds or KIND:TARGET; all by default.")] = "",
    preset: PresetName = "auto",
    folder: Out = None,
    store: Store = None,
    plan: Plan = False,
    device: Device = "auto",
    threads: Threads = 0,
    change: Overrides = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Was it worth it? Every start fine-tuned alike on every task, with intervals. Interruptible; finished cells stay.

    Example: muscle compare wrist.yaml --from scratch,imagenet,runs/md-moco --seeds 3
    """
    from muscle import api
    from muscle.machine import Machine
    from muscle.plan import plan as make_plan

    machine = Machine(device=device, threads=threads)
    given, names, chosen = ([word for word in text.split(",") if word] for text in (starts, recipes, tasks))
    with shown() as progress:
        if plan:
            file = api.data_file(sources)
            asked = api.compared(
                given, names, backbone, seeds, api.choose_preset(preset, file), chosen, change
            )
            where = paths.run_folder(folder, "compare")
            plans = [
                make_plan(recipe, file, where, store or paths.stores(), machine, progress) for recipe in asked
            ]
            raise typer.Exit(print_plans(plans, as_json))
        made = api.compare(
            sources, given, names, backbone, seeds, folder, preset, chosen, change, store, machine, progress=progress
        )  # fmt: skip
    if as_json:
        out.print_json(json.dumps(made.results.data))
    else:
        out.print(made.table(), markup=False)
        out.print(str(made.report_file))


@app.command()
def run(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe or a YAML file.")],
    change: Annotated[list[str], typer.Argument(metavar="[PATH=VALUE...]", help="Leaves to change.")] = [],  # noqa: B006
    data: Annotated[
        list[str], typer.Option("--data", help="A data file, a folder or KIND=ROOT; may be given again.")
    ] = [],  # noqa: B006
    backbone: Backbone = "resnet18",
    preset: PresetName = "auto",
    folder: Out = None,
    store: Store = None,
    plan: Plan = False,
    device: Device = "auto",
    threads: Threads = 0,
    as_json: AsJson = False,
) -> None:
    """A whole recipe: its stages, its fine-tuning, its scores, a report. The same command resumes.

    Example: muscle run muscle --data data.yaml stages.1.schedule.rounds=5
    """
    from muscle import api
    from muscle.machine import Machine
    from muscle.plan import plan as make_plan

    machine = Machine(device=device, threads=threads)
    with shown() as progress:
        file = api.data_file(data)
        found = api.load_recipe(recipe, api.choose_preset(preset, file), backbone, change)
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


@app.command()
def show(
    recipe: Annotated[
        str, typer.Argument(help="A shipped recipe or a YAML file; without one, their names.")
    ] = "",
    change: Annotated[list[str], typer.Argument(metavar="[PATH=VALUE...]")] = [],  # noqa: B006
    backbone: Backbone = "resnet18",
    preset: PresetName = "paper",
) -> None:
    """A recipe as YAML, every field resolved; `muscle run FILE` takes it back.

    Example: muscle show muscle --preset small > mine.yaml
    """
    from muscle import api
    from muscle.recipes import PRESETS, RECIPES

    if not recipe:
        for name, make in RECIPES.items():
            found = make(PRESETS["paper"])
            out.print(
                f"{name}: {found.title}: {', then '.join(s.name for s in found.stages) or 'no pre-training'}",
                markup=False,
            )
        return
    sys.stdout.write(api.load_recipe(recipe, preset, backbone, change).yaml())


@app.command()
def embed(
    sources: Sources,
    start: Annotated[
        str, typer.Option("--from", help="A run's folder, a file of weights, imagenet, or scratch.")
    ],
    to: Annotated[Path, typer.Option("--to", help="The Parquet file to write.")] = Path("features.parquet"),
    backbone: Backbone = "resnet50",
    store: Store = None,
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """Frozen features of every image, as Parquet.

    Example: muscle embed /data/films --from runs/md-moco --to features.parquet
    """
    from muscle import api
    from muscle.machine import Machine

    with shown() as progress:
        made = api.embed(
            sources, start, to, backbone, store, Machine(device=device, threads=threads), progress
        )
    out.print(str(made))


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="A run's folder.")],
    check: Annotated[
        bool,
        typer.Option("--check", help="List every table and figure with its rows; fail where one is missing."),
    ] = False,
) -> None:
    """report.html, and the tables as Markdown and CSV.

    Example: muscle report runs/compare --check
    """
    from muscle.report import check as check_report
    from muscle.report import report as write_report

    if check:
        table(("table or figure", "rows"), check_report(folder))
    else:
        out.print(str(write_report(folder)))


@app.command()
def demo(
    folder: Annotated[Path, typer.Option("--out", help="Where to work.")] = Path("runs/demo"),
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """MUSCLE and its baselines on synthetic radiographs, in minutes on a laptop's CPU.

    Example: muscle demo
    """
    from muscle.demo import demo as run_demo
    from muscle.machine import Machine

    with shown() as progress:
        made = run_demo(folder, Machine(device=device, threads=threads), progress)
    out.print(made.table(), markup=False)
    out.print(f"Synthetic data: these numbers compare with nothing.\n{made.report_file}")


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Python, torch, device, precision, disk, DICOM codecs: what is there, and what to do where it is not well.

    Example: muscle doctor --json
    """
    from muscle.doctor import doctor as examine
    from muscle.doctor import exit_code, to_json

    found = examine()
    if as_json:
        out.print_json(to_json(found))
    else:
        table(
            ("", "what", "found", "advice"),
            [({"ok": "ok", "warn": "!", "bad": "X"}[f.state], f.name, f.value, f.advice) for f in found],
        )
    raise typer.Exit(exit_code(found))


@app.command("ls")
def list_runs(
    root: Annotated[Path, typer.Argument(help="A folder of runs.")] = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Which runs, checkpoints and stores exist, and what they weigh.

    Example: muscle ls runs
    """
    from muscle.inventory import inventory

    found = inventory(root, paths.stores())
    if as_json:
        out.print_json(json.dumps(found))
    else:
        table(
            ("kind", "where", "MB", "what"),
            [(i["kind"], i["where"], round(i["bytes"] / 1e6, 1), i["what"]) for i in found],
        )


@app.command()
def bench(
    seconds: Annotated[float, typer.Option(help="Time to measure each side of each row for.", min=1)] = 8.0,
    threads: Threads = 0,
    to: Annotated[Path | None, typer.Option("--to", help="Also write the rows as JSON.")] = None,
) -> None:
    """Speed on this machine: our step from a store against the bare arithmetic on random tensors, in the same run.

    Example: muscle bench
    """
    from muscle.bench import bench as measure

    rows = measure(seconds, threads)
    table(
        ("step", "images/s", "bare arithmetic", "ratio", "spread"),
        [
            (
                r["step"],
                f"{r['ours']:.1f}",
                f"{r['floor']:.1f}",
                f"{r['ratio']:.3f}",
                f"{r['low']:.3f} to {r['high']:.3f}",
            )
            for r in rows
        ],
    )
    if to is not None:
        paths.atomic_write(to, json.dumps(rows, indent=1))


def print_plans(plans: list[dict[str, Any]], as_json: bool) -> int:
    """Prints the plan of each recipe, as JSON one of them alone or a list; the exit code."""
    if as_json:
        out.print_json(json.dumps(plans[0] if len(plans) == 1 else plans))
    for made in plans if not as_json else ():
        table(("plan", ""), [(name, value) for name, value in made.items() if name != "stages"])
        if made["stages"]:
            table(tuple(made["stages"][0]), [tuple(stage.values()) for stage in made["stages"]])
    return 0 if all(made["fits"] == "yes" for made in plans) else 1


class shown:
    """Progress for the time of a command."""

    def __enter__(self) -> Shown:
        """The listener."""
        self.progress = Shown()
        return self.progress

    def __exit__(self, *_: object) -> None:
        """Gives the terminal back."""
        self.progress.close()


def main() -> None:
    """Runs a command; errors meant for the user become one line."""
    try:
        code = app(prog_name="muscle", standalone_mode=False) or 0
    except UserError as error:
        code = fail(str(error), error.exit_code)
    except Misuse as error:
        code = misused(error)
    except BrokenPipeError:  # whoever reads the output has seen enough (`| head`)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except OSError as error:
        if error.errno is None:  # not from the system: a fault of the program
            raise
        where = f"{error.filename}: " if error.filename else ""
        code = fail(f"{where}{error.strerror}; make room or give another place; what is finished is kept", 1)
    if code == INTERRUPTED:
        err_console.print("stopped; the same command goes on from here")
    sys.exit(code)


def fail(text: str, code: int) -> int:
    """One line on standard error, whatever the text holds; the exit code."""
    err_console.print("error: " + " ".join(text.split()), markup=False)
    return code


def misused(error: Exception) -> int:
    """An unknown option, a missing argument: one line; a command that needs another: its help."""
    text = error.format_message()  # type: ignore[attr-defined]
    if text.startswith("Usage:"):
        err_console.print(text, markup=False)
        return UsageError.exit_code
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "muscle"
    return fail(f"{text.rstrip('.')}; see {command} --help", UsageError.exit_code)
