"""``results.json`` and the points of a picture as a report reads them: whole, or refused in one line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from muscle.array_files import opened_npz
from muscle.errors import UserError
from muscle.paths import within
from muscle.predictions import DAMAGED
from muscle.report.tables import Results
from muscle.seal import unsealed

VERSION = 1
# What each entry of each part must say of itself; a part that is not there is empty.
NEEDED = {
    "sources": ("name",), "cells": ("recipe", "task", "kind", "seed", "metrics"), "stages": ("recipe", "name"),
    "forgetting": ("recipe", "tasks", "turns"),
    "probes": ("start", "backbone", "task", "probe", "share", "draw", "patients", "metrics"),
    "embeddings": ("start", "backbone", "file", "n"), "missing": ("task", "status"),
}  # fmt: skip
# What these fields are wherever an entry has them; null, where nothing is known.
TYPES = {
    **dict.fromkeys(("recipe", "title", "backbone", "task", "kind", "name", "start", "probe", "status", "key",
                     "predictions", "predictions_valid", "log", "file"), str),
    "seed": int, "classes": list, "metrics": dict, "threshold": dict, "tasks": list, "turns": list,
}  # fmt: skip
OF_SCORE = ("value", "low", "high", "n")  # numbers, or null where there are none
FILES = {"cells": ("predictions", "predictions_valid"), "stages": ("log",), "probes": ("predictions",),
         "embeddings": ("file",)}  # fmt: skip
AGAIN = (
    "move it away and give the command of the run again: finished stages and models are found by their keys"
)


def load_results(out: Path) -> Results:
    """results.json with every part that may be left out filled in as empty.

    Raises:
        UserError: it or the folder is missing, not JSON, of another version, or lacks what each entry must have.
    """
    path = out / "results.json"
    if out.is_file():
        raise UserError(f"{out}: a file; give the folder of the run")
    try:
        given = unsealed(path.read_bytes())
    except FileNotFoundError:
        if not out.is_dir():
            raise UserError(
                f"{out}: no such folder; give the folder of a run (`muscle ls` names them)"
            ) from None
        if (out / "backbone.json").is_file():
            raise UserError(
                f"{out}: a pre-trained backbone, which has no scores yet; `muscle probe` or `muscle compare` on "
                f"annotated films, with --from {out}, make them"
            ) from None
        raise UserError(
            f"{path}: no results here; give a folder of `muscle run`, `compare` or `finetune`"
        ) from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); {AGAIN}") from None
    if fault := fault_of(given, NEEDED):
        raise UserError(f"{path}: {fault}; {AGAIN}")
    check_paths(out, given)
    results: Results = {part: [] for part in NEEDED} | given
    for cell in results["cells"]:
        cell.setdefault("backbone", "")
        cell.setdefault("classes", [])
        cell.setdefault("title", cell["recipe"])
    for part in ("probes", "embeddings"):
        for entry in results[part]:
            entry.setdefault("title", entry["start"])
    return {"title": "Results", "synthetic": False, "provenance": {}} | results


def fault_of(results: Any, needed: Mapping[str, tuple[str, ...]]) -> str:
    """What keeps these from being results; ``needed``: of each entry of a part. Empty: nothing."""
    if not isinstance(results, dict) or results.get("version") != VERSION:
        return f"not results of version {VERSION}"
    if not isinstance(results.get("provenance", {}), dict):
        return "provenance is no table of keys and values"
    for part, keys in needed.items():
        entries = results.get(part, [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            return f"{part} is no list of entries"
        for i, entry in enumerate(entries, 1):
            if lacking := [key for key in keys if key not in entry]:
                return f"{part} entry {i} lacks {', '.join(lacking)}"
            for key, what in TYPES.items():
                if entry.get(key) is not None and not isinstance(entry[key], what):
                    return f"{part} entry {i}: {key} is no {what.__name__}"
            for name, score in (entry.get("metrics") or {}).items():
                if not isinstance(score, dict) or not all(_is_number(score.get(k, "")) for k in OF_SCORE):
                    return f"{part} entry {i}: its score {name} is no {', '.join(OF_SCORE)}"
    return ""


def _is_number(value: Any) -> bool:
    return value is None or isinstance(value, (int, float))


def check_paths(out: Path, results: Results) -> None:
    """Sees that every file which results name lies in their folder; that of another person may name any.

    Raises:
        UserError: one that does not.
    """
    for part, names in FILES.items():
        for entry in results.get(part, []):
            for name in names:
                if entry.get(name):
                    within(out, entry[name], f"{out / 'results.json'}: {part}")


def read_embedding(path: Path) -> tuple[NDArray[np.float32], dict[str, NDArray[Any]]]:
    """The points of ``embeddings/*.npz``, [N, 2], and what each film is of, [N].

    Raises:
        UserError: no such file, or not as `muscle probe` writes it.
    """
    try:
        with opened_npz(path) as file:
            return file["xy"], {"body part": file["body_part"], "source": file["source"]}
    except DAMAGED as error:
        raise UserError(f"{path}: cannot be read ({error}); probe again to write it") from None
