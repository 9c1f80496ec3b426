"""Votes and leases, rule by rule: who is granted one, from when it counts, and what frees it."""

from __future__ import annotations

import attrs
import pytest

from had.ballots import Electorate, Grant, Vote
from had.election import Election
from had.election_settings import ElectionSettings
from had.events import (
    Heard,
    Linked,
    Note,
    Persist,
    Persisted,
    PersistFailed,
    Record,
    Refused,
    RenewLease,
    Send,
    StartControllee,
    StopControllee,
    Tick,
    Transition,
)
from had.transitions import Reason, State
from had.votes import RESTART_SECONDS, majority_of, one_step
from tests.had.speakers import IDS, MEMBERS, A, B, C, said, saw

T = 4.0
D = "127.0.0.4:9620"
SETTINGS = ElectionSettings(B, MEMBERS, timeout_seconds=T, require_majority=True)
LEASE = T * (1 - 2 * SETTINGS.clock_drift)
FREE = Vote(B, 1, 1, 1, T)
"""This node's own vote of an earlier start: it binds nobody, and shows that the disk is not new."""
LISTS = Electorate((0, 0), MEMBERS)


class Node:
    """A node with a disk that answers when it is told to."""

    def __init__(self, record=None, settings=SETTINGS, instance=2):
        self.machine = Election(settings, record or Record(vote=FREE), instance, 0.0)
        self.effects = []
        self.do(Tick(), 0.0)
        for peer in settings.others:
            self.do(Linked(peer, is_ours=True), 0.0)

    def do(self, event, now):
        """Hand over an event; return the effects."""
        found = self.machine.handle(event, now)
        self.effects += found
        return found

    def hear(self, sender, now, state=State.PASSIVE, **fields):
        """Hear a message, by default of a member that asks for nothing."""
        plain = {"electorate": LISTS, "sequence": round(now * 1000) + 1, "sightings": (saw(B),)}
        return self.do(Heard(said(sender, state, **(plain | fields))), now)

    def ask(self, sender, now, state=State.ELECTION, epoch=None, **fields):
        """Hear a request."""
        epoch = 128 + IDS.get(sender, 0) if epoch is None else epoch
        fields = {"lease_epoch": epoch, "lease_seconds": T, "epoch": epoch} | fields
        return self.hear(sender, now, state, **fields)

    def write(self, now):
        """Let the last write reach the disk."""
        records = [e.record for e in self.effects if isinstance(e, Persist)]
        return self.do(Persisted(records[-1]), now)

    def granted(self, effects):
        """What the messages among the effects grant, by addressee."""
        return {e.to: e.message.grant for e in effects if isinstance(e, Send) and e.message.grant is not None}


def bound(now=1.0, holder=A, state=State.LEADER):
    """A node whose vote a member has, on disk, since `now`."""
    node = Node()
    node.ask(holder, now, state)
    node.write(now)
    return node


def leading():
    """A node that leads by its own vote and C's, and when it came to; A was never heard."""
    node = Node()
    machine = node.machine
    for half in range(1, 20):
        now = half / 2
        grant = Grant(B, 2, machine.sequence, T) if machine.votes.asked_epoch else None
        node.hear(C, now, grant=grant)
        if machine.state is State.LEADER:
            return node, now
        if machine.ledger.wanted != machine.record:
            node.write(now)
            node.write(now)
    raise AssertionError("it never came to lead")


# --- the voter --------------------------------------------------------------------------------------------------


def test_a_vote_is_on_disk_before_it_is_told():
    """A request is answered when the write is done, at once, and only to whom it was given."""
    node = Node()
    assert node.granted(node.ask(A, 1.0, sequence=7)) == {}
    assert node.granted(node.write(1.0))[A] == Grant(A, 1, 7, T)


