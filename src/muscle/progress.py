"""How long work tells that it is alive: messages and counts. The command line shows them; a library call is silent."""

from __future__ import annotations


class Progress:
    """Listens to long work; this one is silent."""

    def message(self, text: str) -> None:
        """One line for the user."""

    def count(self, what: str, done: int, total: int, unit: str) -> None:
        """``done`` of ``total`` pieces (their ``unit``: steps, images) of ``what`` (a stage, a source) are finished."""


SILENT = Progress()
