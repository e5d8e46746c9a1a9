"""Processes that decode, within bounds of memory and time, and what happens when one dies.

Codecs are C code fed with other people's files: one that crashes takes its process down, one that does not end is
killed. The files that were being worked on are then tried again, each in a process of its own, and the one that it
happens to again is left out, with the reason.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import cv2

from muscle.data.film import Film, Job, film
from muscle.data.grey import reason
from muscle.errors import UserError
from muscle.interrupt import SIGNALS
from muscle.network import keep_offline

J = TypeVar("J")
R = TypeVar("R")

CHUNK = 4  # files sent to a worker at once: what it costs to send one is a tenth of decoding it
AHEAD = 8  # files worked on ahead of the one whose result is next, per worker


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may take: ``seconds`` of time, ``memory`` bytes of a process (where the system can bound it)."""

    seconds: float = 120.0
    memory: int = 2**30


LIMITS = Limits()


def films(jobs: Sequence[Job], workers: int, limits: Limits = LIMITS) -> Iterator[Film | str]:
    """The film of each job, or the reason why there is none; in order.

    Args:
        jobs: what to decode.
        workers: processes; 0: decode in this one, without bounds, where a crash of a codec ends the program.
        limits: of one file in a process.
    """
    return mapped(film, jobs, workers, limits)


def bounded(function: Callable[[J], R], job: J, limits: Limits = LIMITS) -> R:
    """``function(job)``, worked out in a process of its own.

    Raises:
        UserError: what ``function`` says, or that its process died or took too long.
    """
    (made,) = _alone(partial(_kept, function), [job], limits)
    if isinstance(made, str):
        raise UserError(f"{job}: {made}")
    if isinstance(made, UserError):
        raise made
    return made[0]


def _kept(function: Callable[[J], R], job: J) -> tuple[R] | UserError:
    try:
        return (function(job),)
    except UserError as error:
        return error


def _several(function: Callable[[J], R], jobs: Sequence[J]) -> list[R | str]:
    return [_contained(function, job) for job in jobs]


def _contained(function: Callable[[J], R], job: J) -> R | str:
    """Whatever is raised, as words: panics of codecs in Rust are no ``Exception``, and not all errors can be sent."""
    try:
        return function(job)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        return reason(error)


def mapped(
    function: Callable[[J], R], jobs: Sequence[J], workers: int, limits: Limits = LIMITS
) -> Iterator[R | str]:
    """``function`` of each job, in order, or the reason why there is none: what it raised, or that its process died.

    Args:
        function: importable, and so is what it returns.
        jobs: can be sent to a process.
        workers: processes; 0: all in this one.
        limits: of one job in a process.
    """
    if workers < 1:
        yield from (_contained(function, job) for job in jobs)
        return
    done = 0
    while done < len(jobs):
        for made in _together(function, jobs[done:], workers, limits):
            done += 1
            yield made
        hit = jobs[done : done + workers * AHEAD]  # none unless a process died
        for made in _alone(function, hit, limits):
            done += 1
            yield made


def _together(
    function: Callable[[J], R], jobs: Sequence[J], workers: int, limits: Limits
) -> Iterator[R | str]:
    """In a pool; ends early when a process dies or does not end."""
    waiting: deque[Future[list[R | str]]] = deque()
    seconds = limits.seconds * CHUNK
    with _pool(min(workers, len(jobs)), limits, function) as pool:
        try:
            for start in range(0, len(jobs), CHUNK):
                with main_hidden():
                    several = [jobs[i] for i in range(start, min(start + CHUNK, len(jobs)))]
                    waiting.append(pool.submit(_several, function, several))
                if len(waiting) * CHUNK >= workers * AHEAD:
                    yield from waiting.popleft().result(seconds)
            while waiting:  # the first one waiting is being worked on: all before it have ended
                yield from waiting.popleft().result(seconds)
        except BrokenProcessPool:
            return
        except TimeoutError:
            _kill(pool)


def _alone(function: Callable[[J], R], jobs: Sequence[J], limits: Limits) -> Iterator[R | str]:
    """One by one in a process that is replaced when it dies."""
    left = deque(jobs)
    while left:
        with _pool(1, limits, function) as pool:
            while left:
                job = left.popleft()
                try:
                    with main_hidden():
                        waiting = pool.submit(_contained, function, job)
                    yield waiting.result(limits.seconds)
                except BrokenProcessPool:
                    yield "the decoder crashed on this file"
                    break
                except TimeoutError:
                    _kill(pool)
                    yield f"decoding took more than {limits.seconds:g} s"
                    break


def _kill(pool: ProcessPoolExecutor) -> None:
    """Ends the processes of a pool, whatever they are at; the executor itself can only wait for them."""
    for process in list((pool._processes or {}).values()):
        process.kill()


@contextmanager
def _pool(workers: int, limits: Limits, function: Callable[[J], R]) -> Iterator[ProcessPoolExecutor]:
    context = multiprocessing.get_context("spawn")  # forking a process that has threads (torch) may hang
    # The function goes along so that what it imports is there before memory is bounded
    begin = (limits.memory, function)
    with main_hidden(), _deaf():  # Python's own helper process starts here
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=begin)
    try:
        with main_hidden():
            try:  # all start at once: a pool starts one for each job that finds none idle
                with _deaf():
                    asked = [pool.submit(os.getpid) for _ in range(workers)]
                next(as_completed(asked)).result()
            except BrokenProcessPool:
                raise UserError(
                    "decoding processes cannot start here; give workers=0 to decode without them"
                ) from None
        yield pool
    except KeyboardInterrupt:
        _kill(pool)  # they are deaf to it, and what they decode may take minutes
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes that start now never hear Ctrl-C and its like, sent to all: each would print a traceback."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*SIGNALS} - {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def main_hidden() -> Iterator[None]:
    """Keeps processes that start now from running the user's script again: all they need can be imported.

    Nor do they import what lies in the folder that the command was given in: Python would look there first, and a
    folder of films may hold a file that is called like one of its modules.
    """
    safe = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    main = vars(sys.modules["__main__"])
    kept = {name: main.pop(name) for name in list(main) if name in ("__file__", "__spec__")}
    main["__spec__"] = None
    try:
        yield
    finally:
        main.update(kept)
        if safe is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = safe


def _begin(memory: int, _: Callable[[J], R]) -> None:
    """In a new worker: one thread, bounded memory, no output, and an end when the parent is gone, however it went."""
    keep_offline()
    cv2.setNumThreads(1)
    with open(
        os.devnull, "wb"
    ) as nowhere:  # libtiff and others print; what is wrong with a file is in its reason
        os.dup2(nowhere.fileno(), 2)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent.join,), daemon=True).start()
    _bound(memory)


def _bound(memory: int) -> None:
    """Lets this process grow to ``memory`` bytes. What is over that fails as a MemoryError.

    The system bounds addresses, of which libraries reserve more than they use: so what is bounded is growth from here.
    Systems that cannot (Windows), or that do not tell what a process has (macOS), bound nothing.
    """
    try:
        import resource

        pages = Path("/proc/self/statm").read_text().split()
        addresses, resident = (int(n) * resource.getpagesize() for n in pages[:2])
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        wanted = addresses + max(memory - resident, 0)
        resource.setrlimit(resource.RLIMIT_AS, (wanted if hard < 0 else min(wanted, hard), hard))
    except (ImportError, OSError, ValueError):
        return


def _follow(wait: Callable[[], None]) -> None:
    wait()
    os._exit(1)