@pytest.mark.parametrize(
    ("change", "is_same"),
    [
        ({}, True),
        ({"seconds": 9.0}, True),
        ({"member": C}, False),
        ({"instance": 2}, False),
        ({"sequence": 6}, False),
        ({"epoch": 257}, False),
    ],
)
def test_a_vote_is_one_promise_for_however_long(change, is_same):
    """Only the time may differ: another member, start, request or epoch is another vote, and none is none."""
    vote = Vote(A, 1, 5, 129, 4.0)
    assert vote.is_same(attrs.evolve(vote, **change)) is is_same
    assert vote.is_same(vote)
    assert not vote.is_same(None)


def test_a_renewal_needs_no_write():
    """The second request is answered at once, and nothing is written for it."""
    node = bound()
    effects = node.ask(A, 2.0, State.LEADER, sequence=5000)
    assert not [e for e in effects if isinstance(e, Persist)]
    assert node.granted(effects)[A] == Grant(A, 1, 5000, T)


def test_a_disk_that_fails_grants_nothing():
    """What could not be written is not told."""
    node = Node()
    node.ask(A, 1.0)
    record = node.machine.ledger.wanted
    assert node.granted(node.do(PersistFailed(record, "full"), 1.0)) == {}
    assert node.granted(node.do(Persisted(record), 2.5))[A].member == A


@pytest.mark.parametrize(("at", "is_free"), [(1.0 + T - 0.01, False), (1.0 + T + 0.01, True)])
def test_a_vote_binds_for_as_long_as_was_asked(at, is_free):
    """Somebody else gets the vote when the last request is T old, and no sooner."""
    node = bound()
    node.ask(C, at - 0.001, epoch=256)
    node.do(Tick(), at)
    assert (node.machine.votes.bond.vote.member == C) is is_free


def test_the_holders_own_word_frees_a_vote():
    """A later message that asks for nothing gives the vote back, and who waits for it has it."""
    node = bound()
    node.ask(C, 1.5, epoch=256)
    assert node.machine.votes.bond.vote.member == A
    node.hear(A, 1.6)
    assert node.machine.votes.bond.vote.member == C


def test_a_refused_connection_frees_nothing():
    """A firewall refuses connections too."""
    node = bound()
    node.do(Refused(A), 1.1)
    node.ask(C, 1.5, epoch=256)
    assert node.machine.votes.bond.vote.member == A


def test_the_next_start_of_a_daemon_frees_a_vote_when_its_guard_is_done():
    """The earlier daemon is gone, and its controllee within the guard's time."""
    node = bound()
    node.hear(A, 1.5, instance=2, sequence=1)
    node.ask(C, 1.6, epoch=256)
    assert node.machine.votes.bond.vote.member == A
    node.do(Tick(), 1.5 + RESTART_SECONDS + 0.01)
    assert node.machine.votes.bond.vote.member == C


def test_a_word_from_before_the_request_frees_nothing():
    """After a restart an old message of the holder's, which asked for nothing yet, is not its release."""
    node = Node(Record(vote=Vote(A, 1, 40, 130, T)))
    node.hear(A, 1.0, sequence=39)
    node.ask(C, 1.1, epoch=256)
    assert node.machine.votes.bond.vote.member == A
    node.hear(A, 1.2, sequence=41)
    assert node.machine.votes.bond.vote.member == C


def test_a_restarted_voter_renews_at_once_and_lets_others_wait():
    """The disk names the holder: it is granted its lease again, and nobody else one for as long as was promised."""
    vote = Vote(A, 1, 40, 130, 3 * T)
    node = Node(Record(epoch=130, vote=vote))
    node.ask(C, 3 * T - 0.1, epoch=256)
    assert node.machine.votes.bond.vote == vote
    assert node.granted(node.ask(A, 3 * T - 0.05, State.LEADER, sequence=90))[A] == Grant(A, 1, 90, T)


def test_an_empty_disk_withholds_for_one_lease_of_whoever_asks():
    """It may have promised anything, to somebody whose T is longer than ours too."""
    node = Node(Record())
    node.ask(A, 1.0, lease_seconds=1.5 * T)
    node.ask(A, 1.4 * T, lease_seconds=1.5 * T, sequence=9000)
    assert node.machine.votes.bond is None
    node.do(Tick(), 1.5 * T + 0.01)
    assert node.machine.votes.bond.vote.member == A


