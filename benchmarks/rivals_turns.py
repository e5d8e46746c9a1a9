"""Two sides of a comparison, each in processes of its own, which take turns and stand still between them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import statistics
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

import torch

from muscle.machine import Machine

Steps = Callable[[], Iterator[int]]  # sets a side up, then gives the images of each of its steps
PATIENCE = 20.0  # seconds that a side has to end by itself
LOOK = 0.2  # seconds between two looks at the memory, in the turn that does not count
MB = 1e6


class Side:
    """One side: a process with its workers, stopped by signal while it is not its turn.

    A loader that reads ahead would else fill its buffers, and take the processor, in the other side's turn.
    """

    def __init__(self, steps: Steps, settle: Callable[[], None]) -> None:
        """``settle`` sets the process up before the first step."""
        context = multiprocessing.get_context("spawn")
        self.pipe, end = context.Pipe()
        self.process = context.Process(target=_serve, args=(end, steps, settle))
        self.process.start()
        end.close()
        self.held = 0.0  # bytes, the most seen
        self.on_device = 0.0  # the most that PyTorch had of a GPU

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Lets the process and its workers go on and end; kills what does not."""
        self.pipe.close()
        with suppress(ProcessLookupError):  # it has not made its group yet, or is over
            os.killpg(self._pid, signal.SIGCONT)
        self.process.join(PATIENCE)
        with suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)
        self.process.kill()
        self.process.join()

    @property
    def _pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def ready(self) -> None:
        """Waits for the first step.

        Raises:
            ModuleNotFoundError, RuntimeError: what kept the side from it.
        """
        self._answer()
        os.killpg(self._pid, signal.SIGSTOP)

    def turn(self, seconds: float, least: int, watched: bool = False) -> float:
        """Images a second over at least so many seconds and steps; ``watched`` looks at the memory meanwhile."""
        self.pipe.send((seconds, least))
        os.killpg(self._pid, signal.SIGCONT)
        while watched and not self.pipe.poll(LOOK):
            self.held = max(self.held, held(self._pid))
        images, took, self.on_device = self._answer()
        self.held = max(self.held, held(self._pid))
        os.killpg(self._pid, signal.SIGSTOP)
        return float(images / took)

    def _answer(self) -> Any:
        answer = self.pipe.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def memory(self) -> dict[str, int]:
        """In MB, where it can be told."""
        found = {"MB": self.held / MB, "GPU MB": self.on_device / MB}
        return {name: round(value) for name, value in found.items() if value}


def _serve(pipe: Connection, steps: Steps, settle: Callable[[], None]) -> None:
    os.setpgid(0, 0)
    settle()
    try:
        running = steps()
        next(running)
    except ModuleNotFoundError as error:
        return pipe.send(error)
    except Exception:
        return pipe.send(RuntimeError(traceback.format_exc()))
    pipe.send("ready")
    with suppress(EOFError, BrokenPipeError):  # the other end is closed
        while True:
            pipe.send(_run(running, *pipe.recv()))


def _run(running: Iterator[int], seconds: float, least: int) -> tuple[int, float, int]:
    """Images, the seconds that they took, and bytes of a GPU."""
    start, images, done = time.perf_counter(), 0, 0
    while done < least or time.perf_counter() - start < seconds:
        images += next(running)
        done += 1
    if not torch.cuda.is_initialized():
        return images, time.perf_counter() - start, 0
    torch.cuda.synchronize()
    return images, time.perf_counter() - start, torch.cuda.max_memory_allocated()


def held(group: int) -> float:
    """Bytes that the processes of a group hold for themselves, what they share counted once; 0 where untold.

    Pages of mapped files are left out: they are the system's cache.
    """
    total = 0
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(entry.name)) == group:
                lines = (entry / "smaps_rollup").read_text().splitlines()
                total += sum(int(r.split()[1]) for r in lines if r.startswith(("Pss_Anon:", "Pss_Shmem:")))
        except OSError:  # it has just ended
            continue
    return total * 1024.0


def plain(machine: Machine) -> None:
    """As torch comes, but for the number of threads, and denormal numbers flushed to zero as ours are."""
    torch.set_num_threads(machine.thread_count())
    torch.set_flush_denormal(True)


def in_turns(
    ours: Steps, theirs: Steps, machine: Machine, seconds: float, least: int, repeats: int
) -> dict[str, Any]:
    """Both sides in images a second, and their ratio, after a step of each that does not count."""
    with ExitStack() as stack:
        ways = (ours, machine.settle), (theirs, partial(plain, machine))
        sides = [stack.enter_context(Side(steps, settle)) for steps, settle in ways]
        for side in sides:
            side.ready()
        for side in sides:
            side.turn(0.0, 1, watched=True)
        pairs = [[side.turn(seconds, least) for side in sides] for _ in range(repeats)]
        memory = [
            {f"{who} {what}": n for what, n in side.memory().items()}
            for who, side in zip(("our", "their"), sides, strict=True)
        ]
    ratios = sorted(mine / other for mine, other in pairs)
    return {
        "repeats": repeats,
        "ours": statistics.median(mine for mine, _ in pairs),
        "theirs": statistics.median(other for _, other in pairs),
        "ratio": statistics.median(ratios), "low": ratios[0], "high": ratios[-1],
        **memory[0], **memory[1],
    }  # fmt: skip
