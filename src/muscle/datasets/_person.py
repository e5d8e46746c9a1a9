"""Sex and age as tables write them, for subgroups."""

from __future__ import annotations

import re
from typing import Literal

_YEARS = re.compile(r"0*(\d{1,3}(?:\.\d+)?)\s*([YMWD]?)", re.IGNORECASE)
_PER_YEAR = {"": 1.0, "Y": 1.0, "M": 12.0, "W": 52.18, "D": 365.25}
OLDEST = 120.0


def sex_of(text: str) -> Literal["F", "M", ""]:
    """``F`` or ``M`` of what begins so (``Female``, ``m``); anything else is unknown."""
    first = text.strip()[:1].upper()
    return "F" if first == "F" else "M" if first == "M" else ""


def years_of(text: str) -> float | None:
    """Years of ``68``, ``068Y`` or ``011M``; None of what is no age or above 120, which is a mistake of the table."""
    match = _YEARS.fullmatch(text.strip())
    if match is None:
        return None
    years = float(match[1]) / _PER_YEAR[match[2].upper()]
    return years if years <= OLDEST else None
