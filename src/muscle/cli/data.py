"""``muscle data ...``: what data exist, what they hold, how they are decoded; stores and splits in store.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from muscle.cli.console import err, out, shown, table
from muscle.cli.options import AsJson, Sources
from muscle.errors import UsageError, among
from muscle.paths import new_file

if TYPE_CHECKING:
    from muscle.data.decode import Decode

Harmonize = Annotated[
    list[str] | None,
    typer.Option(
        "--harmonize",
        help="A step after decoding, again for each: border, collimation, vignette, percentile.",
    ),
]
Change = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="decode.FIELD=VALUE",
        help="Change how files are decoded, e.g. decode.window=2, decode.frames=first, decode.grey=raw.",
    ),
]


def list_kinds() -> None:
    """The kinds of source that can be read: public sets, readers of one's own data, unverified data files.

    Example: muscle data list
    """
    from muscle.data.data_file import DataFile
    from muscle.data.page import OWN, summary
    from muscle.data.source import Source
    from muscle.datasets._unverified import MARK, remark, unverified
    from muscle.parts import known, member
    from muscle.yaml_text import from_yaml

    rows = []
    for kind in known(Source):
        adapter = member(Source, kind)
        assert issubclass(adapter, Source)
        rows.append((kind, summary(adapter), ", ".join(adapter.shows), adapter.licence or OWN))
    rows.sort(key=lambda row: row[3] == OWN)
    for name, text in unverified().items():
        parts = {source.body_part for source in DataFile.parse(from_yaml(text)).sources.values()}
        what = f"unverified data file: {remark(text, MARK)}"
        rows.append((name, what, ", ".join(sorted(parts - {""})), remark(text, "# Licence:")))
    table(("kind", "what", "shows", "licence"), rows)


def show(kind: Annotated[str, typer.Argument(help="A kind from `muscle data list`.")]) -> None:
    """One kind: layout, licence, counts, a data file to paste, fields; of an unverified data file the file itself.

    Example: muscle data show kermany
    """
    from muscle.data.page import page
    from muscle.data.source import Source
    from muscle.datasets._unverified import unverified
    from muscle.parts import known, member

    if kind in unverified():
        out.print(unverified()[kind], markup=False)
        return
    if kind not in known(Source):
        raise UsageError(f"unknown kind {kind!r}; {among(kind, (*known(Source), *unverified()))}")
    adapter = member(Source, kind)
    assert issubclass(adapter, Source)
    out.print(page(adapter), markup=False)


def scan(
    root: Annotated[Path, typer.Argument(help="Any folder; nothing in it is changed.")],
    write: Annotated[Path | None, typer.Option(help="Write the proposed data file here.")] = None,
    contact: Annotated[
        Path | None, typer.Option(help="Write a PNG here: films as stored, and beside it as decoded.")
    ] = None,
    films: Annotated[int, typer.Option("--films", min=1, max=300, help="Films on the contact sheet.")] = 24,
    follow_links: Annotated[
        bool, typer.Option("--follow-links", help="Links in the folder may lead out of it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """What a folder holds, what is set aside and why, its tables, and a data file to begin with.

    Example: muscle data scan /data/films --write films.yaml --contact films.png
    """
    from muscle.data.contact import contact_sheet
    from muscle.data.scan import scan as look

    if contact is not None:
        new_file(contact)
    with shown() as progress:
        found = look(root, lambda done, total: progress.count("scan", done, total, "files"), follow_links)
    if as_json:
        out.print_json(json.dumps(found.as_dict()))
    else:
        for head, rows in found.tables():
            table(head, rows)
            out.print()
    if write is not None:
        found.write(write)
        wrote(write, as_json)
    elif not as_json and found.proposal is not None:
        out.print(found.yaml(), markup=False)
    if contact is not None:
        some = contact_sheet(found.root, found.films, contact, films)
        if not as_json:
            table(("number", "film"), [(i, film.path) for i, film in enumerate(some, 1)])
        wrote(contact, as_json)


def wrote(file: Path, as_json: bool) -> None:
    """Says so; beside JSON on standard error, which no program parses."""
    (err if as_json else out).print(f"wrote {file}", markup=False)


def check(
    sources: Sources,
    decode: Annotated[int, typer.Option("--decode", min=0, help="Films of each source to decode.")] = 64,
    deep: Annotated[bool, typer.Option("--deep", help="Decode every film and mask.")] = False,
    workers: Annotated[int, typer.Option(min=0, help="Processes that decode.")] = 2,
    change: Change = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Counts against the publisher's, files, labels, boxes, masks, persons; exit 1 when results would change.

    Example: muscle data check data.yaml --deep
    """
    from muscle.data.check import check as look
    from muscle.data.data_file import DataFile

    data, settings = DataFile.of(sources), decoder(change)
    with shown() as progress:

        def count(name: str, done: int, total: int) -> None:
            progress.count(f"check {name}", done, total, "films")

        found = look(data, None if deep else decode, workers, count, settings)
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


