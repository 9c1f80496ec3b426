"""Both machines together in the simulator: known failures first, then fresh seeds.

`SIMULATION_REPLICA_SEEDS` (140) says how many. A failing seed is replayed with
`python -m tests.simulation.replicated SEED -v`, and goes into failing_replica_seeds.txt for ever.
"""

from __future__ import annotations

import os

import pytest

from replication.events import CurrentAsked
from tests.simulation.archivist import name_of
from tests.simulation.replicas import files_of
from tests.simulation.replicated import FIRST_MAJORITY_SEED, ReplicatedPool, draw, known_failures, run
from tests.simulation.world import Violation

SEEDS = int(os.environ.get("SIMULATION_REPLICA_SEEDS", "140"))

FIRST_SEEDS = (2_050_000, FIRST_MAJORITY_SEED)
"""Where the fresh seeds begin: half of them draw HAD_REQUIRE_MAJORITY, for more than half of the pools."""


@pytest.mark.parametrize("seed", known_failures())
def test_a_seed_that_failed_once_holds_now(seed):
    """Nothing is lost, torn or taken wrongly, and all replicas become one, on a seed that found a bug before."""
    pool, violation = run(seed)
    assert violation is None, "\n".join([*pool.world.lines[-30:], violation or ""])


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("chunk", range(10))
def test_fresh_seeds_hold(chunk):
    """The same for this chunk's share of seeds that nobody has seen."""
    size, first = SEEDS // 10, FIRST_SEEDS[chunk % 2] + chunk // 2 * (SEEDS // 10)
    for seed in range(first, first + size):
        pool, violation = run(seed)
        assert violation is None, "\n".join([f"seed {seed}", *pool.world.lines[-30:], violation or ""])


def settled(seed=1):
    """Give a pool that leads and replicates."""
    pool = ReplicatedPool(draw(seed), seed)
    pool.start_all()
    pool.world.run_until(3 * pool.timeout + 3)
    return pool


def test_the_simulator_notices_a_lost_record():
    """An installation that drops what nobody else has is objected to: the check can fail."""
    pool = settled()
    follower = next(n for n in pool.nodes if not n.is_leading).replica
    follower.disk.content = (*follower.disk.content, (999, 1))
    follower._keep = lambda _why: None
    with pytest.raises(Violation, match=r"1: .* loses"):
        pool.world.run_until(pool.world.now + 20)


def test_the_simulator_notices_a_rename_over_a_running_controllee():
    """A replica that does not mind its had is found out."""
    pool = settled()
    leader = pool.leader()
    assert leader is not None
    other = next(n for n in pool.nodes if n is not leader)
    leader._say = lambda _event: None
    other.replica._is_controllee_there = lambda: True
    with pytest.raises(Violation, match="installs over"):
        pool.world.run_until(pool.world.now + 20)


def test_the_same_state_has_one_name():
    """Descriptions depend on what a file holds and on nothing else."""
    assert files_of(((1, 1), (1, 2))) == files_of(((1, 1), (1, 2))) != files_of(((1, 1),))


def test_the_simulator_notices_a_flush_that_did_not_arrive():
    """A successor starts without the last record: a fault, unless another leader's word went over it and it was kept."""
    pool = settled()
    node, other, *_ = (n.replica for n in pool.nodes)
    flushed, flushed_at = (*node.disk.content, (999, 1)), pool.world.now
    with pytest.raises(Violation, match=r"6: \[\(999, 1\)\] were flushed"):
        pool.keeper.handed_over(node, flushed, flushed_at)
    other.disk.archive.conflicts.append(flushed)
    pool.keeper.handed_over(node, flushed, flushed_at)
    with pytest.raises(Violation, match=r"6: "):
        pool.keeper.handed_over(node, flushed, flushed_at + 2 * node.timeout_seconds)


def diverged(seed=1):
    """Give a pool whose leader has a conflict to merge, of which a follower keeps the only copy; and both replicas."""
    pool = settled(seed)
    pool.is_silent = True
    leader = pool.leader()
    assert leader is not None
    owner = next(n for n in pool.nodes if n is not leader).replica
    owner.disk.archive.conflicts.append((*leader.replica.disk.content, (999, 1), (999, 2)))
    owner.archivist.tell()
    leader.replica.archivist.schedule(owner.disk.archive.conflicts[0])
    return pool, leader, owner


def test_a_conflict_is_merged_when_the_controllee_is_started_again():
    """Its records come to all replicas, once, and its owner keeps it no longer."""
    pool, leader, owner = diverged()
    pool.world.run_until(pool.world.now + 5)
    assert owner.disk.archive.conflicts != []
    leader.guard.die_by_itself()
    pool.world.run_until(pool.world.now + 5)
    assert pool.are_equal()
    assert owner.disk.archive.conflicts == []
    assert [r for r in owner.disk.content if r[0] == 999] == [(999, 1), (999, 2)]


def test_the_simulator_notices_a_merge_that_loses_a_record():
    """A merge that drops what the state holds, or takes a record twice, is objected to."""
    for spoil in (lambda content: content[1:], lambda content: (*content, content[0])):
        pool, leader, _ = diverged()
        check = pool.keeper.revises
        pool.keeper.revises = lambda n, e, old, new, check=check, spoil=spoil: check(n, e, old, spoil(new))
        leader.guard.die_by_itself()
        with pytest.raises(Violation, match="7: "):
            pool.world.run_until(pool.world.now + 5)


def test_the_simulator_notices_a_merge_under_a_running_controllee():
    """A replica that is told that its controllee is gone although it runs is found out."""
    pool, leader, _ = diverged()
    leader.replica.receive(CurrentAsked(request=1))
    with pytest.raises(Violation, match="7: a merge where a controllee is"):
        pool.world.run_until(pool.world.now + 5)


def test_the_simulator_notices_a_conflict_that_counts_as_merged_and_is_not():
    """Its owner's state lacks the records."""
    pool, leader, owner = diverged()
    merged = leader.replica.archivist.archive.merged
    merged[name_of(owner.disk.archive.conflicts[0])] = leader.replica.disk.held.version.point
    leader.replica.archivist.tell()
    with pytest.raises(Violation, match="8: "):
        pool.world.run_until(pool.world.now + 5)
