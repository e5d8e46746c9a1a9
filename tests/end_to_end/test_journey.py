"""From annotated films to the table: run, compare, finetune, embed, report, ls, show."""

from __future__ import annotations

import json
from pathlib import Path

import command
import pyarrow.parquet as pq
import pytest

SMALL = ("--preset", "demo", "--backbone", "resnet18", "--threads", "1", "--device", "cpu")
LEAVES = ("size=[64,48]", "precision=float32", "finetune.epochs=1")
STAGES = ("stages.0.schedule.epochs_per_task=1", "stages.1.schedule.rounds=1")


def sets(leaves: tuple[str, ...]) -> list[str]:
    """As options."""
    return [word for leaf in leaves for word in ("--set", leaf)]


@pytest.mark.slow
def test_one_user_from_pretraining_to_the_table(
    annotated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    films = ("--data", annotated, *SMALL)

    # A whole recipe, planned and run; then from the YAML that `show` prints.
    plan = json.loads(command.muscle("run", "muscle", *LEAVES, *STAGES, *films, "--plan", "--json").done())
    assert not any(tmp_path.iterdir())
    ran = command.muscle("run", "muscle", *sets(LEAVES), *STAGES, *films)  # either way, and both
    lines = ran.done().splitlines()
    shas = [line for line in lines if ": sha256 " in line]
    assert [s.split(":")[0] for s in shas] == ["pretrain", "continual"] and lines[
        -1
    ] == "runs/muscle/report.html"
    results = json.loads((tmp_path / "runs/muscle/results.json").read_text())
    assert {c["task"] for c in results["cells"]} == {"pneumonia", "lungs", "fracture"}
    assert results["provenance"]["threads"] == 1
    assert plan["pool"] >= results["provenance"]["films pre-trained on"]
    shown = command.muscle("show", "muscle", *LEAVES, *STAGES, "--preset", "demo").done()
    Path("mine.yaml").write_text(shown)
    again = command.muscle("run", "mine.yaml", "--data", annotated, "--threads", "1", "--device", "cpu")
    assert [line for line in again.done().splitlines() if ": sha256 " in line] == shas
    assert "/" not in again.err  # found, not counted through

    # Pre-training alone finds the stage of the whole recipe.
    mine = command.muscle(
        "pretrain", annotated, *SMALL, *sets((*LEAVES[:2], STAGES[0])), "--out", "runs/mine"
    ).done()
    assert mine.splitlines()[1].split()[1] == shas[0].split()[2]

    # Was it worth it?
    words = ("compare", annotated, "--from", "scratch,runs/mine", "--seeds", "2", *SMALL, *sets(LEAVES))
    first = command.muscle(*words)
    assert "| pneumonia | resnet18 | Scratch |" in first.done() and "fracture" in first.out
    cells = json.loads(command.muscle(*words, "--json").done())["cells"]
    assert len(cells) == 2 * 2 * 3
    assert all(
        m["low"] <= m["value"] <= m["high"] for c in cells for m in c["metrics"].values() if m["n"] > 3
    )

    tuned = command.muscle("finetune", annotated, "--task", "segmentation:lungs", "--from", "runs/mine", *SMALL,
                           *sets(LEAVES))  # fmt: skip
    assert "lungs" in tuned.done() and "finetune-lungs: 1/1" not in tuned.err  # the cell of the comparison

    # What can be done with it.
    command.muscle("embed", annotated, "--from", "runs/mine", "--to", "f.parquet", "--threads", "1").done()
    table = pq.read_table("f.parquet")
    assert len(table["feature"][0]) == 512 and set(table["source"].to_pylist()) == {
        "chest",
        "lungs",
        "forearm",
    }
    checked = command.muscle("report", "runs/compare", "--check").done()
    assert "Classification" in checked and "Segmentation and detection" in checked
    kinds = [entry["kind"] for entry in json.loads(command.muscle("ls", "--json").done())]
    assert kinds.count("run") == 3 and kinds.count("backbone") == 1 and kinds.count("store") == 3
    (tmp_path / "runs/compare/predictions").rename(tmp_path / "elsewhere")
    command.muscle("report", "runs/compare").done()
    command.muscle("report", "runs/compare", "--check").refused(1)
