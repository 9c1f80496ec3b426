"""The alarm on CLOCK_BOOTTIME."""

import math
import select
import time
from contextlib import closing

import pytest

from daemoncore.boottime import Alarm, now


@pytest.fixture
def alarm():
    """An alarm that is closed afterwards."""
    with closing(Alarm()) as made:
        yield made


def rings_within(alarm, seconds):
    """Whether the alarm is readable within that time."""
    return bool(select.select([alarm], [], [], seconds)[0])


def test_the_clock_is_the_one_since_the_machine_started():
    """It is never behind the clock that stops during suspension."""
    awake = time.monotonic()
    assert awake <= now()


@pytest.mark.parametrize("deadline", [-5.0, 0.0, 1e-12, 1.0])
def test_the_past_rings_at_once(alarm, deadline):
    """A deadline that is over, as after a suspension, rings immediately."""
    alarm.set(deadline)
    assert rings_within(alarm, 1.0)


def test_a_new_alarm_and_infinity_never_ring(alarm):
    """Without a deadline there is no ring, and infinity takes one back."""
    assert not rings_within(alarm, 0.0)
    alarm.set(now() - 1)
    alarm.set(math.inf)
    assert not rings_within(alarm, 0.01)


def test_it_rings_at_the_deadline_and_not_before(alarm):
    """The ring comes when the deadline is over."""
    deadline = now() + 0.05
    alarm.set(deadline)
    assert rings_within(alarm, 5.0)
    assert deadline <= now() < deadline + 1.0


def test_setting_it_again_silences_it(alarm):
    """A later deadline takes the place of a ring that nobody heard."""
    alarm.set(0.0)
    assert rings_within(alarm, 1.0)
    alarm.set(now() + 60)
    assert not rings_within(alarm, 0.0)
