"""JSON files that tell whether they are as they were written: a digest of their content rides in them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SEAL = "seal"


def sealed(data: Mapping[str, Any]) -> str:
    """A JSON object with one field more, ``seal``: the SHA-256 of the others, whatever their order and white space."""
    content = json.loads(json.dumps({name: value for name, value in data.items() if name != SEAL}))
    return json.dumps(content | {SEAL: _digest(content)}, indent=1, ensure_ascii=False) + "\n"


def unsealed(text: str | bytes) -> dict[str, Any]:
    """The object without its seal. One that has none, as a person writes it, is taken as it is.

    Raises:
        ValueError: no JSON object in UTF-8, or another content than the one that was sealed.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(data, dict):
        raise ValueError("not a JSON object")
    if SEAL in data and data.pop(SEAL) != _digest(data):
        raise ValueError("changed since it was written: its content is not that of its seal")
    return data


def is_sealed(file: Path) -> bool:
    """Whether a file has a seal at all; it may be broken."""
    data = json.loads(file.read_bytes())
    return isinstance(data, dict) and SEAL in data


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
