"""What /status says of the state: what the custody has, and what it waits for."""

import attrs
import pytest

from had.custody import Custody
from had.custody_events import CustodySettings, Incumbent, ReplicaAnswered, ReplicaFound, ReplicaLost
from had.election import Election
from had.events import ControlleeExited, Record, StartControllee, StopControllee, Transition
from had.replica_words import Currency, ReplicaAnswer
from had.status import Replica
from had.transitions import Reason, State
from had.view import status_of
from tests.had.speakers import SETTINGS, C

T = 2.0


def seen(custody, now=0.0):
    """The part of the status document."""
    election = Election(attrs.evolve(SETTINGS, has_replica=True), Record(), 1, 0.0)
    document = status_of(
        election,
        now,
        names=lambda member: member,
        pid=None,
        restarts=0,
        controllee_since=0.0,
        history=(),
        custody=custody,
    )
    return document.replica


@pytest.fixture
def custody():
    """One that has just begun."""
    return Custody(CustodySettings(T, lifetime_seconds=300.0), 1, 0.0)


def lead(custody):
    """Let it win, and order the start."""
    custody.handle(Transition(State.ELECTION, State.LEADER, Reason.won_by_answers, 130), 0.0)
    custody.handle(StartControllee(130), 0.0)


def answer(custody, currency=Currency.CURRENT):
    """Let the replica answer the start's question."""
    custody.handle(ReplicaAnswered(ReplicaAnswer(custody.start.request, currency)), 0.0)


def test_without_a_replica_it_is_off():
    """Nothing is known, and nothing is waited for."""
    assert seen(None) == Replica("off", None, None, None)


def test_a_replica_that_does_not_answer(custody):
    """A follower says so, and a leader that waits for it says for how long."""
    assert seen(custody) == Replica("unreachable", None, False, "its replication daemon does not answer")
    lead(custody)
    waiting = "its replication daemon does not answer, so the start waits for it (1.5 s so far)"
    assert seen(custody, 1.5) == Replica("unreachable", None, False, waiting)


def test_a_start_that_waits_for_the_newest_state(custody):
    """How long so far, and how long at most; then on what it started."""
    custody.handle(ReplicaFound(is_ours=True), 0.0)
    lead(custody)
    waiting = "its replica brings the state up to date (12.0 s so far, 300 s at most)"
    assert seen(custody, 12.0) == Replica("ours", None, True, waiting)
    answer(custody, Currency.STALE)
    assert seen(custody) == Replica("ours", "stale", True, None)


def test_a_flush_that_a_handover_waits_for(custody):
    """The leader says what keeps it."""
    custody.handle(ReplicaFound(is_ours=True), 0.0)
    lead(custody)
    answer(custody)
    custody.handle(StopControllee(10.0, Reason.switchover, C), 0.0)
    custody.handle(ControlleeExited("requested"), 1.0)
    assert seen(custody, 1.5).waiting == "it hands on what its controllee wrote last (0.5 s so far)"


def test_a_follower_that_lacks_something(custody):
    """Until it has all of the leader's state."""
    custody.handle(ReplicaFound(is_ours=True), 0.0)
    assert seen(custody) == Replica("ours", None, False, None)
    custody.handle(Incumbent(257), 0.0)
    assert seen(custody).waiting == "its replica still lacks something of the leader's state"
    custody.handle(ReplicaAnswered(ReplicaAnswer(custody.readiness.request, Currency.CURRENT)), 0.0)
    assert seen(custody) == Replica("ours", None, True, None)
    custody.handle(ReplicaLost(), 0.0)
    assert seen(custody).state == "unreachable"


def test_a_real_replication_is_called_by_its_name(custody):
    """And the node counts as ready, since it never says."""
    custody.handle(ReplicaFound(is_ours=False), 0.0)
    assert seen(custody) == Replica("condor", None, True, None)
