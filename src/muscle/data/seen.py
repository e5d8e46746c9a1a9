"""The films that weights were trained on, written down beside them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from muscle.data.privacy import private_key
from muscle.data.rows import Rows
from muscle.errors import UserError
from muscle.paths import atomic_file

POOL_FILE = "pool.txt"  # beside weights
HEAD = (
    "# films that these weights have seen: hash of the pixels, key of the person, id, key of the collection\n"
)
SUM = "# sha256 of all lines before: "


@dataclass(frozen=True, slots=True)
class Seen:
    """A film that weights were trained on: hash of its decoded pixels, key of its patient, id where known.

    ``collection``: ``private_key`` of that whose keys the patients are; empty where nobody is named.
    """

    image: str
    patient: str
    id: str
    collection: str = ""


def write_seen(folder: Path, rows: Rows, before: Sequence[Seen] = ()) -> None:
    """Writes ``POOL_FILE``: one film a line, what later audits need to know of it, between a head and a checksum.

    Args:
        folder: of the weights.
        rows: all that any stage could learn from.
        before: what the weights had seen that training began with.
    """
    order = np.lexsort((rows.row, rows.store, rows.keys("image")))  # films that are one stand together
    found = hashlib.sha256()
    with atomic_file(folder / POOL_FILE) as file:

        def put(text: str) -> None:
            found.update(text.encode())
            file.write(text.encode())

        put(HEAD)
        for some in rows.take(order).parts():
            whose = map(cache(private_key), some.strings("collection"))
            lines = zip(some.image_hashes, some.patients, some.ids, whose, strict=True)
            put("".join("\t".join(line) + "\n" for line in lines))
        put("".join(f"{film.image}\t{film.patient}\t{film.id}\t{film.collection}\n" for film in before))
        put(SUM + found.hexdigest() + "\n")


def read_seen(weights: Path) -> list[Seen]:
    """The films that weights were trained on: what ``write_seen`` wrote beside them or into their folder, if it did.

    Raises:
        UserError: the file is not as it was written, so that a leak could go unseen.
    """
    file = (weights if weights.is_dir() else weights.parent) / POOL_FILE
    if not file.is_file():
        return []
    whole = file.read_bytes()
    at = max(whole.rfind(SUM.encode()), 0)
    if whole[at:] != f"{SUM}{hashlib.sha256(whole[:at]).hexdigest()}\n".encode() or at < len(HEAD):
        raise UserError(
            f"{file}: changed since it was written, so the films that its weights have seen are not known; give the "
            "command of the run that made them again"
        )
    return [_film(line) for line in whole[len(HEAD) : at].decode().split("\n")[:-1]]


def _film(line: str) -> Seen:
    image, patient, *name, collection = line.split("\t")  # a file's name may hold tabs
    return Seen(image, patient, "\t".join(name), collection)
