"""A folder of films and one finished pre-training on it, shared by the journeys that only read them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import command
import pytest


@dataclass(frozen=True)
class Trained:
    """``films``: the folder given; ``out``: what came out of it; ``sha256``: as printed."""

    films: Path
    out: Path
    sha256: str


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 films and junk."""
    root = tmp_path_factory.mktemp("given") / "my films"
    command.films(root, 24)
    command.junk(root)
    return root


@pytest.fixture(scope="session")
def trained(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The unbroken run."""
    place = tmp_path_factory.mktemp("trained")
    ended = command.muscle(
        "pretrain", films, *command.PRETRAIN, "--out", place / "runs" / "mine", "--store", place / "store"
    )
    file, sha = ended.done().splitlines()
    return Trained(films, Path(file).parent, sha.removeprefix("sha256 "))


@pytest.fixture(scope="session")
def annotated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data file over synthetic films with labels, masks and boxes, every part of each with both classes."""
    root = tmp_path_factory.mktemp("annotated") / "phantoms"
    command.muscle("data", "phantom", root, "--images", "24").done()
    sources = (root / "data.yaml").read_text().partition("\nsplit:")[0]
    split = "\nsplit: {kind: patient, valid: 0.25, test: 0.3, seed: 1}\n"
    (root / "data.yaml").write_text(sources + split)
    return root / "data.yaml"
