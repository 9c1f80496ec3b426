"""What the election machine does with single events that scenarios and seeds seldom show."""

from __future__ import annotations

import attrs
import pytest

from had.election import Election
from had.election_settings import EPOCH_STRIDE, ElectionSettings
from had.events import (
    ControlleeExited,
    Directive,
    Heard,
    Kind,
    Linked,
    Message,
    Note,
    Pause,
    PauseRequested,
    Persist,
    Persisted,
    Record,
    Send,
    StopControllee,
    Tick,
)
from had.messages import decode_untrusted, encode
from had.pool import MAXIMUM_EPOCH_JUMP
from had.transitions import State

ME, OTHER, STRANGER = "n2:9620", "n3:9620", "n1:9620"
SETTINGS = ElectionSettings(ME, (ME, OTHER), timeout_seconds=2.0)


def message(sender, **fields):
    """Return a message of one of ours that lists everybody."""
    values = {
        "state": State.PASSIVE,
        "members": (STRANGER, ME, OTHER),
        "validity_seconds": 2.0,
        "instance": 1,
    }
    return Message(sender, fields.pop("rank_id", 0), "negotiator", **(values | fields))


@pytest.fixture
def machine():
    """A node that has heard its only peer."""
    election = Election(SETTINGS, Record(), 1, 0.0)
    election.handle(Tick(), 0.0)
    election.handle(Linked(OTHER, is_ours=True), 0.1)
    election.handle(Heard(message(OTHER, sequence=1)), 0.1)
    return election


def notes(effects, name):
    """Return the fields of each note of that name."""
    return [dict(e.fields) for e in effects if isinstance(e, Note) and e.name == name]


def test_a_leader_that_the_list_lacks_is_minded_while_it_leads(machine):
    """A stranger that leads and lists this node is remembered, noted, and forgotten when it leads no more."""
    effects = machine.handle(Heard(message(STRANGER, state=State.LEADER, sequence=1, epoch=130)), 0.2)
    assert notes(effects, "list_mismatch") == [{"peer": STRANGER}]
    assert STRANGER in machine.leaders
    assert machine.state is State.PASSIVE
    machine.handle(Heard(message(STRANGER, sequence=2, epoch=130)), 0.3)
    assert STRANGER not in machine.peers
    assert OTHER in machine.peers


def test_an_absurd_epoch_is_counted_and_not_kept(machine):
    """A jump of more than 2^20 counters is refused; the largest that is allowed is kept."""
    absurd = MAXIMUM_EPOCH_JUMP + 10 * EPOCH_STRIDE
    effects = machine.handle(Heard(message(OTHER, sequence=2, epoch=absurd)), 0.2)
    assert notes(effects, "message_rejected") == [{"peer": OTHER, "reason": "epoch_jump", "epoch": absurd}]
    assert not [e for e in effects if isinstance(e, Persist) and e.record.epoch >= absurd]
    effects = machine.handle(Heard(message(OTHER, sequence=3, epoch=500)), 0.3)
    assert [e.record.epoch for e in effects if isinstance(e, Persist)][-1] == 500


def test_a_heard_epoch_is_on_disk_before_its_leader_is_followed(machine):
    """The leader is not followed until `Persisted` brings its epoch back."""
    effects = machine.handle(Heard(message(OTHER, state=State.LEADER, sequence=2, epoch=384)), 0.2)
    [record] = [e.record for e in effects if isinstance(e, Persist)]
    assert machine.leader is None
    machine.handle(Persisted(record), 0.3)
    assert machine.leader == OTHER


def test_a_stopped_process_listens_before_it_starts_again():
    """A candidate that stood still for longer than T/2 does not start until it has listened for T."""
    election = Election(ElectionSettings(ME, (ME, OTHER), timeout_seconds=2.0), Record(), 1, 0.0)
    election.handle(Tick(), 0.0)
    election.handle(Tick(), 2.0)
    assert election.state is State.ELECTION
    record = None
    now = 30.0
    states = {}
    while now < 33.0:
        for effect in election.handle(Tick(), now):
            record = effect.record if isinstance(effect, Persist) else record
        if record is not None:
            election.handle(Persisted(record), now)
            record = None
        states[round(now, 1)] = election.state
        now += 0.1
    assert states[31.9] is State.ELECTION
    assert states[32.2] is State.LEADER


