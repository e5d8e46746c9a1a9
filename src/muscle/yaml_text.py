"""YAML of plain data, read as what a person wrote and nobody can harm with: no tags, aliases, depth or length."""

from __future__ import annotations

import io
import math
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.tokens import (
    AliasToken,
    AnchorToken,
    BlockEndToken,
    BlockMappingStartToken,
    BlockSequenceStartToken,
    FlowMappingEndToken,
    FlowMappingStartToken,
    FlowSequenceEndToken,
    FlowSequenceStartToken,
)

from muscle.errors import UsageError

MAX_YAML = 300_000  # characters: of the longest lists that people write, and read in a quarter of a minute
MAX_DEPTH = 100  # mappings and lists one in the other
_OPENS = (FlowSequenceStartToken, FlowMappingStartToken, BlockSequenceStartToken, BlockMappingStartToken)
_CLOSES = (FlowSequenceEndToken, FlowMappingEndToken, BlockEndToken)
TOO_DEEP = "nested too deeply; allowed: what a person would write"


def _yaml() -> YAML:
    yaml = YAML(typ="safe", pure=True)  # YAML 1.2: `on` and `no` are strings, `1e-4` is a number
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # keep the order of the fields
    yaml.width = 100
    return yaml


def from_yaml(text: str, name: str = "YAML") -> Any:
    """Plain data from YAML 1.2.

    Raises:
        UsageError: not YAML, a key given twice, an alias (a few lines of them can stand for any amount of data),
            a number that is not finite, NUL or half a character (which no path may hold), or more than ``MAX_YAML``
            characters; with the line.
    """
    if len(text) > MAX_YAML:
        raise UsageError(f"{name}: {len(text):,} characters of YAML; allowed: at most {MAX_YAML:,}")
    try:
        depth = 0
        for token in _yaml().scan(text):
            depth += isinstance(token, _OPENS) - isinstance(token, _CLOSES)
            if depth > MAX_DEPTH:  # the scanner takes ever longer for each level
                raise UsageError(f"{name} line {token.start_mark.line + 1}: {TOO_DEEP}")
            if isinstance(token, (AnchorToken, AliasToken)):
                where = f"{name} line {token.start_mark.line + 1}"
                raise UsageError(f"{where}: anchors and aliases (&, *) are not allowed; write the value out")
        data = _yaml().load(text)
        _check_values(data, name)
    except RecursionError:
        raise UsageError(f"{name}: {TOO_DEEP}") from None
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        problem = str(getattr(error, "problem", None) or error).splitlines()[0]
        raise UsageError(f"{name}{line}: {problem}") from None
    except (ValueError, KeyError) as error:  # of values that look like a number or a date and are none
        raise UsageError(f"{name}: a value that cannot be read: {str(error)[:100]}") from None
    return data


def _check_values(data: Any, name: str) -> None:
    if isinstance(data, float) and not math.isfinite(data):
        raise UsageError(f"{name}: given {data}; allowed: finite numbers")
    if isinstance(data, str) and ("\0" in data or any("\ud800" <= letter <= "\udfff" for letter in data)):
        raise UsageError(f"{name}: given {data!r}; allowed: text without NUL and halves of characters")
    for value in (
        (*data, *data.values()) if isinstance(data, dict) else data if isinstance(data, list) else ()
    ):
        _check_values(value, name)


def to_yaml(data: Any) -> str:
    """YAML 1.2 of plain data, fields in their given order."""
    out = io.StringIO()
    _yaml().dump(data, out)
    return out.getvalue()
