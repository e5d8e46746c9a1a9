"""``muscle validate``: a fine-tuned model on films of elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from muscle import paths
from muscle.cli.console import out, shown
from muscle.cli.options import AsJson, Device, Out, Sources, Store, Threads


def validate(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            help="The folder of a run with one fine-tuned model, or that of a model in checkpoints/ (see muscle ls)."
        ),
    ],
    sources: Sources,
    task: Annotated[
        str, typer.Option("--task", help="The target of the data; the model's own name for it by default.")
    ] = "",
    folder: Out = None,
    store: Store = None,
    device: Device = "auto",
    threads: Threads = 0,
    as_json: AsJson = False,
) -> None:
    """External validation: every film of a source that no stage has seen, with intervals and subgroups.

    Example: muscle validate runs/hospital elsewhere.yaml --task pneumonia
    """
    from muscle import api
    from muscle.machine import Machine

    where = paths.run_folder(folder, f"validate-{checkpoint.name}")
    with shown() as progress:
        made = api.validate(
            checkpoint, sources, where, task, store, Machine(device=device, threads=threads), progress
        )
    if as_json:
        out.print_json(json.dumps(made.results.data))
    else:
        out.print(made.table(), markup=False)
        out.print(str(made.report_file))
