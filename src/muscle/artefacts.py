"""What was made from ``results.json``: which files, their checksums, and of which results they are.

``OUT/artefacts.json`` names them, for a table in CSV has no room for where it comes from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from muscle.parts import digest
from muscle.paths import atomic_write, sha256_file
from muscle.seal import sealed, unsealed

FILE = "artefacts.json"
VERSION = 1


def identity(results: Mapping[str, Any]) -> str:
    """SHA-256 of everything that results say but the time spent on them, to which finding them again adds."""
    said = {k: v for k, v in results.get("provenance", {}).items() if k != "wall_s"}
    return digest(dict(results) | {"provenance": said})


def mark(results: Mapping[str, Any]) -> str:
    """Where a table comes from, for a comment in it."""
    commit = results.get("provenance", {}).get("commit") or "unknown"
    return f"made from results.json, identity {identity(results)}, commit {commit}"


def put(out: Path, maker: str, results: Mapping[str, Any], files: Iterable[Path]) -> None:
    """Writes down what one maker has made; what it made before is forgotten.

    Args:
        out: the run's folder.
        maker: ``report`` or ``cases``.
        results: as they are in ``OUT/results.json``.
        files: in ``out``.
    """
    with FileLock(out / ".artefacts.lock"):
        made = {file.relative_to(out).as_posix(): sha256_file(file) for file in files}
        try:
            before = unsealed((out / FILE).read_bytes())["made"]
        except (OSError, ValueError, KeyError):  # none, or damaged: what others have made is to be made again
            before = {}
        entry = {"results": identity(results), "files": dict(sorted(made.items()))}
        atomic_write(out / FILE, sealed({"version": VERSION, "made": before | {maker: entry}}))
