"""The processes of torchrun, found by what the system tells of them."""

from __future__ import annotations

from pathlib import Path


def rank(agent: int, number: int) -> int:
    """The process of a rank, below its agent."""
    for child in Path(f"/proc/{agent}/task/{agent}/children").read_text().split():
        if f"RANK={number}".encode() in Path(f"/proc/{child}/environ").read_bytes().split(b"\0"):
            return int(child)
    raise AssertionError(f"no rank {number} below {agent}")
