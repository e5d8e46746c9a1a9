"""Which runs, checkpoints and stores lie on the disk, and what they weigh."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from muscle import paths
from muscle.seal import unsealed


def inventory(root: Path, stores: Path) -> list[dict[str, Any]]:
    """One entry for each run under ``root``, each checkpoint beside them and each store: kind, where, bytes, what."""
    found = []
    for folder in _folders(root):
        if (folder / "results.json").is_file():
            found.append(_entry("run", folder, _read(folder / "results.json", _run)))
        if (folder / "backbone.json").is_file():
            found.append(_entry("backbone", folder, _read(folder / "backbone.json", _backbone)))
    for folder in _folders(paths.checkpoints(root / "any")):
        if (folder / "stage.json").is_file():
            what, model = _read(folder / "stage.json", _stage), folder / "model.json"
            if model.is_file():
                what += f"; {_read(model, _model)}"
            found.append(_entry("checkpoint", folder, what))
        elif folder.name.endswith(".running"):
            saved = (folder / "snapshot.pt").is_file()
            what = "a stage to resume" if saved else "a stage of which nothing is saved yet"
            found.append(_entry("unfinished", folder, what))
    for folder in _folders(stores):
        if (folder / "manifest.json").is_file():
            found.append(_entry("store", folder, _read(folder / "manifest.json", _store)))
        elif folder.name.endswith(".partial"):
            found.append(_entry("unfinished", folder, "a store to finish"))
    return found


def _folders(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.is_dir()) if root.is_dir() else []


def _read(file: Path, say: Callable[[Any], str]) -> str:
    """What a file says of its folder; one that cannot be read is named, for the others are still worth a list."""
    try:
        return say(unsealed(file.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError):
        return f"damaged: {file.name} cannot be read"


def _run(data: Any) -> str:
    found = [f"{len(data['cells'])} cells of {_names(data['cells'], 'recipe')}"] if data["cells"] else []
    if probes := data.get("probes"):
        found.append(f"{len(probes)} probes of {_names(probes, 'start')}")
    return f"{data['title']}: {'; '.join(found) or 'nothing yet'}"


def _names(entries: Any, key: str) -> str:
    return ", ".join(sorted({entry[key] for entry in entries}))


def _backbone(data: Any) -> str:
    return f"{data['recipe']['name']} on {data['images']} images, {data['sha256'][:12]}"


def _stage(data: Any) -> str:
    return f"{data['stage']['name']}, {data['steps']} steps, {data['minutes']:.1f} min"


def _model(data: Any) -> str:
    return f"for muscle validate: {data['title']} on {data['task']}, seed {data['seed']}"


def _store(data: Any) -> str:
    return f"{data['rows']} images at {data['size'][0]}x{data['size'][1]}"


def _entry(kind: str, folder: Path, what: str) -> dict[str, Any]:
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    return {"kind": kind, "where": folder.as_posix(), "bytes": size, "what": what}
