from __future__ import annotations

import pytest

from muscle.rescoring import TOLERANCE, difference


@pytest.mark.parametrize(("said", "again", "expected"), [
    ({"a": 1.0}, {"a": 1.0 + TOLERANCE / 2, "new": 1}, ""),  # what older versions did not write is passed over
    ({"a": {"b": 1.0}}, {"a": {"b": 1.0, "new": 1}}, "a.new: only found again"),
    ({"a": {"b": 1.0, "c": 2}}, {"a": {"b": 1.0}}, "a.c: only said"),
    ({"a": 1.0}, {"a": 1.0 + 2 * TOLERANCE}, "a: 1.0 said, 1.000000002 found"),
    ({"a": 1e6}, {"a": 1e6 + 5e-4}, ""),  # relative
    ({"a": [1, 2, [3, None]]}, {"a": (1, 2, (3, None))}, ""),
    ({"a": [1, 2]}, {"a": [1, 2, 3]}, "a: [1, 2] said, [1, 2, 3] found"),
    ({"a": [1, 2]}, {"a": (1, 3)}, "a.1: 2 said, 3 found"),
    ({"a": None}, {"a": 0.5}, "a: None said, 0.5 found"),
    ({"a": "0.5"}, {"a": 0.5}, "a: 0.5 said, 0.5 found"),
    ({"a": True}, {"a": 1}, "a: True said, 1 found"),
    ({"a": float("nan")}, {"a": 0.5}, "a: nan said, 0.5 found"),
])  # fmt: skip
def test_the_first_difference_is_named(said: object, again: object, expected: str) -> None:
    """Oracle: by hand."""
    assert difference(said, again) == expected
