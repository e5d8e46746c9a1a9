"""One start of the job: as a process group of its own, killed or not, and what its trace says of its end."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import driver
import whole_job

import muscle

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", "MUSCLE_OFFLINE": "1", "MUSCLE_SALT": "salt of the tests",
    "PYTHONPATH": str(Path(muscle.__file__).parents[1]),
}  # fmt: skip
PATIENCE = 600.0  # seconds that a start may take; a run that hangs is a failure


@dataclass(frozen=True)
class Line:
    """Of a trace: ``when`` in seconds of the monotonic clock, what was said, and the phase from here to the next."""

    when: float
    said: str
    phase: str


@dataclass(frozen=True)
class Kill:
    """When and how: ``seconds`` after the process began, or after ``line`` of its trace; or at a file operation."""

    signal: int = signal.SIGKILL
    seconds: float = 0.0
    line: int = 0
    operation: int = 0


@dataclass
class Attempt:
    """How one start ended; ``killed``: when, of the monotonic clock, or None where it had ended by itself before."""

    code: int
    killed: float | None
    trace: list[Line]
    said: str
    seconds: float
    faults: list[str] = field(default_factory=list)

    @property
    def phase(self) -> str:
        """What it was at when it was killed."""
        before = [line.phase for line in self.trace if self.killed is None or line.when <= self.killed]
        return before[-1] if before else "imports"

    def lines(self, kind: str) -> list[str]:
        """What the trace says after such a word."""
        return [line.said.partition(" ")[2] for line in self.trace if line.said.startswith(f"{kind} ")]


@dataclass(frozen=True)
class Job:
    """How the command is started. ``warm``: forked from this interpreter, which has imported everything already."""

    warm: bool = False
    sabotage: str = ""

    def start(self, place: Path, number: int, kill: Kill | None) -> Attempt:
        """In ``place/work``, whatever lies there; its trace and output beside it."""
        work, trace = place / "work", place / f"trace-{number}"
        work.mkdir(parents=True, exist_ok=True)
        operation = kill.operation if kill else 0
        begun = time.monotonic()
        with (place / f"output-{number}").open("wb") as output:
            begin = self._fork if self.warm else self._spawn
            pid = begin(work, trace, operation, output.fileno())
        end = begun + PATIENCE
        faults = []
        try:
            killed = _killed(pid, trace, kill, begun) if kill and not operation else None
            while not _ended(pid) and time.monotonic() < end:
                time.sleep(0.005)
            if not _ended(pid):
                faults.append(f"did not end within {PATIENCE:g} s")
        finally:  # also where the campaign itself is ended
            if not _ended(pid):
                os.killpg(pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        taken = time.monotonic() - begun
        faults += _group_left(pid)
        said = (place / f"output-{number}").read_text(errors="replace")
        if "Traceback (most recent call last)" in said:
            faults.append(f"a traceback in output-{number}")
        if operation and code == -signal.SIGKILL:
            killed = time.monotonic()
        return Attempt(code, killed, list(read_trace(trace)), said, taken, faults)

    def _words(self, trace: Path, operation: int) -> list[str]:
        here = Path(driver.__file__)
        sabotage = ["--sabotage", self.sabotage] if self.sabotage else []
        return [str(here), str(trace), "--at-operation", str(operation), *sabotage, "--", *whole_job.COMMAND]

    def _spawn(self, work: Path, trace: Path, operation: int, output: int) -> int:
        return subprocess.Popen(
            [sys.executable, *self._words(trace, operation)], cwd=work, env=os.environ | ENVIRONMENT,
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
        ).pid  # fmt: skip

    def _fork(self, work: Path, trace: Path, operation: int, output: int) -> int:
        sys.stdout.flush()
        if pid := os.fork():
            os.setpgid(pid, pid)  # here and there: whoever comes first
            return pid
        code = 1
        try:
            os.setpgid(0, 0)
            os.chdir(work)
            os.environ.update(ENVIRONMENT)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(output, 1)
            os.dup2(output, 2)
            driver.run(trace, list(whole_job.COMMAND), operation, self.sabotage)
        except SystemExit as ended:
            code = int(ended.code or 0)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)


def read_trace(file: Path) -> Iterator[Line]:
    """Its whole lines, each with the innermost phase that holds from there on."""
    inside = ["imports"]
    for line in file.read_text().split("\n")[:-1] if file.exists() else ():
        when, _, said = line.partition(" ")
        word, _, rest = said.partition(" ")
        if word == "enter":
            inside.append(rest)
        elif word == "leave":
            inside.pop()
        yield Line(float(when), said, inside[-1])


def aimed(whole: list[Line], phase: str, rng: random.Random) -> Kill:
    """An instant within a phase, uniform over the time that an unbroken run is in it."""
    stretches = [(i, after.when - line.when) for i, (line, after) in enumerate(zip(whole, whole[1:], strict=False), 1)
                 if line.phase == phase]  # fmt: skip
    ((line, seconds),) = rng.choices(stretches, [taken for _, taken in stretches])
    return Kill(line=line, seconds=rng.random() * seconds)


def _killed(pid: int, trace: Path, kill: Kill, begun: float) -> float | None:
    """When; None where it has ended before."""
    if kill.line:
        while not _ended(pid) and time.monotonic() < begun + PATIENCE:
            if trace.exists() and trace.read_bytes().count(b"\n") >= kill.line:
                break
            time.sleep(0.001)
        begun = time.monotonic()
    while not _ended(pid) and (left := begun + kill.seconds - time.monotonic()) > 0:
        time.sleep(min(left, 0.005))
    if _ended(pid):
        return None
    now = time.monotonic()
    os.killpg(pid, kill.signal)
    return now


def _ended(pid: int) -> bool:
    """Whether it has; it stays to be waited for."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _group_left(pid: int) -> list[str]:
    """Workers end with their parent, however it ended."""
    for _ in range(200):
        try:
            os.killpg(pid, 0)
        except ProcessLookupError:
            return []
        time.sleep(0.05)
    os.killpg(pid, signal.SIGKILL)
    return ["processes were left"]