def test_an_empty_disk_withholds_for_our_own_t_at_least():
    """It may have promised for as long to somebody who is not heard, though whoever asks now has a shorter T."""
    node = Node(Record())
    node.ask(A, 1.0, lease_seconds=T / 2)
    node.ask(A, 0.9 * T, lease_seconds=T / 2, sequence=9000)
    assert node.machine.votes.bond is None
    node.ask(A, 1.01 * T, lease_seconds=T / 2, sequence=9001)
    assert node.machine.votes.bond.vote.member == A


@pytest.mark.parametrize(("epoch", "is_granted"), [(383, False), (386, True)])
def test_a_new_vote_is_for_the_largest_epoch(epoch, is_granted):
    """Whoever knows of a later leadership grants no earlier one, so the epochs of leaderships rise."""
    node = Node(Record(epoch=384, vote=FREE))
    node.ask(A, 1.0, epoch=epoch)
    assert (node.machine.votes.bond is not None) is is_granted


def test_a_leader_goes_before_a_candidate_and_the_better_candidate_before_the_other():
    """A vote that becomes free goes to a leader that asks, else to who ranks first."""
    node = Node(Record(vote=Vote(D, 1, 1, 1, 1.0)), attrs.evolve(SETTINGS, witnesses=(D,)))
    lists = Electorate((0, 0), (*MEMBERS, D))
    node.ask(C, 0.5, epoch=256, electorate=lists)
    node.ask(A, 0.6, epoch=258, electorate=lists)
    node.do(Tick(), 1.01)
    assert node.machine.votes.bond.vote.member == A
    other = Node(Record(vote=Vote(D, 1, 1, 1, 1.0)), attrs.evolve(SETTINGS, witnesses=(D,)))
    other.ask(A, 0.5, epoch=258, electorate=lists)
    other.ask(C, 0.6, State.LEADER, epoch=384, electorate=lists)
    other.do(Tick(), 1.01)
    assert other.machine.votes.bond.vote.member == C


def test_the_disk_names_the_longest_lease_that_was_granted():
    """A renewal for longer is written before it is told; one for less leaves what may have been promised."""
    node = bound()
    assert node.granted(node.ask(A, 2.0, State.LEADER, lease_seconds=1.5 * T))[A].seconds == T
    node.write(2.0)
    assert node.machine.record.vote.seconds == 1.5 * T
    node.ask(A, 3.0, State.LEADER, lease_seconds=T)
    assert node.machine.ledger.wanted.vote.seconds == 1.5 * T


def test_a_candidate_alone_is_renewed():
    """Its second request is granted like a leader's."""
    node = bound(state=State.ELECTION)
    effects = node.ask(A, 2.0, sequence=5000)
    assert node.granted(effects)[A] == Grant(A, 1, 5000, T)


def test_of_two_that_abstain_the_one_that_began_first_gets_the_vote():
    """What they said is as old as their messages: A began at -9, C at -8."""
    node = Node(Record())
    node.ask(A, 1.0, epoch=300, abstains_seconds=10.0)
    node.ask(C, 3.0, epoch=300, abstains_seconds=11.0)
    node.do(Tick(), T + 0.01)
    assert node.machine.votes.bond.vote.member == A


def test_a_candidate_is_not_renewed_beside_a_better_one():
    """Two candidates that do not hear each other would share the votes for ever; a leader keeps its own."""
    node = bound(holder=C, state=State.ELECTION)
    node.ask(A, 1.5, epoch=258)
    node.ask(C, 2.0, epoch=128, sequence=7000)
    assert node.machine.votes.bond.sequence != 7000
    node.ask(C, 2.1, State.LEADER, epoch=128, sequence=7001)
    assert node.machine.votes.bond.sequence == 7001


