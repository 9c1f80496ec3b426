"""What had waits for where a replica looks after the state, with real daemons, one of which is frozen or absent."""

import os
import signal
import time

import pytest

from daemoncore.cedar.commands import Command

STOP_SECONDS = 1.0


@pytest.fixture
def pair(make_pool):
    """Make a pool of two with replicas; return it with its leader and its follower, who is ready to take over."""

    def make(**options):
        knobs = {"HAD_CONTROLLEE_STOP_TIMEOUT": STOP_SECONDS} | options.pop("knobs", {})
        pool = make_pool(2, has_replication=True, timeout_seconds=1, knobs=knobs, **options)
        pool.start()
        leader = pool.wait_settled(pool[0], 30)
        pool.forget_lives_before(leader.running())
        follower = pool[1]
        wait_ready(pool, follower)
        return pool, leader, follower

    return make


def wait_ready(pool, node, *, is_ready=True):
    """Wait until a node says so of itself."""
    pool.wait(
        lambda: (node.status() or {}).get("replica", {}).get("is_ready") is is_ready,
        15,
        f"{node} to be ready: {is_ready}",
        0.05,
    )


def run_of(pool, life):
    """What a controllee counted, once it counts."""
    runs = pool[life.node].replica.runs
    return pool.wait(lambda: next((run for run in runs() if run.pid == life.pid), None), 5, "its first count")


def switchover(pool, leader, target):
    """Ask the leader; return whether it accepts, and its answer."""
    return pool.command(leader, Command.HAD_SWITCHOVER, To=target.entry)


def test_a_switchover_to_a_frozen_replica_is_called_off(pair):
    """The controllee goes on where it was, with all that it wrote; thawed, the same switchover is done."""
    pool, leader, follower = pair()
    before = leader.running()
    os.kill(follower.replica.process.pid, signal.SIGSTOP)
    try:
        assert switchover(pool, leader, follower)[0]
        after = pool.wait_new_life(before.ended or before.began, 10, where=leader)
        run = run_of(pool, after)
        written = next(r for r in leader.replica.runs() if r.pid == before.pid).last
        assert (run.found, run.state) == (written, "current")
        assert leader.logged("flush_incomplete", follower.replica_entry)
        assert leader.logged("handover_called_off", "reason=switchover", follower.entry)
        assert leader.status()["state"] == "leader"
        assert leader.status()["hold"] is None
    finally:
        os.kill(follower.replica.process.pid, signal.SIGCONT)
    wait_ready(pool, follower)
    pool.wait(lambda: switchover(pool, leader, follower)[0], 10, "the switchover to be accepted", 0.1)
    there = pool.wait_new_life(after.began, 10, where=follower)
    assert run_of(pool, there).found == leader.replica.runs()[-1].last
    assert pool.overlap_seconds() == 0


