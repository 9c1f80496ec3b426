"""Readings of the pool, as tables: what is believed, who could lead, who asks, who hears us."""

import math

import attrs
import pytest

from had import pool
from had.events import Hold, Message
from had.overheard import Overheard
from had.peers import Peer, Report, live_leaders
from had.transitions import Reason, State
from tests.had.speakers import MEMBERS, SETTINGS, A, B, C, T, by_member, heard, said, saw, settings

LEADER, PASSIVE, ELECTION, WITNESS = State.LEADER, State.PASSIVE, State.ELECTION, State.WITNESS

STRANGER = "10.9.9.9:9620"

NOW = 12.0


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (said(A, sequence=8), None),
        (said(A, sequence=7), "replayed"),
        (said(A, sequence=6), "replayed"),
        (said(A, instance=2, sequence=1), None),
        (said(A, instance=0, sequence=99), "replayed"),
        (attrs.evolve(said(A, sequence=1), is_ours=False), None),
        (said(B), "own_identity"),
        (said(STRANGER), "not_a_member"),
        (said(STRANGER, LEADER), None),
        (said(STRANGER, State.ELECTION), None),
        (said(STRANGER, LEADER, members=(STRANGER, A)), "not_a_member"),
        (attrs.evolve(said(STRANGER, LEADER), is_ours=False), "not_a_member"),
        (attrs.evolve(said(A, sequence=8), controllee="NEGOTIATOR"), None),
        (attrs.evolve(said(A, sequence=8), controllee="collector"), "controllee_mismatch"),
        (said(C, instance=0, sequence=0), None),
    ],
)
def test_what_is_not_believed(message, reason):
    """Our own name, a stranger that does not lead, another controllee and an old message are refused with the reason."""
    peers = by_member(heard(A, 10.0, instance=1, sequence=7))
    assert pool.rejection(message, peers, SETTINGS, NOW) == reason


def test_a_leaders_words_that_were_on_the_way_when_it_was_killed_are_not_believed():
    """A's machine refuses us; then a heartbeat of A's old daemon arrives. A new start, or a new connection, counts."""
    gone = heard(A, 10.0, LEADER, instance=1, sequence=7)
    gone.refused_at = 11.0
    peers = by_member(gone)

    def verdict(**fields):
        return pool.rejection(
            said(A, fields.pop("state", LEADER), sequence=8, **fields), peers, SETTINGS, NOW
        )

    assert verdict() == "replayed"
    assert verdict(instance=2) is None
    assert verdict(state=PASSIVE) is None
    gone.linked_at = 11.5
    assert verdict() is None


@pytest.mark.parametrize(("silence", "reason"), [(10 * T, "replayed"), (10 * T + 0.1, None)])
def test_a_member_that_was_silent_for_long_may_count_anew(silence, reason):
    """A member whose HAD_DIR was lost is believed again after ten timeouts."""
    peers = by_member(heard(A, 10.0, instance=9, sequence=7))
    assert pool.rejection(said(A, instance=1, sequence=1), peers, SETTINGS, 10.0 + silence) == reason


@pytest.mark.parametrize(
    ("says", "seconds"), [(None, 50.0), (4.0, 4.0), (0.0, 0.0), (-3.0, 0.0), (50.0, 50.0), (51.0, 50.0)]
)
def test_a_message_is_good_for_what_it_says_within_htcondors_formula(says, seconds):
    """With T = 4 and three members, HTCondor's interval is 2 * (2 * 4 * 3 + 1) = 50 seconds (hard case 7)."""
    assert pool.validity_seconds(said(A, validity_seconds=says), SETTINGS) == seconds


