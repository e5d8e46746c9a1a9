"""A comparison that two jobs share, that loses a cell, and whose model goes elsewhere, as a user gives the commands."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import command
import pytest

from muscle.datasets.kermany import Kermany

WORDS = (
    "compare", "films.yaml", "--from", "scratch", "--seeds", "2", "--tasks", "classification:pneumonia", *command.TINY,
    "--set", "finetune.epochs=1", "--set", "finetune.backbone_rates=[0.001]",
)  # fmt: skip
OUT = Path("runs/compare")


def cells() -> list[dict[str, Any]]:
    return list(json.loads((OUT / "results.json").read_text())["cells"])


def states() -> list[str]:
    """What the plan says of each cell and stage."""
    return [row["state"] for row in json.loads(command.muscle(*WORDS, "--plan", "--json").done())["cells"]]


@pytest.fixture
def films(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, seed in (("here", 0), ("there", 100)):
        Kermany.write_example(tmp_path / name, 32, seed)
    for file in filter(
        Path.is_file, list((tmp_path / "there").rglob("*"))
    ):  # other persons: names tell them apart
        file.rename(file.with_name(file.name.replace("IM-", "IM-9").replace("person", "person9")))
    split = "split: {kind: patient, valid: 0.25, test: 0.3, seed: 1}"
    for name in ("here", "there"):
        source = f"sources:\n  {name}: {{kind: kermany, root: {name}}}\n{split}\n"
        (tmp_path / ("films.yaml" if name == "here" else "elsewhere.yaml")).write_text(source)
    return tmp_path


def test_two_jobs_fill_one_table_and_a_lost_cell_alone_is_computed_again(films: Path) -> None:
    assert states() == ["to compute"] * 2 and not OUT.exists()
    first = command.muscle(*WORDS, "--cell", "0/2")
    assert "1 cells are still open" in first.err and not (OUT / "report.html").exists()
    assert states() == ["exists", "to compute"]
    assert "| pneumonia | resnet18 | Scratch |" in command.muscle(*WORDS, "--cell", "1/2").done()
    assert states() == ["exists"] * 2 and [cell["seed"] for cell in cells()] == [0, 1]

    # One cell is lost: it alone is computed again, to the same numbers.
    before = cells()
    (OUT / before[1]["predictions"]).write_bytes(b"cut short")
    assert states() == ["exists", "to compute"]
    again = command.muscle(*WORDS)
    assert "seed 1" in again.done() + again.err
    after = cells()
    assert after[0] == before[0] and after[1]["metrics"] == before[1]["metrics"]

    # What holds no weights is found before anything is decoded or trained.
    for more in ((), ("--plan",)):
        refused = command.muscle(*WORDS[:2], "--from", "films.yaml", *WORDS[4:], *more)
        assert "weights films.yaml: cannot be read (" in refused.refused(1)

    # Every checkpoint is lost: the report does not need them, and the comparison does not compute anything.
    kept = {file.name: file.read_bytes() for file in (OUT / "tables").iterdir()}
    model = next((OUT.parent / "checkpoints").glob(f"{after[0]['key'][:16]}*"))
    shutil.copytree(model, films / "model" / model.name)
    shutil.rmtree(OUT.parent / "checkpoints")
    command.muscle("report", OUT).done()
    assert {file.name: file.read_bytes() for file in (OUT / "tables").iterdir()} == kept
    assert states() == ["exists"] * 2

    # The model that was kept, on films of elsewhere.
    said = command.muscle(
        "validate",
        films / "model" / model.name,
        "elsewhere.yaml",
        "--threads",
        "1",
        "--out",
        "runs/v",
        "--json",
    )
    (found,) = json.loads(said.done())["cells"]
    assert found["external"] is True and found["metrics"]["accuracy"]["n"] == 32
    refused = command.muscle("validate", films / "model" / model.name, "films.yaml", "--threads", "1")
    assert "no external ones" in refused.refused(1)
