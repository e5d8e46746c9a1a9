"""What the command line shows: progress bars on a terminal, plain lines elsewhere, tables, one-line errors."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table

from muscle.errors import visible
from muscle.progress import Progress

out = Console(highlight=False, soft_wrap=True, emoji=False)  # a target may be called a:bone:b
err = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)

PADDED = 40  # columns; no cell of a table in a pipe is padded to more
PLAIN_SECONDS = 15.0  # between two plain lines about the same work


class Shown(Progress):
    """Bars with rate and time left where standard error is a terminal; else a line now and then."""

    def __init__(self) -> None:
        """Nothing is shown before the first message or count."""
        self.bars: Bars | None = None
        self.ids: dict[str, TaskID] = {}
        self.began: dict[str, tuple[float, int]] = {}
        self.last: dict[str, int] = {}
        self.said: dict[str, float] = {}

    def message(self, text: str) -> None:
        """One line."""
        (self.bars.console if self.bars else err).print(visible(text), markup=False)

    def count(self, what: str, done: int, total: int, unit: str) -> None:
        """A bar, or a line at most every 15 seconds and at the end."""
        now = time.monotonic()
        if done <= self.last.get(what, 0):  # another run of a stage of the same name
            self.began.pop(what, None)
        self.last[what] = done
        start, first = self.began.setdefault(what, (now, done))
        rate = (done - first) / (now - start) if now > start else 0.0
        if err.is_terminal:
            self._bar(what, done, total, unit, rate)
        elif now - self.said.get(what, -PLAIN_SECONDS) >= PLAIN_SECONDS or done == total:
            self.said[what] = now
            left = f", {(total - done) / rate / 60:.1f} min left" if rate > 0 and done < total else ""
            err.print(
                f"{what}: {done}/{total} {unit}" + (f", {rate:.1f}/s" if rate > 0 else "") + left,
                markup=False,
            )

    def _bar(self, what: str, done: int, total: int, unit: str, rate: float) -> None:
        if self.bars is None:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[unit]}, {task.fields[rate]:.1f}/s"),
            )
            self.bars = Bars(*columns, TimeRemainingColumn(), console=err, transient=True)
            self.bars.start()
        if what not in self.ids:
            self.ids[what] = self.bars.add_task(what, total=total, rate=0.0, unit=unit)
        self.bars.update(self.ids[what], completed=done, total=total, rate=rate, visible=done < total)

    def close(self) -> None:
        """Gives the terminal back."""
        if self.bars is not None:
            self.bars.stop()


@contextmanager
def shown() -> Iterator[Shown]:
    """Progress for the time of a command; the terminal is given back after it."""
    progress = Shown()
    try:
        yield progress
    finally:
        progress.close()


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A plain table on standard output; numbers to the right.

    In a file or a pipe nothing is folded, so that a program finds a row in one line, its cells two blanks apart; a cell
    longer than ``PADDED`` pushes those after it to the right instead of widening every row. ``--json`` is for programs.
    """
    listed = [tuple(row) for row in rows]
    cells = [tuple(map(_cell, row)) for row in listed]
    right = [
        bool(listed) and all(isinstance(row[i], (int, float)) for row in listed) for i in range(len(head))
    ]
    if out.is_terminal:
        shown = Table(box=None, pad_edge=False)
        for name, number in zip(head, right, strict=True):
            shown.add_column(name, justify="right" if number else "left", overflow="fold")
        for row in cells:
            shown.add_row(*map(escape, row))
        out.print(shown)
        return
    lines = [tuple(head), *cells]
    widths = [min(PADDED, max(cell_len(line[i]) for line in lines)) for i in range(len(head))]
    for line in lines:
        padded = [_padded(*each) for each in zip(line, widths, right, strict=True)]
        out.print("  ".join(padded).rstrip(), markup=False)


def _cell(value: object) -> str:
    number = isinstance(value, int) and not isinstance(value, bool)
    return f"{value:,}" if number else visible(" ".join(str(value).splitlines()))


def _padded(text: str, width: int, right: bool) -> str:
    blanks = " " * (width - cell_len(text))
    return blanks + text if right else text + blanks
