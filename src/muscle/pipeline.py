"""A recipe on a corpus: its stages one after another, then each task's fine-tuning. Only checkpoints pass between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from muscle.backbones import BackboneModule
from muscle.checkpoint import Checkpoint
from muscle.data.corpus import Corpus
from muscle.data.held_out import TaskRows
from muscle.data.label_draws import label_draw
from muscle.engine import run_stage
from muscle.errors import UsageError, UserError
from muscle.job import Job, Start, start_key
from muscle.machine import Machine
from muscle.paths import require_space
from muscle.progress import SILENT, Progress
from muscle.recipe import Recipe, Stage, assign_roles
from muscle.snapshot import Snapshot
from muscle.tasks import Task, TaskModule
from muscle.types import Target

# Of the weights: in each of three snapshots (the last, the one before, the one being written) the weights themselves,
# the optimizer's momentum, and the key encoder or the best epoch's.
IN_SNAPSHOTS = 9


@dataclass(frozen=True)
class Pipeline:
    """Runs a recipe. ``root``: the folder of checkpoints, shared by all recipes that may have stages in common."""

    recipe: Recipe
    corpus: Corpus
    machine: Machine
    root: Path
    progress: Progress = SILENT

    def _start(self, seed: int) -> Start:
        recipe = self.recipe
        return Start(recipe.init, seed, key=start_key(recipe.backbone, recipe.init, seed))

    def _job(self, index: int, start: Start) -> Job:
        recipe = self.recipe
        return Job.plan(
            recipe.stages[index], start, self.corpus, self.corpus.internal_tasks, recipe.backbone, recipe.normalization,
            recipe.seed, self.machine.precision(recipe.precision),
        )  # fmt: skip

    def pretrain(self) -> list[Checkpoint]:
        """Runs the stages, or finds them; the checkpoint of each."""
        self.machine.settle()
        start, made = self._start(self.recipe.seed), []
        for index in range(len(self.recipe.stages)):
            job = self._job(index, start)
            made.append(self._computed(job))
            start = replace(start, checkpoint=made[-1], key=job.key)
        return made

    def _computed(self, job: Job) -> Checkpoint:
        """The checkpoint of one job; before it is computed, whether its files will fit is looked at."""
        if not Checkpoint.there(self.root, job.key):
            taken = sum(file.stat().st_size for file in Snapshot(self.root, job.key).folder.glob("*.pt"))
            needed = (1 + IN_SNAPSHOTS) * self._weights - taken
            require_space(self.root, needed, f"stage {job.stage.name}, with its snapshots,")
        return run_stage(job, self.corpus, self.machine, self.root, self.progress)

    @cached_property
    def _weights(self) -> int:
        """Bytes."""
        return 4 * sum(weight.numel() for weight in self.recipe.backbone.build().parameters())

    def stage_jobs(self) -> list[Job]:
        """The stages as jobs, keys and all, without computing any."""
        start, jobs = self._start(self.recipe.seed), []
        for index in range(len(self.recipe.stages)):
            jobs.append(self._job(index, start))
            start = replace(start, key=jobs[-1].key)
        return jobs

    def finetune_jobs(self, name: str, seed: int, last: Checkpoint | None = None) -> list[Job]:
        """The fine-tuning of one task at each rate of the grid; ``last``: of the stages, to start from."""
        recipe = self.recipe
        assert recipe.finetune is not None
        # Without stages nothing but the init separates two seeds: each draws its own.
        start = self._start(recipe.seed if recipe.stages else seed)
        if recipe.stages:
            start = replace(start, checkpoint=last, key=self._stages_key)
        return [self._finetuning(s, start, seed) for s in recipe.finetune.stages(self.tasks()[name])]

    @cached_property
    def _stages_key(self) -> str:
        return self.stage_jobs()[-1].key

    def check(self) -> None:
        """Raises, before the first step, what a later stage or the fine-tuning would raise after hours of others."""
        start = self._start(self.recipe.seed)
        for index in range(len(self.recipe.stages)):
            self._job(index, start)
        if self.recipe.finetune is not None:
            for task in self.tested().values():
                self._finetuning(self.recipe.finetune.stages(task)[0], start, self.recipe.seed)

    def tasks(self) -> dict[str, Task]:
        """What is fine-tuned: one task for each target, external ones included.

        Raises:
            UsageError: the recipe has no fine-tuning.
        """
        if self.recipe.finetune is None:
            raise UsageError(
                f"recipe {self.recipe.name}: it has no finetune; nothing can be scored on a test part"
            )
        return assign_roles(self.recipe.finetune.tasks, self.corpus.targets, self.corpus.file)

    def tested(self) -> dict[str, Task]:
        """Those of ``tasks`` that have a test part: they share one pre-training.

        Raises:
            UserError: none has one.
        """
        return tested(self.tasks(), {name: len(rows.test) for name, rows in self.corpus.tasks.items()})

    def finetune_grid(self, name: str, seed: int) -> list[Checkpoint]:
        """Fine-tunes one task from the last stage: the model of each rate of the grid, computed or found."""
        made = self.pretrain()
        jobs, tried = self.finetune_jobs(name, seed, made[-1] if made else None), []
        for number, job in enumerate(jobs, 1):
            self._announce(job, number, len(jobs), Checkpoint.there(self.root, job.key))
            tried.append(self._computed(job))
        return tried

    def _announce(self, job: Job, number: int, rates: int, there: bool) -> None:
        """Which rate of several is next, and where few films make more epochs than were asked for."""
        assert self.recipe.finetune is not None
        stage, asked = job.stage, self.recipe.finetune.epochs
        epochs = len(stage.schedule.turns(job.steps, job.seed))
        said = []
        if rates > 1:
            found = ", found: it was computed before" if there else ""
            said.append(f"backbone rate {stage.optimizer.backbone_rate:g}, {number} of {rates}{found}")
        if epochs > asked and not there:
            why = "finetune.more_images" if self.recipe.finetune.more_images else "finetune.least_steps"
            said.append(f"{epochs} epochs instead of {asked}, to reach {why} (0: no more than asked)")
        if said:
            self.progress.message(f"{stage.name}: {'; '.join(said)}")

    def _finetuning(self, stage: Stage, start: Start, seed: int) -> Job:
        recipe = self.recipe
        continued = recipe.finetune is not None and recipe.finetune.head == "continued"
        (name,) = (task.data for task in stage.tasks)
        return Job.plan(
            stage, start, self.corpus, {name: self.learned(name, seed)}, recipe.backbone, recipe.normalization, seed,
            self.machine.precision(recipe.precision), continued,
        )  # fmt: skip

    def learned(self, name: str, seed: int) -> TaskRows:
        """What a task is fine-tuned on: its rows, of the training part the seed's draw of ``finetune.labels``.

        Raises:
            UsageError: few labels, where a stage before has learned from all of them.
        """
        rows = self.corpus.tasks[name]
        share = self.recipe.finetune.labels if self.recipe.finetune is not None else 1.0
        if share == 1:
            return rows
        inside = {known: found.target for known, found in self.corpus.internal_tasks.items()}
        for stage in self.recipe.stages:
            if name in assign_roles(stage.tasks, inside, self.corpus.file):
                raise UsageError(
                    f"recipe {self.recipe.name}: finetune.labels {share:g} are not few where stage {stage.name} learns "
                    f"all labels of {name}; use labels 1, or only its rows of --leave-one-task-out"
                )
        of_labels = rows.target.kind == "labels"
        labels = rows.train.labels(rows.target) if of_labels else np.ones((len(rows.train), 1), np.float32)
        return replace(rows, train=rows.train.take(label_draw(rows.train.patients, labels, share, seed)))

    def load(self, checkpoint: Checkpoint, task: Task, target: Target) -> tuple[BackboneModule, TaskModule]:
        """A fine-tuned model from its checkpoint, on the CPU, in eval mode."""
        backbone = self.recipe.backbone.build()
        backbone.net.load_state_dict(checkpoint.backbone_state())
        module = task.build(backbone, target, len(self.corpus.tasks[target.name].train))
        head = checkpoint.head_state(target.name)
        if head is None:
            raise UsageError(f"{checkpoint.folder}: holds no head for {target.name}; fine-tune it first")
        module.head.load_state_dict(head)
        return backbone.eval(), module.eval()


def best(tried: list[Checkpoint]) -> Checkpoint:
    """The one with the highest validation score; the first where none has one."""
    return max(tried, key=lambda c: -1.0 if c.about["best"]["valid"] is None else c.about["best"]["valid"])


def tested(tasks: dict[str, Task], test: Mapping[str, int]) -> dict[str, Task]:
    """The tasks whose target has a test part; ``test``: its number of images by target.

    Raises:
        UserError: none has one, so that nothing could be scored.
    """
    found = {name: task for name, task in tasks.items() if test.get(name)}
    if not found:
        raise UserError(
            f"no test part: none of {', '.join(tasks)} has an image to be scored on; "
            "give the data file a split with test above 0, or more patients, or exclude fewer of its films"
        )
    return found