def histogram(
    sources: Sources,
    to: Annotated[Path | None, typer.Option("--to", help="Write the curves here, as PNG.")] = None,
    harmonize: Harmonize = None,
    normalization: Annotated[str, typer.Option(help="zscore (the paper), source, image, unit.")] = "zscore",
    films: Annotated[int, typer.Option("--films", min=1, help="Films of each source to look at.")] = 200,
    workers: Annotated[int, typer.Option(min=0, help="Processes that decode.")] = 2,
    change: Change = [],  # noqa: B006
    as_json: AsJson = False,
) -> None:
    """Grey levels of each source before and after decoding and normalization, and how far sources lie apart.

    Example: muscle data histogram data.yaml --harmonize border --harmonize percentile --to greys.png
    """
    if to is not None:
        new_file(to)
    from muscle.data.data_file import DataFile
    from muscle.data.histogram import PERCENTILES, STAGES, histograms
    from muscle.data.normalization import Normalization
    from muscle.parts import member

    try:
        chosen = member(Normalization, normalization).parse({})
    except ValueError as error:
        raise UsageError(f"--normalization: {error}") from None
    assert isinstance(chosen, Normalization)
    data, decode = DataFile.of(sources), decoder(change, harmonize)
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
        if remark := found.remark(chosen):
            out.print(f"\n{remark}", markup=False)
        for name, path, why in found.set_aside:
            out.print(f"set aside: {name}: {path}: {why}", markup=False)
    if to is not None:
        found.draw(to)
        wrote(to, as_json)


def decoder(change: list[str], harmonize: list[str] | None = None) -> Decode:
    """The decoder with the harmonizing steps of these kinds and leaves changed, as ``decode.`` of a recipe."""
    from muscle.data.decode import Decode
    from muscle.parts import override

    for word in change:
        if not word.startswith("decode."):
            raise UsageError(
                f"--set {word!r}; allowed: decode.FIELD=VALUE, FIELD one of: {', '.join(Decode.model_fields)}"
            )
    start = Decode.parse({"harmonize": tuple(harmonize or ())})
    return override(start, [word.removeprefix("decode.") for word in change])


def inspect(
    file: Annotated[Path, typer.Argument(help="One image.")],
    to: Annotated[Path | None, typer.Option("--to", help="Write the decoded picture here, as PNG.")] = None,
    window: Annotated[int, typer.Option(min=1, help="Which window or VOI table of a DICOM file.")] = 1,
    frames: Annotated[str, typer.Option(help="Of several frames: one (refuse), or first.")] = "one",
    frame: Annotated[
        int, typer.Option(min=0, help="Of several frames this one, from 1, as where each is a film.")
    ] = 0,
    raw: Annotated[bool, typer.Option("--raw", help="Stored levels, polarity as stored.")] = False,
) -> None:
    """How each pixel value of one file is arrived at. The file is decoded in a process of its own, within bounds.

    Example: muscle data inspect film.dcm --to film.png
    """
    from functools import partial

    from PIL import Image

    from muscle.data.decode import Decode, decode
    from muscle.data.workers import bounded

    if to is not None:
        new_file(to)
    settings = Decode.parse({"grey": "raw" if raw else "unified", "window": window, "frames": frames})
    found = bounded(partial(decode, settings=settings, frame=frame), file)
    height, width = found.pixels.shape
    out.print(f"{width} x {height}, {found.bits} bits stored", markup=False)
    for i, step in enumerate(found.steps, 1):
        out.print(f"{i}. {step}", markup=False)
    low, high = int(found.pixels.min()), int(found.pixels.max())
    out.print(f"8-bit levels {low} to {high}, mean {found.pixels.mean():.1f}, sd {found.pixels.std():.1f}")
    if to is not None:
        Image.fromarray(found.pixels).save(to, format="PNG")
        out.print(f"wrote {to}", markup=False)
