"""The command line: parses, calls the API, prints.

Exit codes: 0 done, 1 the data or the machine will not do, 2 misuse.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

import muscle
from muscle import paths
from muscle.cli import validate  # noqa: F401  # its verb joins the others
from muscle.cli.console import err as err_console
from muscle.cli.console import out, shown, table
from muscle.cli.probe import probe
from muscle.cli.store import app as data_app
from muscle.cli.train import AsJson, Device, Threads, app
from muscle.errors import UsageError, UserError
from muscle.parts import load_plugin

app.add_typer(data_app, name="data")
app.command()(probe)

INTERRUPTED = 130  # what typer makes of Ctrl-C
# Typer's mistakes of usage: their class is click's, or that of typer's own copy of click, by typer's version.
Misuse: type[Exception] = typer.BadParameter.__mro__[1]


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
        out.print(muscle.__version__)
        raise typer.Exit


@app.command()
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
        table(("table or figure", "rows"), check_report(folder))
    else:
        out.print(str(write_report(folder, baseline)))


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
    """Speed on this machine: our steps beside the least that they can cost, measured in the same run.

    Example: muscle bench
    """
    from muscle.bench import bench as measure

    rows = measure(seconds, threads)
    table(
        ("step", "images/s", "floor", "ratio", "spread"),
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


def main() -> None:
    """Runs a command; errors meant for the user become one line. A scheduler's SIGTERM is taken like Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
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
