"""Training curves from logs. Oracle: the numbers that were logged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes

from muscle.errors import UserError
from muscle.report import curves
from muscle.report.curves import POINTS, panels, read_log, training_curves


def drawn(monkeypatch: pytest.MonkeyPatch, log: list[dict[str, Any]]) -> list[Axes]:
    """The panels as matplotlib holds them before they become a picture."""
    kept: list[Any] = []
    render = curves.render
    monkeypatch.setattr(curves, "render", lambda *words: (kept.append(words[0]), render(*words))[1])
    assert training_curves(log, "t") is not None
    axes: list[Axes] = kept[0].axes
    return axes


def test_a_log_is_read_and_a_line_cut_by_a_kill_left_out(tmp_path: Path) -> None:
    log = tmp_path / "x.jsonl"
    log.write_text('{"step": 0, "rate": 1}\n3\n{"step": 1, "ra')
    assert read_log(log) == [{"step": 0, "rate": 1}]  # and what is no record
    for text, reason in (("", "empty"), ("{}{}\n{}\n", "line 1"), ('{"cut', "empty")):
        log.write_text(text)
        with pytest.raises(UserError, match=reason):
            read_log(log)
    log.write_bytes(b'{"step": 0}\n\xff\n')
    with pytest.raises(UserError, match="not UTF-8"):
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
    assert steps.tolist() == [5.0 * i + 2 for i in range(POINTS)]  # the middle of five
    assert values.mean() == pytest.approx(logged.mean())


def test_what_is_no_number_is_no_curve() -> None:
    assert panels([{"step": 0, "loss:a": float("nan"), "ok": True, "note": "x", "epoch": 3}]) == {}
    assert panels([{"step": 0, "rate": float("inf"), "round": 2, "time": 1.5}]) == {}
    assert training_curves([{"step": 0}], "t") is None
    picture = training_curves([json.loads('{"step": 0, "odd$_name:_x$": 1, "loss:a": 1}')], "t")
    assert (
        picture is not None and picture.points == 2 and picture.uri.startswith("data:image/svg+xml;base64,")
    )


def test_what_is_known_comes_first_and_what_is_too_much_not_at_all() -> None:
    log: list[dict[str, Any]] = [
        {"step": 0, **{f"odd{i}": 1 for i in range(12)}, "top1": 1, "rate": 1, "loss:a": 1}
    ]
    found = panels(log)
    assert list(found) == ["loss", "rate", "top1", *(f"odd{i}" for i in range(9))]


def test_every_panel_is_named_and_has_its_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    log = [
        {"step": s, "task": "moco", "loss:a": 9.0 - s, "loss:b": 2.0, "rate": 0.1, "knn:germ": 0.5}
        for s in range(3)
    ]
    loss, rate, knn, odd, *empty = drawn(monkeypatch, [{**one, "odd_one": 1.0} for one in log])
    titles = [axis.get_title(loc="left") for axis in (loss, rate, knn, odd)]
    assert titles == ["loss", "learning rate", "k-NN AUC, validation", "odd one"]
    assert {axis.get_xlabel() for axis in (loss, rate, knn, odd)} == {"step"}
    assert [line.get_xydata().tolist() for line in loss.lines] == [
        [[0, 9], [1, 8], [2, 7]],
        [[0, 2], [1, 2], [2, 2]],
    ]
    assert all(line.get_linestyle() != "None" for line in loss.lines)
    legends = [axis.get_legend() for axis in (loss, rate, knn, odd)]
    assert [legend and [text.get_text() for text in legend.get_texts()] for legend in legends] == [
        ["a", "b"],
        None,  # the title says it
        ["germ"],
        None,
    ]
    assert len(empty) == 2 and not any(axis.axison for axis in empty)  # two rows of three
    assert len(drawn(monkeypatch, log[:1])) == 3 and len(drawn(monkeypatch, [{"step": 0, "rate": 1}])) == 1


def test_losses_of_turns_are_dots(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line would run across the turns of the others."""
    log = [{"step": s, "task": "xy"[s // 2 % 2], "loss:a": 1.0, "rate": 0.1} for s in range(8)]
    loss, rate = drawn(monkeypatch, log)
    assert [line.get_linestyle() for line in loss.lines] == ["None", "None"]
    assert [line.get_label() for line in loss.lines] == ["x", "y"]
    assert [line.get_linestyle() for line in rate.lines] != ["None"]


@pytest.mark.parametrize(
    ("losses", "scale"),
    [((1.0, 99.0), "linear"), ((1.0, 101.0), "log"), ((0.0, 101.0), "linear"), ((-1.0, 101.0), "linear")],
)
def test_losses_of_several_magnitudes_have_a_log_scale(
    monkeypatch: pytest.MonkeyPatch, losses: tuple[float, ...], scale: str
) -> None:
    log = [{"step": s, "loss:a": value, "rate": value} for s, value in enumerate(losses)]
    assert [axis.get_yscale() for axis in drawn(monkeypatch, log)] == [scale, "linear"]
