"""The state follows the leader: R1, R2, P3, P6 and P7 with real daemons, and a controllee that counts each 10 ms.

What a controllee finds when it starts is compared with what the one before it wrote: the counter shows what was lost.
"""

import signal
import time

import pytest

from daemoncore.cedar.commands import Command
from tests.end_to_end import ledger_controllee
from tests.end_to_end.lives import gap_seconds
from tests.end_to_end.node import WITNESS_CONTROLLEE
from tests.end_to_end.replica import value_in

pytestmark = pytest.mark.timed

NO_OVERLAP = 0.0


@pytest.fixture
def replicated(make_pool):
    """Make a pool with replicas that runs, and return it with its leader; all replicas hold what the leader wrote."""

    def make(count=3, **options):
        pool = make_pool(count, has_replication=True, **options)
        pool.start()
        leader = pool.wait_settled(pool[0] if pool.has_primary else None, 30)
        pool.forget_lives_before(leader.running())
        wait_in_step(pool, leader)
        return pool, leader

    return make


def others(pool, leader):
    """Return the other members whose replica is up."""
    return [node for node in pool.nodes if node is not leader and node.replica.is_up]


def wait_in_step(pool, leader, seconds=10):
    """Wait until every other replica that is up holds what the leader had written by now."""
    wanted = pool.wait(leader.replica.value, seconds, "a first value", 0.01)
    following = others(pool, leader)
    pool.wait(
        lambda: all(node.replica.value() >= wanted for node in following), seconds, f"{wanted} on all", 0.01
    )


def test_a_change_is_everywhere_within_a_second(replicated):
    """R1: what the leader writes is on every replica within a second, again and again."""
    pool, leader = replicated(3, timeout_seconds=2)
    for _ in range(5):
        wanted, at = leader.replica.value(), time.monotonic()
        pool.wait(
            lambda wanted=wanted: all(n.replica.value() >= wanted for n in others(pool, leader)),
            5,
            "the value everywhere",
            0.005,
        )
        assert time.monotonic() - at <= 1.0
    version = leader.replica.status()["version"]
    assert version["gid"] == leader.running().epoch
    assert leader.replica.status()["state"] == "leader"


def test_state_survives_the_host(replicated):
    """P1 with state: the leader's host dies, and the next controllee goes on from what a replica held."""
    pool, leader = replicated(3, timeout_seconds=2)
    held = max(node.replica.value() for node in others(pool, leader))
    at = leader.kill_host()
    after = pool.wait_new_life(at, 10)
    assert after.began - at <= 1.5 * 2 + 0.5
    run = pool.run_of(after)
    written = leader.replica.runs()[-1].last
    assert held <= run.found <= written
    assert run.state in {"current", "stale"}
    wait_in_step(pool, pool[after.node])


def test_a_handover_loses_nothing(replicated):
    """P3: a leader is stopped; its successor begins with its very last value, within 0.3 s, and knows it is current."""
    pool, leader = replicated(3, timeout_seconds=2)
    assert leader.stop() == 0
    after = pool.wait_new_life(leader.lives()[-1].ended, 5)
    before = leader.replica.runs()[-1]
    run = pool.run_of(after)
    assert before.has_ended
    assert (run.found, run.state) == (before.last, "current")
    assert 0 <= gap_seconds(leader.lives()[-1], after) <= 0.3
    assert pool.overlap_seconds() == NO_OVERLAP


def test_switchovers_lose_nothing(replicated):
    """P3: the controllee goes round the pool, and each finds what the one before it wrote last."""
    pool, leader = replicated(3, timeout_seconds=2)
    for target in (pool[2], pool[1], pool[0]):
        pool.wait(
            lambda leader=leader, target=target: pool.command(
                leader, Command.HAD_SWITCHOVER, To=target.entry
            )[0],
            10,
            f"the leader to accept a switchover to {target}",
            0.1,
        )
        after = pool.wait_new_life(leader.lives()[-1].began, 10, where=target)
        before = leader.replica.runs()[-1]
        run = pool.run_of(after)
        assert (run.found, run.state) == (before.last, "current")
        assert 0 <= gap_seconds(leader.lives()[-1], after) <= 0.3
        leader = pool.wait_settled(target)
    assert pool.overlap_seconds() == NO_OVERLAP


