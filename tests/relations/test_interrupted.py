"""Real signals inside a stage: it ends after that very step, and the next run has the bits of an unbroken one."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
import tiny
from kills import Killer

from muscle import interrupt
from muscle.data.corpus import Corpus
from muscle.interrupt import Interrupted
from muscle.learner import Learner
from muscle.looks import Looks
from muscle.recipe import Recipe

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are sent to a process on POSIX alone")


@pytest.fixture(autouse=True)
def _heard() -> Iterator[None]:
    """A shell lets what it starts in the background ignore SIGINT."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in interrupt.SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def method() -> Recipe:
    """MoCo, three steps a turn, two turns: no line of the log but at the end of a turn."""
    return tiny.small("md-moco", epochs=2)


def _sent_at(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, call: int, number: int) -> None:
    """Sends a signal to this process when a method is called for the ``call``-th time."""
    original, calls = getattr(owner, name), []

    def sending(self: Any, *given: Any) -> Any:
        calls.append(1)
        if len(calls) == call:
            os.kill(os.getpid(), number)
        return original(self, *given)

    monkeypatch.setattr(owner, name, sending)


@pytest.mark.parametrize(
    ("owner", "name", "call", "saved"),
    [
        (Learner, "losses", 2, 2),  # inside the first turn, between two lines of the log
        (Learner, "losses", 3, 3),  # at its last step, before its look
        (Looks, "entry", 2, 3),  # in that look
    ],
)
def test_what_was_asked_to_end_saves_and_goes_on_with_equal_bits(
    owner: type,
    name: str,
    call: int,
    saved: int,
    corpus: Corpus,
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unbroken = tiny.pipeline(method(), corpus, tmp_path / "unbroken").pretrain()[-1]
    assert unbroken.about["steps"] == 6
    first, last = Killer("none", 0), Killer("none", 0)
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        _sent_at(patch, owner, name, call, signal.SIGTERM)
        tiny.pipeline(method(), corpus, tmp_path / "broken", first).pretrain()
    assert f"pretrain: saved at step {saved} of 6" in first.messages
    made = tiny.pipeline(method(), corpus, tmp_path / "broken", last).pretrain()[-1]
    assert f"pretrain: resumed at step {saved} of 6" in last.messages
    assert made.about["state_sha256"] == unbroken.about["state_sha256"]  # queue, momentum encoder, optimizer
    assert made.about["files"] == unbroken.about["files"]  # weights and log


def test_in_the_last_look_the_stage_is_finished_first(
    corpus: Corpus, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        _sent_at(patch, Looks, "entry", 3, signal.SIGINT)
        tiny.pipeline(method(), corpus, tmp_path).pretrain()
    assert list(tmp_path.glob("*/stage.json")) and not list(tmp_path.glob("*.running"))
