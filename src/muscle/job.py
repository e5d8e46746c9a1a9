"""A job: one stage on concrete data, from a concrete start. It decides the weights, and so the key."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import torch

from muscle.backbones import Backbone, BackboneModule
from muscle.checkpoint import Checkpoint
from muscle.data.corpus import Corpus
from muscle.data.held_out import TaskRows
from muscle.data.normalization import Normalization
from muscle.data.rows import Rows
from muscle.data.sampling import seed_of, steps_of
from muscle.errors import UsageError, UserError
from muscle.machine import Precision
from muscle.parts import digest
from muscle.recipe import Init, Stage, assign_roles
from muscle.tasks import Task
from muscle.types import Target


@dataclass(frozen=True)
class Start:
    """Where a stage starts: an init, or the checkpoint of the stage before."""

    init: Init
    init_seed: int
    checkpoint: Checkpoint | None = None
    key: str = ""  # of everything before this stage

    def load(self, part: Backbone) -> BackboneModule:
        """The backbone, built from the seed and filled."""
        torch.manual_seed(seed_of("init", self.init_seed))
        backbone = part.build()
        if self.checkpoint is None:
            self.init.load(backbone, str(getattr(part, "name", "")))
        else:
            backbone.net.load_state_dict(self.checkpoint.backbone_state())
        return backbone


@dataclass(frozen=True)
class Job:
    """One stage on concrete data: everything that decides its weights, and so its key."""

    stage: Stage
    backbone: Backbone
    normalization: Normalization
    start: Start
    seed: int
    precision: Precision
    tasks: dict[str, Task]  # roles assigned, `auto` resolved
    rows: dict[str, Rows]  # what each task trains on
    annotated: dict[str, TaskRows]  # of the tasks that need it
    continued_heads: bool = False

    @classmethod
    def plan(
        cls, stage: Stage, start: Start, corpus: Corpus, known: dict[str, TaskRows], backbone: Backbone,
        normalization: Normalization, seed: int, precision: Precision, continued_heads: bool = False,
    ) -> Job:  # fmt: skip
        """Assigns roles, finds rows, resolves ``auto``.

        Args:
            known: the targets that this stage may learn, with their rows; of them it takes what it has tasks for.
        """
        tasks = assign_roles(stage.tasks, {name: found.target for name, found in known.items()}, corpus.file)
        if stage.select == "best" and len(tasks) > 1:
            raise UsageError(
                f"stage {stage.name}: select best chooses by one task, here are {', '.join(tasks)}; use last"
            )
        rows = {
            name: known[name].train if task.needs else corpus.pool_of(task.data)
            for name, task in tasks.items()
        }
        for name, found in rows.items():
            if len(found) < 2:
                raise too_few(stage.name, name, len(found))
        tasks = {name: task.resolve(len(rows[name])) for name, task in tasks.items()}
        annotated = {name: known[name] for name, task in tasks.items() if task.needs}
        return cls(
            stage, backbone, normalization, start, seed, precision, tasks, rows, annotated, continued_heads
        )

    @property
    def targets(self) -> dict[str, Target]:
        """What the annotated tasks learn."""
        return {name: found.target for name, found in self.annotated.items()}

    @cached_property
    def key(self) -> str:
        """Equal keys mean equal weights."""
        return digest({
            "before": self.start.key,
            "stage": self.stage.with_(tasks=tuple(self.tasks.values())).key(),
            "rows": {name: rows.digest(self.targets.get(name)) for name, rows in self.rows.items()},
            "selection": {
                name: found.valid.digest(found.target)
                for name, found in self.annotated.items()
                if self.stage.select == "best"
            },
            "normalization": self.normalization.key(),
            "seed": self.seed,
            "precision": self.precision,
            "heads": self.continued_heads,
            **self._levels(),
        })  # fmt: skip

    def _levels(self) -> dict[str, dict[str, list[float]]]:
        """What a normalization by source divides by: it comes from the whole store, not from the rows alone."""
        stores = {store.name: store for rows in self.rows.values() for store in rows.stores}
        found = {name: [store.mean, store.sd] for name, store in stores.items()}
        return {"levels": found} if self.normalization.of_store else {}

    @property
    def steps(self) -> dict[str, int]:
        """Optimizer steps of one epoch of each task."""
        return {name: steps_of(len(self.rows[name]), task.batch_size) for name, task in self.tasks.items()}

    @property
    def images_seen(self) -> int:
        """Images that training takes: in each step a batch of its task. Views of one count once, replayed ones not."""
        batch = {name: min(len(self.rows[name]), task.batch_size) for name, task in self.tasks.items()}
        turns = self.stage.schedule.turns(self.steps, self.seed)
        steps = [Counter(turn.order) if turn.order else Counter({turn.task: turn.steps}) for turn in turns]
        return sum(batch[task] * number for turn in steps for task, number in turn.items())


def too_few(stage: str, task: str, images: int) -> UserError:
    """A stage with fewer than two films to learn from, as the plan and the run say it."""
    return UserError(
        f"stage {stage}: {task} has {images} training images; at least 2 are needed, of persons of whom no film is "
        "validated or tested on; give more films, or other persons, for training"
    )


def start_key(backbone: Backbone, init: Init, seed: int) -> str:
    """The key of a start from an init. A file counts by its bytes, wherever it lies.

    The seed always counts: what a file does not hold is drawn.
    """
    identity = init.identity()
    start = {"kind": init.kind, "sha256": identity} if identity else init.key()
    return digest({"backbone": backbone.key(), "init": start, "seed": seed})
