"""The muscle command with a trace of where it is, and an end at a chosen file operation.

    python tests/faults/driver.py TRACE [--at-operation N] [--sabotage queue] -- run recipe.yaml --data data.yaml ...

The command is the real one, in the current folder. Around some of its functions a line is appended to TRACE as they are
entered and left, so that whoever kills this process knows afterwards what it was at. Snapshots are asked for after
every step. Operations are files opened for writing, flushed to the disk, renamed and removed, and folders made and
removed, below the current folder: instead of the N-th the whole process group is killed.
"""

from __future__ import annotations

import argparse
import functools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from muscle import api, engine, grid
from muscle.cli import main as cli
from muscle.data import corpus
from muscle.learner import Learner
from muscle.machine import Machine

STAGES = ("pretrain", "continual", "finetune")
PHASES = ("prepare", *STAGES, "turn change", "snapshot write", "checkpoint write", "evaluation", "report")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link")
SABOTAGE = ("", "queue")  # the second resumes without the films that MoCo's queue holds: bits must differ


class Trace:
    """The time, and ``enter PHASE``, ``leave PHASE``, ``step STAGE TURN STEP``, ``operations N``."""

    def __init__(self, file: Path) -> None:
        """Under torchrun each rank of each attempt has its own file."""
        if rank := os.environ.get("RANK"):
            file = file.with_name(f"{file.name}.{os.environ['TORCHELASTIC_RESTART_COUNT']}.{rank}")
        self.handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def say(self, line: str) -> None:
        """Straight to the file, where it stays whatever happens to the process."""
        os.write(self.handle, f"{time.monotonic():.6f} {line}\n".encode())

    def around(self, owner: Any, name: str, phase: str | Callable[[Any], str]) -> None:
        """Two lines around a function; what several threads do is not told apart, so the main one alone speaks."""
        real = getattr(owner, name)

        @functools.wraps(real)
        def traced(*given: Any, **named: Any) -> Any:
            if threading.current_thread() is not threading.main_thread():
                return real(*given, **named)
            place = phase if isinstance(phase, str) else phase(given[0])
            self.say(f"enter {place}")
            try:
                return real(*given, **named)
            finally:
                self.say(f"leave {place}")

        setattr(owner, name, traced)

    def before(self, owner: Any, name: str, line: Callable[..., str]) -> None:
        """A line ahead of a function, made of its arguments."""
        real = getattr(owner, name)

        @functools.wraps(real)
        def told(*given: Any, **named: Any) -> Any:
            self.say(line(*given, **named))
            return real(*given, **named)

        setattr(owner, name, told)


def watch(trace: Trace) -> None:
    """Puts the trace around what the command does."""
    run: Any = engine._Run
    trace.before(
        run, "_backward", lambda of, task, step, _: f"step {of.job.stage.name} {of.state.turn} {step}"
    )
    trace.around(cli, "app", "between")
    trace.around(corpus, "prepare", "prepare")
    trace.around(run, "run", lambda of: str(of.job.stage.name).partition("-")[0])
    for owner, name in ((run, "_look"), (Learner, "begin_turn"), (Learner, "end_turn")):
        trace.around(owner, name, "turn change")
    trace.around(run, "_write", "snapshot write")
    trace.around(run, "_finish", "checkpoint write")
    trace.around(grid, "run_cell", "evaluation")
    trace.around(api, "_finished", "report")


class Operations:
    """Counts what changes files below a folder; instead of the last one the process group is killed."""

    def __init__(self, root: Path, last: int) -> None:
        """``last``: from 1; 0: counted alone."""
        self.root, self.last, self.count = f"{root}{os.sep}", last, 0
        sys.addaudithook(self.hear)
        self.flush, os.fsync = os.fsync, self.fsync

    def hear(self, event: str, given: tuple[Any, ...]) -> None:
        """An audit event comes before what it tells of."""
        if event in CHANGES or (event == "open" and given[2] & WRITING):
            path = given[0]
            if isinstance(path, (str, bytes, os.PathLike)) and os.path.abspath(os.fsdecode(path)).startswith(
                self.root
            ):
                self.next()

    def fsync(self, handle: int) -> None:
        """As ``os.fsync``, which has no audit event."""
        self.next()
        self.flush(handle)

    def next(self) -> None:
        """One more."""
        self.count += 1
        if self.count == self.last:
            os.killpg(0, signal.SIGKILL)
            signal.pause()


def forget_the_queue() -> None:
    """A broken resume."""
    real = Learner.load_state_dict

    def load(self: Learner, state: Mapping[str, Any], *given: Any) -> Any:
        kept = {n: torch.zeros_like(v) if n.endswith("queue") else v for n, v in state.items()}
        return real(self, kept, *given)

    Learner.load_state_dict = load  # type: ignore[assignment]


def run(trace_file: Path, words: list[str], at_operation: int = 0, sabotage: str = "") -> None:
    """Runs the command to its end, ``SystemExit``."""
    trace = Trace(trace_file)
    engine.LOG_STEPS = 1
    Machine.model_fields["snapshot_minutes"].default = 1e-9
    Machine.model_rebuild(force=True)
    watch(trace)
    if sabotage:
        forget_the_queue()
    operations = Operations(Path.cwd(), at_operation)
    sys.argv = ["muscle", *words]
    try:
        cli.main()
    finally:
        trace.say(f"operations {operations.count}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("trace", type=Path)
    parser.add_argument("--at-operation", type=int, default=0)
    parser.add_argument("--sabotage", choices=SABOTAGE, default="")
    parser.add_argument("words", nargs="+")
    given = parser.parse_args()
    run(given.trace.absolute(), given.words, given.at_operation, given.sabotage)
