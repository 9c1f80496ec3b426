"""What a node knows of the others: who is alive, and who leads by whose report."""

import math

import pytest

from had.events import Denied, Linked, Refused
from had.peers import Peer, forget_strangers, live_leaders, new_conflicts, relisted, reports
from had.ranking import Standing
from had.transitions import State
from tests.had.speakers import A, B, C, T, by_member, heard, said, saw

LEADER = State.LEADER


@pytest.mark.parametrize(
    ("now", "refused_at", "is_alive"),
    [
        (10.0, -math.inf, True),
        (13.99, -math.inf, True),
        (14.0, -math.inf, False),
        (11.0, 9.99, True),
        (11.0, 10.0, False),
        (11.0, 10.5, False),
        (99.0, 9.0, False),
    ],
)
def test_a_peer_lives_as_long_as_its_message_is_good(now, refused_at, is_alive):
    """A message heard at 10 and good for 4 seconds vouches until 14, unless a refusal came with it or after it."""
    peer = heard(A, 10.0)
    peer.refused_at = refused_at
    assert peer.is_alive(now) is is_alive


def test_a_peer_that_was_never_heard_is_neither_alive_nor_denied():
    """Nothing is known of a member at the start."""
    peer = Peer(A)
    assert not peer.is_alive(0.0)
    assert not peer.is_denied(0.0, T)
    assert peer.sees(B) is None


def test_a_message_after_a_refusal_brings_a_peer_back():
    """A daemon that was restarted is alive from its first message on."""
    peer = heard(A, 10.0)
    peer.refused_at = 11.0
    peer.take(said(A), 12.0, T)
    assert peer.is_alive(12.0)


@pytest.mark.parametrize(
    ("denied_at", "now", "is_denied"),
    [(9.0, 11.0, False), (10.0, 11.0, False), (10.5, 11.0, True), (10.5, 14.5, False)],
)
def test_a_denial_counts_after_the_last_message_and_for_t(denied_at, now, is_denied):
    """Who lets us in is not denied; a denial must be repeated every T."""
    peer = heard(A, 10.0)
    peer.denied_at = denied_at
    assert peer.is_denied(now, T) is is_denied


@pytest.mark.parametrize(
    ("sighting", "is_notable"),
    [
        (saw(C), False),
        (saw(C, State.ELECTION), False),
        (saw(C, LEADER), True),
        (saw(C, wants=True), True),
        (saw(C, successor=A), True),
        (saw(C, candidacy=3), True),
    ],
)
def test_dull_sightings_are_skipped_where_only_notable_ones_are_asked_for(sighting, is_notable):
    """Leaders, claims, successors and candidacies are notable; the rest is read only when all is asked for."""
    peers = by_member(heard(A, 10.0, sightings=(sighting,)))
    assert [r.member for r in reports(peers, 10.5, notable_only=False)] == [A, C]
    assert [r.member for r in reports(peers, 10.5, notable_only=True)] == [C][:is_notable]


@pytest.mark.parametrize(
    ("state", "said", "is_notable"),
    [
        (State.PASSIVE, {}, False),
        (State.ELECTION, {}, True),
        (LEADER, {}, True),
        (State.PASSIVE, {"wants": True}, True),
        (State.PASSIVE, {"successor": C}, True),
    ],
)
def test_so_are_dull_members(state, said, is_notable):
    """Leaders, candidates, who asks to lead and who names a successor are notable; a follower is not."""
    peers = by_member(heard(A, 10.0, state, **said))
    assert [r.member for r in reports(peers, 10.5, notable_only=True)] == [A][:is_notable]


def test_a_report_carries_the_dates_of_the_hearing_it_reports():
    """What A heard 1 second before it spoke, and good for 2 more, dies 2 seconds after we heard A."""
    peers = by_member(heard(A, 10.0, sightings=(saw(C, LEADER, age=1.0, remaining=2.0),)))
    report = live_leaders(peers, B, 11.9)[C]
    assert (report.via, report.heard_at, report.expires_at) == (A, 9.0, 12.0)
    assert live_leaders(peers, B, 12.0) == {}


