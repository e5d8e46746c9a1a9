"""Commands on frozen features: what they are worth, and the features themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from muscle.cli.console import out, shown, table
from muscle.cli.options import AsJson, Backbone, Device, Out, Overrides, PresetName, Sources, Store, Threads
from muscle.errors import UsageError


def probe(
    sources: Sources,
    starts: Annotated[
        str,
        typer.Option(
            "--from",
            help="Comma-separated: imagenet, run folders, files of weights, recipes; scratch is added.",
        ),
    ],
    shares: Annotated[
        str, typer.Option(help="Comma-separated shares of the labelled patients, 1 for all of them.")
    ] = "0.01,0.05,0.1,0.25,0.5,1",
    draws: Annotated[int, typer.Option(min=1, help="Draws of each share below 1.")] = 3,
    backbone: Backbone = None,
    preset: PresetName = "auto",
    folder: Out = None,
    store: Store = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Print what would be computed; decode and write nothing.")
    ] = False,
    device: Device = "auto",
    threads: Threads = 0,
    change: Overrides = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """What frozen features are worth: k-NN and a linear probe on few and on all labels, beside a random network.

    Example: muscle probe wrist.yaml --from imagenet,runs/md-moco
    """
    from muscle import api
    from muscle.lineup import probed
    from muscle.machine import Machine
    from muscle.probing import plan_probes
    from muscle.starts import choose_preset, data_file

    given = [word for word in starts.split(",") if word]
    try:
        parts = [float(word) for word in shares.split(",") if word]
    except ValueError:
        raise UsageError(f"--shares {shares}: not numbers; give shares such as 0.01,0.1,1") from None
    machine = Machine(device=device, threads=threads)
    with shown() as progress:
        if plan:
            file = data_file(sources)
            asked = probed(given, backbone, choose_preset(preset, file, progress), change)
            rows = plan_probes(asked, file, parts, draws)
        else:
            made = api.probe(
                sources,
                given,
                parts,
                draws,
                backbone,
                folder,
                preset,
                change,
                store,
                machine,
                progress=progress,
            )
    if plan and as_json:
        out.print_json(json.dumps(rows))
    elif plan:
        table(tuple(rows[0]), [tuple(row.values()) for row in rows])
    elif as_json:
        out.print_json(json.dumps(made.results.data))
    else:
        out.print(made.table(), markup=False)
        out.print(str(made.report_file))


def embed(
    sources: Sources,
    start: Annotated[
        str, typer.Option("--from", help="A run's folder, a file of weights, imagenet, or scratch.")
    ],
    to: Annotated[Path, typer.Option("--to", help="The Parquet file to write.")] = Path("features.parquet"),
    backbone: Backbone = None,
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
