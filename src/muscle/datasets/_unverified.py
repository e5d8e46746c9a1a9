"""Data files for layouts that nobody here has seen: shipped to be compared and copied, not to be trusted.

An adapter would be confirmed by its own example alone. These are data files over the kinds of own data; their comments
name what is unverified. The first one begins ``# unverified: `` and says what the set is.
"""

from __future__ import annotations

from importlib.resources import files

MARK = "# unverified: "


def unverified() -> dict[str, str]:
    """The text of each data file, by name."""
    folder = files("muscle.datasets") / "unverified"
    found = [file for file in folder.iterdir() if file.name.endswith(".yaml")]
    return {
        f.name.removesuffix(".yaml"): f.read_text(encoding="utf-8")
        for f in sorted(found, key=lambda f: f.name)
    }


def remark(text: str, head: str) -> str:
    """What a comment line that begins with ``head`` says; empty where there is none."""
    lines = (line.removeprefix(head) for line in text.splitlines() if line.startswith(head))
    return next(lines, "").strip()
