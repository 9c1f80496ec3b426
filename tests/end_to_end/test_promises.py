"""The promises P1 to P6 with real daemons on loopback addresses, each within the seconds that it names.

T is as large as a test can afford, since a loaded machine delays everything by the same milliseconds.
"""

import os
import signal

import pytest

from daemoncore.cedar.commands import Command
from tests.end_to_end.lives import gap_seconds

pytestmark = pytest.mark.timed

#: The last sign of a killed controllee is up to a beat before its end; a machine with more work than cores adds to it.
NO_OVERLAP = 0.0


@pytest.mark.parametrize("count", [2, 3, 5])
def test_host_killed(settled, count):
    """P1: everything on the leader's host is killed, and the next member's controllee starts within 1.5 T + 0.5 s."""
    pool, leader = settled(count, timeout_seconds=2)
    at = leader.kill_host()
    life = pool.wait_new_life(at, 10)
    assert life.node == 1
    assert life.began - at <= 1.5 * 2 + 0.5
    pool.wait_settled(pool[1])
    assert pool.overlap_seconds() == NO_OVERLAP


def test_cold_start(make_pool):
    """P2: started together, the first member's controllee runs at once, though T is long, and it is the only one."""
    pool = make_pool(3, timeout_seconds=10)
    pool.start()
    life = pool.wait_new_life(0, 8)
    assert life.node == 0
    pool.wait_settled(pool[0])
    assert len(pool.lives()) == 1


def test_cold_start_without_the_first(make_pool):
    """P2: with the first member's host absent the second one's controllee starts within 2 T + 1 s."""
    pool = make_pool(3, timeout_seconds=2)
    pool.start(1, 2)
    life = pool.wait_new_life(0, 2 * 2 + 1)
    assert life.node == 1
    pool.wait_settled(pool[1])
    assert len(pool.lives()) == 1


def test_alone(make_pool):
    """A pool of one member leads itself."""
    pool = make_pool(1, timeout_seconds=1)
    pool.start()
    assert pool.wait_settled() is pool[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT, signal.SIGINT])
def test_stop_hands_over(settled, number):
    """P3: a leader that is asked to stop hands over: 0.3 s without a controllee, never two, exit status 0."""
    pool, leader = settled(3, timeout_seconds=2)
    assert leader.stop(number) == 0
    after = pool.wait_new_life(leader.lives()[-1].ended, 2)
    before = leader.lives()[-1]
    assert after.node == 1
    assert before.ended <= after.began <= before.ended + 0.3
    pool.wait_settled(pool[1])
    assert pool.overlap_seconds() == NO_OVERLAP


def test_switchover_and_hold(settled):
    """P3: a switchover moves the controllee within 0.3 s; the primary, even restarted, waits until `resume`."""
    pool, primary = settled(3, timeout_seconds=1)
    accepted, text = pool.command(primary, Command.HAD_SWITCHOVER, To=pool[2].entry, Reason="test")
    assert accepted, text
    after = pool.wait_new_life(0, 3, where=pool[2])
    assert 0 <= gap_seconds(primary.lives()[-1], after) <= 0.3
    pool.wait_settled(pool[2])
    pool.wait(lambda: all(n.status()["hold"] for n in pool.nodes), 3, "the hold at every member", 0.05)
    assert all(node.status()["hold"]["node"] == primary.entry for node in pool.nodes)
    primary.stop()
    primary.start()
    pool.wait_settled(pool[2])
    # The primary would have asked within a heartbeat (T/4).
    with pytest.raises(AssertionError, match="not within"):
        pool.wait(lambda: len(primary.lives()) > 1, 2, "what must not happen")
    accepted, text = pool.command(pool[1], Command.HAD_RESUME)
    assert accepted, text
    pool.wait_settled(primary)
    assert primary.status()["hold"] is None
    assert pool.overlap_seconds() == NO_OVERLAP


def test_switchover_refused(settled):
    """A switchover to a stranger, by a node that does not lead, or to a node that is down changes nothing."""
    pool, leader = settled(3, timeout_seconds=1)
    pool[2].stop()
    accepted, text = pool.command(leader, Command.HAD_SWITCHOVER, To="127.0.0.1:1")
    assert not accepted and "no member" in text
    accepted, text = pool.command(pool[1], Command.HAD_SWITCHOVER, To=pool[1].entry)
    assert not accepted and "does not lead" in text
    pool.wait(lambda: leader.peer_state(pool[2]) != "alive", 5, "the silence of the stopped node", 0.05)
    accepted, text = pool.command(leader, Command.HAD_SWITCHOVER, To=pool[2].entry)
    assert not accepted and "cannot take over" in text
    assert pool.wait_settled() is leader
    assert len(pool.lives()) == 1


def test_pause_and_resume(settled):
    """While the pool is paused nobody takes over from a dead leader; after `resume` the next one does."""
    pool, leader = settled(3, timeout_seconds=1)
    accepted, text = pool.command(leader, Command.HAD_PAUSE, Reason="test")
    assert accepted, text
    pool.wait(lambda: all(n.status()["paused"] for n in pool.nodes), 3, "the pause at every member", 0.05)
    at = leader.kill_host()
    with pytest.raises(AssertionError, match="not within"):
        pool.wait_new_life(at, 4)
    accepted, text = pool.command(pool[2], Command.HAD_RESUME)
    assert accepted, text
    assert pool.wait_new_life(at, 5).node == 1
    pool.wait_settled(pool[1])


