"""NumPy's files as strangers may have written them: no objects, and no more memory than what lies in the file."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray


@contextmanager
def opened_npz(path: Path) -> Iterator[Mapping[str, NDArray[Any]]]:
    """The arrays of an ``.npz``, by name, read when asked for.

    Raises:
        OSError, zipfile.BadZipFile: no such file, or no archive.
        ValueError: an array of Python objects, which are never unpickled; one that says it is larger or smaller than
            what the archive holds of it; arrays that together unpack to more than half of this machine's memory.
    """
    with path.open("rb") as file:
        with zipfile.ZipFile(file) as packed:
            _check_room(sum(member.file_size for member in packed.infolist()))
            for member in packed.infolist():
                with packed.open(member) as array:
                    _check_header(array, member.file_size, member.filename)
        file.seek(0)
        with np.load(file, allow_pickle=False) as arrays:
            yield arrays


def read_npy(path: Path) -> NDArray[Any]:
    """The array of an ``.npy``.

    Raises:
        OSError: no such file.
        ValueError: as ``opened_npz``.
    """
    with path.open("rb") as file:
        _check_header(file, os.fstat(file.fileno()).st_size, path.name)
        file.seek(0)
        found: NDArray[Any] = np.load(file, allow_pickle=False)
        return found


def _check_room(size: int) -> None:
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows does not say
        return
    if size > memory // 2:
        raise ValueError(f"unpacks to {size / 1e9:,.1f} GB, more than half of this machine's memory")


def _check_header(file: IO[bytes], size: int, name: str) -> None:
    """Sees that an array is as large as its header says, before NumPy makes room for it."""
    if npy.read_magic(file) != (
        1,
        0,
    ):  # later versions are for headers of more than 64 kB, which no array of ours has
        raise ValueError(f"{name}: not of version 1.0 of NumPy's format")
    try:
        shape, _, dtype = npy.read_array_header_1_0(file)
    except (SyntaxError, TokenError) as error:  # NumPy reads the header as Python's literals
        raise ValueError(f"{name}: its header cannot be read ({error})") from None
    if dtype.hasobject:
        raise ValueError(f"{name}: holds Python objects, which are never unpickled")
    said, held = math.prod(shape) * dtype.itemsize, size - file.tell()
    if min(shape, default=0) < 0 or said != held:
        raise ValueError(f"{name}: its header says {said:,} bytes, it holds {held:,}")
