"""Which recipes stand in one comparison: on one network and one kind of pixels, with the rows asked for beside."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from muscle.data.data_file import DataFile
from muscle.equal_compute import equal_compute as same_compute
from muscle.errors import UsageError
from muscle.leave_one_out import left_out
from muscle.machine import Machine
from muscle.parts import has_leaf, override
from muscle.progress import Progress
from muscle.recipe import Recipe, Weights
from muscle.recipes import RECIPES
from muscle.starts import Pretrained, load_recipe, of_run, start_recipe


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
    if not starts and not recipes:
        raise UsageError("nothing to compare: give starts (--from scratch,imagenet,DIR) or --recipes")
    if len(backbones) > 1:
        for start in starts:  # it would be in none of these comparisons
            if (name := _network(start)) not in (None, *backbones):
                where = start.out if isinstance(start, Pretrained) else start
                raise UsageError(
                    f"backbone {backbone!r}: {where} holds a {name}; name it there, or leave it out"
                )
        return [
            r for b in backbones for r in _of_backbone(starts, recipes, b, seeds, preset, tasks, overrides)
        ]
    found = [start_recipe(start, preset, backbone) for start in starts]
    names = [r.name for r in found]
    for i, r in enumerate(found):  # folders elsewhere may share a name; two rows of a table may not
        if before := names[:i].count(r.name):
            found[i] = r.with_(name=f"{r.name}-{before + 1}", title=f"{r.title}-{before + 1}")
    runs = [r for r in found if isinstance(r.init, Weights) and of_run(Path(r.init.file))]
    found += [load_recipe(name, preset, backbone) for name in recipes]
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
    mine = [start for start in starts if _network(start) in (None, backbone)]
    found = compared(mine, recipes, backbone, seeds, preset, tasks, overrides) if mine or recipes else []
    for r in found:
        if getattr(r.backbone, "name", backbone) != backbone:
            raise UsageError(
                f"recipe {r.name}: it has a network of its own; give one --backbone, or leave it out"
            )
    return found


def _network(start: str | Path | Pretrained) -> str | None:
    """The network that a run holds; None of what takes any: scratch, ImageNet, weights from elsewhere."""
    path = start.out if isinstance(start, Pretrained) else Path(start)
    taken = of_run(path / "backbone.safetensors" if path.is_dir() else path)
    return str(taken["backbone"].get("name")) if taken else None


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


def more_rows(
    recipes: Sequence[Recipe], file: DataFile, store: Path, machine: Machine, progress: Progress,
    leave_one_task_out: bool, equal_compute: bool,
) -> list[Recipe]:  # fmt: skip
    """What ``compare`` adds to its recipes when asked: see ``left_out`` and ``same_compute``."""
    found = left_out(recipes, file) if leave_one_task_out else []
    return found + (same_compute(recipes, file, store, machine, progress) if equal_compute else [])


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
