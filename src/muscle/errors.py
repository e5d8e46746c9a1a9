"""Errors that are meant for the person at the keyboard.

Every message is one line that says what was given, what is allowed and what to do. The command line prints it
without a traceback and leaves with ``exit_code``.
"""

from __future__ import annotations


class UserError(Exception):
    """Something in the data, the disk or the run that the user can mend. Ends the program with code 1."""

    exit_code = 1

    def __str__(self) -> str:
        """One line, whatever the file holds that the message quotes."""
        return " ".join(super().__str__().splitlines())


class UsageError(UserError):
    """Something in the command, a recipe or a data file that the user can mend. Ends the program with code 2."""

    exit_code = 2
