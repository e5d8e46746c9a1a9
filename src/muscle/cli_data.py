"""``muscle data ...``: what data exist, what they hold, how they are decoded."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from muscle import paths
from muscle.console import Shown, out, table
from muscle.errors import UsageError

app = typer.Typer(no_args_is_help=True, help="Sources, decoding, stores.", rich_markup_mode=None)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_kinds() -> None:
    """The kinds of source that can be read.

    Example: muscle data list
    """
    from muscle.data.source import Source
    from muscle.parts import known, member

    rows = []
    for kind in known(Source):
        adapter = member(Source, kind)
        rows.append(
            (
                kind,
                (adapter.__doc__ or "").strip().splitlines()[0],
                ", ".join(getattr(adapter, "shows", ())),
                getattr(adapter, "licence", "") or "your own data",
            )
        )
    table(("kind", "what", "shows", "licence"), rows)


@app.command()
def show(kind: Annotated[str, typer.Argument(help="A kind from `muscle data list`.")]) -> None:
    """One kind: layout, fields, licence, where to get it.

    Example: muscle data show kermany
    """
    import inspect

    from muscle.data.source import Source
    from muscle.parts import member

    try:
        adapter = member(Source, kind)
    except ValueError as error:
        raise UsageError(str(error)) from None
    out.print(inspect.getdoc(sys.modules[adapter.__module__]) or "", markup=False)
    out.print("\n" + (inspect.getdoc(adapter) or ""), markup=False)
    for name in ("citation", "licence", "url"):
        if value := getattr(adapter, name, ""):
            out.print(f"\n{name}: {value}", markup=False)
    table(
        ("field", "default"),
        [
            (n, "required" if f.is_required() else repr(f.get_default(call_default_factory=True)))
            for n, f in adapter.model_fields.items()
        ],
    )


@app.command()
def scan(
    root: Annotated[Path, typer.Argument(help="Any folder; nothing in it is changed.")],
    write: Annotated[Path | None, typer.Option(help="Write the proposed data file here.")] = None,
    as_json: AsJson = False,
) -> None:
    """What a folder holds, what is not a radiograph and why, and a data file to begin with.

    Example: muscle data scan /data/films --write films.yaml
    """
    from muscle.data.scan import scan as look

    found = look(root)
    if as_json:
        out.print_json(json.dumps(found.as_dict()))
    else:
        for head, rows in found.tables():
            table(head, rows)
            out.print()
    if write is not None:
        found.write(write)
        out.print(f"wrote {write}", markup=False)


@app.command()
def inspect(
    file: Annotated[Path, typer.Argument(help="One image.")],
    to: Annotated[Path | None, typer.Option("--to", help="Write the decoded picture here, as PNG.")] = None,
    window: Annotated[int, typer.Option(min=1, help="Which window or VOI table of a DICOM file.")] = 1,
    frames: Annotated[str, typer.Option(help="Of several frames: one (refuse), or first.")] = "one",
    raw: Annotated[bool, typer.Option("--raw", help="Stored levels, polarity as stored.")] = False,
) -> None:
    """How each pixel value of one file is arrived at. The file is decoded in a process of its own, within bounds.

    Example: muscle data inspect film.dcm --to film.png
    """
    from functools import partial

    from PIL import Image

    from muscle.data.decode import Decode, decode
    from muscle.data.workers import bounded

    settings = Decode.parse({"grey": "raw" if raw else "unified", "window": window, "frames": frames})
    found = bounded(partial(decode, settings=settings), file)
    height, width = found.pixels.shape
    out.print(f"{width} x {height}, {found.bits} bits stored", markup=False)
    for i, step in enumerate(found.steps, 1):
        out.print(f"{i}. {step}", markup=False)
    low, high = int(found.pixels.min()), int(found.pixels.max())
    out.print(f"8-bit levels {low} to {high}, mean {found.pixels.mean():.1f}, sd {found.pixels.std():.1f}")
    if to is not None:
        Image.fromarray(found.pixels).save(to, format="PNG")
        out.print(f"wrote {to}", markup=False)


@app.command()
def prepare(
    sources: Annotated[
        list[str], typer.Argument(metavar="SOURCE...", help="A folder, KIND=ROOT, or a data file.")
    ],
    size: Annotated[str, typer.Option(help="Height x width of the store.")] = "800x500",
    store: Annotated[
        Path | None, typer.Option("--store", help="$MUSCLE_STORE or ./muscle-store by default.")
    ] = None,
    fit: Annotated[str, typer.Option(help="stretch (the paper), or pad to keep the aspect.")] = "stretch",
    workers: Annotated[int, typer.Option(min=0, help="Processes that decode.")] = 2,
) -> None:
    """Decodes every source once into a memory-mapped store; resumes; sets faulty files aside with the reason.

    Example: muscle data prepare data.yaml --size 512x320
    """
    from muscle.data.corpus import Corpus
    from muscle.data.decode import Decode
    from muscle.data.source import DataFile

    height, sign, width = size.partition("x")
    if not (sign and height.isdigit() and width.isdigit() and int(height) >= 32 <= int(width)):
        raise UsageError(f"--size {size!r}; allowed: HEIGHTxWIDTH of at least 32x32, such as 800x500")
    if fit not in ("stretch", "pad"):
        raise UsageError(f"--fit {fit!r}; allowed: stretch, pad")
    progress = Shown()
    try:
        corpus = Corpus.prepare(
            DataFile.of(sources), (int(height), int(width)), Decode(), "pad" if fit == "pad" else "stretch",
            store or paths.stores(), workers, progress,
        )  # fmt: skip
    finally:
        progress.close()
    rows = []
    for made in corpus.stores:
        splits = made.column("split").tolist()
        counts = tuple(splits.count(part) for part in ("train", "valid", "test"))
        rows.append(
            (
                made.name,
                *counts,
                len(splits),
                len(made.quarantine),
                f"{made.mean:.1f} / {made.sd:.1f}",
                str(made.path),
            )
        )
    table(("source", "train", "valid", "test", "total", "set aside", "mean / sd", "store"), rows)
    for made in corpus.stores:
        for path, reason in made.quarantine:
            out.print(f"set aside: {path}: {reason}", markup=False)


@app.command()
def phantom(
    root: Annotated[Path, typer.Argument(help="An empty folder to write into.")],
    images: Annotated[int, typer.Option("--images", min=12, help="Films of each set.")] = 60,
    seed: Annotated[int, typer.Option()] = 0,
) -> None:
    """Synthetic radiographs in real layouts, with a data file: chest films with lungs, forearms with fractures.

    Example: muscle data phantom phantoms && muscle run muscle --data phantoms/data.yaml --preset demo
    """
    from muscle.demo import write_phantoms

    out.print(str(write_phantoms(root, images, images, seed)))
