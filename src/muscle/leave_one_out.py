"""Leave-one-task-out: whether what was learned on other tasks transfers to one that was not."""

from __future__ import annotations

import re
from collections.abc import Sequence

from muscle.data.data_file import DataFile, shared_targets
from muscle.errors import UsageError
from muscle.recipe import Recipe, assign_roles
from muscle.tasks import Task
from muscle.types import Target


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
