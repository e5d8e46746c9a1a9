"""A store in the making: arrays that only grow, and a journal of what is in them.

Rows are appended first and told to the journal afterwards, so that after a kill at any instant the journal names
only rows that are whole; what it does not name is cut off and decoded again. Opened again, every line is held against
its checksum and every row against the hash in its line: the first that is not as it was written and all behind it are
decoded again. Appending (not mapping) also turns a full disk into an error that can be caught.
"""

from __future__ import annotations

import io
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.lib import format as npy

from muscle.data.film import Film, row_hash
from muscle.errors import UserError

HEADER = 128  # bytes of a .npy header of three axes; the first one is written anew when the rows are counted
COMMIT = 64  # films between two writes to the disk


def _line(entry: dict[str, Any]) -> bytes:
    """An entry, a tab, and the CRC-32 of the entry."""
    text = json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()
    return text + f"\t{zlib.crc32(text):08x}\n".encode()


def _whole_line(line: bytes) -> dict[str, Any] | None:
    """An entry; None where the line was torn or damaged, and nothing behind it counts."""
    text, _, sum_ = line.rpartition(b"\t")
    if sum_ != f"{zlib.crc32(text):08x}\n".encode():
        return None
    entry: dict[str, Any] = json.loads(text)
    return entry


class Journal:
    """Appends films to ``folder``; opening it again goes on behind the last journalled one.

    Attributes:
        done: how many films have been asked for and are committed.
        rows: how many of them are rows.
    """

    def __init__(self, folder: Path, key: str, arrays: dict[str, str], size: tuple[int, int]) -> None:
        """Opens or begins.

        Args:
            folder: where the arrays grow; the journal lies beside it.
            key: of the finished store; a journal of another key is begun anew. Of one whose arrays are missing, shorter
                or other than it says, the rows before count.
            arrays: file name of each mask by target; ``images.npy`` is implied.
            size: (H, W) of a row.
        """
        self.folder, self.size = folder, size
        self.path = folder.with_name(folder.name + ".journal")
        folder.mkdir(parents=True, exist_ok=True)
        self._names = {"": "images.npy"} | arrays
        self._open_log(key)
        self._pending: list[dict[str, Any]] = []
        self._rows_pending = 0
        self._files = {target: self._open(folder / name) for target, name in self._names.items()}
        self._log: BinaryIO = self.path.open("ab")

    def _open_log(self, key: str) -> None:
        """Counts the whole lines of the journal whose rows are as they were written; what is behind them is cut off."""
        head = json.dumps({"key": key}).encode() + b"\n"
        self.done = self.rows = end = 0
        if self.path.exists():
            with ExitStack() as stack:
                log = stack.enter_context(self.path.open("rb"))
                there = {t: self.folder / n for t, n in self._names.items() if (self.folder / n).is_file()}
                arrays = {target: stack.enter_context(path.open("rb")) for target, path in there.items()}
                if log.readline() == head:
                    end = len(head)
                    for line in log:
                        entry = _whole_line(line)
                        if entry is None or not self._is_whole(entry, arrays):
                            break
                        end += len(line)
                        self.done += 1
                        self.rows += "reason" not in entry
        if not end:
            self.path.write_bytes(head)
        elif end < self.path.stat().st_size:
            os.truncate(self.path, end)

    def _is_whole(self, entry: dict[str, Any], arrays: Mapping[str, BinaryIO]) -> bool:
        """Whether the next row lies in the arrays as it was written: its hash again, zeros where it has no mask."""
        if "reason" in entry:
            return True
        found: dict[str, bytes] = {}
        for target, file in arrays.items():
            file.seek(self._end(self.rows))
            found[target] = file.read(self.size[0] * self.size[1])
        if len(found) < len(self._names) or any(
            len(row) < self.size[0] * self.size[1] for row in found.values()
        ):
            return False
        rows = {target: np.frombuffer(row, np.uint8).reshape(self.size) for target, row in found.items()}
        masks = {target: rows[target] for target in entry["has"]}
        blank = not any(rows[target].any() for target in rows.keys() - masks.keys() - {""})
        return blank and row_hash(rows[""], masks) == entry["row_hash"]

    def entries(self) -> Iterator[dict[str, Any]]:
        """Of each committed film, in order: its record, or ``{"reason": ...}``; read from the disk.

        Raises:
            UserError: a line is not as it was written.
        """
        with self.path.open("rb") as log:
            log.readline()
            for line in log:
                if (entry := _whole_line(line)) is None:
                    raise UserError(
                        f"{self.path}: damaged while it was written; give the same command again, which decodes again "
                        "what is lost"
                    )
                yield entry

    def _open(self, path: Path) -> BinaryIO:
        file = path.open("r+b" if path.exists() else "w+b")
        file.truncate(self._end(self.rows))
        file.seek(self._end(self.rows))
        return file

    def _end(self, rows: int) -> int:
        return HEADER + rows * self.size[0] * self.size[1]

    def append(self, film: Film | str) -> None:
        """Takes the next film, or the reason why it is none.

        Raises:
            OSError: the disk is full or failing; everything committed before is kept.
        """
        if isinstance(film, str):
            self._pending.append({"reason": film})
        else:
            self._files[""].write(film.pixels.tobytes())
            for target in self._names:
                if target in film.masks:
                    self._files[target].write(film.masks[target].tobytes())
                elif target:
                    self._files[target].seek(self.size[0] * self.size[1], os.SEEK_CUR)  # a hole: no disk used
            self._rows_pending += 1
            self._pending.append(film.record | {"has": sorted(film.masks)})
        if len(self._pending) >= COMMIT:
            self.commit()

    def commit(self) -> None:
        """Puts what was appended on the disk, then says so in the journal."""
        if not self._pending:
            return
        rows = self.rows + self._rows_pending
        for file in self._files.values():
            file.flush()
            file.truncate(self._end(rows))
            os.fsync(file.fileno())
        self._log.write(b"".join(map(_line, self._pending)))
        self._log.flush()
        os.fsync(self._log.fileno())
        self.done += len(self._pending)
        self.rows, self._rows_pending, self._pending = rows, 0, []

    def finish(self) -> None:
        """Commits, and gives every array the header that makes it an ordinary ``.npy`` file."""
        self.commit()
        header = io.BytesIO()
        shape = (self.rows, *self.size)
        npy.write_array_header_1_0(header, {"descr": npy.dtype_to_descr(np.dtype(np.uint8)),
                                            "fortran_order": False, "shape": shape})  # fmt: skip
        if len(header.getvalue()) != HEADER:
            raise RuntimeError(f"the .npy header has {len(header.getvalue())} bytes instead of {HEADER}")
        for file in self._files.values():
            file.seek(0)
            file.write(header.getvalue())
            file.flush()
            os.fsync(file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the files; after an error what was not committed is given up, for closing writes as well."""
        for file in (*self._files.values(), self._log):
            try:
                file.close()
            except OSError:
                if kind is None:
                    raise
