"""Whether the replication is in order, the sentences that say so, and the tables."""

import attrs
import pytest

from had.ctl import replica_verdict, tables, verdict
from had.ctl.pool import Failure
from had.ctl.replica_tables import replication_text
from had.ctl.sizes import rate_words, size_words, time_words
from replication.status import Point, Transfer
from tests.had.ctl import pools
from tests.had.ctl.pools import failed
from tests.had.ctl.replicated import (
    ENTRIES,
    NOW,
    OLDER,
    RA,
    RB,
    RC,
    behind,
    conflict,
    healthy,
    pool,
    replica,
    replicas,
    seen,
)

CONDOR = seen(RC, implementation="condor")


def test_a_healthy_replication_is_in_order():
    """Three replicas of which one leads and the others hold what it holds have no problem."""
    assert replica_verdict.problems(healthy()) == []
    assert replica_verdict.sentence(healthy(), []) == (
        f"The replication is in order: {RA} leads with version 513.8 (1.25 MB), and all 2 others are in sync."
    )


@pytest.mark.parametrize(
    ("unhealthy", "problem"),
    [
        (
            replicas(*(failed(one, Failure.TIMEOUT) for one in ENTRIES)),
            "no replication daemon could be asked",
        ),
        (replicas(*(replica(one, None) for one in ENTRIES)), "no replica leads"),
        (replicas(replica(RA), replica(RB, RB), replica(RC)), f"2 replicas lead at once: {RA} and {RB}"),
        (replicas(replica(RA, version=None), replica(RB), replica(RC)), f"{RA} leads and holds no state"),
        (
            replicas(replica(RA, watching="no inotify"), replica(RB), replica(RC)),
            f"{RA} does not notice changes at once: no inotify",
        ),
        (
            replicas(replica(RA), replica(RB), failed(RC, Failure.REFUSED)),
            f"the replication daemon {RC} could not be asked: nobody listens there, so its daemon is gone",
        ),
        (
            replicas(replica(RA), replica(RB), failed(RC, Failure.TIMEOUT)),
            f"{RC} could not be asked: it did not answer in time, though other replicas hear it",
        ),
        (
            replicas(behind(RB), replica(RB, version=OLDER), replica(RC)),
            f"{RB} is behind by 12 s and holds 513.7",
        ),
        (
            replicas(behind(RB, None), replica(RB, version=None), replica(RC)),
            f"{RB} is not in sync and holds no state",
        ),
        (
            replicas(replica(RA), replica(RB, conflicts=(conflict(),)), replica(RC)),
            f"{RB} keeps a diverged state that nobody has exported or merged",
        ),
        (
            replicas(replica(RA), replica(RB), replica(RC, configuration="ffffffffffff")),
            f"{RA}, {RB} / {RC}",
        ),
    ],
)
def test_whatever_is_not_in_order_is_one_sentence(unhealthy, problem):
    """Each fault is said, and the exit status follows from it."""
    found = replica_verdict.problems(unhealthy)
    assert any(problem in one for one in found), found
    assert replica_verdict.sentence(unhealthy, found).startswith("The replication is not in order: ")


def test_moments_are_no_lag():
    """While a controllee writes every replica is behind by moments, which is no fault and is said."""
    made = replicas(behind(RB, 0.4), replica(RB, version=OLDER), replica(RC))
    assert replica_verdict.problems(made) == []
    assert "1 of 2 others are in sync; the rest are less than 5 s behind" in replica_verdict.sentence(
        made, []
    )


def test_its_own_word_may_be_newer_than_the_leaders():
    """A replica that says it holds the leader's version is in sync, whatever the leader has heard of it yet."""
    made = replicas(behind(RB), replica(RB), replica(RC))
    assert (made.is_in_sync(RB), made.lag_seconds(RB)) == (True, 0.0)


def test_without_a_leader_nobody_can_say():
    """Whether a replica is in sync is the leader's word, and unknown without one."""
    made = replicas(*(replica(one, None) for one in ENTRIES))
    assert [made.is_in_sync(one) for one in ENTRIES] == [None, None, None]
    assert replica_verdict.standing(made, RA) == "unknown"


def test_what_was_exported_or_merged_is_no_problem():
    """A kept state that people have taken what they wanted of needs nobody."""
    settled = (conflict(exported_to="/root/x"), conflict(clock=6, merged_into="513.4"))
    made = replicas(replica(RA), replica(RB, conflicts=settled), replica(RC))
    assert replica_verdict.problems(made) == []


