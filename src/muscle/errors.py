"""Errors that are meant for the person at the keyboard.

Every message is one line that says what was given, what is allowed and what to do. The command line prints it
without a traceback and leaves with ``exit_code``.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_CONTROLS = {
    code: f"\\x{code:02x}" for code in (*range(9), *range(11, 32), *range(127, 160))
}  # not tab, not new line


class UserError(Exception):
    """Something in the data, the disk or the run that the user can mend. Ends the program with code 1."""

    exit_code = 1

    def __str__(self) -> str:
        """One line that orders a terminal to do nothing, whatever the file holds that the message quotes."""
        return visible(" ".join(super().__str__().splitlines()))


class UsageError(UserError):
    """Something in the command, a recipe or a data file that the user can mend. Ends the program with code 2."""

    exit_code = 2


def visible(text: str) -> str:
    """Text whose control characters, with which a name could order a terminal about, are written out."""
    return text.translate(_CONTROLS)


def among(given: str, known: Iterable[str]) -> str:
    """For a message about an unknown name: the known ones, and before them the one that was probably meant."""
    names = list(known)
    lowered = {name.lower(): name for name in names}
    close = get_close_matches(given.lower(), lowered, n=1)
    meant = f"did you mean {lowered[close[0]]}? " if close else ""
    return f"{meant}known: {', '.join(names)}"
