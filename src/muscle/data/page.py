"""One page about a kind of source, made of what its adapter states: for people, and with YAML to paste."""

from __future__ import annotations

import inspect
import json
import re
import sys
import textwrap

from pydantic_core import PydanticUndefined

from muscle.data.source import Source

OWN = "your own data"
_WIDTH = 100  # columns
Told = tuple[tuple[str, ...], str]  # names of fields, and what they mean
_ENTRY = re.compile(r" {4}(\w+(?:, \w+)*): (.*)")


def summary(adapter: type[Source]) -> str:
    """What it is, in one line."""
    return _plain((sys.modules[adapter.__module__].__doc__ or "").splitlines()[0])


def page(adapter: type[Source]) -> str:
    """What it is, licence and where to get it, layout, counts, shared films, a data file, and every field."""
    about = [("shows", ", ".join(adapter.shows)), ("licence", adapter.licence or OWN), ("cite", adapter.citation),
             ("get it", adapter.url)]  # fmt: skip
    text, _ = _parts(inspect.getdoc(adapter) or "")
    blocks = [
        summary(adapter),
        "\n".join(_hanging(f"{word}: ", said) for word, said in about if said),
        "Layout\n" + "\n\n".join(textwrap.fill(paragraph, _WIDTH) for paragraph in text),
    ]
    if adapter.published:
        wide = max(map(len, adapter.published))
        lines = [f"  {key:<{wide}}  {n:>9,}" for key, n in adapter.published.items()]
        blocks.append("Published counts (`muscle data check` compares)\n" + "\n".join(lines))
    if adapter.shares:
        lines = [_hanging(f"  {kind}: ", said) for kind, said in adapter.shares.items()]
        blocks.append("Films that other sets have, too (`muscle data audit` finds them)\n" + "\n".join(lines))
    blocks.append(f"Data file, to paste; what is commented out are defaults\n\n{data_file(adapter)}")
    own, every = fields(adapter)
    for head, told in ((f"Fields of {adapter.kind}", own), ("Fields of every source", every)):
        lines = [_hanging(f"  {', '.join(names)}: ", said) for names, said in told]
        if lines:
            blocks.append("\n".join((head, *lines)))
    return "\n\n".join(blocks)


def data_file(adapter: type[Source]) -> str:
    """YAML of a data file with one source of this kind; every default in a comment that holds once uncommented."""
    lines = [
        "sources:",
        f"  {adapter.kind}:",
        f"    kind: {adapter.kind}",
        f"    root: path/to/{adapter.kind}",
    ]
    for name in sorted(adapter.model_fields, key=Source.model_fields.__contains__):
        default = adapter.model_fields[name].get_default(call_default_factory=True)
        if default is not PydanticUndefined:
            lines.append(f"    # {name}: {json.dumps(default, ensure_ascii=False)}")
    return "\n".join(lines)


def fields(adapter: type[Source]) -> tuple[list[Told], list[Told]]:
    """What the fields mean that are the kind's own, and those that every source has."""
    own: list[Told] = []
    for cls in adapter.__mro__:
        if issubclass(cls, Source) and "__doc__" in vars(cls):
            _, told = _parts(inspect.getdoc(cls) or "")
            if cls is Source:
                return own, told
            before = {name for names, _ in own for name in names}
            own += [(names, text) for names, text in told if not before.intersection(names)]
    raise TypeError(f"{adapter.__name__} is no source")


def _parts(doc: str) -> tuple[list[str], list[Told]]:
    """The paragraphs of a docstring, each as one line, and the entries of its ``Attributes``."""
    paragraphs: list[str] = []
    told: list[Told] = []
    for block in doc.split("\n\n"):
        if not block.startswith("Attributes:"):
            paragraphs.append(_plain(" ".join(block.split())))
            continue
        for line in block.splitlines()[1:]:
            if entry := _ENTRY.fullmatch(line):
                told.append((tuple(entry[1].split(", ")), _field(entry[2])))
            else:
                names, text = told.pop()
                told.append((names, f"{text} {_field(line.strip())}"))
    return paragraphs, told


def _plain(text: str) -> str:
    """Without the marks of docstrings."""
    return text.replace("``", "`")


def _field(text: str) -> str:
    """As it is said of YAML."""
    words = {"None": "null", "True": "true", "False": "false"}
    return re.sub(r"\b(None|True|False)\b", lambda found: words[found[0]], _plain(text))


def _hanging(head: str, text: str) -> str:
    return textwrap.fill(
        head + text, _WIDTH, subsequent_indent="    ", break_on_hyphens=False, break_long_words=False
    )
