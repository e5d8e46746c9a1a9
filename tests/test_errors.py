"""Messages for the person at the keyboard."""

from __future__ import annotations

import pickle

from muscle.errors import UsageError, UserError, among


def test_a_message_is_one_line_whatever_it_quotes() -> None:
    """A quoted cell of a table may hold line ends. And errors come back from other processes."""
    for kind in (UserError, UsageError):
        error = kind("a.csv: no column 'x'; it has: a\r\nb, c\u2028d")
        assert str(error) == "a.csv: no column 'x'; it has: a b, c d"
        assert str(pickle.loads(pickle.dumps(error))) == str(error)
        assert pickle.loads(pickle.dumps(error)).exit_code == kind.exit_code


def test_an_unknown_name_is_answered_with_the_closest_and_with_all() -> None:
    assert among("small ", ["paper", "small"]) == "did you mean small? known: paper, small"
    assert among("mura", ("MURA", "jsrt")) == "did you mean MURA? known: MURA, jsrt"
    assert among("huge", ["paper", "small"]) == "known: paper, small"