def test_a_hanging_start_counts_as_a_death(machine):
    """A start that nobody reports is given up, tried again, and then the node abstains."""
    now = 0.3
    machine.handle(Heard(message(OTHER, sequence=2)), now)
    machine.peers.clear()
    while machine.state is not State.LEADER:
        now += 0.5
        for effect in machine.handle(Tick(), now):
            if isinstance(effect, Persist):
                machine.handle(Persisted(effect.record), now)
    stops = 0
    while machine.fitness.abstains_since is None:
        now = min(machine.deadline, now + 0.5)
        for effect in machine.handle(Tick(), now):
            if isinstance(effect, StopControllee):
                stops += 1
                machine.handle(ControlleeExited("killed"), now)
        assert now < 60
    assert stops == 2
    assert machine.fitness.quick_deaths == 2


def test_a_pause_without_end_is_spoken_of_while_it_is_being_written(machine):
    """Until the new pause is on disk the old one is told, with a remaining time that a receiver can read."""
    machine.handle(Linked(OTHER, is_ours=True), 0.3)
    timed = machine.handle(PauseRequested(1, Pause("a", "b", 1.0, until=4.0, seconds_left=3.0)), 0.4)
    [record] = [e.record for e in timed if isinstance(e, Persist)]
    machine.handle(Persisted(record), 0.5)
    effects = machine.handle(PauseRequested(2, Pause("a", "b", 1.0)), 0.6)
    effects += machine.handle(Tick(), 1.6)
    sent = [e.message for e in effects if isinstance(e, Send)]
    assert sent
    for said in sent:
        assert decode_untrusted(encode(said, 0.0), Kind.HEARTBEAT).directive.pause is not None


@pytest.mark.parametrize(
    ("version", "is_taken"),
    [((128, 1), True), ((MAXIMUM_EPOCH_JUMP, 1), True), ((MAXIMUM_EPOCH_JUMP + 1, 0), False), ((1, 2**20), True),
     ((1, 2**20 + 1), False)],
)  # fmt: skip
def test_a_directive_from_far_ahead_is_not_taken(machine, version, is_taken):
    """One broken member must not make every later directive of the pool look old."""
    directive = Directive(version, Pause("a", "b", 1.0))
    effects = machine.handle(Heard(message(OTHER, sequence=2, directive=directive)), 0.2)
    assert bool(notes(effects, "directive")) is is_taken


def test_a_real_condor_had_that_is_found_late_is_listened_for():
    """One that answers only when T is over may lead: this node waits for HTCondor's interval, 18 s, before it leads."""
    election = Election(SETTINGS, Record(), 1, 0.0)
    election.handle(Tick(), 0.0)
    election.handle(Tick(), 2.0)
    assert election.state is State.ELECTION
    election.handle(Linked(OTHER, is_ours=False), 2.1)
    while election.deadline < 18.0:
        assert not [e for e in election.handle(Tick(), election.deadline) if isinstance(e, Persist)]
    assert [e for e in election.handle(Tick(), 18.0) if isinstance(e, Persist)]


def test_a_late_find_does_not_delay_a_takeover():
    """Who has known a leader since its start does not listen for another one."""
    election = Election(attrs.evolve(SETTINGS, members=(ME, OTHER, STRANGER)), Record(), 1, 0.0)
    election.handle(Linked(OTHER, is_ours=True), 0.1)
    election.handle(Linked(STRANGER, is_ours=False), 0.1)
    election.handle(Heard(message(OTHER, state=State.LEADER, sequence=1)), 0.2)
    assert election.state is State.PASSIVE
    while election.deadline < 3.0:
        election.handle(Tick(), election.deadline)
    assert election.state is State.ELECTION
