"""JSON, XML and text in the folders of a source: bounded, and without what makes a small file a large value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from muscle.data.grey import check_regular
from muscle.errors import UserError

# Of a table, JSON or label file. The largest of public sets have some tens of megabytes. Python's values take up to
# twenty times their text, so a file of this size can take 6 GB: more is asked of nobody who did not make it so.
MAX_TEXT = 300_000_000
MAX_XML = 10_000_000  # of an annotation of one film; a tree takes fifty times its text


def read_text(path: Path, limit: int = MAX_TEXT, errors: str = "strict") -> str:
    """A file's text in UTF-8, without byte-order mark.

    Raises:
        OSError: it cannot be read.
        UnicodeDecodeError: not UTF-8.
        UserError: no regular file, or more than ``limit`` bytes; neither is opened.
    """
    check_text(path, limit)
    return path.read_text("utf-8-sig", errors=errors)


def check_text(path: Path, limit: int = MAX_TEXT) -> None:
    """Refuses what is no regular file, or holds more than ``limit`` bytes, before it is opened.

    Raises:
        UserError: it is one of these.
    """
    check_regular(path)
    if (size := path.stat().st_size) > limit:
        raise UserError(f"{path}: {size:,} bytes; allowed: at most {limit:,}; divide it, or leave it out")


def read_json(path: Path) -> Any:
    """The value in a JSON file.

    Raises:
        OSError: it cannot be read.
        ValueError: not JSON, or nested by the thousand.
        UserError: as ``read_text``.
    """
    try:
        return json.loads(read_text(path))
    except RecursionError:
        raise ValueError("nested too deeply") from None


class _NoDoctype(ElementTree.TreeBuilder):
    """Builds the tree, and stops at a document type: in one, entities make a few lines grow without end."""

    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        """Called before anything in it is read."""
        raise ValueError("holds a DOCTYPE, which annotations do not have; delete it")


def read_xml(path: Path) -> ElementTree.Element:
    """The root element of an XML file.

    Raises:
        OSError: it cannot be read.
        ValueError: not XML, of an unknown encoding, or with a document type.
        UserError: as ``read_text``, of at most ``MAX_XML`` bytes.
    """
    check_text(path, MAX_XML)
    parser = ElementTree.XMLParser(target=_NoDoctype())
    try:
        return ElementTree.fromstring(path.read_bytes(), parser)
    except (ElementTree.ParseError, LookupError) as error:  # the second: its encoding
        raise ValueError(str(error)) from None
