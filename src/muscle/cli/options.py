"""Arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
Backbone = Annotated[
    str | None,
    typer.Option(
        help="resnet18 or resnet50; by default that of --from or of the recipe's file, else resnet18."
    ),
]
PresetName = Annotated[
    str, typer.Option("--preset", help="paper, small, demo, or auto by the number of images.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1.")]
Threads = Annotated[
    int,
    typer.Option(
        min=0,
        max=4096,
        help="Threads to compute with; 0: OMP_NUM_THREADS, else all cores. Bits are equal at equal count.",
    ),
]
Memory = Annotated[
    float,
    typer.Option(
        min=0,
        max=1e6,
        help="GiB of memory: --plan proposes settings, a GPU takes no more. 0: all of the GPU.",
    ),
]
Recompute = Annotated[
    bool,
    typer.Option(
        "--recompute",
        help="For small memories: activations are computed again in the backward pass. The same numbers, slower.",
    ),
]
Deterministic = Annotated[
    bool,
    typer.Option(
        "--deterministic",
        help="Of a GPU's kernels only those that give equal bits each time; slower. A CPU has no others.",
    ),
]
Plan = Annotated[
    bool,
    typer.Option("--plan", help="Decode 64 files, time a few steps, print sizes and hours; train nothing."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