def test_the_primary_returns_to_the_newest_state(replicated):
    """P6: the primary comes back with an old state, fetches the newest, then gets the controllee, and nothing is lost."""
    pool, primary = replicated(2, timeout_seconds=1)
    at = primary.kill_host()
    second = pool.wait_new_life(at, 10)
    pool.wait(lambda: pool.run_of(second).last > primary.replica.value() + 100, 20, "newer values")
    primary.start_host()
    returned = pool.wait_new_life(second.began, 20, where=primary)
    before = pool[1].replica.runs()[-1]
    run = pool.run_of(returned)
    assert (run.found, run.state) == (before.last, "current")
    assert 0 <= gap_seconds(pool[1].lives()[-1], returned) <= 0.5
    assert pool.overlap_seconds() == NO_OVERLAP


def test_both_daemons_stopped_at_once(replicated):
    """A host that shuts down stops both daemons; the replication daemon outlives the flush, and nothing is lost."""
    pool, leader = replicated(2, timeout_seconds=2)
    leader.replica.send(signal.SIGTERM)
    assert leader.stop() == 0
    assert leader.replica.process.wait(30) == 0
    after = pool.wait_new_life(leader.lives()[-1].ended, 5)
    run = pool.run_of(after)
    assert (run.found, run.state) == (leader.replica.runs()[-1].last, "current")


def test_had_killed(replicated):
    """P4 with state: the daemon is killed, the guard ends the controllee, and the next one goes on within a second."""
    pool, leader = replicated(3, timeout_seconds=2)
    held = max(node.replica.value() for node in others(pool, leader))
    at = leader.kill()
    after = pool.wait_new_life(at, 10)
    assert after.began - at <= 1.0
    run = pool.run_of(after)
    assert run.found >= held
    assert pool.overlap_seconds() == NO_OVERLAP


def test_the_replica_of_a_dead_had_follows_on(replicated):
    """Its had is dead, and so is the controllee: the replica takes what the next leader writes, without waiting for had."""
    pool, leader = replicated(3, timeout_seconds=1)
    after = pool.wait_new_life(leader.kill(), 10)
    other = pool[after.node]
    assert other is not leader
    wanted = pool.wait(other.replica.value, 5, "a value of the next leader") + 50
    pool.wait(lambda: leader.replica.value() >= wanted, 20, "the values on the host without had", 0.05)


def test_a_killed_replica_catches_up(replicated):
    """A replication daemon and its transferers are killed; restarted, it fetches what it missed, and the leader never noticed."""
    pool, leader = replicated(3, timeout_seconds=1)
    pid = leader.running().pid
    victim = pool[2]
    victim.replica.kill()
    missed = leader.replica.value() + 50
    pool.wait(lambda: leader.replica.value() > missed, 10, "values that it misses")
    assert victim.replica.value() < missed
    victim.replica.start()
    pool.wait(lambda: victim.replica.value() >= missed, 10, "what it missed")
    assert leader.running().pid == pid
    pool.wait(lambda: victim.replica.leftovers() == [], 5, "the leftovers of dead transferers to be swept")


def test_the_leaders_replica_is_killed(replicated):
    """The replication daemon beside the leader dies and returns: the controllee goes on, and so does its history."""
    pool, leader = replicated(2, timeout_seconds=1)
    life, gid = leader.running(), leader.replica.point()[0]
    leader.replica.kill()
    written = leader.replica.value()
    pool.wait(lambda: leader.replica.value() > written + 50, 10, "values that nobody replicates")
    leader.replica.start()
    pool.wait(leader.replica.point, 10, "its status")
    wait_in_step(pool, leader)
    assert leader.replica.point()[0] == gid
    assert leader.running().pid == life.pid
    assert leader.replica.status()["conflicts"] == pool[1].replica.status()["conflicts"] == []


