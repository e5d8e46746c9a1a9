"""From stored DICOM values to what is to be seen: lookup tables, rescaling and windows of PS3.3 C.11.1 and C.11.2.

Everything works on an array of *levels*, the values that may occur; the picture itself is then one look-up. Nothing
here reads a file, and nothing is rounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from muscle.data.grey import Values

Levels = NDArray[np.float64]


class Unusable(Exception):
    """What a file says of its grey levels cannot be applied; the text says why."""


@dataclass(frozen=True, slots=True)
class Table:
    """A lookup table: its entries stand for the values ``first``, ``first + 1``, ... of ``bits`` each."""

    entries: Values
    first: int
    bits: int
    said: int

    @classmethod
    def of(cls, item: Any, signed: bool, little: bool) -> Table:
        """The table of one item of a LUT sequence.

        Args:
            item: holds LUTDescriptor and LUTData.
            signed: whether the values that are looked up may be negative, so that the first one is read as signed.
            little: byte order of the file.

        Raises:
            Unusable: fewer entries than the descriptor says.
        """
        described, data = item.get("LUTDescriptor"), item.get("LUTData")
        if described is None or data is None or len(described) != 3:
            raise Unusable("its descriptor or data is missing")
        count, first, bits = (int(v) for v in described)
        count = count % 2**16 or 2**16  # 0 stands for 65536, and a signed count for more than 32767
        words = _words(data, "<u2" if little else ">u2")
        if (
            len(words) < count and bits <= 8 and len(words) >= (count + 1) // 2
        ):  # two entries packed in a word
            words = words.astype("<u2").view(np.uint8).astype(np.uint16)
        if len(words) < count:
            raise Unusable(f"its descriptor says {count} entries and {len(words)} are there")
        words = words[:count]
        # A descriptor of 16 bits over entries of 12 is a common slip, and would leave the picture all but black.
        needed = int(words.max()).bit_length()
        wrong = needed > bits or 0 < needed < bits - 1
        return cls(words, _signed(first, signed), needed if wrong else bits, bits)

    def __call__(self, values: Values) -> Values:
        """Entries for values; below the first and above the last, these."""
        return self.entries[np.clip(np.rint(values).astype(np.int64) - self.first, 0, len(self.entries) - 1)]

    def __str__(self) -> str:
        but = f" (its descriptor says {self.said})" if self.said != self.bits else ""
        return f"lookup table of {len(self.entries)} entries of {self.bits} bits{but}"

    @property
    def top(self) -> float:
        """The highest value that entries of this depth can have."""
        return 2.0**self.bits - 1


def modality(
    ds: Any, low: float, high: float, levels: Values, steps: list[str]
) -> tuple[Levels, float, float]:
    """Stored levels in the units of the modality (C.11.1), and the lowest and highest possible value of these.

    Args:
        ds: the DICOM data set.
        low: the lowest value that can be stored.
        high: the highest.
        levels: what to transform.
        steps: is told what was done.
    """
    sequence = ds.get("ModalityLUTSequence")
    if sequence:
        try:
            table = Table.of(sequence[0], low < 0, _little(ds))
        except Unusable as error:
            steps.append(f"modality lookup table cannot be used: {error}")
        else:
            steps.append(f"modality {table} applied")
            return table(levels).astype(np.float64), 0.0, table.top
    units = levels.astype(np.float64)
    slope, intercept = _number(ds.get("RescaleSlope")), _number(ds.get("RescaleIntercept"))
    if slope is None or intercept is None or (slope, intercept) == (1.0, 0.0):
        return units, low, high
    if slope == 0:
        steps.append("rescale slope 0 would leave no picture and is ignored")
        return units, low, high
    steps.append(f"rescaled: {slope:g} x value + {intercept:g}")
    ends = sorted((low * slope + intercept, high * slope + intercept))
    return units * slope + intercept, ends[0], ends[1]


def views(ds: Any) -> int:
    """How many ways of looking a file offers: its VOI tables, or else its windows."""
    tables = len(ds.get("VOILUTSequence") or ())
    return tables or min(len(_numbers(ds.get("WindowCenter"))), len(_numbers(ds.get("WindowWidth"))))


def view(ds: Any, index: int, lowest: float, units: Levels) -> tuple[Levels, str]:
    """Levels as 0..1 through the VOI table or window number ``index`` from 0 (C.11.2), and its name.

    Raises:
        Unusable: a width of 0, a table without entries, an unknown function.
    """
    tables = ds.get("VOILUTSequence")
    if tables:
        table = Table.of(tables[index], lowest < 0, _little(ds))
        return table(units) / table.top, f"VOI {table}"
    centre, width = _numbers(ds.get("WindowCenter"))[index], _numbers(ds.get("WindowWidth"))[index]
    function = str(ds.get("VOILUTFunction") or "LINEAR").strip().upper()
    return window(units, centre, width, function), f"window centre {centre:g} width {width:g} ({function})"


def window(x: Levels, centre: float, width: float, function: str) -> Levels:
    """A window as 0..1: LINEAR (C.11.2.1.2.1), SIGMOID (C.11.2.1.3.1) or LINEAR_EXACT (C.11.2.1.3.2).

    Raises:
        Unusable: a width that the function does not allow, or another function.
    """
    if not (np.isfinite(centre) and np.isfinite(width)):
        raise Unusable("not a number")
    if function == "LINEAR":
        if width < 1:
            raise Unusable(f"width {width:g}; LINEAR needs at least 1")
        if width == 1:  # a step
            return (x > centre - 0.5).astype(np.float64)
        return np.clip((x - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)
    if width <= 0:
        raise Unusable(f"width {width:g}; it must be above 0")
    if function == "LINEAR_EXACT":
        return np.clip((x - centre) / width + 0.5, 0, 1)
    if function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (x - centre) / width, -700, 700)))
    raise Unusable(f"function {function}; known: LINEAR, LINEAR_EXACT, SIGMOID")


def padding(ds: Any, low: int, high: int) -> tuple[int, int] | None:
    """The stored values that mean "outside the picture" (C.7.5.1.1.2), as lowest and highest; None: there are none."""
    value, limit = ds.get("PixelPaddingValue"), ds.get("PixelPaddingRangeLimit")
    if not isinstance(value, int):
        return None
    ends = [_signed(v, low < 0) for v in (value, limit if isinstance(limit, int) else value)]
    if max(ends) < low or min(ends) > high:
        return None
    return min(ends), max(ends)


def _signed(value: int, signed: bool) -> int:
    """A 16-bit number read with the right sign: in implicit VR a reader has to guess it and guesses wrong."""
    if signed and value >= 2**15:
        return value - 2**16
    return value + 2**16 if value < 0 and not signed else value


def _words(data: Any, kind: str) -> Values:
    if isinstance(data, bytes):
        return np.frombuffer(data[: len(data) // 2 * 2], kind).astype(np.uint16)
    return (np.atleast_1d(np.asarray(data, np.int64)) % 2**16).astype(np.uint16)


def _little(ds: Any) -> bool:
    return bool(ds.original_encoding[1] is not False)


def _numbers(value: Any) -> list[float]:
    """A decimal string of any multiplicity; what is empty or no number is NaN."""
    if value is None or value == "":
        return []
    several = list(value) if hasattr(value, "__iter__") and not isinstance(value, str) else [value]
    return [np.nan if (number := _number(v)) is None else number for v in several]


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None