def test_a_leader_that_must_end_does_not_wait_for_ever(pair):
    """It waits for the flush as long as for the stop, says what is lost, and the successor starts without it."""
    pool, leader, follower = pair()
    held = pool.wait(follower.replica.value, 10, "a first value on the follower")
    os.kill(follower.replica.process.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert leader.stop() == 0
        assert STOP_SECONDS <= time.monotonic() - began < STOP_SECONDS + 8
        assert leader.logged("flush_incomplete", follower.replica_entry)
        assert leader.logged("state_changed", "why=shutdown")
        pool.wait(lambda: follower.status()["state"] == "leader", 10, "the successor to lead", 0.05)
        waiting = pool.wait(lambda: follower.status()["replica"]["waiting"], 5, "what it waits for", 0.02)
        assert waiting.startswith("its replica brings the state up to date (")
        assert not follower.running()
    finally:
        os.kill(follower.replica.process.pid, signal.SIGCONT)
    assert run_of(pool, pool.wait_new_life(0, 10, where=follower)).found >= held


def test_a_fast_stop_waits_for_nothing(pair):
    """SIGQUIT: the daemon is gone at once, whatever was not handed on."""
    pool, leader, follower = pair(knobs={"HAD_CONTROLLEE_STOP_TIMEOUT": 20})
    os.kill(follower.replica.process.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert leader.stop(signal.SIGQUIT) == 0
        assert time.monotonic() - began < 10
        assert not leader.logged("flush_incomplete")
    finally:
        os.kill(follower.replica.process.pid, signal.SIGCONT)
    assert pool.wait_new_life(0, 15, where=follower)


def test_a_node_without_its_replica_is_not_handed_the_controllee(pair):
    """A switchover to it is refused with the reason, by either end; with the replica back it is accepted."""
    pool, leader, follower = pair()
    follower.replica.kill()
    wait_ready(pool, follower, is_ready=False)
    replica = follower.status()["replica"]
    assert (replica["state"], replica["waiting"]) == ("unreachable", "its replication daemon does not answer")
    pool.wait(lambda: not switchover(pool, leader, follower)[0], 5, "the leader to know", 0.1)
    is_accepted, text = switchover(pool, leader, follower)
    assert (is_accepted, text) == (False, f"the replica of {follower.entry} is not up to date yet")
    leader.replica.kill()
    wait_ready(pool, leader, is_ready=False)
    assert "the replica of this node does not answer" in switchover(pool, leader, follower)[1]
    life = leader.running()
    for node in (leader, follower):
        node.replica.start()
        wait_ready(pool, node)
    assert leader.running().pid == life.pid
    pool.wait(lambda: switchover(pool, leader, follower)[0], 10, "the leader to accept", 0.1)
    assert pool.wait_new_life(life.began, 10, where=follower)


def test_the_controllee_is_restarted_where_it_runs(pair):
    """HAD_RESTART: the same node, the same epoch, the same state; a follower refuses."""
    pool, leader, follower = pair()
    assert not pool.command(follower, Command.HAD_RESTART, By="ann")[0]
    before, status = leader.running(), leader.status()
    assert pool.command(leader, Command.HAD_RESTART, By="ann") == (True, "the controllee is being restarted")
    after = pool.wait_new_life(before.began, 10)
    run = run_of(pool, after)
    written = next(r for r in leader.replica.runs() if r.pid == before.pid).last
    assert (after.node, after.epoch) == (before.node, before.epoch)
    assert (run.found, run.state) == (written, "current")
    assert leader.status()["history"] == status["history"]
    assert leader.logged("command_received", "HAD_RESTART")


def test_a_controllee_waits_for_its_replica_to_wake(pair):
    """It dies while its replica is frozen: the status says what the start waits for, and nothing counts as hanging."""
    pool, leader, _follower = pair()
    life = leader.running()
    os.kill(leader.replica.process.pid, signal.SIGSTOP)
    try:
        os.kill(life.pid, signal.SIGKILL)
        replica = pool.wait(
            lambda: (r := leader.status()["replica"])["waiting"] and r, 5, "what it waits for", 0.02
        )
        assert replica["state"] == "ours"
        pool.wait(lambda: leader.logged("state_awaited"), 5, "a word of it in the log", 0.05)
        assert leader.status()["controllee"]["state"] == "starting"
        assert leader.http("/leader")[0] == 503
    finally:
        os.kill(leader.replica.process.pid, signal.SIGCONT)
    after = pool.wait_new_life(life.began, 10, where=leader)
    assert run_of(pool, after).state == "current"
    assert leader.status()["replica"]["waiting"] is None


def test_a_winner_does_not_wait_for_a_frozen_replica(pair):
    """The leader's host dies while the replica of the only other member is frozen: that starts on what stands there."""
    pool, leader, follower = pair()
    held = pool.wait(follower.replica.value, 10, "a first value on the follower")
    os.kill(follower.replica.process.pid, signal.SIGSTOP)
    try:
        at = leader.kill_host()
        life = pool.wait_new_life(at, 15, where=follower)
        assert life.began - at <= 1.5 + 0.5 + 3 + 1
        run = run_of(pool, life)
        assert (run.state, run.found >= held) == ("stale", True)
        assert follower.logged("replica_unreachable", "reason=timeout")
    finally:
        os.kill(follower.replica.process.pid, signal.SIGCONT)
    pool.wait(
        lambda: follower.replica.status()["state"] == "leader", 15, "the replica to hear who leads", 0.05
    )
    assert follower.running().pid == life.pid


def test_a_pool_that_waits_for_a_state_starts_when_nobody_has_one(make_pool):
    """HAD_MISSING_STATE = wait: a member alone does not start on nothing; when the other says that it has none either, it does."""
    pool = make_pool(2, has_replication=True, timeout_seconds=1, knobs={"HAD_MISSING_STATE": "wait"})
    pool.start(0)
    pool.wait(lambda: (pool[0].status() or {}).get("state") == "leader", 15, "the first to lead", 0.05)
    pool.wait(lambda: pool[0].logged("state_awaited"), 10, "the wait to be mentioned", 0.05)
    assert pool.lives() == []
    pool.start(1)
    life = pool.wait_new_life(0, 15)
    assert run_of(pool, life).state == "missing"


def test_a_lost_state_has_a_program_of_its_own(make_pool):
    """HAD_MISSING_STATE = disaster: where there is no state the other program runs, with HAD_STATE = missing."""
    pool = make_pool(1, has_replication=True, timeout_seconds=0.5)
    node = pool[0]
    told = node.folder / "told"
    script = f'echo "$HAD_STATE $HAD_EPOCH" > {told}; exec sleep 600'
    node.configure(HAD_MISSING_STATE="disaster", KEEPER_DISASTER=f"/bin/sh -c '{script}'")
    pool.start()
    text = pool.wait(lambda: told.exists() and told.read_text(), 15, "the program for a disaster", 0.02)
    assert text.split()[0] == "missing"
    assert pool.lives() == []
    assert node.stop() == 0
    node.replica.state_file.write_bytes(b"107 1 CreationTimestamp 1700000000\n101 Counter. * *\n")
    node.start()
    assert pool.wait_new_life(0, 15)
