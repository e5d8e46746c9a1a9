"""What adapters state of their sets means something: keys of counts name targets and classes that they have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from muscle.data.source import Source
from muscle.parts import known, member

PUBLIC = [kind for kind in known(Source) if getattr(member(Source, kind), "published", {})]


@pytest.mark.parametrize("kind", PUBLIC)
def test_counts_are_of_targets_and_classes_of_the_adapter(kind: str, tmp_path: Path) -> None:
    adapter: Any = member(Source, kind)
    adapter.write_example(tmp_path, 16, seed=0)
    _, targets = adapter.parse({"root": tmp_path.as_posix(), **adapter.example}).records("x")
    allowed = {"images", "patients", "studies", "part:train", "part:valid", "part:test"}
    for target in targets:
        if target.kind in ("labels", "boxes"):
            allowed |= {f"{target.kind}:{target.name}:{name}" for name in target.classes}
        if target.kind != "labels":
            allowed.add(f"{target.kind}:{target.name}")
    assert set(adapter.published) <= allowed
    assert all(count > 0 for count in adapter.published.values())
    parts = [count for key, count in adapter.published.items() if key.startswith("part:")]
    assert not parts or sum(parts) <= adapter.published.get("images", sum(parts))


@pytest.mark.parametrize("kind", PUBLIC)
def test_a_public_set_says_where_it_is_from(kind: str) -> None:
    adapter: Any = member(Source, kind)
    assert adapter.shows and adapter.citation and adapter.licence and adapter.url.startswith("http")
    assert kind not in adapter.shares and all(adapter.shares.values())
