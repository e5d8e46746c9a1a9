"""The command line: parses, calls the API, prints.

Exit codes: 0 done, 1 the data or the machine will not do, 2 misuse, 75 stopped by a signal: the same command goes on.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

import muscle
from muscle import interrupt
from muscle.cli import data, look, machine, store
from muscle.cli.console import err, out
from muscle.cli.probe import embed, probe
from muscle.cli.train import compare, finetune, pretrain, run
from muscle.cli.validate import validate
from muscle.errors import UsageError, UserError
from muscle.network import keep_offline
from muscle.parts import load_plugin

VERBS: dict[str, Callable[..., Any]] = {
    "pretrain": pretrain,
    "finetune": finetune,
    "compare": compare,
    "run": run,
    "probe": probe,
    "validate": validate,
    "embed": embed,
    "report": look.report,
    "show": look.show,
    "ls": look.list_runs,
    "verify": look.verify,
    "demo": machine.demo,
    "doctor": machine.doctor,
    "bench": machine.bench,
}
SHARED = (pretrain, finetune, compare, run, validate)  # under torchrun, by all of its processes together
DATA_VERBS: dict[str, Callable[..., Any]] = {
    "list": data.list_kinds,
    "show": data.show,
    "scan": data.scan,
    "check": data.check,
    "histogram": data.histogram,
    "inspect": data.inspect,
    "prepare": store.prepare,
    "split": store.split,
    "audit": store.audit,
    "phantom": store.phantom,
}


def led(verb: Callable[..., Any]) -> Callable[..., Any]:
    """The command under torchrun: rank 0 runs it, the others compute with it; with ``--cell`` each for itself."""

    @functools.wraps(verb)
    def run(**given: Any) -> Any:
        if "RANK" not in os.environ or given.get("cell"):
            return verb(**given)
        from muscle import distributed

        with distributed.joined() as leads:
            return verb(**given) if leads else None

    return run


app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Pre-training on radiographs across data sets, tasks and body parts.",
)
data_app = typer.Typer(no_args_is_help=True, help="Sources, decoding, stores.", rich_markup_mode=None)
for _app, _verbs in ((app, VERBS), (data_app, DATA_VERBS)):
    for _name, _verb in _verbs.items():
        _app.command(_name)(led(_verb) if _verb in SHARED else _verb)
app.add_typer(data_app, name="data")

_ABORTED = 130  # what typer makes of a KeyboardInterrupt
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


def main() -> None:
    """Runs a command; errors meant for the user become one line. A scheduler's SIGTERM is taken like Ctrl-C."""
    interrupt.listen()
    try:
        keep_offline()
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
    if code == _ABORTED:
        err.print("stopped; the same command goes on from here")
        code = interrupt.CONTINUE
    sys.exit(code)


def fail(text: str, code: int) -> int:
    """One line on standard error, whatever the text holds; the exit code."""
    err.print("error: " + " ".join(text.split()), markup=False)
    return code


def misused(error: Exception) -> int:
    """An unknown option, a missing argument: one line; a command that needs another: its help."""
    text = error.format_message()  # type: ignore[attr-defined]
    if text.startswith("Usage:"):
        err.print(text, markup=False)
        return UsageError.exit_code
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "muscle"
    return fail(f"{text.rstrip('.')}; see {command} --help", UsageError.exit_code)