def test_a_report_outlives_its_reporter():
    """A's daemon is gone, but what it heard was true and dies on its own date."""
    peer = heard(A, 10.0, sightings=(saw(C, LEADER, remaining=3.0),))
    peer.refused_at = 10.5
    assert set(live_leaders(by_member(peer), B, 12.9)) == {C}
    assert live_leaders(by_member(peer), B, 13.0) == {}


def test_a_report_that_lost_its_message_says_nothing():
    """Of a member that was never heard there is nothing to report."""
    assert list(reports(by_member(), 10.0, notable_only=False)) == []


def test_our_own_hearing_overrules_an_older_report():
    """C, heard by us at 9.5 as passive, does not lead because A heard so at 9."""
    passive = heard(C, 9.5)
    for age, expected in ((1.0, set()), (0.5, set()), (0.25, {C})):
        peers = by_member(heard(A, 10.0, sightings=(saw(C, LEADER, age=age),)), passive)
        assert set(live_leaders(peers, B, 10.1)) == expected


def test_a_refusal_overrules_an_older_report():
    """C's machine said at 9.5 that its daemon is gone; who heard it before cannot revive it."""
    gone = Peer(C)
    gone.refused_at = 9.5
    for age, expected in ((1.0, set()), (0.25, {C})):
        peers = by_member(heard(A, 10.0, sightings=(saw(C, LEADER, age=age, instance=7),)), gone)
        assert set(live_leaders(peers, B, 10.1)) == expected


def test_a_refusal_ends_no_leadership_of_a_real_condor_had():
    """C, a real condor_had, led at 9: that nobody listens there at 9.5 says nothing of its negotiator."""
    refused = Peer(C)
    refused.take(said(C, LEADER, is_ours=False, instance=0), 9.0, 18.0)
    refused.refused_at = 9.5
    assert set(live_leaders(by_member(refused), B, 26.9)) == {C}
    assert live_leaders(by_member(refused), B, 27.0) == {}
    unheard = Peer(C)
    unheard.refused_at = 9.5
    peers = by_member(heard(A, 10.0, sightings=(saw(C, LEADER, age=1.0, remaining=17.0),)), unheard)
    assert set(live_leaders(peers, B, 10.1)) == {C}


@pytest.mark.parametrize(
    ("instance", "sequence", "is_believed"),
    [(1, 6, False), (1, 7, False), (1, 8, True), (2, 1, True), (0, 0, True)],
)
def test_an_older_message_by_hearsay_is_no_news(instance, sequence, is_believed):
    """We heard C's message 7 of its first start; of what A heard, only later messages count, or a clock where none count."""
    own = heard(C, 9.0, instance=1, sequence=7)
    sighting = saw(C, LEADER, age=0.5, instance=instance, sequence=sequence)
    peers = by_member(heard(A, 10.0, sightings=(sighting,)), own)
    assert (C in live_leaders(peers, B, 10.1)) is is_believed


def test_a_node_does_not_hear_of_itself_but_of_strangers_that_lead():
    """Hearsay about ourselves is no leader; one about a leader that our list lacks is (hard case 9)."""
    stranger, idle = "10.9.9.9:1", "10.9.9.8:1"
    peers = by_member(
        heard(A, 10.0, sightings=(saw(B, LEADER), saw(stranger, LEADER), saw(idle, wants=True)))
    )
    assert set(live_leaders(peers, B, 10.1)) == {stranger}
    assert {r.member for r in reports(peers, 10.1, notable_only=False)} == {A, B, stranger}


def test_last_words_are_read_where_they_are_asked_for():
    """What a member said before its daemon went counts for offers, until it would have died anyway."""
    gone = heard(A, 10.0, LEADER)
    gone.refused_at = 10.5
    for now, with_last_words, expected in ((11.0, False, []), (11.0, True, [A]), (14.0, True, [])):
        found = reports(by_member(gone), now, notable_only=True, with_last_words=with_last_words)
        assert [r.member for r in found] == expected


def test_of_several_reports_of_a_leader_the_latest_counts():
    """Our own hearing and two others' of one leader give one leader, with the latest date."""
    witness = "127.0.0.9:9620"
    first = heard(A, 10.0, sightings=(saw(C, LEADER, age=0.2, epoch=3),))
    second = heard(witness, 10.1, State.WITNESS, sightings=(saw(C, LEADER, age=0.1, epoch=4),))
    own = heard(C, 9.0, LEADER, epoch=2)
    for order in ((first, second, own), (own, second, first), (second, own, first)):
        report = live_leaders({p.member: p for p in order}, B, 10.2)[C]
        assert (report.via, report.claim.epoch) == (witness, 4)


