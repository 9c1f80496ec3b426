"""The warning of a loop that is late: at once the first time, then once a minute with what came in between."""

import pytest

from had.lateness import PAUSE_SECONDS, Lateness

T = 1.0


@pytest.fixture
def told():
    """What was told."""
    return []


@pytest.fixture
def lateness(told):
    """One that has told nothing yet."""
    return Lateness(lambda event, **fields: told.append((event, fields)))


def test_a_lag_up_to_a_heartbeat_is_nothing(lateness, told):
    """A quarter of T is what a heartbeat may be late without anybody missing it."""
    for number in range(100):
        lateness.turned(float(number), T / 4, T)
    assert told == []


def test_the_first_late_turn_is_told_at_once(lateness, told):
    """Whoever reads the log sees the cause before its effect."""
    lateness.turned(10.0, 0.2507, T)
    assert told == [("loop_late", {"seconds": 0.251, "limit": 0.25, "times": 1})]


def test_later_ones_are_told_once_a_minute_with_the_worst(lateness, told):
    """A machine that is starved for long gets a line a minute, and none of its late turns is left out."""
    lateness.turned(10.0, 0.3, T)
    for second, lag_seconds in ((11.0, 0.4), (12.0, 0.9), (13.0, 0.0), (14.0, 0.3)):
        lateness.turned(second, lag_seconds, T)
    assert len(told) == 1
    lateness.turned(10.0 + PAUSE_SECONDS, 0.0, T)
    assert told[1:] == [("loop_late", {"seconds": 0.9, "limit": 0.25, "times": 3})]


def test_a_quiet_minute_is_not_told(lateness, told):
    """When nothing was late since the last line there is no other line."""
    lateness.turned(10.0, 0.3, T)
    lateness.turned(1000.0, 0.0, T)
    assert len(told) == 1


def test_a_new_timeout_counts_from_the_next_turn(lateness, told):
    """What is late is a matter of the HAD_CONNECTION_TIMEOUT in force."""
    lateness.turned(10.0, 0.3, 2.0)
    assert told == []
    lateness.turned(11.0, 0.3, 1.0)
    assert told == [("loop_late", {"seconds": 0.3, "limit": 0.25, "times": 1})]
