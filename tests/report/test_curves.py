"""Training curves from logs. Oracle: the numbers that were logged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from muscle.errors import UserError
from muscle.report.curves import POINTS, panels, read_log, training_curves


def test_a_log_is_read_and_a_line_cut_by_a_kill_left_out(tmp_path: Path) -> None:
    log = tmp_path / "x.jsonl"
    log.write_text('{"step": 0, "rate": 1}\n{"step": 1, "ra')
    assert read_log(log) == [{"step": 0, "rate": 1}]
    for text, reason in (("", "empty"), ("{}{}\n{}\n", "line 1"), ('{"cut', "empty")):
        log.write_text(text)
        with pytest.raises(UserError, match=reason):
            read_log(log)
    with pytest.raises(UserError, match=r"none\.jsonl"):
        read_log(tmp_path / "none.jsonl")


def test_losses_of_one_task_are_lines_and_of_several_are_summed() -> None:
    one = panels([{"step": s, "task": "moco", "loss:a": 1.0, "loss:b": 2.0, "rate": 0.1} for s in range(3)])
    assert list(one) == ["loss", "rate"] and list(one["loss"]) == ["a", "b"]
    turns = [{"step": s, "task": t, "loss:a": 1.0, "loss:l2sp": 2.0} for t in ("x", "y") for s in range(3)]
    steps, values = panels(turns)["loss"]["y"]
    assert values.tolist() == [3.0] * 3
    assert steps.tolist() == [3.0, 4.0, 5.0]  # steps that begin anew at each turn follow each other


def test_scores_at_a_boundary_belong_to_the_step_before() -> None:
    log = [
        {"turn": -1, "round": -1, "task": "", "knn:x": 0.5, "top1": 0.1, "top1_same_source": 0.2},
        *({"step": s + 1, "task": "pool", "loss:a": 1.0, "loss:b": 1.0} for s in range(5)),
        {"turn": 0, "task": "pool", "knn:x": 0.8, "shared": {"x": 0.5}},
    ]
    found = panels(log)
    assert found["knn"]["x"][0].tolist() == [0.0, 5.0]
    assert list(found["loss"]) == ["a", "b"]  # the boundary before training is of no task
    assert list(found["top1"]) == ["all", "same source"] and "shared" not in found


def test_long_logs_are_averaged_and_keep_their_mean() -> None:
    rng = np.random.default_rng(0)
    logged = rng.normal(size=5 * POINTS)
    steps, values = panels([{"step": i, "loss:a": float(v)} for i, v in enumerate(logged)])["loss"]["a"]
    assert len(steps) == POINTS
    assert values.mean() == pytest.approx(logged.mean())


def test_what_is_no_number_is_no_curve() -> None:
    assert panels([{"step": 0, "loss:a": float("nan"), "ok": True, "note": "x", "epoch": 3}]) == {}
    assert training_curves([{"step": 0}], "t") is None
    picture = training_curves([json.loads('{"step": 0, "odd$_name:_x$": 1, "loss:a": 1}')], "t")
    assert (
        picture is not None and picture.points == 2 and picture.uri.startswith("data:image/svg+xml;base64,")
    )