def test_leader_restarted_under_pause(settled):
    """A leader whose daemon comes back under pause takes its role up again; the controllee is restarted by then."""
    pool, leader = settled(3, timeout_seconds=1)
    pool.command(leader, Command.HAD_PAUSE, Reason="upgrade")
    pool.wait(lambda: all(n.status()["paused"] for n in pool.nodes), 3, "the pause at every member", 0.05)
    leader.stop()
    leader.start()
    assert pool.wait_settled() is leader
    assert [life.node for life in pool.lives()] == [0, 0]
    assert pool.overlap_seconds() == NO_OVERLAP


def test_had_killed(settled):
    """P4: the leader's daemon is killed: its controllee is dead within 0.2 s, another runs within 1 s, though T is 10."""
    pool, leader = settled(3, timeout_seconds=10)
    controllee = leader.running()
    at = leader.kill()
    pool.wait_dead(controllee.pid, 2)
    after = pool.wait_new_life(at, 5)
    assert leader.lives()[-1].ended - at <= 0.2
    assert after.node == 1
    assert after.began - at <= 1.0
    assert pool.overlap_seconds() == NO_OVERLAP


def test_had_frozen(settled):
    """P4b: the leader's daemon is frozen: its controllee is dead before T is over, another starts by 1.5 T + 0.5 s."""
    pool, leader = settled(3, timeout_seconds=2)
    controllee = leader.running()
    at = leader.send(signal.SIGSTOP)
    after = pool.wait_new_life(at, 10)
    pool.wait_dead(controllee.pid, 0.1)
    assert leader.lives()[-1].ended - at <= 2
    assert after.node == 1
    assert after.began - at <= 1.5 * 2 + 0.5
    leader.send(signal.SIGCONT)
    pool.wait_settled(leader)
    assert pool.overlap_seconds() == NO_OVERLAP


def test_host_frozen(settled):
    """A whole host that was frozen finds another leader when it thaws, and its old controllee dies without a beat more."""
    pool, leader = settled(3, timeout_seconds=1)
    frozen = leader.host_pids()
    at = leader.send_host(signal.SIGSTOP)
    after = pool.wait_new_life(at, 5)
    assert after.node == 1
    assert after.began - at <= 1.5 * 1 + 0.5
    before = leader.lives()[-1]
    # The controllee thaws last: a real host's processes wake in any order, the worst of which HAD_EPOCH_FILE is for.
    for pid in frozen:
        if pid != before.pid:
            os.kill(pid, signal.SIGCONT)
    pool.wait_dead(before.pid, 2)
    assert leader.lives()[0].ended <= at + 0.01
    pool.wait_settled(leader)


def test_controllee_killed(settled):
    """P5: a killed controllee is back on the same node within 0.3 s, under the same epoch."""
    pool, leader = settled(3, timeout_seconds=2)
    before = leader.running()
    os.kill(before.pid, signal.SIGKILL)
    after = pool.wait_new_life(before.began, 3)
    assert after.node == leader.index
    assert gap_seconds(leader.lives()[0], after) <= 0.3
    assert after.epoch == before.epoch
    pool.wait_settled(leader)
    assert leader.status()["controllee"]["restarts"] == 1


def test_dying_controllee(settled):
    """P5: a controllee that keeps dying goes to the next member and stays there while the broken one abstains."""
    knobs = {"MASTER_HAD_BACKOFF_CONSTANT": 4, "MASTER_HAD_RECOVER_FACTOR": 60}
    pool, leader = settled(3, timeout_seconds=1, knobs=knobs)
    leader.broken_file.touch()
    os.kill(leader.running().pid, signal.SIGKILL)
    after = pool.wait_new_life(0, 5, where=pool[1])
    assert leader.status()["abstains_seconds"] is not None
    assert leader.logged("abstaining")
    # It tries again after its hold-down, fails again, and gives back: the pool's controllee is gone only meanwhile.
    leader.broken_file.unlink()
    pool.wait_settled(leader, 15)
    assert leader.running().began - after.began >= 2
    assert pool.overlap_seconds() == NO_OVERLAP


def test_primary_returns(settled):
    """P6: the returning primary gets the controllee back with at most 0.5 s without one, and never two."""
    pool, primary = settled(3, timeout_seconds=2)
    at = primary.kill_host()
    second = pool.wait_new_life(at, 8).node
    pool.wait_settled(pool[second])
    primary.start()
    after = pool.wait_new_life(at, 10, where=primary)
    before = pool[second].lives()[-1]
    assert before.has_stopped
    assert 0 <= gap_seconds(before, after) <= 0.5
    pool.wait_settled(primary)
    assert pool.overlap_seconds() == NO_OVERLAP


def test_no_primary(settled):
    """Without HAD_USE_PRIMARY a member that returns lets the leader be."""
    pool, leader = settled(3, timeout_seconds=1, has_primary=False)
    at = leader.kill_host()
    second = pool.wait_new_life(at, 8).node
    leader.start()
    assert pool.wait_settled() is pool[second]
    assert len(pool.lives()) == 2
