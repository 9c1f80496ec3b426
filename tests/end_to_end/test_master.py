"""HAD_CONTROL = master: pools whose daemons and controllees are children of a double of condor_master."""

import os
import signal
import time
from pathlib import Path

import pytest

from daemoncore import boottime
from tests.end_to_end.lives import gap_seconds, is_alive
from tests.end_to_end.mastered import AttachedNode, MasteredNode


@pytest.fixture
def mastered(make_pool):
    """Make a pool of managers with a master each, that runs, and return it with its leader."""

    def make(count=2, backoff_seconds=1, **options):
        pool = make_pool(count, member=MasteredNode, **options)
        for node in pool.nodes:
            node.backoff_seconds = backoff_seconds
        pool.start()
        leader = pool.wait_settled(pool[0])
        pool.forget_lives_before(leader.running())
        return pool, leader

    return make


def is_stopped(pid):
    """Whether a process is stopped by a signal."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_an_election(mastered):
    """Two managers elect one, whose condor_master starts the controllee; the other's has been told to start none."""
    pool, leader = mastered(timeout_seconds=2)
    assert leader.did("CHILD_ON", "KEEPER", "condor@family")
    assert pool[1].did("CHILD_OFF_FAST", "KEEPER", "condor@family")
    assert not pool[1].did("started", "KEEPER")
    assert leader.status()["controllee"]["pid"] == leader.running().pid
    assert pool[0].did("DC_SET_READY")


def test_a_handover_does_not_overlap(mastered):
    """P3: the primary's condor_master stops had; the next controllee begins when the old one is gone, and soon."""
    pool, leader = mastered(timeout_seconds=2)
    first = leader.running()
    os.kill(leader.master_pid, signal.SIGTERM)
    life = pool.wait_new_life(first.began, 10, pool[1])
    assert pool.lives()[0].has_stopped
    assert gap_seconds(pool.lives()[0], life) >= 0
    assert pool.overlap_seconds() == 0
    leader.process.wait(20)
    leader.start()
    pool.wait_settled(pool[0])
    assert pool.overlap_seconds() == 0


@pytest.mark.timed
def test_had_killed(mastered):
    """Its controllee is dead at once, and the master, which would start it again after a second, does not."""
    pool, leader = mastered(timeout_seconds=2, backoff_seconds=30)
    before, master = leader.running(), leader.master_pid
    at = leader.kill()
    pool.wait_dead(before.pid, 1)
    life = pool.wait_new_life(at, 8, pool[1])
    # Longer than the second after which condor_master would have started its own.
    time.sleep(max(0.0, at + 3 - boottime.now()))
    assert [line[2] for line in leader.did("started", "KEEPER")] == [before.pid]
    assert life.is_running
    assert pool.overlap_seconds() == 0
    assert is_alive(master)


def test_had_comes_back(mastered):
    """condor_master starts had anew, and the pool is as it was: the primary leads, with one controllee."""
    pool, leader = mastered(timeout_seconds=1)
    leader.kill()
    pool.wait_settled(pool[0], seconds=20)
    assert pool.overlap_seconds() == 0


@pytest.mark.timed
def test_had_frozen(mastered):
    """P4b: its controllee is dead before T is over, and the next one begins elsewhere within 1.5 T + 0.5 s."""
    pool, leader = mastered(timeout_seconds=2)
    at = leader.send(signal.SIGSTOP)
    life = pool.wait_new_life(at, 10, pool[1])
    assert life.began - at <= 1.5 * 2 + 0.5
    assert pool.overlap_seconds() == 0
    leader.send(signal.SIGCONT)
    pool.wait_settled(pool[0], seconds=20)
    assert pool.overlap_seconds() == 0


@pytest.mark.timed
def test_the_controllee_is_killed(mastered):
    """P5: it is there again on the same host, long before the master's own ten seconds are over."""
    pool, leader = mastered(timeout_seconds=2)
    before = leader.running()
    os.kill(before.pid, signal.SIGKILL)
    life = pool.wait_new_life(before.began, 5)
    assert life.node == leader.index
    assert life.epoch == before.epoch
    pool.wait_settled(leader)
    assert pool.overlap_seconds() == 0


def test_a_controllee_that_does_not_stop(mastered):
    """One that takes no signal is killed after HAD_CONTROLLEE_STOP_TIMEOUT, and only then does the next one begin."""
    pool, leader = mastered(timeout_seconds=2, knobs={"HAD_CONTROLLEE_STOP_TIMEOUT": 1})
    before = leader.running()
    os.kill(before.pid, signal.SIGSTOP)
    # Of two signals that wait for it together the one with the smaller number would be first.
    pool.wait(lambda: is_stopped(before.pid), 5, "it is frozen")
    at = leader.send(signal.SIGTERM)
    life = pool.wait_new_life(at, 10, pool[1])
    assert not is_alive(before.pid)
    assert life.began - at >= 1
    assert leader.logged("controllee_exited", "killed after the time-out")


