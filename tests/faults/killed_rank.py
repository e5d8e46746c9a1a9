"""The whole main job by several processes under torchrun, of which one is killed at a random instant.

torchrun then ends the others and starts all of them again; the end must be that of an unbroken run of as many.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import driver
import whole_job
from attempts import ENVIRONMENT, PATIENCE, read_trace

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
import agents

RESTARTS = 3
TRIES = 5  # of one run to be hit at all


@dataclass(frozen=True)
class Ended:
    """How it ended; ``hit``: the phase of rank 0 at the kill, empty where all had ended before."""

    code: int
    seconds: float  # from where the first rank began
    hit: str
    parts: dict[str, str]
    left: list[str]


def run(place: Path, size: int, number: int = 0, after: float | None = None) -> Ended:
    """The job on ``size`` ranks; ``number`` is killed ``after`` so many seconds from where the first rank began."""
    work, trace = place / "work", place / "trace"
    work.mkdir(parents=True)
    launch = [
        "-m",
        "torch.distributed.run",
        "--standalone",
        f"--nproc-per-node={size}",
        f"--max-restarts={RESTARTS}",
    ]
    words = [driver.__file__, str(trace), "--", *whole_job.COMMAND]
    first = trace.with_name("trace.0.0")
    with (place / "output").open("wb") as output:
        agent = subprocess.Popen([sys.executable, *launch, *words], cwd=work, env=os.environ | ENVIRONMENT,
                                 stdout=output, stderr=output, start_new_session=True)  # fmt: skip
        while not first.exists() and agent.poll() is None:
            time.sleep(0.01)
        begun, hit = time.monotonic(), ""
        if after is not None:
            time.sleep(after)
            try:
                os.kill(agents.rank(agent.pid, number), signal.SIGKILL)
                hit = [line.phase for line in read_trace(first)][-1]
            except (AssertionError, FileNotFoundError, ProcessLookupError):  # it has ended
                pass
        try:
            code = agent.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(agent.pid, signal.SIGKILL)
            code = agent.wait()
    seconds = time.monotonic() - begun
    if code:
        return Ended(code, seconds, hit, {}, [])
    return Ended(code, seconds, hit, whole_job.fingerprint(work), whole_job.left_behind(work))


def main(root: Path, size: int, n: int, seed: int) -> int:
    """Prints the unbroken run and ``n`` broken ones; the exit code."""
    whole = run(root / "unbroken", size)
    if whole.code or whole.left:
        raise SystemExit(
            f"the unbroken run ended with {whole.code}, left {whole.left}; see {root}/unbroken/output"
        )
    print(f"unbroken, {size} ranks: {whole.seconds:.1f} s")
    print("\n".join(f"  {name} {sha}" for name, sha in whole.parts.items()), flush=True)
    bad = 0
    for case in range(n):
        rng = random.Random(f"{seed} {case} {size}")
        for _ in range(TRIES):
            shutil.rmtree(root / f"broken-{case}", ignore_errors=True)
            rank, after = rng.randrange(size), rng.random() * whole.seconds
            made = run(root / f"broken-{case}", size, rank, after)
            if made.hit or made.code:
                break
        faults = [f"ended with {made.code}"] if made.code else []
        faults += ["not hit"] if not made.hit else []
        faults += [f"DIFFERENT {name}" for name in made.parts if made.parts[name] != whole.parts[name]]
        faults += [f"left {name}" for name in made.left]
        bad += bool(faults)
        digests = " ".join(f"{name} {sha[:8]}" for name, sha in made.parts.items())
        verdict = ", ".join(faults) or "equal"
        print(f"{case:4} rank {rank} after {after:.1f} s, {made.hit} | {digests} | {verdict}", flush=True)
    print(f"{n} broken runs on {size} ranks: {n - bad} equal, {bad} not")
    return 1 if bad else 0
