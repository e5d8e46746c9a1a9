"""``muscle data prepare``, ``split``, ``audit`` and ``phantom``: stores, who trains and who tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from muscle import paths
from muscle.cli.console import Shown, out, table
from muscle.cli.data import Change, Harmonize, decoder
from muscle.cli.options import AsJson, Sources
from muscle.errors import UsageError

if TYPE_CHECKING:
    from muscle.data.store import Store as Stored
    from muscle.types import Target

Size = Annotated[str, typer.Option(help="Height x width of the store.")]
Store = Annotated[Path | None, typer.Option("--store", help="$MUSCLE_STORE or ./muscle-store by default.")]
Workers = Annotated[int, typer.Option(min=0, help="Processes that decode.")]
SHOWN = 20  # leaks printed one by one; --json has all


def prepare(
    sources: Sources,
    size: Size = "800x500",
    store: Store = None,
    fit: Annotated[str, typer.Option(help="stretch (the paper), or pad to keep the aspect.")] = "stretch",
    harmonize: Harmonize = None,
    change: Change = [],  # noqa: B006
    workers: Workers = 2,
) -> None:
    """Decodes every source once into a memory-mapped store; resumes; sets faulty files aside with the reason.

    Example: muscle data prepare data.yaml --size 512x320 --set decode.window=2
    """
    import numpy as np

    from muscle.data.corpus import Corpus
    from muscle.data.data_file import DataFile

    shape = _size(size)
    if fit not in ("stretch", "pad"):
        raise UsageError(f"--fit {fit!r}; allowed: stretch, pad")
    progress = Shown()
    try:
        corpus = Corpus.prepare(
            DataFile.of(sources), shape, decoder(change, harmonize), "pad" if fit == "pad" else "stretch",
            store or paths.stores(), workers, progress,
        )  # fmt: skip
    finally:
        progress.close()
    rows = []
    for made in corpus.stores:
        splits = made.counts("split")
        counts = tuple(splits.get(part, 0) for part in ("train", "valid", "test"))
        rows.append(
            (
                made.name,
                *counts,
                len(made),
                len(np.unique(made.numbers("patient_key"))),
                len(made.quarantine),
                "; ".join(_taught(made, target) for target in made.targets) or "images alone",
                f"{made.mean:.1f} / {made.sd:.1f}",
                str(made.path),
            )
        )
    table(
        (
            "source",
            "train",
            "valid",
            "test",
            "total",
            "persons",
            "set aside",
            "teaches",
            "mean / sd",
            "store",
        ),
        rows,
    )
    for made in corpus.stores:
        for path, reason in made.quarantine:
            out.print(f"set aside: {made.name}: {path}: {reason}", markup=False)


def _taught(made: Stored, target: Target) -> str:
    """``germ: 40 bacteria, 20 virus`` of labels; of others in how many films they are known."""
    if target.kind != "labels":
        return f"{target.name}: {target.kind} in {int(made.known(target.name).sum())}"
    present = (made.labels(target.name) == 1).sum(0)
    return f"{target.name}: " + ", ".join(f"{n} {c}" for n, c in zip(present, target.classes, strict=True))


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
    from muscle.data.data_file import DataFile
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
    harmonize: Harmonize = None,
    change: Change = [],  # noqa: B006
    workers: Workers = 2,
    as_json: AsJson = False,
) -> None:
    """Films that are one, or of one person, over all sources and parts: bytes, pixels, near-duplicates, patients.

    Exit code 1 where a run would refuse: a test or validation case is learned from and cannot simply be left out of
    training.

    Example: muscle data audit films.yaml --exclude leave-out.txt
    """
    from muscle.data.audit import compared, is_left_out, kept_back, write_left_out
    from muscle.data.corpus import Corpus
    from muscle.data.data_file import DataFile
    from muscle.data.seen import read_seen

    file = DataFile.of(sources)
    if exclude is not None and not is_left_out(exclude, file.sources):
        paths.new_file(exclude)
    progress = Shown()
    try:
        corpus = Corpus.prepare(
            file, _size(size), decoder(change, harmonize), "stretch", store or paths.stores(),
            workers, progress,
        )  # fmt: skip
        seen = read_seen(Path(start)) if start else []
        found = corpus.audit(seen)
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
        if start:
            how = compared(kept_back(corpus.all_rows), seen)
            out.print(f"tested films are compared with those of the weights {how}", markup=False)
        for overlap in found.overlaps:
            out.print(
                f"{overlap.first} and {overlap.second} are known to share films, {overlap.pairs} pairs found: "
                f"{overlap.known}", markup=False,
            )  # fmt: skip
        out.print(
            f"{found.films} films, {len(found.pairs)} pairs, {len(found.leaks)} of them of a film that is "
            "trained on and one that validates or tests"
        )
        if (more := len(found.leaks) - SHOWN) > 0:
            out.print(f"{more} pairs are not shown; --json lists all")
        if found.leaks and exclude is None:
            out.print(_what_follows(refused, corpus.file.allow_leaks), markup=False)
        if exclude is not None:
            out.print(
                f"wrote {exclude}: {len(left)} ids; name it in the data file: exclude: {exclude}",
                markup=False,
            )
    if refused:
        raise typer.Exit(1)


def _what_follows(refused: bool, allowed: bool) -> str:
    if refused:
        return (
            "refused: no run trains on these data; leave films out (--exclude FILE here, exclude: FILE in the data "
            "file) or allow it there (allow_leaks: true), which reports state"
        )
    if allowed:
        return "allow_leaks is set: all of them are trained on, and reports state it"
    return "runs leave the trained film of each pair out by themselves: nothing is to be done"


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
