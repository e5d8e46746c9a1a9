"""What lies in a folder: films by type, depth and size, what is no radiograph and why, and a first data file."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from muscle.data.dicom import is_dicom, read_header
from muscle.data.files import looks_like_image, walk
from muscle.data.grey import MAX_PIXELS, reason
from muscle.data.layouts import Proposal, propose
from muscle.data.source import DataFile
from muscle.errors import UsageError, UserError
from muscle.parts import to_yaml

RADIOGRAPHS = ("CR", "DX", "RG", "IO", "PX", "MG")  # DICOM modalities of projection radiography
SHOWN = 20  # files that are no radiographs, in the printed table
MIN_SIDE = 64  # pixels; below, a picture is an icon or a thumbnail
_TABLES = {".csv": "csv", ".parquet": "parquet", ".json": "json", ".yaml": "yaml", ".yml": "yaml"}
_COLOURED, _SHARE = 24, 0.2  # a tint and a coloured marker are no photograph; a fifth of coloured pixels is


@dataclass(frozen=True, slots=True)
class Film:
    """One picture as its header describes it. ``problem`` says why it is no radiograph, or is empty."""

    path: str
    type: str
    bits: int = 0
    width: int = 0
    height: int = 0
    modality: str = ""
    photometric: str = ""
    view: str = ""
    patient: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Scan:
    """What a folder holds.

    Attributes:
        root: the folder.
        counts: type of file -> how many; other types by their suffix.
        films: every picture, masks included, by path.
        proposal: the proposed data file, or None where there is nothing to read.
        notes: what the proposal rests on, and what was left out, a line each.
    """

    root: Path
    counts: dict[str, int]
    films: tuple[Film, ...]
    proposal: DataFile | None
    notes: tuple[str, ...]

    @property
    def refused(self) -> tuple[tuple[str, str], ...]:
        """What is no radiograph: (path, why)."""
        return tuple((film.path, film.problem) for film in self.films if film.problem)

    @property
    def patients(self) -> int:
        """How many persons the DICOM headers name; 0 where none does."""
        return len({film.patient for film in self.films if film.patient})

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
            views = Counter(film.view for film in films if film.view)
            size = {"width": _span([f.width for f in films]), "height": _span([f.height for f in films])}
            seen = {
                "images": str(len(films)),
                **size,
                "views": ", ".join(f"{v} {n}" for v, n in sorted(views.items())),
            }
            table.append(dict(zip(columns, group, strict=True)) | seen)
        return table

    def tables(self) -> list[tuple[tuple[str, ...], list[tuple[str, ...]]]]:
        """What to print, as (head, rows): files by type, films, what is no radiograph, what is proposed."""
        films = self.rows()
        found: list[tuple[tuple[str, ...], list[tuple[str, ...]]]] = [
            (("files", "type"), [(str(n), kind) for kind, n in self.counts.items()])
        ]
        if films:
            found.append((tuple(films[0]), [tuple(row.values()) for row in films]))
        if self.refused:
            shown: list[tuple[str, ...]] = list(self.refused[:SHOWN])
            if len(self.refused) > SHOWN:
                shown.append((f"and {len(self.refused) - SHOWN} more", "--json lists all"))
            found.append((("no radiograph", "why"), shown))
        if self.notes:
            found.append((("proposed data file",), [(note,) for note in self.notes]))
        return found

    def as_dict(self) -> dict[str, Any]:
        """The same for programs, complete: plain data for JSON."""
        return {
            "root": self.root.as_posix(),
            "counts": self.counts,
            "films": [row | {"images": int(row["images"]), "bits": int(row["bits"])} for row in self.rows()],
            "patients": self.patients,
            "refused": [{"path": path, "why": why} for path, why in self.refused],
            "notes": list(self.notes),
            "proposal": self.proposal.dump() if self.proposal is not None else None,
        }

    def yaml(self, beside: Path | None = None) -> str:
        """The proposed data file, fields at their defaults left out; roots relative to the folder ``beside``.

        Raises:
            UserError: there is nothing to propose.
        """
        if self.proposal is None:
            raise UserError(f"{self.root}: no radiograph found, so there is no data file to propose")
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
        return to_yaml({"sources": sources, "split": self.proposal.split.kind})

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


def scan(root: str | Path, progress: Callable[[int, int], None] | None = None) -> Scan:
    """Looks at every file below a folder and changes nothing.

    Headers alone are read (and of colour pictures a thumbnail), so a file that is damaged further on is only found
    when it is prepared.

    Args:
        root: the folder.
        progress: called with files done and files in all.

    Raises:
        UsageError: no such folder.
        UserError: the folder holds no file.
    """
    folder = Path(root).expanduser()
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; give the folder to look at")
    folder = folder.resolve()
    paths = walk(folder)
    if not paths:
        raise UserError(f"{folder}: the folder is empty")
    counts: Counter[str] = Counter()
    films: list[Film] = []
    for i, path in enumerate(paths):
        suffix = Path(path).suffix.lower()
        if looks_like_image(folder / path):
            film = look(folder, path)
            films.append(film)
            counts[film.type] += 1
        else:
            counts[_TABLES.get(suffix, f"other ({suffix or 'no suffix'})")] += 1
        if progress is not None:
            progress(i + 1, len(paths))
    proposal = propose(folder, {film.path: film.problem for film in films})
    return Scan(
        folder, dict(sorted(counts.items())), tuple(films), _data_file(proposal), tuple(proposal.notes)
    )


def _data_file(proposal: Proposal) -> DataFile | None:
    return DataFile.parse({"sources": proposal.sources}) if proposal.sources else None


def look(root: Path, path: str) -> Film:
    """One picture by its header."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _dicom(root / path, path) if is_dicom(root / path) else _picture(root / path, path)
    except UserError as error:
        return Film(path, "unreadable", problem=f"unreadable: {str(error).removeprefix(f'{root / path}: ')}")
    except Exception as error:  # whatever a damaged header makes a library trip over
        return Film(path, "unreadable", problem=f"unreadable: {reason(error)}")