@pytest.mark.parametrize(
    ("mine", "theirs", "is_granted"),
    [
        (Electorate(), LISTS, True),
        (Electorate(), Electorate((0, 0), (A, B)), False),
        (Electorate((256, 0), MEMBERS), LISTS, False),
        (Electorate((256, 0), MEMBERS), Electorate((130, 9), MEMBERS), False),
        (Electorate((256, 0), MEMBERS), Electorate((256, 1), (A, B)), True),
    ],
)
def test_who_counts_among_an_older_electorate_gets_no_vote(mine, theirs, is_granted):
    """An electorate that was replaced counts for nothing; before the first one the lists must be the same."""
    node = Node(Record(vote=FREE, electorate=mine))
    node.ask(A, 1.0, epoch=386, electorate=theirs)
    assert (node.machine.votes.bond is not None) is is_granted


def test_a_later_electorate_is_kept():
    """What a member has on disk replaces an earlier one here, and is told when it is on disk here too."""
    node = Node()
    later = Electorate((130, 0), MEMBERS)
    node.hear(A, 1.0, electorate=later)
    assert node.machine.ledger.wanted.electorate == later
    assert node.machine.votes.told_electorate(node.machine.record).number == (0, 0)
    node.write(1.0)
    assert node.machine.votes.told_electorate(node.machine.record) == later


def test_who_asks_says_at_once_that_an_electorate_is_on_disk():
    """Voters that know of it refuse requests that do not, so the next one does not wait for a heartbeat."""
    node, now = leading()
    effects = node.write(now)
    numbers = {e.message.electorate.number for e in effects if isinstance(e, Send)}
    assert numbers == {(node.machine.leadership_epoch, 0)}


def test_an_unbelievable_lease_is_not_granted():
    """A request for a year would bind the vote for a year."""
    node = Node()
    node.ask(A, 1.0, lease_seconds=1e7)
    assert node.machine.votes.bond is None


# --- the one who asks -------------------------------------------------------------------------------------------


def test_a_lease_counts_from_before_the_request_left():
    """However late the grant comes, the guard's lease ends T, less the drift, after the request."""
    node, now = leading()
    machine = node.machine
    node.do(Tick(), now + 1.0)
    sequence = machine.sequence
    sent_at = machine.votes.requests[sequence][0]
    node.hear(C, sent_at + 0.9, grant=Grant(B, 2, sequence, T))
    assert machine.votes.ends[C] == pytest.approx(sent_at + LEASE)
    assert [e.until for e in node.effects if isinstance(e, RenewLease)][-1] == machine.votes.ends[C]


def test_nobody_leads_without_votes():
    """A claim on disk and silence are not enough where a majority is needed."""
    node = Node()
    for now in (5.0, 6.1, 7.2, 8.3):
        node.do(Tick(), now)
        if any(isinstance(e, Persist) for e in node.effects):
            node.write(now)
    assert node.machine.state is State.ELECTION
    assert not [e for e in node.effects if isinstance(e, StartControllee)]


def test_a_leader_without_renewal_stops_in_good_order():
    """With a third of the lease left the controllee is stopped, and has until the lease's end."""
    node, _ = leading()
    machine = node.machine
    ends = machine.votes.lease_end(machine)
    early = node.do(Tick(), ends - LEASE / 3 - 0.01)
    assert not [e for e in early if isinstance(e, StopControllee)]
    [stop] = [e for e in node.do(Tick(), ends - LEASE / 3 + 0.01) if isinstance(e, StopControllee)]
    assert stop.reason is Reason.majority_lost
    assert stop.timeout_seconds == pytest.approx(LEASE / 3 - 0.01, abs=0.02)


@pytest.mark.parametrize(
    "grant",
    [Grant(B, 1, 10**6, T), Grant(A, 2, 10**6, T), Grant(B, 2, 10**6, T)],
    ids=["an earlier start", "another member", "a request never made"],
)
def test_a_grant_of_something_else_counts_for_nothing(grant):
    """Only a request that this start of this daemon made, and may still count, is granted."""
    node, now = leading()
    before = dict(node.machine.votes.ends)
    node.hear(C, now + 0.1, grant=grant)
    assert node.machine.votes.ends == before


