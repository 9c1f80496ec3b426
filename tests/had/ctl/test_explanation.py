"""The sentences of `hadctl explain`."""

from had.ctl.explanation import explain
from had.ctl.pool import Failure
from had.status import Controllee, Majority, Peer, Replica
from tests.had.ctl.pools import HOLD, PAUSED, A, B, C, failed, healthy, peer, pool, status


def of(made, entry):
    """The headline and the sentences about one member."""
    (found,) = [one for one in explain(made) if one.node == entry]
    return found.headline, found.sentences


def test_the_leader_says_how_it_came_to_lead_and_what_runs():
    """The leader's explanation has its epoch, its last change, its controllee and that it is the primary."""
    headline, sentences = of(healthy(), A)
    assert headline == f"{A} leads (epoch 130)"
    assert sentences[0].endswith("because every member was heard")
    assert "its negotiator runs as process 4711" in sentences
    assert "it is the primary, which leads whenever it is up" in sentences
    assert f"it hears {B}, which follows {A}" in sentences


def test_followers_know_their_place_in_the_succession():
    """The next in the list would lead next, and the one after it says who goes before."""
    assert "if the leader failed, it would be the next to lead" in of(healthy(), B)[1]
    assert f"if the leader failed, {B} would go before it, being earlier in HAD_LIST" in of(healthy(), C)[1]
    assert f"it follows {A}, which is the primary and leads whenever it is up" in of(healthy(), B)[1]


def test_an_abstaining_member_is_passed_over_and_says_why():
    """Who abstains says so, and those behind it move up."""
    made = pool(status(A), status(B, abstains_seconds=42.0), status(C))
    assert any(one.startswith("it has abstained for 42 s, because its negotiator") for one in of(made, B)[1])
    assert not any("if the leader failed" in one for one in of(made, B)[1])
    assert "if the leader failed, it would be the next to lead" in of(made, C)[1]


def test_a_member_says_what_it_waits_for():
    """A primary whose state is behind, and a leader that hands on what was written last, say so."""
    behind = "its replica still lacks something of the leader's state"
    made = pool(status(A, B, replica=Replica("ours", None, False, behind)), status(B, B), status(C, B))
    assert behind in of(made, A)[1]
    assert behind not in of(made, B)[1]


def test_a_held_primary_says_who_holds_it():
    """A primary that does not lead says that it would ask, and what keeps it."""
    made = pool(status(A, B, hold=HOLD), status(B, B), status(C, B))
    sentences = of(made, A)[1]
    assert any("asks the leader to hand over unless" in one for one in sentences)
    assert "it is held from leading by a switchover of bob at 2026-11-22 05:12:50 UTC: new disk" in sentences


def test_a_pause_and_votes_are_told():
    """A pause says that nobody is elected; majority mode tells the votes."""
    made = pool(status(A, paused=PAUSED, majority=Majority(2, 1, 0.4)), status(B), status(C))
    sentences = of(made, A)[1]
    assert any(one.startswith("automatic failover is paused by alice") for one in sentences)
    assert "it holds 1 votes of the 2 that a leader needs" in sentences


def test_every_way_of_not_hearing_has_its_words():
    """Silent, refused, denied and never heard members are told apart, with when they were last heard."""
    peers = (
        Peer("a:1", "silent", 7.0),
        Peer("b:1", "refused", 2.0),
        Peer("c:1", "denied"),
        Peer("d:1", "unknown"),
    )
    made = pool(status(A, peers=peers), status(B), status(C))
    sentences = of(made, A)[1]
    assert "it does not hear a:1 any more (last heard 7.0 s ago)" in sentences
    assert "it finds no daemon at b:1, though the machine answers (last heard 2.0 s ago)" in sentences
    assert any("it is not let in by c:1, which is alive" in one for one in sentences)
    assert "it has never heard d:1" in sentences
    assert "it hears no other member at all" in sentences


def test_following_by_hearsay_names_who_hears_the_leader():
    """A member that hears the leader only through another says through whom."""
    made = pool(status(A), status(B, peers=(Peer(A, "silent", 3.0), peer(C))), status(C))
    assert (
        f"it follows {A}, of which it knows through {C}, though it does not hear it itself" in of(made, B)[1]
    )


def test_who_cannot_be_asked_is_seen_through_the_others():
    """A member that does not answer gets the reason, and what each other one says about it."""
    made = pool(
        status(A), status(B, peers=(peer(A), Peer(C, "refused", 1.0))), failed(C, Failure.REFUSED, "ECONN")
    )
    headline, sentences = of(made, C)
    assert headline == f"{C} could not be asked: nobody listens there, so its daemon is gone (ECONN)"
    assert sentences == (
        f"{A} hears {C}, which follows {A}",
        f"{B} finds no daemon at {C}, though the machine answers (last heard 1.0 s ago)",
    )


def test_a_leader_whose_controllee_died_says_that_it_waits():
    """A controllee in backoff, and its restarts, are told."""
    waiting = Controllee("negotiator", "backoff", None, 3)
    sentences = of(pool(status(A, controllee=waiting), status(B), status(C)), A)[1]
    assert "its negotiator has died, and it waits before it tries again" in sentences
    assert any("3 times since the daemon started" in one for one in sentences)


def test_witnesses_never_lead():
    """A witness is explained as one, and has no place in the succession."""
    witness = status(C, state="witness", controllee=Controllee(), primary=False)
    headline, sentences = of(pool(status(A), status(B), witness, members=(A, B), witnesses=(C,)), C)
    assert "never leads" in headline
    assert not any("if the leader failed" in one for one in sentences)
