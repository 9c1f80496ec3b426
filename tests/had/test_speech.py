"""What a node says of others and of directives is counted from the moment of speaking."""

import math

import attrs
import pytest

from had.events import Directive, Pause
from had.peers import live_leaders
from had.speech import pause_end, sighting_of, spoken
from had.transitions import State
from tests.had.speakers import A, B, C, T, by_member, heard


def test_a_sighting_repeats_what_its_member_said():
    """Every claim of a member that others may act on is in the sighting of it, with its age and what is left."""
    fields = {
        "epoch": 258,
        "candidacy": 7,
        "wants": True,
        "abstains_seconds": 3.0,
        "successor": C,
        "offer_epoch": 130,
    }
    sighting = sighting_of(heard(A, 10.0, State.LEADER, validity=4.0, **fields), 11.0)
    assert (sighting.member, sighting.age_seconds, sighting.remaining_seconds) == (A, 1.0, 3.0)
    assert (sighting.state, sighting.rank_id) == (State.LEADER, 2)
    assert {name: getattr(sighting, name) for name in fields} == fields


def test_hearsay_of_hearsay_keeps_no_dead_leader_alive():
    """What a node knows of a leader through another has no sighting, and a chain of reports loses no time."""
    leader = heard(C, 10.0, State.LEADER)
    reporter = heard(A, 11.0, sightings=(sighting_of(leader, 11.0),))
    report = live_leaders(by_member(reporter), B, 11.5)[C]
    assert report.expires_at == 10.0 + T
    # B hears A only, so A is all that B reports to others.
    assert [p.member for p in by_member(reporter).values() if p.is_alive(11.5)] == [A]


TIMED = Directive((1, 1), Pause("root", "why", 100.0, 160.0, 60.0))
OPEN = attrs.evolve(TIMED, pause=Pause("root", "why", 100.0))


@pytest.mark.parametrize(
    ("directive", "ends_at"), [(Directive(), -math.inf), (OPEN, math.inf), (TIMED, 67.0)]
)
def test_the_end_of_a_pause_on_this_nodes_clock(directive, ends_at):
    """No pause ended long ago, one without an end never does, and one with 60 seconds left at 7 ends at 67."""
    assert pause_end(directive, 7.0) == ends_at


@pytest.mark.parametrize(("now", "left"), [(7.0, 60.0), (27.0, 40.0), (67.0, 0.0), (99.0, 0.0)])
def test_the_rest_of_a_pause_is_told_as_of_now(now, left):
    """Who hears of it later is told less, so that it ends everywhere at once."""
    assert spoken(TIMED, 67.0, now).pause.seconds_left == left


def test_a_directive_without_a_timed_pause_is_told_as_it_is():
    """There is nothing to count."""
    assert spoken(OPEN, math.inf, 7.0) == OPEN
    assert spoken(Directive(), -math.inf, 7.0) == Directive()
