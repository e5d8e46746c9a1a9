"""From what a user names to a recipe: shipped names, YAML files, run folders, files of weights, presets, tasks."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from muscle.data.data_file import DataFile, shared_targets
from muscle.data.decode import Decode
from muscle.data.normalization import Normalization
from muscle.equal_compute import equal_compute as same_compute
from muscle.errors import UsageError, UserError
from muscle.machine import Machine
from muscle.parts import from_yaml, has_leaf, override
from muscle.progress import SILENT, Progress
from muscle.recipe import ImageNet, Recipe, Weights, assign_roles
from muscle.recipes import RECIPES, recipe
from muscle.tasks import Task
from muscle.types import Target

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
        found = found.with_(init=ImageNet() if str(init) == "imagenet" else Weights(file=str(init)))
    found = override(found, tuple(overrides))
    found.check()
    return found


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
            f"start {str(start)!r}: allowed: scratch, imagenet, a folder with backbone.safetensors, a file of weights"
        )
    name = re.sub(r"[^A-Za-z0-9-]+", "-", path.name if path.is_dir() else path.stem)
    found = recipe("scratch", preset, backbone or BACKBONE)
    found = found.with_(name=name, title=name, init=Weights(file=str(file)))
    taken = _of_run(file)
    if taken and backbone and taken["backbone"].get("name") != backbone:
        raise UsageError(
            f"backbone {backbone!r}: {path} holds a {taken['backbone'].get('name')}; leave --backbone out"
        )
    return found.with_(**taken)


def _of_run(file: Path) -> dict[str, Any]:
    """The fields of a recipe that a run's ``backbone.json`` fixes; none for weights from elsewhere."""
    about_file = file.with_name("backbone.json")
    if file.name != "backbone.safetensors" or not about_file.is_file():
        return {}
    try:
        about = json.loads(about_file.read_text(encoding="utf-8"))
        return {
            "backbone": about["recipe"]["backbone"], "size": tuple(about["size"]), "fit": about["fit"],
            "normalization": Normalization.parse(about["normalization"]), "decode": Decode.parse(about["decode"]),
        }  # fmt: skip
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{about_file}: not as pretrain writes it ({error!r}); give the command of that run again to write it anew"
        ) from None


def compared(
    starts: Sequence[str | Path | Pretrained], recipes: Sequence[str], backbone: str | None, seeds: int, preset: str,
    tasks: Sequence[str], overrides: Sequence[str],
) -> list[Recipe]:  # fmt: skip
    """The recipes that ``compare`` runs; arguments as there, ``preset`` not auto.

    Scratch, ImageNet, weights from elsewhere and whole recipes are rivals of a run only on its network and its
    pixels: where the runs agree, all others take over network, size, fit, decoding and normalization.

    Of several backbones (``resnet18,resnet50``) each is a comparison of its own; a run joins that of its own network.

    Raises:
        UsageError: nothing to compare, runs that differ in these, or a recipe that breaks its rules.
    """
    backbones = [name for name in (backbone or "").split(",") if name]
    if len(set(backbones)) != len(backbones):
        raise UsageError(f"backbone {backbone!r}: each once, such as resnet18,resnet50")
    if len(backbones) > 1:
        return [
            r for b in backbones for r in _of_backbone(starts, recipes, b, seeds, preset, tasks, overrides)
        ]
    found = [start_recipe(start, preset, backbone) for start in starts]
    names = [r.name for r in found]
    for i, r in enumerate(found):  # folders elsewhere may share a name; two rows of a table may not
        if before := names[:i].count(r.name):
            found[i] = r.with_(name=f"{r.name}-{before + 1}", title=f"{r.title}-{before + 1}")
    runs = [r for r in found if isinstance(r.init, Weights) and _of_run(Path(r.init.file))]
    found += [load_recipe(name, preset, backbone) for name in recipes]
    if not found:
        raise UsageError("nothing to compare: give starts (--from scratch,imagenet,DIR) or --recipes")
    for field in ("backbone", "size", "fit", "decode", "normalization") if runs else ():
        values = {run.name: getattr(run, field) for run in runs}
        first, *others = values.values()
        if any(other != first for other in others):
            shown = ", ".join(f"{name} {value}" for name, value in values.items())
            raise UsageError(f"starts of different {field} do not compare ({shown}); pre-train them alike")
        found = [r.with_(**{field: first}) for r in found]
    for change in overrides:  # scratch has no stages: what has no place in one recipe may have it in others
        if not any(has_leaf(r, change) for r in found):
            override(found[0], (change,))
    found = [
        override(
            _restrict(r, tasks).with_(seeds=tuple(range(seeds))),
            tuple(change for change in overrides if has_leaf(r, change)),
        )
        for r in found
    ]
    for r in found:
        r.check()
    return found


