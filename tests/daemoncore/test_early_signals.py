"""Signals before there is a loop: kept, or an end at once."""

import os
import signal

import pytest

from daemoncore.early_signals import STOPPING, EarlySignals


@pytest.fixture
def early():
    """Early signals, installed for the length of a test."""
    before = {number: signal.getsignal(number) for number in (*STOPPING, signal.SIGHUP)}
    made = EarlySignals(exit_status=3)
    made.install()
    yield made
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", STOPPING)
def test_a_process_that_has_nothing_to_lose_ends(early, number):
    """Before the daemon begins, a signal to stop is an exit with the status of a daemon that was asked."""
    with pytest.raises(SystemExit) as exited:
        os.kill(os.getpid(), number)
    assert exited.value.code == 3


def test_what_comes_early_is_acted_on_later_and_once(early):
    """SIGHUP always, and signals to stop once the daemon has begun, wait in their order."""
    os.kill(os.getpid(), signal.SIGHUP)
    early.begin()
    os.kill(os.getpid(), signal.SIGQUIT)
    taken = []
    early.take(taken.append)
    early.take(taken.append)
    assert taken == [signal.SIGHUP, signal.SIGQUIT]
