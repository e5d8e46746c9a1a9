"""A contact sheet: what the files store beside what decoding makes of it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from muscle.data.decode import Decode
from muscle.data.film import Film as Row
from muscle.data.film import Job
from muscle.data.headers import Film
from muscle.data.workers import films as decoded
from muscle.errors import UserError

SIDE, PER_ROW, TEXT = 224, 3, 30  # pixels of a picture, films in a row, pixels of the line below
_STORED, _UNIFIED = Decode(grey="raw"), Decode()


def chosen(films: Sequence[Film], n: int) -> list[Film]:
    """Some films of every kind: one after the other of each folder, type, depth and polarity, evenly from each."""
    groups: dict[tuple[object, ...], list[Film]] = {}
    for film in films:
        if not film.problem:
            folder = "/".join(film.path.split("/")[:-1][:2])
            key = (folder, film.type, film.bits, film.modality, film.photometric)
            groups.setdefault(key, []).append(film)
    each = -(-n // max(1, len(groups)))
    counts = [min(each, len(mine)) for mine in groups.values()]
    spread = [
        [mine[i * len(mine) // k] for i in range(k)] for mine, k in zip(groups.values(), counts, strict=True)
    ]
    return [mine[i] for i in range(each) for mine in spread if i < len(mine)][:n]


def contact_sheet(root: Path, films: Sequence[Film], file: Path, n: int = 24, workers: int = 2) -> list[Film]:
    """Writes a PNG in which each film stands twice, stored levels on the left, decoded on the right.

    Below each stands its number, from 1, and how it is stored; no path, so that the sheet can be shown around.

    Returns:
        the films, in the order of the numbers.

    Raises:
        UserError: no film to show, or the file cannot be written.
    """
    some = chosen(films, n)
    if not some:
        raise UserError(f"{root}: no radiograph to put on a contact sheet")
    jobs = [Job(str(root), f.path, (SIDE, SIDE), d, "pad") for f in some for d in (_STORED, _UNIFIED)]
    made = list(decoded(jobs, workers))
    rows = -(-len(some) // PER_ROW)
    sheet = Image.new("L", (PER_ROW * (2 * SIDE + 12), rows * (SIDE + TEXT)), 255)
    draw = ImageDraw.Draw(sheet)
    for i, film in enumerate(some):
        x, y = i % PER_ROW * (2 * SIDE + 12), i // PER_ROW * (SIDE + TEXT)
        for j in (0, 1):
            sheet.paste(_tile(made[2 * i + j]), (x + j * (SIDE + 2), y))
        said = " ".join(filter(None, (film.type, f"{film.bits} bits", film.modality, film.photometric)))
        draw.text((x, y + SIDE + 2), f"{i + 1}. {said}: stored | decoded", fill=0)
    try:
        sheet.save(file, format="PNG")
    except OSError as error:
        raise UserError(f"--contact {file}: {error.strerror or error}") from None
    return some


def _tile(made: Row | str) -> Image.Image:
    if isinstance(made, Row):
        return Image.fromarray(made.pixels)
    tile = Image.fromarray(np.full((SIDE, SIDE), 200, np.uint8))
    ImageDraw.Draw(tile).text((6, 6), textwrap.fill(f"set aside: {made}", 34), fill=0)
    return tile
