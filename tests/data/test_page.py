"""The page about a kind, against what the adapter states and what a data file takes."""

from __future__ import annotations

import re

import pytest

from muscle.data.data_file import DataFile
from muscle.data.page import data_file, fields, page, summary
from muscle.data.source import Source
from muscle.parts import known, member
from muscle.yaml_text import from_yaml


def adapter(kind: str) -> type[Source]:
    found = member(Source, kind)
    assert issubclass(found, Source)
    return found


@pytest.mark.parametrize("kind", known(Source))
def test_the_data_file_reads_as_it_is_and_with_every_default_written_out(kind: str) -> None:
    """Oracle: the source of the same kind and root, all else left to its defaults."""
    text = data_file(adapter(kind))
    wanted = adapter(kind).parse({"root": f"path/to/{kind}"})
    whole = text.replace("    # ", "    ")
    assert all(f"    {name}: " in whole for name in adapter(kind).model_fields)
    for given in (text, whole):
        assert DataFile.parse(from_yaml(given)).sources == {kind: wanted}
    assert text in page(adapter(kind))


@pytest.mark.parametrize("kind", known(Source))
def test_every_field_is_explained(kind: str) -> None:
    own, every = fields(adapter(kind))
    told = [name for names, _ in own + every for name in names]
    assert sorted(told) == sorted(adapter(kind).model_fields)
    assert all(len(text) > 15 for _, text in own + every)


@pytest.mark.parametrize("kind", known(Source))
def test_what_the_adapter_states_is_on_the_page(kind: str) -> None:
    made = adapter(kind)
    text = page(made)
    flat = re.sub(r"\s+", " ", text)
    for stated in (summary(made), made.licence, made.citation, made.url, *made.shares.values(), *made.shows):
        assert stated in flat
    for key, n in made.published.items():
        assert re.search(rf"{re.escape(key)} +{n:,}$", text, re.MULTILINE)
    assert "``" not in text and "Attributes:" not in text and "None" not in str(fields(made))
    assert all(len(line) <= 100 or " " not in line.strip() for line in text.splitlines()[1:])