def _of_backbone(
    starts: Sequence[str | Path | Pretrained], recipes: Sequence[str], backbone: str | None, seeds: int, preset: str,
    tasks: Sequence[str], overrides: Sequence[str],
) -> list[Recipe]:  # fmt: skip
    """What ``compared`` gives for one of several backbones.

    Raises:
        UsageError: as there; a recipe file that has a network of its own.
    """

    def holds(start: str | Path | Pretrained) -> str | None:
        path = start.out if isinstance(start, Pretrained) else Path(start)
        taken = _of_run(path / "backbone.safetensors" if path.is_dir() else path)
        return str(taken["backbone"].get("name")) if taken else None

    mine = [start for start in starts if holds(start) in (None, backbone)]
    found = compared(mine, recipes, backbone, seeds, preset, tasks, overrides) if mine or recipes else []
    for r in found:
        if getattr(r.backbone, "name", backbone) != backbone:
            raise UsageError(
                f"recipe {r.name}: it has a network of its own; give one --backbone, or leave it out"
            )
    return found


def probed(
    starts: Sequence[str | Path | Pretrained],
    backbone: str | None,
    preset: str,
    overrides: Sequence[str] = (),
) -> list[Recipe]:
    """What ``probe`` looks at: a network without any training first, then each start, be it a run or a recipe.

    Raises:
        UsageError: as ``compared``; no start.
    """
    if not starts:
        raise UsageError("nothing to probe: give starts (--from scratch,imagenet,DIR,RECIPE)")
    others = [start for start in starts if str(start) != "scratch"]
    names = [str(s) for s in others if _is_recipe(s)]
    given = ["scratch", *(s for s in others if not _is_recipe(s))]
    random, *found = compared(given, names, backbone, 1, preset, (), overrides)
    return [random.with_(title="Random init"), *found]


def _is_recipe(start: str | Path | Pretrained) -> bool:
    """Whether a start names a recipe to run, not weights that are there."""
    if isinstance(start, Pretrained) or str(start) == "imagenet":
        return False
    return str(start) in RECIPES or str(start).endswith((".yaml", ".yml"))


def left_out(recipes: Sequence[Recipe], file: DataFile) -> list[Recipe]:
    """Leave-one-task-out: each recipe once more for each task that its stages learn and its fine-tuning tests.

    The stages leave that task out, and it alone is fine-tuned: beside the recipe itself this shows whether what is
    learned on other tasks *transfers*, or only the task's own labels were seen before. All stand in one row,
    "MUSCLE without own task". Its films stay in the pool, without their labels.

    Raises:
        UsageError: no recipe has a stage of two annotated tasks.
    """
    taught = {name: targets for name, (_, targets) in file.read().items()}
    every = shared_targets(taught)
    inside = shared_targets({name: t for name, t in taught.items() if not file.sources[name].external})
    found = []
    for method in recipes:
        if method.finetune is None:
            continue
        stages = [assign_roles(s.tasks, inside) for s in method.stages if any(t.needs for t in s.tasks)]
        learned = {name for tasks in stages if len(tasks) > 1 for name in tasks}
        tested = assign_roles(method.finetune.tasks, every) if learned else {}
        found += [_without(method, inside[name], task) for name, task in tested.items() if name in learned]
    if not found:
        raise UsageError(
            "leave-one-task-out: no recipe here learns two annotated tasks before fine-tuning; give --recipes muscle, "
            "and data with two targets"
        )
    return found


def more_rows(
    recipes: Sequence[Recipe], file: DataFile, store: Path, machine: Machine, progress: Progress,
    leave_one_task_out: bool, equal_compute: bool,
) -> list[Recipe]:  # fmt: skip
    """What ``compare`` adds to its recipes when asked: see ``left_out`` and ``same_compute``."""
    found = left_out(recipes, file) if leave_one_task_out else []
    return found + (same_compute(recipes, file, store, machine, progress) if equal_compute else [])


def _without(recipe: Recipe, target: Target, task: Task) -> Recipe:
    """The recipe whose stages leave one target out, fine-tuned on it alone."""
    stages = []
    for stage in recipe.stages:
        kept = [t for t in stage.tasks if t.data != target.name]
        stages.append(
            stage.with_(
                tasks=tuple(
                    t.without(target.name) if t.left_out is not None and t.needs == target.kind else t
                    for t in kept
                )
            )
        )
    assert recipe.finetune is not None
    name = re.sub(r"[^A-Za-z0-9-]+", "-", f"{recipe.name}-without-{target.name}")
    return recipe.with_(
        name=name,
        title=f"{recipe.title or recipe.name} without own task",
        stages=tuple(stages),
        finetune=recipe.finetune.with_(tasks=(task,)),
    )


def _restrict(found: Recipe, tasks: Sequence[str]) -> Recipe:
    """The recipe with only the tasks asked for: kinds keep their role, targets are named."""
    if not tasks or found.finetune is None:
        return found
    kinds = {t.kind for t in found.finetune.tasks}
    chosen = [t for t in found.finetune.tasks if t.kind in tasks]
    for name in tasks:
        if name not in kinds:
            kind, _, target = name.partition(":")
            match = [t for t in found.finetune.tasks if t.kind == kind]
            if not target or not match:
                raise UsageError(
                    f"task {name!r}; allowed: {', '.join(sorted(kinds))}, or KIND:TARGET (classification:pneumonia)"
                )
            chosen.append(match[0].with_(data=target))
    return found.with_(finetune=found.finetune.with_(tasks=tuple(chosen)))
