"""The whole main job, killed at random instants and begun again: it must end as if nothing had happened.

    python tests/faults/kill.py --n 200 --seed 0 [--operations 100] [--jobs 2] [--keep DIR]
    python tests/faults/kill.py --n 20 --signal TERM       a polite end, after which no step is computed twice
    python tests/faults/kill.py --n 5 --ranks 2            one process of several under torchrun

First an unbroken run. Then broken ones: the command's process group is killed at an instant that is uniform over the
time of the unbroken run, and the same command given again, which with a chance of 0.3 (``--again``) is killed as well,
up to three times in all, until it ends by itself. ``--operations M`` more runs are killed at a random file operation
instead. A phase that was hit less than ``--least`` times is then aimed at. Each run must end with the SHA-256 of the
unbroken one over weights, state (MoCo's queue and momentum encoder among it), predictions, log, results and store; no
kill may cost more than one step; no traceback, no process and nothing half-written may be left. Exit code 1 otherwise.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import driver
import killed_rank
import whole_job
from attempts import Attempt, Job, Kill, aimed

from muscle.interrupt import CONTINUE

MOST = 3  # kills of one run
TRIES = 20  # of one run to be hit at all, and for each hit that a phase lacks


@dataclass(frozen=True)
class Case:
    """One broken run: its number, which decides everything random, and what is killed: an instant, a phase, ..."""

    number: int
    aim: str  # "instant", "operation", or a phase


@dataclass(frozen=True)
class Outcome:
    """``hits``: the phase of each kill, with the seconds that the process had run."""

    case: Case
    hits: list[tuple[str, float]]
    attempts: int
    parts: dict[str, str]
    faults: list[str]

    @property
    def line(self) -> str:
        kills = "; ".join(f"{phase} {seconds:.1f} s" for phase, seconds in self.hits) or "not hit"
        verdict = ", ".join(self.faults) or "equal"
        case = f"{self.case.number:4} {self.case.aim}"
        return f"{case}: {kills} | {self.attempts} starts | {_digests(self.parts)} | {verdict}"


@dataclass(frozen=True)
class Campaign:
    """What all broken runs share. ``whole``: the unbroken run, and ``parts`` its digests."""

    root: Path
    job: Job
    seed: int
    again: float
    signal: int
    keep: bool
    whole: Attempt
    parts: dict[str, str]

    def run(self, case: Case) -> Outcome:
        """A broken run, from nothing; begun anew where it ended before the kill came."""
        rng = random.Random(f"{self.seed} {case.number} {case.aim}")
        for _ in range(TRIES):
            outcome = self._once(case, rng)
            if outcome.hits or outcome.faults:
                break
        return outcome

    def _once(self, case: Case, rng: random.Random) -> Outcome:
        place = self.root / f"broken-{case.number}"
        shutil.rmtree(place, ignore_errors=True)
        made: list[Attempt] = []
        while len(made) <= MOST:
            kill = None
            if not made or (len(made) < MOST and rng.random() < self.again):
                kill = self._kill(case.aim if not made else "instant", rng)
            made.append(self.job.start(place, len(made), kill))
            if made[-1].killed is None or made[-1].code == 0:
                break
        outcome = self._judged(case, place, made)
        if not self.keep and not outcome.faults:
            shutil.rmtree(place)
        return outcome

    def _kill(self, aim: str, rng: random.Random) -> Kill:
        if aim == "operation":
            return Kill(operation=rng.randint(1, int(self.whole.lines("operations")[0])))
        if aim != "instant":
            return self._by(aimed(self.whole.trace, aim, rng))
        if self.signal == signal.SIGKILL:
            return Kill(seconds=rng.random() * self.whole.seconds)
        began, ended = (
            self.whole.trace[0].when,
            self.whole.trace[-1].when,
        )  # before, Python itself takes the signal
        return self._by(Kill(line=1, seconds=rng.random() * (ended - began)))

    def _by(self, kill: Kill) -> Kill:
        return Kill(self.signal, kill.seconds, kill.line)

    def _judged(self, case: Case, place: Path, made: list[Attempt]) -> Outcome:
        faults = [fault for attempt in made for fault in attempt.faults]
        killed = [attempt for attempt in made if attempt.killed is not None and attempt.code != 0]
        hits = [(attempt.phase, attempt.seconds) for attempt in killed]
        polite = self.signal != signal.SIGKILL
        for attempt in killed:
            if attempt.code != (CONTINUE if polite and case.aim != "operation" else -signal.SIGKILL):
                faults.append(f"ended with {attempt.code}")
        parts: dict[str, str] = {}
        if made[-1].code != 0:
            faults.append(f"ended with {made[-1].code}: {(made[-1].said.splitlines() or ['no word'])[-1]}")
        else:
            parts = whole_job.fingerprint(place / "work")
            faults += [f"DIFFERENT {name}" for name in parts if parts[name] != self.parts[name]]
            faults += [f"left {name}" for name in whole_job.left_behind(place / "work")]
        again = sum(len(attempt.lines("step")) for attempt in made) - len(self.whole.lines("step"))
        if made[-1].code == 0 and again > (0 if polite else len(hits)):
            faults.append(f"{again} steps were computed again")
        return Outcome(case, hits, len(made), parts, faults)


def unbroken(root: Path, job: Job) -> tuple[Attempt, dict[str, str]]:
    """The run that all others are compared with.

    Raises:
        SystemExit: it fails by itself.
    """
    made = job.start(root / "unbroken", 0, None)
    left = whole_job.left_behind(root / "unbroken" / "work")
    if made.code or made.faults or left:
        raise SystemExit(f"the unbroken run ended with {made.code} {made.faults} {left}:\n{made.said}")
    return made, whole_job.fingerprint(root / "unbroken" / "work")


def broken(
    campaign: Campaign, n: int, operations: int, least: int, phases: Sequence[str], jobs: int
) -> Iterator[Outcome]:
    """All broken runs: ``n`` at instants, some at operations, then at phases until each has its hits."""
    hits: Counter[str] = Counter()
    aims = ["instant"] * n + ["operation"] * operations
    made = 0
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("fork")) as pool:
        while True:
            for outcome in pool.map(campaign.run, [Case(made + i, aim) for i, aim in enumerate(aims)]):
                hits.update(phase for phase, _ in outcome.hits)
                yield outcome
            made += len(aims)
            lacking = {phase: least - hits[phase] for phase in phases}
            aims = [phase for phase, number in lacking.items() for _ in range(number)]
            if not aims or made > n + operations + TRIES * least * len(phases):
                return


def _digests(parts: dict[str, str]) -> str:
    return " ".join(f"{name} {sha[:8]}" for name, sha in parts.items())


def main(words: list[str] | None = None) -> int:
    """The command; its exit code."""
    lines = (__doc__ or "").splitlines()
    parser = argparse.ArgumentParser(description=lines[0])
    parser.add_argument("--n", type=int, default=200, help="runs killed at uniform instants")
    parser.add_argument("--operations", type=int, default=0, help="runs killed at a random file operation")
    parser.add_argument("--least", type=int, default=10, help="kills in each phase; 0: wherever they fell")
    parser.add_argument("--phases", default=",".join(driver.PHASES), help="which phases those are")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--again", type=float, default=0.3, help="the chance that the next start is killed too"
    )
    parser.add_argument("--signal", choices=("KILL", "TERM", "INT", "USR1"), default="KILL")
    parser.add_argument(
        "--ranks", type=int, default=1, help="processes under torchrun, of which one is killed"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument(
        "--warm", action="store_true", help="fork from an interpreter that has imported everything"
    )
    parser.add_argument(
        "--sabotage", choices=driver.SABOTAGE, default="", help="a resume that must be found out"
    )
    parser.add_argument("--keep", type=Path, help="a folder for the runs, all of which stay")
    given = parser.parse_args(words)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as at Ctrl-C, what was started is ended
    root = given.keep or Path(tempfile.mkdtemp(prefix="kill-"))
    if root.exists() and any(root.iterdir()):
        parser.error(f"--keep {root}: not empty; give a new folder")
    whole_job.lay_out(root, whole_job.SHARED if given.ranks > 1 else whole_job.SMALLEST)
    if given.ranks > 1:
        return killed_rank.main(root, given.ranks, given.n, given.seed)
    job = Job(given.warm, given.sabotage)
    whole, parts = unbroken(root, job)
    print(f"unbroken: {whole.seconds:.1f} s, {whole.lines('operations')[0]} file operations")
    print("\n".join(f"  {name} {sha}" for name, sha in parts.items()), flush=True)
    number = getattr(signal, f"SIG{given.signal}")
    campaign = Campaign(root, job, given.seed, given.again, number, given.keep is not None, whole, parts)
    outcomes = []
    phases = [phase for phase in given.phases.split(",") if phase]
    for outcome in broken(campaign, given.n, given.operations, given.least, phases, given.jobs):
        print(outcome.line, flush=True)
        outcomes.append(outcome)
    code = told(outcomes, given.least, phases)
    if code == 0 and given.keep is None:
        shutil.rmtree(root)
    else:
        print(f"the runs lie in {root}")
    return code


def told(outcomes: list[Outcome], least: int, phases: list[str]) -> int:
    """Prints how often each phase was hit and how many runs failed; the exit code."""
    hits = Counter(phase for outcome in outcomes for phase, _ in outcome.hits)
    print("\nkills in each phase")
    for phase in dict.fromkeys([*phases, *hits]):
        print(f"  {phase:16} {hits[phase]}")
    bad = sum(bool(outcome.faults) for outcome in outcomes)
    short = [phase for phase in phases if hits[phase] < least]
    print(f"{len(outcomes)} broken runs, {hits.total()} kills: {len(outcomes) - bad} equal, {bad} not")
    if short:
        print(f"fewer than {least} kills in {', '.join(short)}")
    return 1 if bad or short else 0


if __name__ == "__main__":
    sys.exit(main())
