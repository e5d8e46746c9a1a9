"""What is shown: nothing is folded in a pipe, no line too often, no markup in other people's text."""

from __future__ import annotations

import pytest

from muscle.cli import console
from muscle.cli.console import Shown, table


def test_a_row_is_one_line_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    path = "/a/very/long/path" * 20
    table(("where", "n"), [(path, 1234567), ("[red]:bone:", 2)])
    lines = capsys.readouterr().out.splitlines()
    assert (
        len(lines) == 3
        and lines[1].split() == [path, "1,234,567"]
        and lines[2].split() == ["[red]:bone:", "2"]
    )


def test_one_long_cell_does_not_widen_every_row_of_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    """Columns stay aligned up to 40; beyond, a row is as long as what it holds."""
    table(("what", "where", "n"), [("a", "x" * 300, 1), ("手", "short", 20), ("b\nc", "", 3)])
    assert capsys.readouterr().out.splitlines() == [
        "what  where" + " " * 35 + "   n",
        "a     " + "x" * 300 + "   1",
        "手    short" + " " * 35 + "  20",
        "b c   " + " " * 40 + "   3",
    ]


def test_an_empty_table_is_its_head(capsys: pytest.CaptureFixture[str]) -> None:
    table(("a", "b"), [])
    assert capsys.readouterr().out.split() == ["a", "b"]


def test_plain_lines_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first, one every 15 seconds, the last; with rate and time left."""
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    shown = Shown()
    for done in range(1, 61):
        now[0] = float(done)
        shown.count("decoding [x]", done, 60, "images")
    shown.close()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "decoding [x]: 1/60 images"
    assert lines[1] == "decoding [x]: 16/60 images, 1.0/s, 0.7 min left"
    assert lines[-1] == "decoding [x]: 60/60 images, 1.0/s" and len(lines) == 5


def test_messages_are_plain(capsys: pytest.CaptureFixture[str]) -> None:
    Shown().message("warning: [bold] 3 files")
    assert capsys.readouterr() == ("", "warning: [bold] 3 files\n")


def test_on_a_terminal_bars_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    from io import StringIO

    from rich.console import Console

    screen = StringIO()
    monkeypatch.setattr(console, "err", Console(file=screen, force_terminal=True, width=100, highlight=False))
    shown = Shown()
    shown.count("pretrain", 1, 10, "steps")
    shown.count("pretrain", 5, 10, "steps")
    shown.message("epoch 1: fine")
    shown.close()
    assert (
        "5/10" in screen.getvalue()
        and "steps, " in screen.getvalue()
        and "epoch 1: fine" in screen.getvalue()
    )


def test_a_second_stage_of_one_name_counts_its_own_rate(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hour between two stages of one name is nobody's work: it once read as hours left."""
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    shown = Shown()
    for second in (0, 3600):
        for done in range(1, 11):
            now[0] = float(second + done)
            shown.count("finetune-lungs", done, 10, "steps")
    assert capsys.readouterr().err.splitlines()[-1] == "finetune-lungs: 10/10 steps, 1.0/s"