class TestHasResigned:
    """Whether a leader that vanished had stopped its controllee first."""

    def vanished(self, *peers, after):
        """The answer about A, which led at 10, given what is known later."""
        before = by_member(heard(A, 10.0, LEADER, epoch=258))
        report = live_leaders(before, B, 10.5)[A]
        return pool.has_resigned(by_member(*peers), after, report)

    def test_its_own_word_counts(self):
        """A says in the same life of its daemon that it is passive."""
        assert self.vanished(heard(A, 11.0, epoch=258), after=11.0)

    def test_a_new_life_of_its_daemon_is_no_resignation(self):
        """A was restarted: it is passive, but its guard may still be killing."""
        assert not self.vanished(heard(A, 11.0, epoch=258, instance=2), after=11.0)

    def test_a_refusal_is_a_crash(self):
        """A's machine refuses connections, and A never said that it stepped down."""
        gone = heard(A, 10.0, LEADER, epoch=258)
        gone.refused_at = 11.0
        assert not self.vanished(gone, after=11.0)

    def test_hearsay_of_its_stepping_down_counts(self):
        """C heard A as passive, later than we heard it lead."""
        assert self.vanished(
            heard(A, 9.0, LEADER), heard(C, 11.0, sightings=(saw(A, PASSIVE, age=0.1),)), after=11.0
        )

    def test_no_news_is_no_resignation(self):
        """Nobody says anything of A; and a leader outside our list cannot be vouched for."""
        assert not self.vanished(heard(A, 9.0, LEADER), heard(C, 11.0), after=11.0)
        strange = by_member(heard(C, 10.0, sightings=(saw(STRANGER, LEADER),)))
        report = live_leaders(strange, B, 10.5)[STRANGER]
        assert not pool.has_resigned(by_member(), 11.0, report)


def stranger(state):
    """A member that lists us and that our list lacks."""
    peer = heard(STRANGER, 11.0, state, rank_id=5)
    peer.is_stranger = True
    return peer


@pytest.mark.parametrize(
    ("peer", "is_candidate"),
    [
        (heard(A, 11.0), True),
        (heard(A, 11.0, abstains_seconds=3.0), True),
        (heard(A, 11.0, WITNESS, rank_id=-1), False),
        (heard(A, 11.0, rank_id=-1), False),
        (heard(A, 1.0), False),
        (heard(A, 11.0, PASSIVE, is_ours=False), False),
        (heard(A, 11.0, ELECTION, is_ours=False), True),
        (heard(A, 11.0, LEADER, is_ours=False), True),
        (heard(A, 11.0, PASSIVE, is_ours=None), True),
        (stranger(LEADER), True),
        (stranger(ELECTION), True),
        (stranger(PASSIVE), False),
    ],
)
def test_who_could_lead(peer, is_candidate):
    """Every member that is heard and has an id; a real condor_had only while it says so."""
    found = [r.member for r in pool.candidates(by_member(peer), NOW)]
    assert found == ([peer.member] if is_candidate else [])


def test_a_member_that_only_others_hear_could_lead_too():
    """A node does not lead over a better one that it hears of."""
    peers = by_member(heard(C, 11.0, sightings=(saw(A),)))
    assert [r.member for r in pool.candidates(peers, NOW)] == [C, A]


def test_successors_are_ordered_and_able():
    """Live members of ours that do not abstain come best first; one that is held comes last."""
    able = by_member(heard(A, 11.0), heard(C, 11.0))
    assert pool.successors(able, NOW, None) == [A, C]
    assert pool.successors(able, NOW, Hold(A, "root", "", 0.0)) == [C, A]
    unable = [
        heard(A, 11.0, abstains_seconds=0.0),
        heard(A, 11.0, WITNESS, rank_id=-1),
        heard(A, 11.0, is_ours=False),
        heard(A, 11.0, is_ours=None),
        heard(A, 1.0),
        stranger(LEADER),
        Peer(A),
    ]
    for peer in unable:
        assert pool.successors(by_member(peer, heard(C, 11.0)), NOW, None) == [C]


