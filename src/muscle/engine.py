"""The engine: runs one stage from a start to a checkpoint.

Pre-training, continual learning and fine-tuning are this loop on different values.
"""

from __future__ import annotations

import json
import time
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from muscle.batch_norm import synchronize
from muscle.busy import exclusive
from muscle.checkpoint import Checkpoint
from muscle.data.corpus import Corpus
from muscle.data.sampling import seed_of
from muscle.distributed import together, world
from muscle.errors import UserError
from muscle.feed import Feed, Ready
from muscle.interrupt import Interrupted, deferred
from muscle.job import Job
from muscle.learner import Learner
from muscle.looks import Looks
from muscle.machine import DTYPES, Machine, differences
from muscle.memory import told
from muscle.monitor import Monitor
from muscle.optim import Position, set_rates
from muscle.paths import atomic_write
from muscle.progress import SILENT, Progress
from muscle.snapshot import Snapshot, fingerprint
from muscle.tally import Tally
from muscle.tensorboard import Events
from muscle.types import Turn
from muscle.watchdog import Watchdog

SELECT_CASES = 2_000  # validation images that choose the best epoch
LOG_STEPS = 10  # a log line every so many steps; of several ranks also a look whether one was asked to end


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
    skipped: list[int] = field(default_factory=list)  # steps that were not taken: not finite
    surroundings: list[dict[str, str]] = field(default_factory=list)  # each that it was computed under


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
        self.monitor = Monitor(corpus, job.normalization, self.device, progress.message)
        self.looks = Looks(job, self.turns, self.learner, self.monitor, progress)
        self.state = _State(surroundings=[machine.surroundings()])
        self.tally = Tally()
        self.watchdog = Watchdog(self.learner, bool(job.stage.skips), self.snapshot.folder)
        self.clock = time.monotonic()

    def _new_optimizer(self) -> torch.optim.Optimizer:
        learner = self.learner
        return self.job.stage.optimizer.build(learner.backbone, learner.others(), learner.penalized())

    # --- the loop -------------------------------------------------------------------------------------------

    def run(self) -> Checkpoint:
        with deferred() as self.asked:
            self._resume()
            curves = self.root / "tensorboard" / f"{self.job.stage.name}-{self.job.key[:8]}"
            with (
                closing(Events(curves, self.state.log)) if self.world.leads else nullcontext() as self.events
            ):
                self._train()
            made = self.world.lead(self._finish)
        if self.asked() and self.world.leads:  # too late for this stage, which is finished
            raise Interrupted
        return made

    def _train(self) -> None:
        self.learner.begin_training()
        if not self.state.matrix:
            self._look(None)
        for turn in self.turns[self.state.turn :]:
            if self.state.step == 0:
                if self.job.stage.optimizer_state == "reset":
                    self.optimizer = self._new_optimizer()
                self.learner.begin_turn(turn)
            self._steps(turn)
            torch.manual_seed(seed_of(self.job.seed, self.job.stage.name, turn.index, "end"))
            self.learner.end_turn(turn, self.feed.films)
            self.state.trained += [task for task in turn.tasks if task not in self.state.trained]
            self._look(turn)
            self.state.turn, self.state.step = turn.index + 1, 0
            self._save()
            self._end_if_asked()

    def _steps(self, turn: Turn) -> None:
        job = self.job
        done_before = sum(t.steps for t in self.turns[: turn.index])
        with self.feed.batches(turn, self.state.step) as ready:
            for step, parts in enumerate(ready, start=self.state.step):
                task = turn.task_at(step)
                torch.manual_seed(seed_of(job.seed, job.stage.name, turn.index, step))
                rate = set_rates(self.optimizer, job.stage.curve.factor(self._position(turn, step)))
                self.watchdog.before(task)
                with self._room(task):
                    losses = self._backward(task, step, parts)
                    self.world.sum_gradients(self.learner.parameters())
                    sound = self.watchdog.sound(losses, self.scaler)
                    if sound:
                        self.scaler.step(self.optimizer)
                        self.tally.add(task, losses)
                    else:
                        self._skip(task, done_before + step + 1, losses, parts)
                self.scaler.update()
                # None, not zero: with zeros, momentum and decay would move the heads whose task is not training.
                self.optimizer.zero_grad(set_to_none=True)
                if sound:
                    self.learner.module(task).after_step(self.learner.backbone)
                self.state.step = step + 1
                self.state.replayed += parts[0][1] is not None
                logged = step % LOG_STEPS + 1 == LOG_STEPS or step + 1 == turn.steps
                if logged:
                    self._log_losses(turn, step, rate)
                    self.progress.count(job.stage.name, done_before + step + 1, self.total, "steps")
                if logged or self.world.size == 1:  # between two lines each rank has sums of its own
                    if step + 1 < turn.steps and self.world.lead(self._due):
                        self._save()
                    self._end_if_asked(save=True)

    def _skip(self, task: str, done: int, losses: dict[str, torch.Tensor], parts: list[Ready]) -> None:
        """Leaves a step out, or ends the stage where it allows for no more of them."""
        batches = [batch for part, again in parts for batch in (part, again[1] if again else None) if batch]
        stage, skipped = self.job.stage, self.state.skipped
        place = f"stage {stage.name}: task {task}, step {done} of {self.total}"
        said = f"{place}: {self.watchdog.report(done, losses, batches)}"
        if len(skipped) >= stage.skips:
            left = (
                f"{len(skipped)} steps were left out before, as skips={stage.skips} allows"
                if skipped
                else ("skips=N of the stage leaves out N such steps")
            )
            raise UserError(
                f"{said}; no weight was moved by it: lower optimizer.rate, use precision=float32, or look at these "
                f"films ({left})"
            )
        skipped.append(done)
        self.progress.message(f"warning: {said}; the step is left out, {len(skipped)} of {stage.skips}")
        self.watchdog.undo(task)

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

    def _end_if_asked(self, save: bool = False) -> None:
        """Ends, on every rank, where a signal has asked one of them to."""
        asked = bool(self.asked())
        if self.world.size > 1:
            asked = bool(self.world.sum(torch.tensor(float(asked), device=self.device)))
        if not asked:
            return
        if save:
            self._save()
        if self.state.turn < len(self.turns):
            self.progress.message(f"{self.job.stage.name}: saved at step {self._done()} of {self.total}")
            raise Interrupted

    def _done(self) -> int:
        return sum(t.steps for t in self.turns[: self.state.turn]) + self.state.step

    def _position(self, turn: Turn, step: int) -> Position:
        mine = [t for t in self.turns if t.round == turn.round]
        return Position(
            turn=(step, turn.steps),
            round=(step + sum(t.steps for t in mine if t.index < turn.index), sum(t.steps for t in mine)),
            stage=(step + sum(t.steps for t in self.turns[: turn.index]), self.total),
        )

    # --- boundaries -----------------------------------------------------------------------------------------

    def _look(self, turn: Turn | None) -> None:
        first = self.state.matrix[0].get("features", {}) if self.state.matrix else {}
        entry = self.looks.entry(turn, self.state.trained, first)
        if turn and self.job.stage.select == "best":
            self._select(entry, turn.index)
        self.state.matrix.append(entry)
        self._log({**{k: v for k, v in entry.items() if k != "features"}, **entry.get("features", {})})

    def _select(self, entry: dict[str, Any], index: int) -> None:
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

    def _log_losses(self, turn: Turn, step: int, rate: float) -> None:
        done = sum(t.steps for t in self.turns[: turn.index]) + step + 1
        for task, losses in self.tally.means(self.world).items():
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
        try:
            self.learner.load_state_dict(found.pop("learner"))
            self.optimizer.load_state_dict(found.pop("optimizer"))
            self.scaler.load_state_dict(found.pop("scaler"))
            self.tally = Tally(found.pop("tally"))
            self.state = _State(**found)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise UserError(
                f"{self.snapshot.file}: not of this stage as this version builds it ({str(error).splitlines()[0]}); "
                f"finish it with the version that began it, or remove {self.snapshot.folder} to start this stage again"
            ) from None
        stage = self.job.stage.name
        self.progress.message(f"{stage}: resumed at step {self._done()} of {self.total}")
        now, before = self.machine.surroundings(), self.state.surroundings
        if now != before[-1]:
            self.progress.message(
                f"warning: {stage}: goes on under other conditions ({differences(before[-1], now)}); its bits are not "
                "those of an unbroken run, and the results say so"
            )
            before.append(now)

    def _found(self) -> dict[str, Any] | None:
        self.snapshot.sweep()
        return self.snapshot.load(self.progress.message)

    def _save(self) -> None:
        now = time.monotonic()
        self.state.seconds += now - self.clock
        self.clock = now
        self.world.lead(self._write)

    def _write(self) -> None:
        self.snapshot.save({**self._moving(), "tally": self.tally.state(), **vars(self.state)})
        atomic_write(self.snapshot.folder / "log.jsonl", self.state.log)  # to look at meanwhile

    def _moving(self) -> dict[str, Any]:
        """Everything that a step changes, but for what is said of it."""
        return {
            "learner": self.learner.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def _finish(self) -> Checkpoint:
        job, learner, state = self.job, self.learner, self.state
        last = fingerprint(self._moving())
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
            "surroundings": state.surroundings,
            "state_sha256": last,
            "skipped": state.skipped,
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
        Interrupted: a signal asked for the end; a snapshot is saved.
        UserError: a loss or gradient is not finite; the disk is full; no snapshot that is there is whole.
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
            Snapshot(root, job.key).drop()
            return found
        return together(_compute, job, corpus, machine, root, leader={"progress": progress})