def _dicom(file: Path, path: str) -> Film:
    ds = read_header(file)
    modality = str(ds.get("Modality") or "")
    if "Rows" not in ds or "PhotometricInterpretation" not in ds:
        return Film(
            path, "dicom", modality=modality, problem=f"DICOM without an image ({modality or 'no header'})"
        )
    width, height, frames = int(ds.Columns), int(ds.Rows), int(ds.get("NumberOfFrames") or 1)
    problem = _size_problem(width, height)
    if frames > 1:
        problem = f"{frames} frames"
    elif modality not in RADIOGRAPHS:
        problem = f"modality {modality or 'not stated'}; radiographs are {', '.join(RADIOGRAPHS)}"
    view, patient = str(ds.get("ViewPosition") or ""), str(ds.get("PatientID") or "")
    photometric = str(ds.PhotometricInterpretation)
    return Film(
        path, "dicom", int(ds.BitsStored), width, height, modality, photometric, view, patient, problem
    )


def _picture(file: Path, path: str) -> Film:
    with Image.open(file) as image:
        kind, (width, height) = (image.format or "").lower(), image.size
        bits = 16 if image.mode.startswith("I;16") else {"1": 1, "I": 32, "F": 32}.get(image.mode, 8)
        problem = _size_problem(width, height)
        if getattr(image, "n_frames", 1) > 1:
            problem = f"{image.n_frames} frames"  # type: ignore[attr-defined]
        elif not problem and image.mode not in ("1", "L", "LA", "I", "F") and bits == 8:
            problem = _colour_problem(image)
        return Film(path, kind, bits, width, height, photometric=image.mode, problem=problem)


def _size_problem(width: int, height: int) -> str:
    if width * height > MAX_PIXELS:
        return f"{width} x {height}: more than {MAX_PIXELS:,} pixels"
    return f"tiny: {width} x {height}" if min(width, height) < MIN_SIDE else ""


def _colour_problem(image: Image.Image) -> str:
    image.draft("RGB", (128, 128))  # JPEG unpacks at a fraction of its size
    small: np.ndarray[Any, Any] = np.asarray(image.convert("RGB").resize((64, 64))).astype(int)
    coloured = float((small.max(-1) - small.min(-1) > _COLOURED).mean())
    return f"colour picture: {coloured:.0%} of it is not grey" if coloured > _SHARE else ""


def _span(values: list[int]) -> str:
    return str(min(values)) if min(values) == max(values) else f"{min(values)}-{max(values)}"