def test_a_successor_with_all_of_the_state_comes_first():
    """Even one that is held goes before one whose replica lacks something; without any other that one has to do."""
    peers = by_member(heard(A, 11.0, is_ready=False), heard(C, 11.0))
    assert pool.successors(peers, NOW, None) == [C, A]
    assert pool.successors(peers, NOW, Hold(C, "root", "", 0.0)) == [C, A]
    assert pool.successors(by_member(heard(A, 11.0, is_ready=False)), NOW, None) == [A]
    assert [pool.is_ready(peers, m) for m in (A, C, STRANGER)] == [False, True, False]
    assert pool.is_ready(by_member(), A) is False


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        (heard(A, 11.0, wants=True), None),
        (heard(A, 11.0, ELECTION, is_ours=False), A),
    ],
)
def test_a_primary_of_ours_can_wait_and_a_real_one_does_not(peer, expected):
    """A leader that cannot hand its state on just now yields only to who starts without asking."""
    primary = settings(use_primary=True)
    assert pool.claimant(by_member(peer), NOW, primary, None, can_wait=True) == expected
    assert pool.claimant(by_member(peer), NOW, primary, None) == A


@pytest.mark.parametrize(
    ("peers", "seconds"),
    [
        ([], T),
        ([heard(A, 11.0)], T),
        ([heard(A, 11.0, is_ours=None)], T),
        ([heard(A, 11.0, is_ours=False)], SETTINGS.condor_interval_seconds),
    ],
)
def test_a_node_listens_for_t_or_for_htcondors_interval(peers, seconds):
    """One real condor_had in the pool makes a start as slow as its own."""
    assert pool.listening_seconds(by_member(*peers), SETTINGS) == seconds


@pytest.mark.parametrize(
    ("refused_at", "state", "instance", "via", "now", "slack", "reason"),
    [
        (-math.inf, LEADER, 1, None, 15.0, 0.0, Reason.leader_silent),
        (-math.inf, LEADER, 1, C, 14.5, 0.5, Reason.leader_silent),
        (12.0, LEADER, 1, None, 15.0, 0.0, Reason.leader_gone),
        (-math.inf, PASSIVE, 1, None, 12.0, 0.0, Reason.leader_resigned),
        (-math.inf, PASSIVE, 2, None, 12.0, 0.0, Reason.leader_gone),
    ],
)
def test_what_the_end_of_a_leader_means(refused_at, state, instance, via, now, slack, reason):
    """Silence when its time is over, a crash when its machine says so or it was started anew, else an orderly end."""
    peer = heard(A, 11.0, state, instance=instance)
    peer.refused_at = refused_at
    report = Report(A, said(A, LEADER, instance=1), 11.0, 15.0, via=via)
    assert pool.end_of_leader(by_member(peer), now, report, slack) is reason


def test_a_leader_that_the_list_lacks_now_was_silent():
    """Nothing more will be known of it."""
    report = Report(STRANGER, said(STRANGER, LEADER), 11.0, 15.0)
    assert pool.end_of_leader(by_member(), NOW, report, 0.0) is Reason.leader_silent


@pytest.mark.parametrize(
    ("peers", "use_primary", "expected"),
    [
        ([heard(A, 11.0, wants=True)], True, A),
        ([heard(A, 11.0)], True, None),
        ([heard(A, 11.0, wants=True, abstains_seconds=1.0)], True, None),
        ([heard(C, 11.0, wants=True)], True, None),
        ([heard(C, 11.0, sightings=(saw(A, wants=True),))], True, A),
        ([heard(A, 11.0, ELECTION, is_ours=False)], True, A),
        ([heard(A, 11.0, LEADER, is_ours=False)], True, None),
        ([heard(A, 11.0, ELECTION, is_ours=False)], False, None),
        ([heard(A, 1.0, wants=True)], True, None),
        ([heard(C, 11.0, sightings=(saw(STRANGER, LEADER, wants=True, rank_id=9),))], True, None),
    ],
)
def test_who_asks_for_leadership(peers, use_primary, expected):
    """A fit member above us that wants it, by its own word or another's, or a real primary that sends its id."""
    claimant = pool.claimant(by_member(*peers), NOW, settings(use_primary=use_primary), None)
    assert claimant == expected


def test_a_held_primary_is_not_given_leadership_back():
    """After a switchover away from A its asking is not answered (hard case 11)."""
    peers = by_member(heard(A, 11.0, wants=True))
    assert pool.claimant(peers, NOW, SETTINGS, Hold(A, "root", "", 0.0)) is None
    assert pool.claimant(peers, NOW, SETTINGS, Hold(C, "root", "", 0.0)) == A


