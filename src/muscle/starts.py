"""From what a user names to a recipe: shipped names, YAML files, run folders, files of weights, presets, tasks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from muscle.data.data_file import DataFile
from muscle.data.decode import Decode
from muscle.data.normalization import Normalization
from muscle.errors import UsageError, UserError, among
from muscle.parts import override
from muscle.paths import sha256_file
from muscle.progress import SILENT, Progress
from muscle.recipe import ImageNet, Recipe, Weights
from muscle.recipes import RECIPES, recipe
from muscle.seal import unsealed
from muscle.yaml_text import from_yaml

PAPER_POOL = (
    30_000  # from this many training images on `auto` is `paper`: its queue of 24,576 must fit the pool
)
BACKBONE = "resnet18"  # where nobody says which

Sources = str | Path | DataFile | Sequence[str | Path]


@dataclass(frozen=True)
class Pretrained:
    """A backbone to take home: ``backbone_file`` opens with timm, ``about`` is what ``backbone.json`` says."""

    out: Path
    backbone_file: Path
    sha256: str
    about: dict[str, Any]


def data_file(sources: Sources) -> DataFile:
    """The data file behind anything that a SOURCE may be: a folder, ``KIND=ROOT``, a data file, or several."""
    if isinstance(sources, DataFile):
        return sources
    words = [sources] if isinstance(sources, (str, Path)) else sources
    for word in words:
        if (Path(word) / "backbone.safetensors").is_file():
            raise UsageError(
                f"{word}: a run, not a source; several starts are given as --from scratch,{word}"
            )
    return DataFile.of([str(word) for word in words])


def choose_preset(preset: str, file: DataFile, progress: Progress = SILENT) -> str:
    """``auto`` resolved by the number of training images, and said; anything else unchanged."""
    if preset != "auto":
        return preset
    parts = (file.split_of(name).assign(*found) for name, found in file.read().items())
    images = sum(part.count("train") for part in parts)
    chosen, why = ("small", "under") if images < PAPER_POOL else ("paper", "at least")
    progress.message(f"preset {chosen}: {images:,} training images are {why} {PAPER_POOL:,}")
    return chosen


def load_recipe(
    name: str,
    preset: str = "paper",
    backbone: str | None = None,
    overrides: Sequence[str] = (),
    init: str | Path | None = None,
) -> Recipe:
    """A shipped recipe or one from a YAML file, with leaves overridden, checked.

    Raises:
        UsageError: every mistake at once.
    """
    if name in RECIPES or not (name.endswith((".yaml", ".yml")) or Path(name).is_file()):
        found = recipe(name, preset, backbone or BACKBONE)
    else:
        file = Path(name)
        if not file.is_file():
            raise UsageError(f"recipe {name}: no such file; known recipes: {', '.join(RECIPES)}")
        try:
            text = file.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            raise UsageError(f"recipe {name}: not UTF-8 text; give a YAML file") from None
        found = Recipe.parse(from_yaml(text, name))
    if init is not None:
        of_run(Path(init))
        found = found.with_(init=ImageNet() if str(init) == "imagenet" else Weights(file=str(init)))
    found = override(found, tuple(overrides))
    found.check()
    return found


def _lacks(path: Path) -> str:
    """Why nothing can start from a path, in words."""
    if (path / "results.json").is_file():
        return "a run that fine-tuned, which has no one backbone; its models lie in `checkpoints` beside it"
    if path.exists():
        return "it holds no backbone.safetensors"
    beside = path.absolute().parent
    others = sorted(p.name for p in beside.iterdir() if p.is_dir()) if beside.is_dir() else []
    return (
        f"there is no such file or folder; {among(path.name, others)}" if others else "no such file or folder"
    )


def start_recipe(start: str | Path | Pretrained, preset: str, backbone: str | None = None) -> Recipe:
    """A recipe that only fine-tunes: from ``scratch``, ``imagenet``, a run's folder, or a file of weights.

    A run's own network, size, normalization and decoding are taken over, for its weights know no others.

    Raises:
        UsageError: nothing there, or a ``backbone`` other than the run's.
    """
    if isinstance(start, Pretrained):
        start = start.out
    if str(start) in ("scratch", "imagenet"):
        return recipe(str(start), preset, backbone or BACKBONE)
    path = Path(start)
    file = path / "backbone.safetensors" if path.is_dir() else path
    if not file.is_file():
        raise UsageError(
            f"start {str(start)!r}: {_lacks(path)}; allowed: scratch, imagenet, the folder of a `muscle pretrain` "
            "(with backbone.safetensors), a file of weights"
        )
    name = re.sub(r"[^A-Za-z0-9-]+", "-", path.name if path.is_dir() else path.stem)
    found = recipe("scratch", preset, backbone or BACKBONE)
    found = found.with_(name=name, title=name, init=Weights(file=str(file)))
    taken = of_run(file)
    if taken and backbone and taken["backbone"].get("name") != backbone:
        raise UsageError(
            f"backbone {backbone!r}: {path} holds a {taken['backbone'].get('name')}; leave --backbone out"
        )
    return found.with_(**taken)


def of_run(file: Path) -> dict[str, Any]:
    """The fields of a recipe that a run's ``backbone.json`` fixes; none for weights from elsewhere.

    Raises:
        UserError: it or the weights beside it are not as they were written.
    """
    about_file = file.with_name("backbone.json")
    if file.name != "backbone.safetensors" or not about_file.is_file():
        return {}
    try:
        about = unsealed(about_file.read_bytes())
        if about.get("sha256", sha := sha256_file(file)) != sha:
            raise UserError(
                f"{file}: other weights than its backbone.json tells of (sha256 {sha[:12]}); give the command of that "
                "run again to write them anew, or take them to a folder of their own"
            )
        return {
            "backbone": about["recipe"]["backbone"], "size": tuple(about["size"]), "fit": about["fit"],
            "normalization": Normalization.parse(about["normalization"]), "decode": Decode.parse(about["decode"]),
        }  # fmt: skip
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{about_file}: not as pretrain writes it ({error!r}); give the command of that run again to write it anew"
        ) from None
