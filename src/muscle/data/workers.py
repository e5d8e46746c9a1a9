"""Processes that decode, and what happens when one dies.

Codecs are C code fed with other people's files: one that crashes takes its process down. The films that were being
decoded are then tried again, each in a process of its own, and the one that kills it is left out.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

import cv2

from muscle.data.film import Film, Job, film
from muscle.errors import UserError

AHEAD = 8  # films decoded ahead of the one to be written, per worker


def films(jobs: Sequence[Job], workers: int) -> Iterator[Film | str]:
    """The film of each job, or the reason why there is none; in order.

    Args:
        jobs: what to decode.
        workers: processes; 0: decode in this one, where a crash of a codec ends the program.
    """
    if workers < 1 or len(jobs) < 2:
        yield from map(film, jobs)
        return
    done = 0
    while done < len(jobs):
        for made in _together(jobs[done:], workers):
            done += 1
            yield made
        for made in _alone(jobs[done : done + workers * AHEAD]):  # empty unless a process has died
            done += 1
            yield made


def _together(jobs: Sequence[Job], workers: int) -> Iterator[Film | str]:
    """In a pool; ends early when a process dies."""
    waiting: deque[Future[Film | str]] = deque()
    with _pool(workers) as pool:
        try:
            for job in jobs:
                with _main_hidden():
                    waiting.append(pool.submit(film, job))
                if len(waiting) == workers * AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            return


def _alone(jobs: Sequence[Job]) -> Iterator[Film | str]:
    """One by one in a process that is replaced when it dies."""
    left = deque(jobs)
    while left:
        with _pool(1) as pool:
            while left:
                job = left.popleft()
                try:
                    with _main_hidden():
                        waiting = pool.submit(film, job)
                    yield waiting.result()
                except BrokenProcessPool:
                    yield "the decoder crashed on this file"
                    break


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    context = multiprocessing.get_context("spawn")  # forking a process that has threads (torch) may hang
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin)
    try:
        with _main_hidden():
            try:
                pool.submit(os.getpid).result()
            except BrokenProcessPool:
                raise UserError(
                    "decoding processes cannot start here; give workers=0 to decode without them"
                ) from None
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _main_hidden() -> Iterator[None]:
    """Keeps processes that start now from running the user's script again: all they need can be imported."""
    main = vars(sys.modules["__main__"])
    kept = {name: main.pop(name) for name in list(main) if name in ("__file__", "__spec__")}
    main["__spec__"] = None
    try:
        yield
    finally:
        main.update(kept)


def _begin() -> None:
    """In a new worker: one thread for each, and an end when the parent is gone, however it went."""
    cv2.setNumThreads(1)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent.join,), daemon=True).start()


def _follow(wait: Callable[[], None]) -> None:
    wait()
    os._exit(1)