def test_an_offer_of_a_leader_that_stopped_in_order_outlives_its_daemon():
    """A named us and was passive before its daemon went; an A that died while stopping offers nothing (P3)."""

    def offers(state, refused_at):
        peer = heard(A, 10.0, state, successor=B)
        peer.refused_at = refused_at
        return [r.member for r in pool.offers(by_member(peer), NOW, B)]

    assert offers(LEADER, 0.0) == offers(PASSIVE, 0.0) == offers(PASSIVE, 11.0) == [A]
    assert offers(LEADER, 11.0) == []
    assert pool.offers(by_member(heard(A, 10.0, successor=C)), NOW, B) == []
    seen = by_member(heard(C, 10.0, sightings=(saw(A, LEADER, successor=B),)))
    assert [r.member for r in pool.offers(seen, NOW, B)] == [A]


@pytest.mark.parametrize(
    ("fields", "now", "epoch", "is_due"),
    [
        ({"successor": C, "offer_epoch": 258}, 11.0, 258, True),
        ({"successor": C, "offer_epoch": 258}, 12.0, 258, False),
        ({"successor": C, "offer_epoch": 258}, 11.0, 386, False),
        ({"successor": C, "offer_epoch": 258}, 11.0, 384, True),
        ({"successor": B, "offer_epoch": 258}, 11.0, 258, False),
        ({"successor": None, "offer_epoch": 258}, 11.0, 258, False),
        ({"successor": C, "offer_epoch": 258, "state": LEADER}, 11.0, 258, False),
    ],
)
def test_a_named_successor_is_given_half_of_t(fields, now, epoch, is_due):
    """A stepped down at 10 and named C: its claim (384 is C's) may be known, a later epoch of others voids the offer."""
    assert pool.is_successor_due(by_member(heard(A, 10.0, **fields)), now, SETTINGS, epoch) is is_due


def test_a_named_successor_that_is_gone_is_not_waited_for():
    """C's machine said that its daemon is gone."""
    gone = heard(C, 9.0)
    gone.refused_at = 10.5
    peers = by_member(heard(A, 10.0, successor=C, offer_epoch=258), gone)
    assert not pool.is_successor_due(peers, 11.0, SETTINGS, 258)


def test_gone_is_refused_since_it_was_heard():
    """A refusal proves a daemon gone until it is heard again; nobody is gone without one."""
    gone = heard(A, 10.0)
    gone.refused_at = 11.0
    assert pool.is_gone(by_member(gone), A)
    gone.take(said(A), 12.0, T)
    assert not pool.is_gone(by_member(gone), A)
    assert not pool.is_gone(by_member(), STRANGER)
    assert not pool.is_gone(by_member(), None)


def test_a_node_learns_whom_others_wait_for():
    """Only a live member's word counts (HAD_DAEMON_RESTART_WINDOW)."""
    assert pool.awaited(by_member(heard(A, 11.0, awaits=B)), NOW) == {B}
    assert pool.awaited(by_member(heard(A, 11.0, awaits=C), heard(C, 11.0, awaits=B)), NOW) == {B, C}
    assert pool.awaited(by_member(heard(A, 1.0, awaits=B)), NOW) == set()
    assert pool.awaited(by_member(), NOW) == set()


def refused(peer, at):
    """A peer whose machine refused us at a time."""
    peer.refused_at = at
    return peer


def real_leader():
    """A real condor_had that said at 11 that it leads."""
    return heard(A, 11.0, LEADER, is_ours=False, instance=0, validity=50.0)


@pytest.mark.parametrize(
    ("peer", "until"),
    [
        (refused(real_leader(), 12.0), 11.0 + 3 * 50.0),
        (refused(real_leader(), 10.0), 0.0),
        (real_leader(), 0.0),
        (refused(heard(A, 11.0, LEADER), 12.0), 0.0),
        (refused(heard(A, 11.0, ELECTION, is_ours=False, instance=0), 12.0), 0.0),
        (Peer(A), 0.0),
    ],
)
def test_a_real_leader_whose_machine_refuses_us_may_have_left_its_negotiator(peer, until):
    """It is given three of HTCondor's intervals (50 s with T = 4 and three members) from its last ALIVE on."""
    assert pool.has_orphan(by_member(peer), NOW, settings()) is (until > NOW)
    assert pool.has_orphan(by_member(peer), until - 0.1, settings()) is (until > NOW)
    assert not pool.has_orphan(by_member(peer), max(until, NOW + 200), settings())


