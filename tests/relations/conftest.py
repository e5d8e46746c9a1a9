"""What the relations share: the tiny corpus, and a count of the stages that were really computed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import tiny

from muscle import engine
from muscle.checkpoint import Checkpoint
from muscle.data.corpus import Corpus


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the tiny corpus, made once a session."""
    return tmp_path_factory.getbasetemp() / "tiny"


@pytest.fixture(scope="session")
def corpus(films: Path) -> Corpus:
    """Two sources: targets pneumonia and germ (labels), bones (boxes)."""
    return tiny.corpus(films)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each stage was computed, by name; what is found by key does not count."""
    count: Counter[str] = Counter()
    run = engine._Run.run

    def counted(self: engine._Run) -> Checkpoint:
        count[self.job.stage.name] += 1
        return run(self)

    monkeypatch.setattr(engine._Run, "run", counted)
    return count
