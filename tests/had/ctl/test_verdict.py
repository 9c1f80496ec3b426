"""Whether a pool is in order, and the sentence that says so."""

import attrs
import pytest

from had.ctl import verdict
from had.ctl.pool import Failure
from had.status import Controllee, Peer, Replica
from tests.had.ctl.pools import HOLD, PAUSED, A, B, C, failed, healthy, peer, pool, status

STOPPED = Controllee("negotiator", "backoff")
STARTING = Controllee("negotiator", "starting")
FETCHING = Replica("ours", None, True, "it waits")


def test_a_healthy_pool_is_in_order():
    """Three members that agree on a leader whose controllee runs have no problem."""
    assert verdict.problems(healthy()) == []
    said = verdict.sentence(healthy(), [])
    assert said == (
        f"The pool is in order: {A} leads, its negotiator runs as process 4711, and all 3 members follow it."
    )


@pytest.mark.parametrize(
    ("unhealthy", "problem"),
    [
        (pool(*(status(one, None, state="passive") for one in (A, B, C))), "nobody leads"),
        (pool(status(A), status(B, B), status(C)), f"2 members lead at once: {A} and {B}"),
        (pool(status(A), status(B), status(C, None)), f"{C} follows nobody, though {A} leads"),
        (
            pool(status(A, controllee=STARTING, replica=FETCHING), status(B), status(C)),
            f"{A} leads, but its negotiator is starting: it waits",
        ),
        (
            pool(status(A), status(B, replica=Replica("unreachable", None, False)), status(C)),
            f"{B} does not reach its own replication daemon",
        ),
        (
            pool(status(A, controllee=STOPPED), status(B), status(C)),
            f"{A} leads, but its negotiator is backoff",
        ),
        (
            pool(status(A), status(B, controllee=Controllee("negotiator", "stopping", 7)), status(C)),
            f"the negotiator of {B} is stopping, though {B} does not lead",
        ),
        (
            pool(status(A), status(B), failed(C, Failure.REFUSED)),
            f"{C} could not be asked: nobody listens there, so its daemon is gone",
        ),
        (
            pool(status(A), status(B), failed(C, Failure.TIMEOUT)),
            f"{C} could not be asked: it did not answer in time, though other members hear it",
        ),
        (
            pool(status(A, hold=HOLD), status(B), status(C)),
            f"{A} is held from leading by a switchover of bob: new disk",
        ),
        (
            pool(status(A), status(B, abstains_seconds=4.0), status(C)),
            f"{B} abstains, since its negotiator keeps dying there",
        ),
        (
            pool(status(A), status(B, peers=(peer(A), Peer(C, "silent", 9.0))), status(C)),
            f"{B} does not hear {C} (silent)",
        ),
    ],
)
def test_whatever_is_wrong_is_one_sentence(unhealthy, problem):
    """Each way of not being in order is found, and said."""
    assert problem in verdict.problems(unhealthy)
    assert problem in verdict.sentence(unhealthy, verdict.problems(unhealthy))


def test_a_pause_is_said_once_for_the_whole_pool():
    """Members that report the same pause make one problem; one that does not know of it makes another."""
    everybody = pool(*(status(one, paused=PAUSED) for one in (A, B, C)))
    (problem,) = verdict.problems(everybody)
    times = "since 2026-11-22 05:12:20 UTC, until 2026-11-22 06:13:20 UTC"
    assert problem == f"automatic failover is paused by alice {times}: upgrade"
    some = pool(status(A, paused=PAUSED), status(B), status(C))
    assert f"{B} and {C} do not know of the pause" in verdict.problems(some)


def test_different_settings_are_shown_in_groups():
    """Members that do not share their settings are shown beside those with which they do."""
    mixed = pool(status(A), status(B), status(C, configuration="ffffffffffff"))
    (problem,) = verdict.problems(mixed)
    assert problem.endswith(f"{A}, {B} / {C}")


def test_nobody_asked_is_no_leadership_problem():
    """When no member answers, nothing is said about who leads; the worst comes first."""
    silent = pool(*(failed(one, Failure.TIMEOUT) for one in (A, B, C)))
    assert verdict.problems(silent)[0] == "no member could be asked"
    assert silent.leader is None


def test_a_real_condor_had_that_the_others_hear_is_no_problem():
    """A condor_had cannot be asked, which is not held against the pool; as the leader it is named by others."""
    condor = Peer(A, "alive", 0.1, A, None, "condor")
    members = [status(one, A, peers=(condor, peer(other))) for one, other in ((B, C), (C, B))]
    mixed = pool(failed(A, Failure.UNKNOWN_COMMAND), *members)
    assert mixed.leader == A
    assert verdict.problems(mixed) == []
    assert "a real condor_had" in verdict.sentence(mixed, [])
    assert mixed.is_condor(A)
    assert not mixed.is_condor(B)


def test_hearsay_of_a_dead_leader_makes_no_leader():
    """A leader that cannot be asked and that nobody hears is none, though members still follow it."""
    gone = Peer(A, "silent", 5.0, A, "0.1.0", "ours")
    members = [status(one, A, peers=(gone, peer(other))) for one, other in ((B, C), (C, B))]
    dead = pool(failed(A, Failure.TIMEOUT), *members)
    assert dead.leaders == ()
    assert "nobody leads" in verdict.problems(dead)


def test_a_member_alone_is_a_pool():
    """One member that leads is in order, and the sentence fits."""
    alone = pool(status(A, everyone=(A,)), members=(A,))
    assert verdict.problems(alone) == []
    assert verdict.sentence(alone, []).endswith("and it is the only member.")


def test_a_witness_need_not_have_a_controllee():
    """A witness has no controllee, and nothing is missed."""
    witness = status(C, state="witness", controllee=Controllee(), primary=False)
    voted = pool(status(A), status(B), witness, members=(A, B), witnesses=(C,))
    assert verdict.problems(voted) == []
    assert attrs.evolve(voted, witnesses=()).everyone == (A, B)