def test_a_real_leader_is_remembered_as_long_as_a_real_member_would_wait():
    """Its last word stands for three intervals, whether it is good any more or not."""
    leader = real_leader()
    assert pool.condor_leaders(by_member(leader), 160.9, settings()) == [leader]
    assert pool.condor_leaders(by_member(leader), 161.0, settings()) == []
    assert pool.condor_leaders(by_member(heard(A, 11.0, LEADER)), NOW, settings()) == []


def test_who_knows_a_real_member_listens_for_its_interval():
    """From the start on, and not at all among ours."""
    assert pool.listens_until(by_member(real_leader()), 3.0, settings()) == 53.0
    assert pool.listens_until(by_member(heard(A, 11.0)), 3.0, settings()) == -math.inf


@pytest.mark.parametrize(
    ("overheard_at", "until"),
    # Started at 3, with an interval of 50 seconds.
    [(1.0, 53.0), (3.0, 53.0), (30.0, 80.0), (53.0, 103.0), (98.0, 103.0)],
)
def test_a_real_leaders_lost_word_is_waited_for_to_be_followed_by_another(overheard_at, until):
    """For an interval more, but never beyond a second interval; also while nothing else is known of it."""
    for peer in (real_leader(), Peer(A)):
        peer.overheard_at = -math.inf
        peer.reached(Overheard(peer.member), overheard_at, T)
        assert pool.listens_until(by_member(peer), 3.0, settings()) == until


BOTH_DEAF = [heard(A, 11.0, sightings=(saw(C),)), heard(C, 11.0, sightings=(saw(A),))]


@pytest.mark.parametrize(
    ("peers", "is_unheard"),
    [
        ([], False),
        (BOTH_DEAF, True),
        ([heard(A, 11.0)], True),
        ([heard(A, 11.0, sightings=(saw(B),)), BOTH_DEAF[1]], False),
        ([heard(A, 11.0), BOTH_DEAF[1]], False),
        ([heard(A, 11.0, sightings=(saw(C),), up_seconds=T), BOTH_DEAF[1]], True),
        ([heard(A, 11.0, up_seconds=T), heard(C, 11.0, up_seconds=1.0)], False),
        ([heard(A, 11.0, is_ours=False), heard(C, 11.0)], True),
        ([heard(A, 11.0, is_ours=False)], False),
        ([heard(A, 1.0)], False),
        ([heard(A, 1.0), heard(C, 11.0)], True),
        ([stranger(LEADER)], False),
    ],
)
def test_when_nobody_hears_us(peers, is_unheard):
    """All live members of ours that are up for longer than T report each other and not us (P8, hard case 4)."""
    assert pool.is_unheard(by_member(*peers), NOW, SETTINGS) is is_unheard