def test_without_a_replica_daemon(replicated):
    """A winner whose own replication daemon is down waits for T, then starts on what stands there, and says it is stale."""
    pool, leader = replicated(2, timeout_seconds=1)
    pool[1].replica.kill()
    at = leader.kill_host()
    after = pool.wait_new_life(at, 10)
    run = pool.run_of(after)
    assert run.state == "stale"
    assert pool[1].logged("state_stale")


def test_a_leader_that_has_written_nothing_hands_over(make_pool):
    """A controllee that has no state yet is no reason for its successor to wait."""
    pool = make_pool(2, timeout_seconds=1, has_replication=True)
    for node in pool.nodes:
        node.configure(KEEPER_ARGS=f"-I -S {WITNESS_CONTROLLEE} {node.lives_file}")
    pool.start()
    leader = pool.wait_settled(None, 30)
    (other,) = others(pool, leader)
    point = pool.wait(leader.replica.point, 20, "the leadership to be recorded", 0.05)
    pool.wait(lambda: other.replica.point() == point, 20, "its version on the other", 0.05)
    assert not leader.replica.state_file.exists()
    assert leader.stop() == 0
    after = pool.wait_new_life(leader.lives()[-1].ended, 10, where=other)
    assert gap_seconds(leader.lives()[-1], after) <= 5
    assert other.logged("state_ready") or other.logged("state_missing")


@pytest.mark.root
def test_a_partition_heals(apart):
    """P7 with state: both sides wrote; after the heal one state is everywhere, and the loser's is kept and reported."""
    pool = apart(2, timeout_seconds=2, has_replication=True)
    pool.start()
    leader = pool.wait_settled(pool[0], 30)
    wait_in_step(pool, leader)
    pool.unplug(leader)
    second = pool.wait(pool[1].running, 10, "the second leader", 0.003)
    pool.wait(lambda: pool.run_of(second).last > pool.run_of(second).found + 50, 10, "values of the second")
    pool.plug(leader)
    pool.wait(lambda: not pool[1].running(), 15, "the second controllee to end after the heal", 0.003)
    pool.wait_settled(leader)
    lost = pool[1].replica.runs()[-1]
    conflicts = pool.wait(
        lambda: pool[1].replica.status()["conflicts"], 10, "the conflict in the status", 0.1
    )
    assert [one["version"]["gid"] for one in conflicts] == [lost.epoch]
    wait_in_step(pool, leader)
    assert pool[1].replica.point()[0] == leader.replica.point()[0]
    kept = next(pool[1].folder.glob("had/**/conflicts/*/0")).read_bytes()
    assert value_in(kept) == lost.last
    assert pool[1].replica.http("/metrics")[1].count("had_replication_conflicts 1.0") == 1


def test_replication_is_switched_on_in_an_old_pool(make_pool):
    """Each member has a state of its own that nobody numbered: the leader's wins, and the other's is kept, not lost."""
    pool = make_pool(2, timeout_seconds=1, has_replication=True)
    for node, value in zip(pool.nodes, (100, 200), strict=True):
        node.replica.state_file.write_bytes(
            ledger_controllee.HEAD + ledger_controllee.VALUE + b"%d.000000\n" % value
        )
    pool.start()
    leader = pool.wait_settled(pool[0], 30)
    wait_in_step(pool, leader)
    assert leader.replica.runs()[0].found == 100
    pool.wait(lambda: pool[1].replica.status()["conflicts"], 10, "the other's state as a conflict", 0.1)
    kept = next(pool[1].folder.glob("had/**/conflicts/*/0")).read_bytes()
    assert value_in(kept) == 200
