"""Tables beside films: which column names the films, and what the others look like."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from muscle.data.files import PARTS
from muscle.data.headers import Film
from muscle.data.tables import TABLE_SUFFIXES, read_table
from muscle.data.texts import read_json
from muscle.errors import UserError

_MAX_FILES = 50  # tables, and again JSON files, that are read
_ROWS = 2000  # rows whose cells are compared with file names
_MAX_CLASSES, _MAX_LETTERS = 30, 40  # more, or longer, values are persons or free text: they are not shown
_VIEWS = ("pa", "ap", "ll", "lat", "lateral", "frontal", "rl", "oblique")
_NAMED = (
    ("patient", re.compile(r"(patient|subject|person|case|pat)s?[ _]*(id|key|no|number)?")),
    ("study", re.compile(r"(study|exam|accession)[ _]*(id|uid|no|number|instance[ _]*uid)?")),
    ("split", re.compile(r"(split|part|fold|set|subset|partition)")),
    ("view", re.compile(r"(view|view[ _]*position|projection|ap/pa|frontal/lateral)")),
    ("body part", re.compile(r"(body[ _]*part.*|region|anatomy|site)")),
    ("age", re.compile(r"(patient[ _]*)?age|bone[ _]*age.*")),
    ("person", re.compile(r".*(name|birth|physician|doctor|radiologist|reader|operator|address).*")),
    ("sex", re.compile(r"(patient[ _]*)?(sex|gender)|male|female")),
)
_CORNERS = ({"xmin", "ymin", "xmax", "ymax"}, {"x1", "y1", "x2", "y2"}, {"x0", "y0", "x1", "y1"},
            {"x", "y", "w", "h"}, {"x", "y", "width", "height"})  # fmt: skip
_BARE = "a list of films without a header"
_YOLO = re.compile(r"\d+( -?\d*\.?\d+(e-?\d+)?){4,}")


@dataclass(frozen=True, slots=True)
class Table:
    """A table, or annotation files of one folder.

    Attributes:
        path: below the root; of several files their folder and pattern.
        rows: rows, or files.
        kind: what it looks like.
        columns: (role, column, why), the one that names the films first.
    """

    path: str
    rows: int
    kind: str
    columns: tuple[tuple[str, str, str], ...] = ()

    def row(self) -> tuple[str, ...]:
        """One line to print."""
        said = "; ".join(f"{role}: {name}" + (f" ({why})" if why else "") for role, name, why in self.columns)
        return self.path, str(self.rows), self.kind, said

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        columns = [{"role": role, "column": name, "why": why} for role, name, why in self.columns]
        return {"path": self.path, "rows": self.rows, "kind": self.kind, "columns": columns}


class _Names:
    """The names that films go by; a name that several films share names none."""

    def __init__(self, films: Sequence[Film]) -> None:
        hows = ("path", "file name", "name without suffix", "instance UID", "study UID")
        self.of: dict[str, dict[str, str]] = {how: {} for how in hows}
        for film in films:
            path = PurePosixPath(film.path)
            values = (_ends(film.path), [path.name], [path.stem], [film.instance], [film.study])
            for how, names in zip(hows, values, strict=True):
                known = self.of[how]
                for name in (name.lower() for name in names if name):
                    alone = how == "study UID" or known.get(name, film.path) == film.path
                    known[name] = film.path if alone else ""

    def join(self, cells: Sequence[str]) -> tuple[float, int, str]:
        """The share of the cells that name a film, how many different films, and by what."""
        best = 0.0, 0, ""
        for how, known in self.of.items():
            hits = [film for cell in cells if (film := self._film(cell, how, known))]
            best = max(best, (len(hits) / max(1, len(cells)), len(set(hits)), how), key=lambda b: b[:2])
        return best

    @staticmethod
    def _film(cell: str, how: str, known: dict[str, str]) -> str:
        text = cell.strip().replace("\\", "/").lower()
        if how == "path":
            return next((film for end in _ends(text) if (film := known.get(end, ""))), "")
        return known.get(text.rpartition("/")[2] if "name" in how else text, "")


def _ends(path: str) -> list[str]:
    """A path with its last five folders, four, ... and with one: tables count from another folder than ours."""
    parts = path.split("/")
    return ["/".join(parts[-n:]) for n in range(min(6, len(parts)), 1, -1)]


def find_tables(root: Path, paths: Sequence[str], films: Sequence[Film]) -> tuple[Table, ...]:
    """What the files that are no pictures say about the films, as far as can be told by looking.

    Args:
        root: the folder.
        paths: the files, below it.
        films: the radiographs.
    """
    names = _Names(films)
    tables = [p for p in paths if PurePosixPath(p).suffix.lower() in TABLE_SUFFIXES][:_MAX_FILES]
    found = [_table(root, path, names) for path in tables]
    jsons = [p for p in paths if PurePosixPath(p).suffix.lower() == ".json"][:_MAX_FILES]
    found += [made for path in jsons if (made := _json(root, path, names)) is not None]
    return tuple(found + _folders(root, paths, names))


def _table(root: Path, path: str, names: _Names) -> Table:
    try:
        rows = [row for _, row in read_table(root / path)]
    except UserError as error:
        return Table(path, 0, f"not readable: {str(error).removeprefix(f'{root / path}: ')}")
    return _described(path, rows, names)


def _described(path: str, rows: list[dict[str, str]], names: _Names) -> Table:
    some = rows[:: -(-len(rows) // _ROWS)]
    joins = {
        c: names.join([row[c] for row in some if row[c]]) for c in rows[0] if any(row[c] for row in some)
    }
    image = max(joins, key=lambda c: (joins[c][0] * joins[c][1], joins[c][0]), default="")
    share, films, how = joins.get(image, (0.0, 0, ""))
    if share < 0.5 or films < min(2, len(some)):
        bare = names.join(list(rows[0]))[1]
        return Table(path, len(rows) + bool(bare), _BARE if bare else "names no film of this folder")
    if names.join([image])[1]:
        return Table(path, len(rows) + 1, _BARE)
    columns = [("image", image, f"{share:.0%} of its cells are films here, by {how}")]
    if (corners := _corners(rows[0])) is not None:
        columns.append(("box", ", ".join(corners), ""))
    for column in rows[0]:
        values = Counter(row[column] for row in rows if row[column])
        if column != image and values and not (corners and column in corners):
            columns += [(role, column, why) for role, why in [_role(column, values, len(rows))] if role]
    roles = {role for role, _, _ in columns}
    kind = "boxes" if "box" in roles else "masks as runs" if "runs" in roles else (
        "labels" if roles & {"class", "classes", "finding"} else "list of films")  # fmt: skip
    return Table(path, len(rows), kind, tuple(columns))


def _corners(columns: Iterable[str]) -> tuple[str, ...] | None:
    """The four columns of a box, if there are such."""
    short = {re.sub(r"(bbox|box)|[^a-z0-9]", "", c.lower()): c for c in columns}
    wanted = next((set_ for set_ in _CORNERS if set_ <= short.keys()), None)
    return tuple(c for key, c in short.items() if key in wanted) if wanted else None


def _role(column: str, values: Counter[str], rows: int) -> tuple[str, str]:
    """What a column is by its values, or else by its name, and why."""
    words = {value.lower() for value in values}
    if words <= PARTS.keys():
        return "split", _shown(values)
    if words <= set(_VIEWS) and len(words) > 1:
        return "view", _shown(values)
    named = next((role for role, name in _NAMED if name.fullmatch(column.strip().lower())), "")
    if named in ("patient", "study"):
        return named, f"{len(values)} values in {rows} rows"
    if named:
        return named, ""
    if "rle" in column.lower() or "encodedpixels" in column.lower().replace(" ", ""):
        return "runs", ""
    numbers = words - {"", "nan"}
    if numbers <= {"0", "1", "0.0", "1.0", "-1", "-1.0"} or numbers <= {"true", "false"}:
        return "finding", "1 / 0 / blank" + (", and -1" if numbers & {"-1", "-1.0"} else "")
    joined = {part.strip() for value in values for part in value.split("|")}
    if any("|" in value for value in values) and len(joined) <= _MAX_CLASSES:
        return "classes", f"{len(joined)} joined by |"
    short = max(map(len, values)) <= _MAX_LETTERS and not any("://" in value for value in values)
    if short and 2 <= len(values) <= min(_MAX_CLASSES, rows / 2) and not all(map(_number, words)):
        return "class", _shown(values)
    return "", ""


def _number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _shown(values: Counter[str]) -> str:
    most = [f"{value[:30]} {n}" for value, n in values.most_common(3)]
    return ", ".join(most) + (f", {len(values) - 3} more" if len(values) > 3 else "")


def _json(root: Path, path: str, names: _Names) -> Table | None:
    try:
        data = read_json(root / path)
    except (OSError, ValueError, UserError):
        return None
    if (
        isinstance(data, dict)
        and isinstance(data.get("images"), list)
        and isinstance(data.get("annotations"), list)
    ):
        files = [str(i.get("file_name", "")) for i in data["images"] if isinstance(i, dict)]
        share, _, how = names.join(files) if files else (0.0, 0, "")
        said = f"{share:.0%} of {len(files)} images are films here" + (f", by {how}" if how else "")
        return Table(path, len(data["annotations"]), "COCO annotations", (("image", "file_name", said),))
    if isinstance(data, list) and data and all(isinstance(row, dict) for row in data):
        keys = dict.fromkeys(str(key) for row in data[:_ROWS] for key in row)
        rows = [{key: _cell(row.get(key)) for key in keys} for row in data]
        return _described(path, rows, names) if keys else None
    return None


def _cell(value: Any) -> str:
    return "" if value is None or isinstance(value, (dict, list)) else str(value).strip()


def _folders(root: Path, paths: Sequence[str], names: _Names) -> list[Table]:
    """Folders of small files, one a film: YOLO boxes, VOC boxes."""
    folders: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path in paths:
        suffix = PurePosixPath(path).suffix.lower()
        if suffix in (".txt", ".xml"):
            folders[path.rpartition("/")[0], suffix].append(path)
    found = []
    for (folder, suffix), mine in sorted(folders.items()):
        share, _, _ = names.join([PurePosixPath(path).stem for path in mine])
        texts = [_head(root / path) for path in mine[:20]]
        if suffix == ".txt":
            lines = [text.splitlines()[0].strip() for text in texts if text.strip()]
            kind = "YOLO boxes" if lines and all(_YOLO.fullmatch(line) for line in lines) else ""
        else:
            kind = "VOC boxes" if any("<annotation" in text for text in texts) else ""
        if kind and share >= 0.5:
            said = f"{share:.0%} of these files have the name of a film here"
            found.append(
                Table(f"{folder}/*{suffix}".lstrip("/"), len(mine), kind, (("image", "file name", said),))
            )
    return found


def _head(file: Path) -> str:
    try:
        with file.open(encoding="utf-8-sig", errors="replace") as opened:
            return opened.read(2000)
    except OSError:
        return ""
