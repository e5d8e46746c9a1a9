"""Which runs, checkpoints and stores lie on the disk, and what they weigh."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def inventory(root: Path, stores: Path) -> list[dict[str, Any]]:
    """One entry for each run under ``root``, each checkpoint beside them and each store: kind, where, bytes, what."""
    found = []
    for folder in _folders(root):
        if (folder / "results.json").is_file():
            found.append(_entry("run", folder, _of_results(folder / "results.json")))
        elif (folder / "backbone.json").is_file():
            about = json.loads((folder / "backbone.json").read_text())
            found.append(_entry("backbone", folder, f"{about['recipe']['name']} on {about['images']} images, {about['sha256'][:12]}"))
    for folder in _folders(root / "checkpoints"):
        if (folder / "stage.json").is_file():
            about = json.loads((folder / "stage.json").read_text())
            found.append(_entry("checkpoint", folder, f"{about['stage']['name']}, {about['steps']} steps, {about['minutes']:.1f} min"))
        elif folder.name.endswith(".running"):
            found.append(_entry("unfinished", folder, "a stage to resume"))
    for folder in _folders(stores):
        if (folder / "manifest.json").is_file():
            about = json.loads((folder / "manifest.json").read_text())
            found.append(_entry("store", folder, f"{about['rows']} images at {about['size'][0]}x{about['size'][1]}"))
    return found


def _folders(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.is_dir()) if root.is_dir() else []


def _of_results(file: Path) -> str:
    data = json.loads(file.read_text())
    return f"{data['title']}: {len(data['cells'])} cells of {', '.join(sorted({c['recipe'] for c in data['cells']})) or 'nothing yet'}"


def _entry(kind: str, folder: Path, what: str) -> dict[str, Any]:
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    return {"kind": kind, "where": folder.as_posix(), "bytes": size, "what": what}
