"""What lies in a folder: films by type, depth and size, what is set aside and why, tables, and a first data file."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from muscle.data.columns import Table, find_tables
from muscle.data.data_file import DataFile
from muscle.data.files import looks_like_image, walk
from muscle.data.headers import Film, colour_problem, look, mask_problem, may_be_mask, part_by_name, plain
from muscle.data.layouts import Proposal, propose
from muscle.data.links import check_links
from muscle.data.mask_folders import films_beside
from muscle.data.raw_img import is_raw_img
from muscle.errors import UsageError, UserError
from muscle.yaml_text import to_yaml

SHOWN = 20  # lines of what is set aside, in the printed table
_ALONE = "masks alone"
_WHO = """# Nothing names the persons of {}. Where one has several films, add to the source what finds the person in a
# file's path, or films of one person fall in training and test; where they are called 17_2.png, for one:
# patient_pattern: '([0-9]+)_'
"""
THREADS = 8  # reading headers waits for the disk
LOOKED_AT = 32  # pictures of a folder that are unpacked for their colours, or as possible masks


@dataclass(frozen=True, slots=True)
class Scan:
    """What a folder holds.

    Attributes:
        root: the folder.
        counts: type of file -> how many; other types by their suffix.
        films: every picture, masks included, by path.
        others: (path, why) of files that are no pictures and will not be read.
        found: tables and annotation files, and what their columns look like.
        proposal: the proposed data file, or None where there is nothing to read.
        notes: what the proposal rests on, and what to know, a line each.
        nameless: sources of the proposal that need a ``patient_pattern`` where one person has several films.
    """

    root: Path
    counts: dict[str, int]
    films: tuple[Film, ...]
    others: tuple[tuple[str, str], ...]
    found: tuple[Table, ...]
    proposal: DataFile | None
    notes: tuple[str, ...]
    nameless: tuple[str, ...] = ()

    @property
    def set_aside(self) -> tuple[tuple[str, str], ...]:
        """What is no radiograph: (path, why)."""
        return tuple((film.path, film.problem) for film in self.films if film.problem) + self.others

    @property
    def patients(self) -> int:
        """How many persons the DICOM headers name; 0 where none does."""
        return len({film.patient for film in self.films if film.patient and not film.problem})

    def rows(self) -> list[dict[str, str]]:
        """A table to print: one row for films of one folder, type, depth and polarity, as text."""
        groups: dict[tuple[str, ...], list[Film]] = {}
        for film in self.films:
            if not film.problem:
                top = film.path.split("/")[0] if "/" in film.path else "."
                key = (top, film.type, str(film.bits), film.modality, film.photometric)
                groups.setdefault(key, []).append(film)
        columns = ("folder", "type", "bits", "modality", "photometric")
        table = []
        for group, films in sorted(groups.items()):
            seen = {
                "images": str(len(films)),
                "width": _span([f.width for f in films]),
                "height": _span([f.height for f in films]),
                "body parts": _shares(self._part(film) for film in films),
                "views": _shares(film.view for film in films),
                "patients": str(len({film.patient for film in films if film.patient}) or ""),
            }
            table.append(dict(zip(columns, group, strict=True)) | seen)
        return table

    def _part(self, film: Film) -> str:
        named = part_by_name(f"{self.root.name}/{film.path}")
        return film.body_part.lower() or (f"{named}?" if named else "")

    def tables(self) -> list[tuple[tuple[str, ...], list[tuple[str, ...]]]]:
        """What to print, as (head, rows): files by type, films, what is set aside, tables, what is proposed."""
        films = self.rows()
        shown: list[tuple[tuple[str, ...], list[tuple[str, ...]]]] = [
            (("files", "type"), [(str(n), kind) for kind, n in self.counts.items()])
        ]
        if films:
            shown.append((tuple(films[0]), [tuple(row.values()) for row in films]))
        if aside := _grouped(self.set_aside):
            more = [(f"and {len(aside) - SHOWN} more", "--json lists all")] if len(aside) > SHOWN else []
            shown.append((("no film", "why"), [*aside[:SHOWN], *more]))
        if self.found:
            shown.append((("table", "rows", "looks like", "columns"), [t.row() for t in self.found]))
        if self.notes:
            shown.append((("proposed data file",), [(note,) for note in self.notes]))
        return shown

    def as_dict(self) -> dict[str, Any]:
        """The same for programs, complete: plain data for JSON."""
        return {
            "root": self.root.as_posix(),
            "counts": self.counts,
            "films": [row | {"images": int(row["images"]), "bits": int(row["bits"])} for row in self.rows()],
            "patients": self.patients,
            "set_aside": [{"path": path, "why": why} for path, why in self.set_aside],
            "tables": [table.as_dict() for table in self.found],
            "notes": list(self.notes),
            "proposal": self.proposal.dump() if self.proposal is not None else None,
        }

    def yaml(self, beside: Path | None = None) -> str:
        """The proposed data file, fields at their defaults left out; roots relative to the folder ``beside``.

        Raises:
            UserError: there is nothing to propose.
        """
        if self.proposal is None:
            none = "no radiograph found, so there is no data file to propose"
            why = next((note for note in self.notes if note.startswith(_ALONE)), none)
            raise UserError(f"{self.root}: {why}")
        sources = {}
        for name, source in self.proposal.sources.items():
            defaults = type(source).model_construct(root="").dump()
            fields = source.dump()
            root = fields.pop("root")
            try:
                root = root if beside is None else Path(os.path.relpath(root, beside)).as_posix()
            except ValueError:  # another drive
                pass
            kind = {"kind": fields.pop("kind"), "root": root}
            sources[name] = kind | {k: v for k, v in fields.items() if v != defaults[k]}
        text = to_yaml({"sources": sources, "split": self.proposal.split.kind})
        return _WHO.format(", ".join(self.nameless)) + text if self.nameless else text

    def write(self, file: Path) -> None:
        """Writes the proposed data file.

        Raises:
            UsageError: the file exists; nothing is overwritten.
            UserError: there is nothing to propose.
        """
        text = self.yaml(file.resolve().parent)
        try:
            with file.open("x", encoding="utf-8") as out:
                out.write(text)
        except FileExistsError:
            raise UsageError(f"--write {file}: the file exists; give a new name, or delete it") from None
        except OSError as error:
            raise UserError(f"--write {file}: {error.strerror}") from None


def scan(
    root: str | Path, progress: Callable[[int, int], None] | None = None, follow_links: bool = False
) -> Scan:
    """Looks at every file below a folder and changes nothing.

    Headers alone are read, in threads. Of pictures with colour channels, and of those that a name calls masks, some
    of each folder are unpacked (``LOOKED_AT``); the rest of a folder is taken to be as these are. So a file that is
    damaged further on is only found by ``check`` and ``prepare``.

    Args:
        root: the folder.
        progress: called with files done and files in all.
        follow_links: links may lead out of the folder; the proposed sources then say so, too.

    Raises:
        UsageError: no such folder.
        UserError: the folder holds no file, or a link that leads out of it.
    """
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; give the folder to look at")
    folder = folder.resolve()
    if not follow_links:
        check_links(folder, "scan", "give --follow-links")
    paths = walk(folder)
    if not paths:
        raise UserError(f"{folder}: the folder is empty")
    films: list[Film] = []
    others: list[str] = []
    with ThreadPoolExecutor(THREADS) as threads:
        for i, made in enumerate(threads.map(lambda path: _film(folder, path), paths)):
            if made is None:
                others.append(paths[i])
            else:
                films.append(made)
            if progress is not None:
                progress(i + 1, len(paths))
    films = _looked_at(folder, films)
    kinds = [plain(path) for path in others]
    counts = Counter(kind for kind, _ in kinds) + Counter(film.type for film in films)
    proposal = propose(folder, {film.path: film.problem for film in films}, follow_links)
    aside = tuple((path, why) for path, (_, why) in zip(others, kinds, strict=True) if why)
    good = [film for film in films if not film.problem]
    return Scan(folder, dict(sorted(counts.items())), tuple(films), aside, find_tables(folder, others, good),
                _data_file(proposal), (*proposal.notes, *_masks_alone(folder, films), *_privacy(films)),
                tuple(proposal.nameless))  # fmt: skip


def _masks_alone(root: Path, films: list[Film]) -> list[str]:
    """Where a folder holds masks and no film: which folder to give instead."""
    if not films or not all(film.problem.startswith("mask") for film in films):
        return []
    beside = films_beside(root)
    if beside is None:
        return [f"{_ALONE}, no radiograph; give the folder that holds both the films and the masks"]
    return [f"{_ALONE}; their films are in {beside}: give {root.parent}, the folder above, which holds both"]


def _film(root: Path, path: str) -> Film | None:
    file = root / path
    return look(root, path) if looks_like_image(file) or is_raw_img(file) else None


def _looked_at(root: Path, films: list[Film]) -> list[Film]:
    """The films, with photographs and masks found out."""

    def masklike(film: Film) -> bool:
        return film.type not in ("dicom", "raw img") and may_be_mask(f"{root.name}/{film.path}")

    for asked, answer in ((_coloured, colour_problem), (masklike, mask_problem)):
        folders: dict[str, list[int]] = defaultdict(list)
        for i, film in enumerate(films):
            if not film.problem and asked(film):
                folders[film.path.rpartition("/")[0]].append(i)
        for mine in folders.values():
            some = mine[:: -(-len(mine) // LOOKED_AT)]
            said = {i: _answer(answer, root / films[i].path) for i in some}
            if len(mine) > len(some) and any(said.values()):
                if all(said.values()):
                    said = {i: said.get(i, next(iter(said.values()))) for i in mine}
                else:  # of both kinds: each for itself
                    said |= {i: _answer(answer, root / films[i].path) for i in mine if i not in said}
            for i, problem in said.items():
                films[i] = replace(films[i], problem=problem)
    return films


def _coloured(film: Film) -> bool:
    return film.colour


def _answer(look_at: Callable[[Path], str], file: Path) -> str:
    try:
        return look_at(file)
    except Exception:  # damaged further on: check and prepare say so
        return ""


def _privacy(films: Iterable[Film]) -> list[str]:
    """What file names give away, without repeating it."""
    named = Counter(what for film in films for what in film.names)
    return [
        f"privacy: the paths of {n} files hold a {what}; paths are kept in stores and reports: rename the files first"
        for what, n in sorted(named.items())
    ]


def _grouped(aside: Iterable[tuple[str, str]]) -> list[tuple[str, ...]]:
    """Files of one folder with one reason (but for its numbers) in one line."""
    groups: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for path, why in aside:
        groups.setdefault((path.rpartition("/")[0], re.sub(r"\d+", "0", why)), []).append((path, why))
    return [
        mine[0] if len(mine) == 1 else (f"{mine[0][0]} and {len(mine) - 1} more in its folder", mine[0][1])
        for mine in groups.values()
    ]


def _data_file(proposal: Proposal) -> DataFile | None:
    return DataFile.parse({"sources": proposal.sources}) if proposal.sources else None


def _shares(values: Iterable[str]) -> str:
    return ", ".join(f"{value} {n}" for value, n in sorted(Counter(v for v in values if v).items()))


def _span(values: list[int]) -> str:
    return str(min(values)) if min(values) == max(values) else f"{min(values)}-{max(values)}"
