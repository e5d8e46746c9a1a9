"""``muscle data ...``: what data exist, what they hold, how they are decoded."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from muscle import paths
from muscle.console import Shown, err, out, shown, table
from muscle.errors import UsageError

if TYPE_CHECKING:
    from muscle.data.decode import Decode

app = typer.Typer(no_args_is_help=True, help="Sources, decoding, stores.", rich_markup_mode=None)

Sources = Annotated[
    list[str], typer.Argument(metavar="SOURCE...", help="A folder, KIND=ROOT, or a data file.")
]
Size = Annotated[str, typer.Option(help="Height x width of the store.")]
Store = Annotated[Path | None, typer.Option("--store", help="$MUSCLE_STORE or ./muscle-store by default.")]
Workers = Annotated[int, typer.Option(min=0, help="Processes that decode.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

SHOWN = 20  # leaks printed one by one; --json has all


@app.command("list")
def list_kinds() -> None:
    """The kinds of source that can be read.

    Example: muscle data list
    """
    from muscle.data.source import DataFile, Source
    from muscle.datasets._unverified import MARK, remark, unverified
    from muscle.parts import from_yaml, known, member

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
    for name, text in unverified().items():
        parts = {source.body_part for source in DataFile.parse(from_yaml(text)).sources.values()}
        what = f"unverified data file: {remark(text, MARK)}"
        rows.append((name, what, ", ".join(sorted(parts - {""})), remark(text, "# Licence:")))
    table(("kind", "what", "shows", "licence"), rows)


@app.command()
def show(kind: Annotated[str, typer.Argument(help="A kind from `muscle data list`.")]) -> None:
    """One kind: layout, fields, licence, where to get it; of an unverified data file the file itself.

    Example: muscle data show kermany
    """
    import inspect

    from muscle.data.source import Source
    from muscle.datasets._unverified import unverified
    from muscle.parts import member

    if kind in unverified():
        out.print(unverified()[kind], markup=False)
        return
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
    contact: Annotated[
        Path | None, typer.Option(help="Write a PNG here: films as stored, and beside it as decoded.")
    ] = None,
    films: Annotated[int, typer.Option("--films", min=1, max=300, help="Films on the contact sheet.")] = 24,
    as_json: AsJson = False,
) -> None:
    """What a folder holds, what is set aside and why, its tables, and a data file to begin with.

    Example: muscle data scan /data/films --write films.yaml --contact films.png
    """
    from muscle.data.contact import contact_sheet
    from muscle.data.scan import scan as look

    with shown() as progress:
        found = look(root, lambda done, total: progress.count("scan", done, total, "files"))
    if as_json:
        out.print_json(json.dumps(found.as_dict()))
    else:
        for head, rows in found.tables():
            table(head, rows)
            out.print()
    if write is not None:
        found.write(write)
        _wrote(write, as_json)
    elif not as_json and found.proposal is not None:
        out.print(found.yaml(), markup=False)
    if contact is not None:
        some = contact_sheet(found.root, found.films, contact, films)
        if not as_json:
            table(("number", "film"), [(i, film.path) for i, film in enumerate(some, 1)])
        _wrote(contact, as_json)


def _wrote(file: Path, as_json: bool) -> None:
    """Says so; beside JSON on standard error, which no program parses."""
    (err if as_json else out).print(f"wrote {file}", markup=False)


@app.command()
def check(
    sources: Sources,
    decode: Annotated[int, typer.Option("--decode", min=0, help="Films of each source to decode.")] = 64,
    deep: Annotated[bool, typer.Option("--deep", help="Decode every film and mask.")] = False,
    workers: Annotated[int, typer.Option(min=0, help="Processes that decode.")] = 2,
    as_json: AsJson = False,
) -> None:
    """Counts against the publisher's, files, labels, boxes, masks, persons; exit 1 when results would change.

    Example: muscle data check data.yaml --deep
    """
    from muscle.data.check import check as look
    from muscle.data.source import DataFile

    data = DataFile.of(sources)
    with shown() as progress:

        def count(name: str, done: int, total: int) -> None:
            progress.count(f"check {name}", done, total, "films")

        found = look(data, None if deep else decode, workers, count)
    if as_json:
        out.print_json(json.dumps({"sources": [one.as_dict() for one in found]}))
    else:
        table(("source", "what", "found", "published"), [row for one in found for row in one.count_rows()])
        faults = [row for one in found for row in one.fault_rows()]
        if faults:
            out.print()
            table(("source", "level", "what", "file", "seen", "what to do"), faults)
        out.print()
        for one in found:
            wrong, odd = one.wrong, len(one.faults) - one.wrong
            looked = f"{one.decoded} of {one.counts.get('images', 0)} films decoded"
            out.print(f"{one.name}: {wrong} errors, {odd} warnings; {looked}", markup=False)
    if any(one.wrong for one in found):
        raise typer.Exit(1)


Harmonize = Annotated[
    list[str] | None,
    typer.Option(
        "--harmonize",
        help="A step after decoding, again for each: border, collimation, vignette, percentile.",
    ),
]


@app.command()
def histogram(
    sources: Sources,
    to: Annotated[Path | None, typer.Option("--to", help="Write the curves here, as PNG.")] = None,
    harmonize: Harmonize = None,
    normalization: Annotated[str, typer.Option(help="zscore (the paper), source, image, unit.")] = "zscore",
    films: Annotated[int, typer.Option("--films", min=1, help="Films of each source to look at.")] = 200,
    workers: Annotated[int, typer.Option(min=0, help="Processes that decode.")] = 2,
    as_json: AsJson = False,
) -> None:
    """Grey levels of each source before and after decoding and normalization, and how far sources lie apart.

    Example: muscle data histogram data.yaml --harmonize border --harmonize percentile --to greys.png
    """
    from muscle.data.histogram import PERCENTILES, STAGES, histograms
    from muscle.data.normalization import Normalization
    from muscle.data.source import DataFile
    from muscle.parts import member

    try:
        chosen = member(Normalization, normalization).parse({})
    except ValueError as error:
        raise UsageError(f"--normalization: {error}") from None
    assert isinstance(chosen, Normalization)
    data, decode = DataFile.of(sources), _decode(harmonize)
    with shown() as progress:

        def count(name: str, done: int, total: int) -> None:
            progress.count(f"histogram {name}", done, total, "films")

        found = histograms(data, decode, chosen, films, workers, count)
    if as_json:
        out.print_json(json.dumps(found.as_dict()))
    else:
        table(("source", "stage", "films", "mean", "sd", *(f"p{p}" for p in PERCENTILES)), found.rows())
        if rows := found.distance_rows():
            out.print()
            table(("distance of", "and", *STAGES), rows)
        for name, path, why in found.set_aside:
            out.print(f"set aside: {name}: {path}: {why}", markup=False)
    if to is not None:
        found.draw(to)
        _wrote(to, as_json)


def _decode(harmonize: list[str] | None) -> Decode:
    from muscle.data.decode import Decode

    return Decode.parse({"harmonize": tuple(harmonize or ())})


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
    sources: Sources,
    size: Size = "800x500",
    store: Store = None,
    fit: Annotated[str, typer.Option(help="stretch (the paper), or pad to keep the aspect.")] = "stretch",
    harmonize: Harmonize = None,
    workers: Workers = 2,
) -> None:
    """Decodes every source once into a memory-mapped store; resumes; sets faulty files aside with the reason.

    Example: muscle data prepare data.yaml --size 512x320
    """
    from muscle.data.corpus import Corpus
    from muscle.data.source import DataFile

    shape = _size(size)
    if fit not in ("stretch", "pad"):
        raise UsageError(f"--fit {fit!r}; allowed: stretch, pad")
    progress = Shown()
    try:
        corpus = Corpus.prepare(
            DataFile.of(sources), shape, _decode(harmonize), "pad" if fit == "pad" else "stretch",
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
def split(
    sources: Sources,
    write: Annotated[
        Path | None, typer.Option(help="The CSV or Parquet file to make, or to add new films to.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Who trains, selects and tests, written down: whoever is in FILE stays, newcomers are placed by a hash.

    The first writing is stratified by source and class, person by person. `split: {kind: file, file: FILE}` in the
    data file takes it back.

    Example: muscle data split films.yaml --write split.csv
    """
    from muscle.data.source import DataFile
    from muscle.data.split_file import PARTS, make

    made = make(DataFile.of(sources), write if write is not None and write.exists() else None)
    if write is not None:
        made.write(write)
    drift = made.drift()
    counts = {part: made.parts.count(part) for part in PARTS}
    if as_json:
        keys = ("class", "part", "before", "now")
        shares = [dict(zip(keys, row, strict=True)) for row in drift]
        out.print_json(
            json.dumps({"images": counts, "new": made.known.count(False), "percent of part": shares})
        )
        return
    table(("part", "images", "of them new"), [
        (part, n, sum(p == part and not k for p, k in zip(made.parts, made.known, strict=True)))
        for part, n in counts.items()
    ])  # fmt: skip
    table(("class", "part", "before %", "now %"), [
        (name, part, "" if before is None else f"{before:.1f}", f"{now:.1f}") for name, part, before, now in drift
    ])  # fmt: skip
    if write is not None:
        out.print(f"wrote {write}", markup=False)


