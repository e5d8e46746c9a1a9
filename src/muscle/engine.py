"""The engine: runs one stage from a start to a checkpoint.

Pre-training, continual learning and fine-tuning are this loop on different values.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from muscle.batch_norm import synchronize
from muscle.busy import exclusive
from muscle.checkpoint import Checkpoint, Snapshot
from muscle.data.corpus import Corpus
from muscle.data.sampling import seed_of
from muscle.distributed import together, world
from muscle.errors import UserError
from muscle.feed import Feed, Ready
from muscle.job import Job
from muscle.learner import Learner
from muscle.machine import DTYPES, Machine
from muscle.memory import told
from muscle.monitor import Monitor
from muscle.optim import Position, set_rates
from muscle.paths import atomic_write
from muscle.progress import SILENT, Progress
from muscle.tensorboard import Events
from muscle.types import Batch, Turn

MATRIX_CASES = 64  # validation images a task is scored on after each turn
NORM_FILMS = 128  # training images that batch-norm statistics are recomputed on before a score
SELECT_CASES = 2_000  # validation images that choose the best epoch
LOG_STEPS = 10  # a log line, and a look whether the loss is finite, every so many steps


@dataclass
class _State:
    """What a snapshot holds besides learner and optimizer."""

    turn: int = 0
    step: int = 0
    log: str = ""
    matrix: list[dict[str, Any]] = field(default_factory=list)
    trained: list[str] = field(default_factory=list)
    best: float | None = None
    best_turn: int = -1
    best_weights: dict[str, Any] | None = None
    seconds: float = 0.0
    replayed: int = 0  # batches of earlier tasks, beside the steps
    ranks: list[int] = field(default_factory=lambda: [world().size])  # processes that shared each batch


class _Run:
    def __init__(self, job: Job, corpus: Corpus, machine: Machine, root: Path, progress: Progress) -> None:
        self.job, self.machine, self.root, self.progress = job, machine, root, progress
        self.world = world()
        self.device = machine.torch_device()
        self.snapshot = Snapshot(root, job.key)
        self.turns = job.stage.schedule.turns(job.steps, job.seed)
        self.total = sum(turn.steps for turn in self.turns)
        backbone = job.start.load(job.backbone)
        torch.manual_seed(seed_of("build", job.seed, job.stage.name))
        sizes = {name: len(rows) for name, rows in job.rows.items()}
        self.learner = Learner(backbone, job.stage, job.tasks, job.targets, sizes)
        if job.continued_heads and job.start.checkpoint is not None:
            for name in job.tasks:
                if (head := job.start.checkpoint.head_state(name)) is not None:
                    self.learner.module(name).head.load_state_dict(head)
        self.learner.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.learner.backbone.recompute = machine.recompute
        if self.world.size > 1:
            synchronize(self.learner)
        self.optimizer = self._new_optimizer()
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=job.precision == "fp16")
        self.feed = Feed(job, self.turns, self.device)
        self.monitor = Monitor(corpus, job.normalization, self.device)
        self.state = _State()
        self.clock = time.monotonic()

    def _new_optimizer(self) -> torch.optim.Optimizer:
        learner = self.learner
        return self.job.stage.optimizer.build(learner.backbone, learner.others(), learner.penalized())

    # --- the loop -------------------------------------------------------------------------------------------

    def run(self) -> Checkpoint:
        self._resume()
        curves = self.root / "tensorboard" / f"{self.job.stage.name}-{self.job.key[:8]}"
        with closing(Events(curves, self.state.log)) if self.world.leads else nullcontext() as self.events:
            self._train()
        return self.world.lead(self._finish)

    def _train(self) -> None:
        self.learner.begin_training()
        if not self.state.matrix:
            self._look(-1, None)
        for turn in self.turns[self.state.turn :]:
            if self.state.step == 0:
                if self.job.stage.optimizer_state == "reset":
                    self.optimizer = self._new_optimizer()
                self.learner.begin_turn(turn)
            self._steps(turn)
            torch.manual_seed(seed_of(self.job.seed, self.job.stage.name, turn.index, "end"))
            self.learner.end_turn(turn, self.feed.films)
            self.state.trained += [task for task in turn.tasks if task not in self.state.trained]
            self._look(turn.index, turn)
            self.state.turn, self.state.step = turn.index + 1, 0
            self._save()

    def _steps(self, turn: Turn) -> None:
        job = self.job
        done_before = sum(t.steps for t in self.turns[: turn.index])
        sums: dict[tuple[str, str], torch.Tensor] = {}
        shown: dict[str, Batch] = {}  # the last batch of each task since the last line of the log
        counts: Counter[tuple[str, str]] = Counter()
        with self.feed.batches(turn, self.state.step) as ready:
            for step, parts in enumerate(ready, start=self.state.step):
                task = turn.task_at(step)
                torch.manual_seed(seed_of(job.seed, job.stage.name, turn.index, step))
                rate = set_rates(self.optimizer, job.stage.curve.factor(self._position(turn, step)))
                with self._room(task):
                    losses = self._backward(task, step, parts)
                    self.world.sum_gradients(self.learner.parameters())
                    self.scaler.step(self.optimizer)
                self.scaler.update()
                # None, not zero: with zeros, momentum and decay would move the heads whose task is not training.
                self.optimizer.zero_grad(set_to_none=True)
                self.learner.module(task).after_step(self.learner.backbone)
                self.state.step = step + 1
                (shown[task], replayed), *_ = parts
                self.state.replayed += replayed is not None
                for name, loss in losses.items():
                    place = (task, name)
                    sums[place] = sums.get(place, torch.zeros((), device=self.device)) + loss
                    counts[place] += 1
                if step % LOG_STEPS + 1 == LOG_STEPS or step + 1 == turn.steps:
                    means = {p: float(self.world.sum(total)) / counts[p] for p, total in sums.items()}
                    for one, last in shown.items():
                        self._log_losses(
                            turn, one, step, rate, {n: v for (t, n), v in means.items() if t == one}, last
                        )
                    sums, shown, counts = {}, {}, Counter()
                    self.progress.count(job.stage.name, done_before + step + 1, self.total, "steps")
                    if step + 1 < turn.steps and self.world.lead(self._due):
                        self._save()

    def _backward(self, task: str, step: int, parts: list[Ready]) -> dict[str, torch.Tensor]:
        """Adds up the gradients of the parts of a batch, each by its share of the images; gives the losses so."""
        total = sum(batch.total for batch, _ in parts)
        found: dict[str, torch.Tensor] = {}
        for batch, replayed in parts:
            again = (replayed[0], replayed[1].to(self.device)) if replayed else None
            losses = self.learner.losses(task, batch.to(self.device), DTYPES[self.job.precision], step, again)
            shares = {name: loss.float() * (batch.total / total) for name, loss in losses.items()}
            self.scaler.scale(torch.stack([*shares.values()]).sum()).backward()
            for name, loss in shares.items():
                found[name] = found[name] + loss.detach() if name in found else loss.detach()
        return found

    def _room(self, task: str) -> AbstractContextManager[None]:
        """Where memory runs out: a line of what to set. Of several ranks the one alone that it meets ends."""
        if self.world.size > 1:
            return nullcontext()
        return told(self.job.tasks[task], self.machine.recompute)

    def _due(self) -> bool:
        return time.monotonic() - self.clock > 60 * self.machine.snapshot_minutes

    def _position(self, turn: Turn, step: int) -> Position:
        mine = [t for t in self.turns if t.round == turn.round]
        return Position(
            turn=(step, turn.steps),
            round=(step + sum(t.steps for t in mine if t.index < turn.index), sum(t.steps for t in mine)),
            stage=(step + sum(t.steps for t in self.turns[: turn.index]), self.total),
        )

    # --- boundaries -----------------------------------------------------------------------------------------

    def _look(self, index: int, turn: Turn | None) -> None:
        """Scores at a boundary: of features for pretext tasks, of every trained task for annotated ones."""
        entry: dict[str, Any] = {
            "turn": index,
            "round": turn.round if turn else -1,
            "task": turn.task if turn else "",
        }
        pretext = [name for name, task in self.job.tasks.items() if task.needs is None]
        if pretext:
            seen = self.monitor.backbone(self.learner.backbone)
            for name in pretext:
                seen |= self.monitor.contrast(self.learner.backbone, self.learner.module(name))
            self._say_features(index, seen)
            entry["features"] = seen
        if self.job.stage.select == "best":
            self._select(entry, index)
        else:
            self._score_tasks(entry)
        self.state.matrix.append(entry)
        self._log({**{k: v for k, v in entry.items() if k != "features"}, **entry.get("features", {})})

    def _say_features(self, index: int, seen: dict[str, float]) -> None:
        first = self.state.matrix[0].get("features", {}) if self.state.matrix else {}
        place = "start" if index < 0 else f"epoch {index + 1}"
        self.progress.message(f"{self.job.stage.name} {place}: {self.monitor.words(seen, first)}")
        if index >= 0:
            for text in self.monitor.warnings(seen):
                self.progress.message(f"warning: {text}")

    def _score_tasks(self, entry: dict[str, Any]) -> None:
        shared: dict[str, float | None] = {}
        recomputed: dict[str, float | None] = {}
        counts: dict[str, int] = {}
        for name, rows in self.job.annotated.items():
            trained = name in self.state.trained  # the entries of heads that never trained are masked
            module = self.learner.module(name)
            backbone = self.learner.backbone
            shared[name], counts[name] = (
                self.monitor.task(backbone, module, rows, MATRIX_CASES) if trained else (None, 0)
            )
            recomputed[name] = (
                self.monitor.task_recomputed(backbone, module, rows, MATRIX_CASES, NORM_FILMS)
                if trained
                else None
            )
        if self.job.annotated:
            entry |= {
                "shared": shared,
                "recomputed": recomputed,
                "n": counts,
                "frozen": self._frozen(entry["turn"]),
            }
            kernels = [p.detach().float().norm() for p in self.learner.backbone.parameters() if p.ndim > 1]
            entry["kernel_norm"] = float(torch.stack(kernels).norm())

    def _frozen(self, index: int) -> dict[str, float | None]:
        """Scores of frozen features, for what turns before a task's first do for it.

        At the start of each task that others come before; later of the task whose first turn is next.
        """
        first = {task: turn.index for turn in reversed(self.turns) for task in turn.tasks}
        wanted = [
            name for name in self.job.annotated if first[name] > 0 and (index < 0 or first[name] == index + 1)
        ]
        return {name: self.monitor.frozen(self.learner.backbone, self.job.annotated[name]) for name in wanted}

    def _select(self, entry: dict[str, Any], index: int) -> None:
        if index < 0:
            return
        (name, rows), *_ = self.job.annotated.items()
        module = self.learner.module(name)
        value, count = self.monitor.task(self.learner.backbone, module, rows, SELECT_CASES)
        entry |= {"valid": value, "n": {name: count}}
        best = self.state.best
        if (
            self.state.best_weights is None
            or (value is not None and (best is None or value > best))
            or value is None
        ):
            self.state.best, self.state.best_turn = value, index
            self.state.best_weights = {
                "backbone": _copy(self.learner.backbone.state_dict()), "module": _copy(module.state_dict())
            }  # fmt: skip

    # --- log, snapshot, checkpoint --------------------------------------------------------------------------

    def _log_losses(
        self, turn: Turn, task: str, step: int, rate: float, losses: dict[str, float], batch: Batch
    ) -> None:
        done = sum(t.steps for t in self.turns[: turn.index]) + step + 1
        if not all(abs(v) < float("inf") for v in losses.values()):
            raise UserError(
                f"stage {self.job.stage.name}: the loss of {task} is not finite near step {done} of {self.total} "
                f"({losses}), images such as {', '.join(batch.ids[:3])}: lower optimizer.rate, or use precision=float32"
            )
        place = {"turn": turn.index, "round": turn.round, "epoch": turn.epoch, "task": task}
        named = {f"loss:{name}": value for name, value in losses.items()}
        self._log({"step": done, **place, "rate": rate, **named})

    def _log(self, line: dict[str, Any]) -> None:
        self.state.log += json.dumps(line) + "\n"
        if self.events is not None:
            self.events.add(line)

    def _resume(self) -> None:
        found = self.world.lead(self._found)
        if found is None:
            return
        self.learner.load_state_dict(found.pop("learner"))
        self.optimizer.load_state_dict(found.pop("optimizer"))
        self.scaler.load_state_dict(found.pop("scaler"))
        self.state = _State(**found)
        done = sum(t.steps for t in self.turns[: self.state.turn]) + self.state.step
        self.progress.message(f"{self.job.stage.name}: resumed at step {done} of {self.total}")
        if self.world.size not in self.state.ranks:
            self.state.ranks.append(self.world.size)
            self.progress.message(f"{self.job.stage.name}: computed by {self.state.ranks} processes in turn")

    def _found(self) -> dict[str, Any] | None:
        self.snapshot.sweep()
        return self.snapshot.load()

    def _save(self) -> None:
        now = time.monotonic()
        self.state.seconds += now - self.clock
        self.clock = now
        self.world.lead(self._write)

    def _write(self) -> None:
        self.snapshot.save({
            "learner": self.learner.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            **vars(self.state),
        })  # fmt: skip
        atomic_write(self.snapshot.folder / "log.jsonl", self.state.log)  # to look at meanwhile

    def _finish(self) -> Checkpoint:
        job, learner, state = self.job, self.learner, self.state
        if state.best_weights is not None:
            learner.backbone.load_state_dict(state.best_weights["backbone"])
            (name,) = job.tasks
            learner.module(name).load_state_dict(state.best_weights["module"])
        about = {
            "stage": job.stage.with_(tasks=tuple(job.tasks.values())).dump(),
            "backbone": job.backbone.dump(),
            "normalization": job.normalization.dump(),
            "seed": job.seed,
            "precision": job.precision,
            "threads": torch.get_num_threads(),
            "ranks": state.ranks,
            "torch": torch.__version__,
            "before": job.start.key,
            "images": {name: len(rows) for name, rows in job.rows.items()},
            "steps": self.total,
            "replayed": state.replayed,
            "minutes": (state.seconds + time.monotonic() - self.clock) / 60,
            "matrix": state.matrix,
            "best": {"valid": state.best, "turn": state.best_turn},
        }
        size = next(iter(job.rows.values())).stores[0].size
        metadata = {
            "size": f"{size[0]}x{size[1]}",
            "normalization": json.dumps(job.normalization.dump()),
            "key": job.key,
        }
        heads = {name: learner.module(name).head.state_dict() for name in job.tasks}
        made = Checkpoint.write(self.root, job.key, learner.backbone, heads, state.log, metadata, about)
        self.snapshot.drop()
        return made


def _copy(state: dict[str, Any]) -> dict[str, Any]:
    return {name: value.detach().clone() for name, value in state.items()}


def _compute(
    job: Job, corpus: Corpus, machine: Machine, root: Path, progress: Progress = SILENT
) -> Checkpoint:
    machine.settle()
    return _Run(job, corpus, machine, root, progress).run()


def run_stage(
    job: Job, corpus: Corpus, machine: Machine, root: Path, progress: Progress = SILENT
) -> Checkpoint:
    """The checkpoint of a job: found by key, resumed from a snapshot, or computed.

    Args:
        root: the folder of checkpoints.

    Raises:
        Busy: another process is computing this very stage.
        UserError: the loss is not finite; the disk is full.
    """
    found = Checkpoint.find(root, job.key)
    if found is not None:
        Snapshot(root, job.key).drop()  # a kill between the two leaves one behind
        return found
    folder = Snapshot(root, job.key).folder
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder / "lock", f"stage {job.stage.name}"):
        found = Checkpoint.find(root, job.key)  # it may have been finished a moment ago
        if found is not None:
            return found
        return together(_compute, job, corpus, machine, root, leader={"progress": progress})
