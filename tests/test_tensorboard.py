"""Events of a stage, read back by TensorBoard's own reader."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from muscle.tensorboard import Events

LOSS = {"step": 10, "turn": 0, "round": 0, "epoch": 0, "task": "lungs", "rate": 0.5, "loss:dice": 0.25}
LOOK = {"turn": 0, "round": 0, "task": "lungs", "recomputed": {"lungs": 0.75, "teeth": None}, "knn:germ": 0.5}


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    found = EventAccumulator(str(folder)).Reload()
    return {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def test_every_number_of_the_log_is_a_point_at_its_step(tmp_path: Path) -> None:
    with closing(Events(tmp_path / "stage", "")) as events:
        events.add(LOSS)
        events.add(LOOK)
    assert curves(tmp_path / "stage") == {
        "lungs/rate": [(10, 0.5)], "lungs/loss/dice": [(10, 0.25)], "recomputed/lungs": [(10, 0.75)],
        "knn/germ": [(10, 0.5)],
    }  # fmt: skip


def test_a_resumed_stage_shows_no_step_twice(tmp_path: Path) -> None:
    with closing(Events(tmp_path / "stage", "")) as events:
        for step in (10, 20, 30):  # killed after the snapshot at 10
            events.add(LOSS | {"step": step})
    with closing(Events(tmp_path / "stage", json.dumps(LOSS) + "\n")) as events:
        events.add(LOSS | {"step": 20})
    assert [step for step, _ in curves(tmp_path / "stage")["lungs/rate"]] == [10, 20]
