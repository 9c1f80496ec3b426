"""When the state is looked at: told by news, by time and by the end of a leadership, one look at a time."""

import math

import pytest

from replication.looking import FAILED_RETRY_SECONDS, FLOOR_SECONDS, STILL_CHANGING_SECONDS, Looking


def looked(looking, now, signature="s", retry_seconds=None):
    """Take a look that is due; return whether it was the last one, and good."""
    assert looking.deadline <= now
    looking.begin(now)
    assert looking.deadline == math.inf
    return looking.ended(now, signature, retry_seconds)


@pytest.fixture
def looking():
    """A policy that has looked once, at 0."""
    looking = Looking(300.0)
    assert not looked(looking, 0.0)
    return looking


def test_without_news_the_interval_is_the_floor(looking):
    """An interval of 0 is no reason to do nothing else."""
    assert looking.deadline == 300.0
    looking.interval_seconds = 0.0
    assert looking.deadline == FLOOR_SECONDS


def test_news_ask_for_one_look_however_many_they_are(looking):
    """Those that come while one is under way ask for one more."""
    looking.want()
    looking.want()
    assert looking.deadline == -math.inf
    looking.begin(1.0)
    looking.want()
    looking.want()
    assert looking.deadline == math.inf
    looking.ended(1.0, "s")
    assert not looked(looking, 1.0)
    assert looking.deadline == 301.0


def test_what_is_being_written_is_looked_at_when_it_may_be_quiet(looking):
    """And at once on news."""
    looking.want()
    looked(looking, 1.0, "a", retry_seconds=0.2)
    assert looking.deadline == 1.2
    looking.want()
    assert looking.deadline == -math.inf


def test_what_never_gets_quiet_is_said_after_a_while(looking):
    """And not any more when it was quiet once."""
    for tick in range(1, 5):
        looking.want()
        looked(looking, float(tick), str(tick), retry_seconds=0.2)
        assert looking.is_still_changing == (tick - 1 >= STILL_CHANGING_SECONDS)
    looking.want()
    looked(looking, 9.0)
    assert not looking.is_still_changing


def test_what_cannot_be_read_is_tried_again(looking):
    """Whatever was to be settled is not."""
    looking.settle(0.0, 5.0)
    assert looking.begin(5.0)
    looking.failed(5.0)
    assert looking.deadline == 5.0 + FAILED_RETRY_SECONDS
    assert looking.begin(6.0)
    assert looking.ended(6.0, "s")


def test_a_controllee_that_is_gone_needs_one_look(looking):
    """One that began before does not count, nor one that found somebody writing."""
    looking.watch()
    assert not looking.begin(5.0)
    looking.settle(0.0, 5.1)
    assert not looking.ended(5.2, "s")
    assert looking.begin(5.2)
    assert not looking.ended(5.3, "t", retry_seconds=0.2)
    assert looking.deadline == 5.5
    assert looking.is_led_here
    assert looking.begin(5.5)
    assert looking.ended(5.6, "t")
    assert not looking.is_led_here
    assert looking.deadline == 305.5


def test_a_last_look_that_was_asked_for_again_is_not_over_by_the_first(looking):
    """Who leads in between writes in between."""
    looking.settle(0.0, 5.0)
    assert looking.begin(5.0)
    looking.watch()
    looking.settle(0.0, 5.1)
    assert not looking.ended(5.2, "s")
    assert looked(looking, 5.2)


def test_quiet_is_counted_from_the_question_and_from_the_last_change(looking):
    """Looks that come in between are not the last one."""
    looking.settle(2.0, 10.0)
    assert not looked(looking, 10.0)
    assert looking.deadline == 12.0
    looking.want()
    assert not looked(looking, 11.0, "t")
    assert looking.deadline == 13.0
    assert looked(looking, 13.0, "t")


def test_a_last_look_that_finds_another_change_is_followed_by_more(looking):
    """It was quiet for so long, until this moment."""
    looking.settle(2.0, 10.0)
    looked(looking, 10.0)
    assert not looked(looking, 12.0, "t")
    assert looking.deadline == 14.0
    assert looked(looking, 14.0, "t")


def test_a_new_leadership_takes_the_last_look_back(looking):
    """Nothing is settled then."""
    looking.settle(2.0, 10.0)
    looking.watch()
    assert not looked(looking, 15.0)
    assert looking.deadline == 315.0
    assert looking.is_led_here