@app.command()
def audit(
    sources: Sources,
    exclude: Annotated[
        Path | None,
        typer.Option(help="Write the ids to leave out here; name it in the data file (exclude: FILE)."),
    ] = None,
    start: Annotated[
        str, typer.Option("--from", help="A run's folder: its pre-training films count as trained on.")
    ] = "",
    size: Size = "800x500",
    store: Store = None,
    workers: Workers = 2,
    as_json: AsJson = False,
) -> None:
    """Films that are one, or of one person, over all sources and parts: bytes, pixels, near-duplicates, patients.

    Exit code 1 where a run would refuse: a test or validation case is learned from and cannot simply be left out of
    training.

    Example: muscle data audit films.yaml --exclude leave-out.txt
    """
    from muscle.data.audit import read_seen, write_left_out
    from muscle.data.corpus import Corpus
    from muscle.data.decode import Decode
    from muscle.data.source import DataFile

    progress = Shown()
    try:
        corpus = Corpus.prepare(
            DataFile.of(sources), _size(size), Decode(), "stretch", store or paths.stores(), workers, progress
        )
        found = corpus.audit(read_seen(Path(start)) if start else ())
    finally:
        progress.close()
    left = found.to_leave_out()
    if exclude is not None:
        write_left_out(exclude, left)
    refused = bool(corpus.leaks) or any(pair.leaks for pair in found.pairs if pair.parts[1] == "weights")
    refused = refused and not corpus.file.allow_leaks and exclude is None
    if as_json:
        out.print_json(json.dumps({**found.as_dict(), "leave out": left, "refused": refused}))
    else:
        table(("rule", "parts", "pairs"), found.counts())
        for pair in found.leaks[:SHOWN]:
            out.print(str(pair), markup=False)
        for overlap in found.overlaps:
            out.print(
                f"{overlap.first} and {overlap.second} are known to share films, {overlap.pairs} pairs found: "
                f"{overlap.known}", markup=False,
            )  # fmt: skip
        out.print(
            f"{found.films} films, {len(found.pairs)} pairs, {len(found.leaks)} of them across training and test"
        )
        if exclude is not None:
            out.print(
                f"wrote {exclude}: {len(left)} ids; name it in the data file: exclude: {exclude}",
                markup=False,
            )
    if refused:
        raise typer.Exit(1)


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


def _size(text: str) -> tuple[int, int]:
    height, sign, width = text.partition("x")
    if not (sign and height.isdigit() and width.isdigit() and int(height) >= 32 <= int(width)):
        raise UsageError(f"--size {text!r}; allowed: HEIGHTxWIDTH of at least 32x32, such as 800x500")
    return int(height), int(width)