class TestDeniedLeader:
    """A leader that answers TCP but denies us is alive and is not elected over (hard case 5)."""

    def denied(self, member, at=11.5):
        """A member that was heard as leader long ago and denies us since."""
        peer = heard(member, 1.0, LEADER)
        peer.denied_at = at
        return peer

    def ask(self, *peers, last_leader=None, epoch=0, now=NOW):
        """The leader that is taken to be there."""
        report = pool.denied_leader(by_member(*peers), now, SETTINGS, last_leader, epoch)
        assert report is None or (report.is_denied and report.via is None)
        return report and report.member

    def test_the_last_leader_that_we_followed_is_alive(self):
        """We followed A and hear C; A denies us: we do not elect."""
        assert self.ask(self.denied(A), heard(C, 11.0), last_leader=A) == A

    def test_the_owner_of_the_largest_epoch_is_alive(self):
        """After a restart the epoch on disk says who led last: 258 is A's."""
        assert self.ask(self.denied(A), heard(C, 11.0), epoch=258) == A
        assert self.ask(self.denied(A), heard(C, 11.0), epoch=257) is None

    def test_a_follower_that_denies_us_does_not_stop_an_election(self):
        """C denies us, but A led last, and somebody hears us."""
        assert self.ask(self.denied(C), heard(A, 11.0), last_leader=A, epoch=258) is None

    def test_who_hears_nobody_and_is_denied_does_not_elect(self):
        """A node with the wrong key is itself the odd one."""
        assert self.ask(self.denied(C)) == C
        assert self.ask(heard(C, 11.0)) is None

    def test_a_denial_must_be_fresh_and_later_than_the_last_message(self):
        """Denials die after T; a member that is heard is not denied."""
        assert self.ask(self.denied(A), last_leader=A, now=15.5) is None
        heard_again = self.denied(A)
        heard_again.take(said(A), 11.8, T)
        assert self.ask(heard_again, last_leader=A) is None

    def test_a_witness_that_denies_us_leads_nothing(self):
        """Only members of HAD_LIST lead."""
        witness = Peer("127.0.0.9:9620")
        witness.denied_at = 11.5
        assert self.ask(witness) is None

    def test_a_member_that_was_never_heard_is_taken_to_lead_without_rank(self):
        """Nothing is known of it but that it is there, so it outranks nobody, and its report ends T after the denial."""
        peer = Peer(A)
        peer.denied_at = 11.5
        report = pool.denied_leader(by_member(peer), NOW, SETTINGS, None, 0)
        assert isinstance(report.claim, Message)
        assert (report.claim.state, report.claim.rank_id, report.expires_at) == (LEADER, -1, 15.5)


def test_the_leader_to_follow_is_fit_of_high_rank_and_not_leaving():
    """One that is stopping its controllee comes last, then one that abstains; then the higher id wins."""

    def best(*peers):
        leaders = live_leaders(by_member(*peers), B, NOW).values()
        report = pool.best_leader(leaders, NOW)
        return report and report.member

    c = heard(C, 11.0, LEADER)
    assert best(heard(A, 11.0, LEADER), c) == A
    assert best(heard(A, 11.0, LEADER, abstains_seconds=1.0), c) == C
    assert best(heard(A, 11.0, LEADER, is_yielding=True), c) == C
    assert best(heard(A, 11.0, LEADER, is_yielding=True)) == A
    assert best() is None


def test_the_members_stand_in_their_order():
    """The tables above rely on A ranking before B before C."""
    assert [settings(me=m).my_id for m in MEMBERS] == [2, 1, 0]


@pytest.mark.parametrize(
    ("peers", "is_proved_gone", "is_answered"),
    [
        ((heard(A, 10.0, sightings=(saw(B, PASSIVE, candidacy=7),)),), False, True),
        ((heard(A, 10.0, sightings=(saw(B, PASSIVE, candidacy=6),)),), False, False),
        ((heard(A, 10.0, sightings=()),), True, False),
        ((heard(A, 1.0, sightings=()),), False, False),
        ((heard(A, 1.0, sightings=()),), True, True),
    ],
)
def test_a_candidacy_is_answered_by_its_own_number(peers, is_proved_gone, is_answered):
    """All that are alive repeat the number; without any, only a leader proved gone makes waiting useless."""
    for peer in peers:
        peer.is_ours = True
    assert pool.is_answered(by_member(*peers), 10.5, B, 7, is_proved_gone) is is_answered


def test_the_field_is_left_to_a_successor_for_a_while():
    """Ours has T/2, and T where it needs votes; a real condor_had, which has to elect itself, one and a half of its intervals; nobody nothing."""
    real = heard(A, 10.0)
    real.is_ours = False
    assert pool.successor_wait_seconds({}, None, SETTINGS) == 0.0
    assert pool.successor_wait_seconds(by_member(heard(A, 10.0)), A, SETTINGS) == T / 2
    voting = attrs.evolve(SETTINGS, require_majority=True)
    assert pool.successor_wait_seconds(by_member(heard(A, 10.0)), A, voting) == T
    interval = SETTINGS.condor_interval_seconds
    assert pool.successor_wait_seconds(by_member(real), A, SETTINGS) == 1.5 * interval