def test_a_shorter_grant_counts_for_less():
    """A voter whose disk does not yet allow for a longer T grants what it allows for."""
    node, now = leading()
    machine = node.machine
    node.do(Tick(), now + 1.0)
    sent_at = machine.votes.requests[machine.sequence][0]
    machine.votes.ends.clear()
    node.hear(C, now + 1.1, grant=Grant(B, 2, machine.sequence, 3.0))
    assert machine.votes.ends[C] == pytest.approx(sent_at + 3.0 * 0.98)


def test_beside_a_real_condor_had_nobody_leads():
    """It leads without asking: the log says so, and a leader steps down."""
    node, now = leading()
    effects = node.do(Linked(C, is_ours=False), now + 0.1)
    assert "condor_in_majority" in [e.name for e in effects if isinstance(e, Note)]
    assert [e.reason for e in effects if isinstance(e, StopControllee)] == [Reason.condor_member]


def test_a_leader_by_votes_gives_way_to_no_late_claim():
    """Who needs votes too has lost them: its message was long on the way. A leader without votes is a rival still."""
    node, now = leading()
    node.hear(A, now + 0.1, State.LEADER, epoch=130)
    assert node.machine.handing_over is None
    node.hear(A, now + 0.2, State.LEADER, epoch=130, electorate=Electorate())
    assert node.machine.handing_over is Reason.outranked


def test_without_majority_nothing_is_asked_or_granted():
    """The default mode's messages carry none of it."""
    node = Node(settings=attrs.evolve(SETTINGS, require_majority=False))
    node.ask(A, 1.0)
    sent = [e.message for e in node.effects if isinstance(e, Send)]
    assert {(m.lease_epoch, m.grant, m.electorate) for m in sent} == {(0, None, Electorate())}
    node.hear(C, 1.1, electorate=Electorate((256, 0), MEMBERS))
    assert node.machine.ledger.wanted.vote == FREE
    assert node.machine.ledger.wanted.electorate == Electorate()


def test_a_leader_takes_members_in_one_at_a_time():
    """Each step waits until a majority has the present electorate on disk."""
    node, now = leading()
    machine = node.machine
    node.write(now)
    assert machine.record.electorate == Electorate((machine.leadership_epoch, 0), MEMBERS)
    machine.settings = machine.votes.settings = attrs.evolve(SETTINGS, witnesses=(D,))
    node.hear(C, now + 0.1, grant=Grant(B, 2, machine.sequence, T))
    assert machine.ledger.wanted.electorate.number[1] == 0
    node.hear(
        C,
        now + 0.2,
        grant=Grant(B, 2, machine.sequence, T),
        electorate=machine.record.electorate,
    )
    assert machine.ledger.wanted.electorate.number[1] == 0, "of four, three are needed: C and we are two"


def test_one_step_at_a_time():
    """The missing come first, then those that are gone; the end is the list."""
    members = (A, B, C)
    for expected in ((A, B, C, D), (B, C, D), (C, D)):
        members = one_step(members, (C, D))
        assert members == expected


def test_a_majority_is_more_than_half():
    """Of an even number it is one more than half."""
    assert [majority_of(tuple("abcdefg"[:n])) for n in range(1, 8)] == [1, 2, 2, 3, 3, 4, 4]


def test_a_starving_candidate_lets_others_go_first():
    """After 3 T without a majority it abstains in effect; a leader that is heard ends that."""
    node = Node()
    for tenth in range(50, 250):
        node.do(Tick(), tenth / 10)
        if [e for e in node.effects if isinstance(e, Persist)]:
            node.write(tenth / 10)
    assert node.machine.abstains_seconds > 0
    node.hear(A, 25.0, State.LEADER, epoch=512)
    assert node.machine.abstains_seconds is None
    assert [e.reason for e in node.effects if isinstance(e, Transition)][-1] is Reason.leader_heard
