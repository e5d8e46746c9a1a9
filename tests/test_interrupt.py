"""Signals are taken where work can end; real ones, sent to this very process."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from muscle import interrupt

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are sent to a process on POSIX alone")


@pytest.fixture(autouse=True)
def _handlers_stay() -> Iterator[None]:
    before = {
        number: signal.signal(number, signal.SIG_DFL) for number in interrupt.SIGNALS
    }  # a shell may ignore some
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def _send(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(0.01)  # it is met between two bytecodes


@pytest.mark.parametrize("number", interrupt.SIGNALS)
def test_at_once_where_the_program_is_anywhere(number: int) -> None:
    interrupt.listen()
    with pytest.raises(KeyboardInterrupt):
        _send(number)


@pytest.mark.parametrize("number", interrupt.SIGNALS)
def test_inside_the_first_is_noted_and_the_second_ends_at_once(
    number: int, capfd: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(number)
    with interrupt.deferred() as asked:
        assert asked() == ""
        _send(number)
        assert asked() == signal.Signals(number).name
        with pytest.raises(KeyboardInterrupt):
            _send(signal.SIGTERM)
    assert signal.getsignal(number) is before
    assert f"{asked()}: ends after this step and saves" in capfd.readouterr().err


def test_an_ignored_signal_stays_ignored() -> None:
    """As under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    interrupt.listen()
    with interrupt.deferred() as asked:
        _send(signal.SIGHUP)
        assert not asked()
    interrupt.die()
    _send(signal.SIGHUP)


def test_elsewhere_than_in_the_main_thread_nothing_is_installed() -> None:
    seen = []

    def work() -> None:
        with interrupt.deferred() as asked:
            seen.append(asked())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [""]


def test_the_code_is_that_of_a_temporary_failure() -> None:
    assert interrupt.CONTINUE == os.EX_TEMPFAIL
