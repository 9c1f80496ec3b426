"""P9 with real daemons: two managers and a witness, leases from a majority, never two controllees."""

import os
import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.timed

MAJORITY = {"HAD_REQUIRE_MAJORITY": True}


def test_two_managers_and_a_witness(settled):
    """The leader's host dies, and the other manager leads by the witness's vote; the status says who grants."""
    pool, leader = settled(2, witnesses=1, timeout_seconds=1, knobs=MAJORITY)
    other, witness = pool[1], pool[2]
    everybody = {node.entry for node in pool.nodes}
    pool.wait(lambda: set(leader.status()["majority"]["voters"]) == everybody, 5, "three votes")
    assert leader.status()["majority"]["needed"] == 2
    assert other.status()["majority"]["vote"] == leader.entry
    assert leader.metric("had_votes_granted") == 3
    assert 0 < leader.metric("had_lease_remaining_seconds") < 1
    at = leader.kill_host()
    after = pool.wait_new_life(at, 10, other)
    assert after.began - at <= 1.5 * 1 + 0.5
    pool.wait_settled(other)
    assert set(other.status()["majority"]["voters"]) == {other.entry, witness.entry}
    assert pool.overlap_seconds() == 0
    shown = subprocess.run(
        [sys.executable, "-m", "had.ctl", "status", "-c", str(other.configuration)],
        env=pool.environment,
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    assert f"{other.entry} is granted its lease by {other.entry}, {witness.entry}; 2 are needed" in shown


def test_a_leader_without_a_majority_stops(settled):
    """Alone of three, the leader ends its controllee within T; with a second member it leads again."""
    pool, leader = settled(2, witnesses=1, timeout_seconds=1, knobs=MAJORITY)
    life = leader.running()
    os.kill(pool[2].pid, signal.SIGKILL)
    at = pool[1].kill_host()
    pool.wait_dead(life.pid, 5)
    assert leader.lives()[-1].ended - at <= 1
    pool.wait(lambda: leader.logged("state_changed", "why=majority_lost"), 5, "the word on it")
    pool[1].start_host()
    pool.wait_new_life(at, 10)
    assert pool.overlap_seconds() == 0


def test_a_switchover_does_not_wait_for_the_lease(settled):
    """P3 with votes: the successor starts within 0.3 s of the old controllee's exit."""
    pool, leader = settled(2, witnesses=1, timeout_seconds=2, knobs=MAJORITY)
    before = leader.running()
    leader.send(signal.SIGTERM)
    after = pool.wait_new_life(before.began, 10, pool[1])
    assert 0 <= after.began - leader.lives()[-1].ended <= 0.3


def test_a_voter_that_restarts_votes_again(settled):
    """A witness that was killed grants the same leader its lease again at once, and then the other may fail."""
    pool, leader = settled(2, witnesses=1, timeout_seconds=2, knobs=MAJORITY)
    before = leader.running()
    pool[2].kill_host()
    pool[2].start_host()
    pool.wait_settled(leader)
    everybody = {node.entry for node in pool.nodes}
    pool.wait(lambda: set(leader.status()["majority"]["voters"]) == everybody, 5, "the witness's vote")
    pool[1].kill_host()
    voters = {leader.entry, pool[2].entry}
    pool.wait(
        lambda: set(leader.status()["majority"]["voters"]) == voters, 10, "the second failure to be felt"
    )
    assert leader.running().pid == before.pid


@pytest.mark.root
def test_a_leader_that_is_cut_off_stops_first(apart):
    """In a cut the side without a majority has no controllee before the other side has one."""
    pool = apart(3, timeout_seconds=2, has_primary=False, knobs=MAJORITY)
    pool.start()
    leader = pool.wait_settled(pool[0], 20)
    at = pool.unplug(leader)
    after = pool.wait_new_life(at, 10)
    assert after.began - at <= 1.5 * 2 + 0.5
    assert not leader.running()
    pool.plug(leader)
    pool.wait_settled(pool[after.node])
    assert pool.overlap_seconds() == 0


def test_a_reload_does_not_turn_majority_on(settled):
    """HAD_REQUIRE_MAJORITY is taken up by a restart: until then nothing changes, and the log says so."""
    pool, leader = settled(2, timeout_seconds=1)
    before = leader.running()
    leader.configure(HAD_REQUIRE_MAJORITY=True)
    leader.send(signal.SIGHUP)
    pool.wait(lambda: leader.logged("restart_needed", "HAD_REQUIRE_MAJORITY"), 5, "the word on the restart")
    assert leader.status()["majority"] is None
    assert leader.running().pid == before.pid