def test_a_real_condor_replication_is_no_fault():
    """It does not know the question; as a follower, as the leader, and when all are such, that is in order."""
    ignorant = failed(RC, Failure.UNKNOWN_COMMAND)
    made = replicas(replica(RA, replicas=(seen(RB), CONDOR)), replica(RB), ignorant)
    assert replica_verdict.problems(made) == []
    assert replica_verdict.standing(made, RC) == "condor"
    led = replicas(replica(RA, RC), replica(RB, RC), ignorant)
    assert (led.leader, led.leading, replica_verdict.problems(led)) == (RC, None, [])
    assert "a real condor_replication, which cannot be asked" in replica_verdict.sentence(led, [])
    none = replicas(*(failed(one, Failure.UNKNOWN_COMMAND) for one in ENTRIES))
    assert replica_verdict.problems(none) == []
    assert "in the hands of real condor_replications" in replica_verdict.sentence(none, [])


def test_the_table_of_replicas():
    """One line a replica; who does not answer shows the word and what the leader has heard."""
    made = replicas(
        behind(RB), replica(RB, version=OLDER, conflicts=(conflict(),)), failed(RC, Failure.TIMEOUT)
    )
    assert [line.split() for line in replication_text(made).splitlines()] == [
        ["NODE", "STATE", "VERSION", "BYTES", "LAG", "SYNC", "CONFLICTS", "PROGRAM"],
        [RA, "leader", "513.8", "1250000", "0.0", "s", "yes", "0", "0.1.0"],
        [RB, "backup", "513.7", "1240000", "12", "s", "no", "1", "0.1.0"],
        [RC, "timeout", "513.8", "-", "0.0", "s", "yes", "-", "-"],
    ]


def test_the_table_of_transfers():
    """Transfers stand below with what has moved, the rate and the time that is left; without any there is no table."""
    moving = Transfer("upload", RB, "moving", Point(513, 8), 350_000_000, 1_073_741_824, 118e6, 6.13, NOW)
    waiting = Transfer("download", RA, "waiting", None, 0, 0, 0.0, None, NOW)
    made = replicas(replica(RA, transfers=(moving,)), replica(RB, transfers=(waiting,)), replica(RC))
    _, below = replication_text(made).split("\n\n")
    rows = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in below.splitlines()]
    assert rows == [
        ["NODE", "DIRECTION", "PEER", "STATE", "VERSION", "MOVED", "RATE", "LEFT"],
        [RA, "upload", RB, "moving", "513.8", "350 MB of 1.07 GB", "118 MB/s", "6.1 s"],
        [RB, "download", RA, "waiting", "-", "0 B", "-", "-"],
    ]
    assert "DIRECTION" not in replication_text(healthy())


def test_the_pools_status_has_a_column_of_replicas():
    """With replication daemons each member shows how good its replica is, and the pool's verdict knows it too."""
    made = pool(replicas(behind(RB), replica(RB, version=OLDER), failed(RC, Failure.REFUSED)))
    lines = tables.status_text(made).splitlines()
    assert [line.rsplit("  ", 1)[1].strip() for line in lines] == [
        "REPLICA",
        "in sync",
        "behind by 12 s",
        "refused",
    ]
    assert f"{RB} is behind by 12 s and holds 513.7" in verdict.problems(made)
    assert verdict.sentence(pool(), []).endswith("all 3 members follow it, and their replicas are good.")
    assert "REPLICA" not in tables.status_text(pools.healthy())


def test_a_witness_has_no_replica():
    """The lists go by place, and a witness stands behind them."""
    witness = pools.status("10.0.0.9:51450", pools.A, state="witness")
    made = pools.pool(
        *(pools.status(one) for one in (pools.A, pools.B, pools.C)), witness, witnesses=(witness.node,)
    )
    made = attrs.evolve(made, replicas=healthy())
    assert (made.replica_of(pools.B), made.member_of(RB), made.replica_of(witness.node)) == (
        RB,
        pools.B,
        None,
    )
    assert tables.status_text(made).splitlines()[-1].endswith(" -")
    shorter = attrs.evolve(made, members=made.members[:2])
    assert (shorter.replica_of(pools.B), shorter.member_of(RB)) == (None, None)


def test_two_leaders_of_two_kinds_are_told():
    """A replica that leads on another host than the pool's leader is a fault of the pool."""
    made = pool(replicas(replica(RA, RB), replica(RB, RB), replica(RC, RB)))
    assert f"{pools.A} leads the pool, and {RB} the replication, which is another host" in verdict.problems(
        made
    )


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (999_499, "999 kB"),
        (999_501, "1 MB"),
        (1_250_000, "1.25 MB"),
        (10_737_418_240, "10.7 GB"),
        (12e15, "12000 TB"),
    ],
)
def test_sizes(count, text):
    """Three digits and a unit."""
    assert size_words(count) == text
    assert rate_words(count) == f"{text}/s"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0.0 s"), (9.94, "9.9 s"), (83.2, "83 s"), (300, "5 min"), (11520, "3.2 h")]
)
def test_times(seconds, text):
    """No more digits than one needs."""
    assert time_words(seconds) == text
