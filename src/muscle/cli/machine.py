"""Commands about this machine: the demonstration, what it lacks, how fast it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from muscle import paths
from muscle.cli.console import out, shown, table
from muscle.cli.options import AsJson, Device, Threads
from muscle.errors import UsageError


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


def bench(
    seconds: Annotated[
        float, typer.Option(help="Time to measure each side of each row for.", min=1, max=3600)
    ] = 8.0,
    threads: Threads = 0,
    only: Annotated[str, typer.Option(help="Rows with this in their name.")] = "",
    to: Annotated[
        Path | None, typer.Option("--to", help="Also write JSON: the rows, the machine, the commit.")
    ] = None,
) -> None:
    """Speed on this machine: our steps beside the least that they can cost, measured in the same run.

    Images a second are medians of turns that alternate; the ratio is the median of each turn's, the spread its range.
    Nothing else should run meanwhile. Example: muscle bench
    """
    from muscle.bench import bench as measure
    from muscle.machine import Machine
    from muscle.provenance import provenance

    if to is not None and (to.is_dir() or not to.absolute().parent.is_dir()):
        raise UsageError(f"--to {to}: give a file in a folder that exists")
    with shown() as progress:
        rows = measure(seconds, threads, only, progress)
    table(
        ("step", "images/s", "floor", "ratio", "spread", "floor of peak"),
        [
            (
                r["step"],
                f"{r['ours']:.1f}",
                f"{r['floor']:.1f}",
                f"{r['ratio']:.3f}",
                f"{r['low']:.3f} to {r['high']:.3f}",
                f"{r['of peak']:.2f}" if "of peak" in r else "",
            )
            for r in rows
        ],
    )
    if to is not None:
        about = provenance(Machine(threads=threads)) | {"rows": rows}
        paths.atomic_write(to, json.dumps(about, indent=1) + "\n")