@pytest.mark.timed
def test_the_master_dies(mastered):
    """Then had stops, and takes the controllee with it, though nobody is there to do it."""
    pool, leader = mastered(timeout_seconds=2)
    before, daemon = leader.running(), leader.pid
    at = boottime.now()
    os.kill(leader.master_pid, signal.SIGKILL)
    leader.process.wait(10)
    pool.wait_dead(before.pid, 5)
    pool.wait_dead(daemon, 5)
    assert pool.wait_new_life(at, 10, pool[1]).is_running
    assert pool.overlap_seconds() == 0


@pytest.mark.timed
def test_the_hand_is_replaced(mastered):
    """Killed or frozen, there is another one in time for what it is for."""
    pool, leader = mastered(timeout_seconds=1)
    for number in (signal.SIGKILL, signal.SIGSTOP):
        old = leader.guard_pid()
        os.kill(old, number)
        pool.wait(lambda old=old: leader.ready_hand_pid() not in {None, old}, 20, "another hand")
    pool.wait_dead(old, 5)
    before = leader.running()
    at = leader.send(signal.SIGSTOP)
    pool.wait_dead(before.pid, 5)
    assert boottime.now() - at <= 1
    leader.send(signal.SIGCONT)


def test_a_soft_change(mastered):
    """P10: the controllee's process stays, though there is a hand that knows the new configuration."""
    pool, leader = mastered(timeout_seconds=1)
    before, hand = leader.running(), leader.guard_pid()
    leader.configure(HAD_CONTROLLEE_STOP_TIMEOUT=7)
    leader.send(signal.SIGHUP)
    pool.wait(lambda: leader.guard_pid() not in {None, hand}, 20, "another hand")
    assert leader.running().pid == before.pid
    assert leader.logged("configuration_changed", "soft")
    pool.wait_dead(hand, 5)


def test_what_nobody_asked_for_is_ended(mastered):
    """A controllee that condor_master starts by itself, where nobody leads, is ended in about a second."""
    pool, _ = mastered(timeout_seconds=2)
    follower = pool[1]
    at = boottime.now()
    os.kill(follower.master_pid, signal.SIGUSR1)
    stray = pool.wait_new_life(at, 5, follower)
    pool.wait_dead(stray.pid, 5)
    assert follower.logged("stray_controllee", str(stray.pid))
    pool.wait_settled(pool[0])


def test_a_controllee_left_over(mastered):
    """What runs when had is started by a living master is ended, as condor_had does; then the election decides."""
    pool, _ = mastered(timeout_seconds=2)
    follower = pool[1]
    # The hand is killed too, as with CGROUP_ALL_DAEMONS.
    os.kill(follower.guard_pid(), signal.SIGKILL)
    follower.kill()
    at = boottime.now()
    os.kill(follower.master_pid, signal.SIGUSR1)
    left_over = pool.wait_new_life(at, 5, follower)
    pool.wait(follower.had_pid, 10, "had is started again")
    pool.wait_dead(left_over.pid, 10)
    pool.wait_settled(pool[0])


@pytest.mark.timed
def test_had_killed_while_the_master_is_frozen(mastered):
    """The controllee is dead all the same; when the master goes on, it starts none until had is back and says so."""
    pool, leader = mastered(timeout_seconds=2)
    before, hand = leader.running(), leader.guard_pid()
    os.kill(leader.master_pid, signal.SIGSTOP)
    at = leader.kill()
    pool.wait_dead(before.pid, 2)
    life = pool.wait_new_life(at, 10, pool[1])
    # Beyond the hand's first attempt.
    time.sleep(max(0.0, at + 4 - boottime.now()))
    os.kill(leader.master_pid, signal.SIGCONT)
    pool.wait_dead(hand, 10)
    pool.wait_settled(pool[0], seconds=30)
    assert life.node == 1
    assert pool.overlap_seconds() == 0
    assert [line[2] for line in leader.did("started", "KEEPER")] == [before.pid, leader.running().pid]


def test_a_master_that_did_not_start_us(make_pool):
    """Found by its address file, it obeys whom its security lets in; the daemon's death is then nobody's business but ours."""
    pool = make_pool(2, timeout_seconds=2, member=AttachedNode)
    pool.start()
    leader = pool.wait_settled(pool[0])
    before = leader.running()
    pool.forget_lives_before(before)
    assert leader.did("CHILD_ON", "KEEPER")
    at = leader.kill()
    pool.wait_dead(before.pid, 2)
    assert pool.wait_new_life(at, 8, pool[1]).is_running
    leader.start()
    pool.wait_settled(pool[0])
    assert pool.overlap_seconds() == 0
