"""What `hadctl follow` tells: who leads, transitions of election and replication, lasting lag, kept states."""

import itertools

import attrs

from had.ctl import replica_changes
from had.ctl.follow_command import between
from had.ctl.pool import Failure
from had.status import Change, Controllee
from replication.status import Change as Turn
from tests.had.ctl import pools
from tests.had.ctl.pools import A, B, C, failed, status
from tests.had.ctl.replicated import (
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
)


def texts(found):
    """Who, and what."""
    return [(one.node, one.kind, one.text) for one in found]


def with_second(made, leader=None):
    """The replicas with another word of the second one's, and perhaps of the leader's."""
    return replicas(replica(RA) if leader is None else leader, made, replica(RC))


def test_two_equal_readings_have_no_differences():
    """Nothing happened when only clocks and versions went on."""
    after = replicas(*(replica(one, time=NOW + 5, version=OLDER) for one in (RA, RB, RC)))
    assert replica_changes.between(healthy(), after) == []


def test_transitions_of_replicas_are_told_once():
    """Only those that were not known before, in the order of their times."""
    turns = (
        Turn(NOW - 2, "backup", "version_downloading", "a newer version is known"),
        Turn(NOW - 1, "version_downloading", "backup", "the version was installed"),
    )
    after = with_second(replica(RB, history=(*replica(RB).history, *turns)))
    found = replica_changes.between(healthy(), after)
    assert texts(found) == [
        (RB, "replica", "replica backup -> version_downloading: a newer version is known"),
        (RB, "replica", "replica version_downloading -> backup: the version was installed"),
    ]
    assert found[0].to_json()["to"] == "version_downloading"


def test_kept_states_are_told():
    """When one is kept, exported, merged and gone; each with its name for programs."""
    kept = conflict()
    name = kept["id"]
    steps = [
        (),
        (kept,),
        (kept | {"exported_to": "/x"},),
        (kept | {"exported_to": "/x", "merged_into": "513.9"},),
        (),
    ]
    made = [with_second(replica(RB, conflicts=one)) for one in steps]
    found = [replica_changes.between(a, b) for a, b in itertools.pairwise(made)]
    assert [texts(one) for one in found] == [
        [(RB, "conflict", f"keeps {name}: the leader holds another state")],
        [(RB, "conflict", f"exported {name} to /x")],
        [(RB, "conflict", f"{name} is merged into 513.9")],
        [(RB, "conflict", f"does not keep {name} any more")],
    ]
    assert found[0][0].to_json() == {
        "time": NOW - 50,
        "node": RB,
        "kind": "conflict",
        "text": f"keeps {name}: the leader holds another state",
        "id": name,
        "act": "kept",
    }


def test_only_lasting_lag_is_told():
    """Moments of lag are no news; a replica that stays behind is, and that it is not any more."""
    old = replica(RB, version=OLDER)
    assert replica_changes.between(healthy(), with_second(old, behind(RB, 1.0))) == []
    late = with_second(old, behind(RB, 12.0))
    assert texts(replica_changes.between(healthy(), late)) == [(RB, "sync", "is behind by 12 s")]
    assert replica_changes.between(late, with_second(old, behind(RB, 13.0))) == []
    assert texts(replica_changes.between(late, healthy())) == [(RB, "sync", "is not behind any more")]


def test_daemons_that_come_and_go_are_told():
    """A replication daemon that stops answering is one line; it comes back with its history, and nothing was dropped."""
    away = replicas(replica(RA), failed(RB, Failure.REFUSED), replica(RC))
    kept = with_second(replica(RB, conflicts=(conflict(),)))
    gone = texts(replica_changes.between(kept, away))
    assert gone == [
        (RB, "answer", "the replication daemon does not answer: nobody listens there, so its daemon is gone")
    ]
    back = texts(replica_changes.between(away, healthy()))
    assert (RB, "answer", "the replication daemon answers") in back
    assert (RB, "replica", "replica version_requesting -> backup: all have answered") in back
    assert not any(kind == "conflict" for _, kind, _ in back)


def led(leader, **changes):
    """A replicated pool with this leader."""
    return attrs.evolve(
        pool(), answers=pools.pool(*(status(one, leader, **changes) for one in (A, B, C))).answers
    )


def test_a_change_of_the_leader_comes_last():
    """The transitions that led to it stand before it, and processes and hearing are left to `hadctl events`."""
    new = Change(NOW - 1, "passive", "leader", "handed over", 641)
    after = led(B, epoch=641, history=(*status(A).history, new))
    found = between(led(A), after)
    assert {one.kind for one in found[:-1]} == {"transition"}
    assert texts(found[-1:]) == [(B, "leader", f"leads the pool (epoch 641), after {A}")]
    assert found[-1].to_json() | {"time": 0} == {
        "time": 0,
        "node": B,
        "kind": "leader",
        "text": f"leads the pool (epoch 641), after {A}",
        "leader": B,
        "before": A,
        "epoch": 641,
    }


def test_that_nobody_leads_is_told():
    """A pool without a leader is a change too, and so is its first one."""
    nobody = led(None, state="passive", controllee=Controllee("negotiator", "stopped"))
    assert texts(between(led(A), nobody)) == [
        (A, "leader", "leads no more, or not all agree on it; there is no other leader yet")
    ]
    assert texts(between(nobody, led(A))) == [(A, "leader", "leads the pool (epoch 130)")]


def test_without_replication_daemons_the_election_is_followed():
    """A pool that has none is followed all the same."""
    before, after = (attrs.evolve(led(one), replicas=None) for one in (A, B))
    assert [one.kind for one in between(before, after)] == ["leader"]


def test_replication_is_part_of_the_story():
    """What replicas say stands between the lines of the election, by time."""
    after = attrs.evolve(led(A), replicas=with_second(replica(RB, conflicts=(conflict(),))))
    assert [(one.node, one.kind) for one in between(led(A), after)] == [(RB, "conflict")]