def test_the_standing_of_a_report_grows_from_when_it_was_said():
    """An abstention that A reported 1 second old at 10 has lasted 2 more at 12, not 3: A had counted the first."""
    sighting = saw(C, LEADER, age=1.0, abstains_seconds=5.0)
    peers = by_member(heard(A, 10.0, LEADER, abstains_seconds=5.0, sightings=(sighting,)))
    leaders = live_leaders(peers, B, 12.0)
    assert leaders[A].standing(12.0) == Standing(False, 7.0, 2, A)
    assert leaders[C].standing(12.0) == Standing(False, 7.0, 0, C)


def test_a_member_sees_whom_its_last_message_names():
    """Only the last message counts."""
    peer = heard(A, 1.0, sightings=(saw(B, candidacy=7),))
    assert peer.sees(B).candidacy == 7
    assert peer.sees(C) is None
    peer.take(said(A), 2.0, T)
    assert peer.sees(B) is None


def test_a_peer_falls_silent_once():
    """When its message runs out that is news, until it was heard again; a refusal is other news."""
    peer = heard(A, 10.0)
    assert not peer.falls_silent(13.9)
    assert peer.falls_silent(14.0)
    assert not peer.falls_silent(15.0)
    peer.take(said(A, sequence=2), 20.0, T)
    peer.refused_at = 21.0
    assert not peer.falls_silent(30.0)
    assert not Peer(B).falls_silent(30.0)


def test_what_our_own_connection_finds_is_news_once():
    """A refusal is news of a living peer, a denial is news when it begins, a connection is none."""
    peer = heard(A, 10.0)
    assert peer.reached(Linked(A, is_ours=True), 10.5, T) is None
    assert (peer.is_ours, peer.linked_at) == (True, 10.5)
    assert peer.reached(Denied(A), 11.0, T) == "peer_denied"
    assert peer.reached(Denied(A), 11.0 + T / 2, T) is None
    assert peer.reached(Refused(A), 12.0, T) == "peer_gone"
    assert peer.reached(Refused(A), 12.5, T) is None
    assert peer.refused_at == 12.5


def test_a_new_list_keeps_who_is_known_and_makes_strangers_of_the_others():
    """A member that stays is the same record; one that left is a stranger; one that returns is none any more."""
    old = by_member(heard(A, 10.0), heard(B, 10.0, LEADER))
    new = relisted(old, (A, C))
    assert set(new) == {A, B, C}
    assert new[A] is old[A]
    assert [new[m].is_stranger for m in (A, B, C)] == [False, True, False]
    assert not relisted(new, (A, B, C))[B].is_stranger


@pytest.mark.parametrize(
    ("is_stranger", "state", "now", "is_kept"),
    [
        (True, LEADER, 11.0, True),
        (True, State.PASSIVE, 11.0, False),
        (True, LEADER, 99.0, False),
        (False, State.PASSIVE, 99.0, True),
    ],
)
def test_a_stranger_is_minded_only_while_it_leads(is_stranger, state, now, is_kept):
    """A leader outside the list counts while it is alive and leads; members stay whatever they do."""
    peers = by_member(heard(A, 10.0, state))
    peers[A].is_stranger = is_stranger
    forget_strangers(peers, now)
    assert (A in peers) is is_kept


def test_a_rival_is_new_once_for_each_of_its_epochs():
    """A conflict is told when it begins, and again when the rival took another epoch; one nobody lists is not told."""
    peers = by_member(heard(A, 10.0, LEADER, epoch=258))

    def told(epoch, at):
        peers[A].take(said(A, LEADER, epoch=epoch, sequence=peers[A].message.sequence + 1), at, T)
        return [(r.member, r.claim.epoch) for r in new_conflicts(peers, live_leaders(peers, B, at).values())]

    assert told(258, 10.1) == [(A, 258)]
    assert told(258, 10.2) == []
    assert told(514, 10.3) == [(A, 514)]
    assert new_conflicts({}, live_leaders(peers, B, 10.3).values()) == []
