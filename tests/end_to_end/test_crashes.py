"""Crashes of single processes with real daemons: epochs survive, the guard keeps its word, nothing runs twice."""

import os
import random
import signal
import time

import pytest

from tests.end_to_end.lives import gap_seconds, is_alive

pytestmark = pytest.mark.timed


def test_epochs_grow_through_crashes(make_pool):
    """Ten crashes at random moments: every leadership has a larger epoch than all before it, and no number is used twice."""
    dice = random.Random(20)
    pool = make_pool(2, timeout_seconds=0.4)
    pool.start()
    for _ in range(10):
        time.sleep(dice.uniform(0, 1.2))  # a real crash comes at any instruction
        victim = dice.choice([node for node in pool.nodes if node.is_up])
        victim.kill()
        victim.start()
    pool.wait_settled()
    lives = pool.lives()
    epochs = [life.epoch for life in lives]
    assert len(epochs) >= 5
    assert epochs == sorted(epochs)
    owners = {(life.epoch, life.node) for life in lives}
    assert len(owners) == len(set(epochs)), "two nodes led under one number"
    assert pool.overlap_seconds() == 0


def test_epochs_survive_everybody(settled):
    """After all hosts were killed at once the next leadership's epoch is still larger."""
    pool, leader = settled(3, timeout_seconds=1)
    before = leader.running().epoch
    for node in pool.nodes:
        node.kill_host()
    pool.start()
    pool.wait_settled()
    assert pool.lives()[-1].epoch > before


def test_torn_record(settled):
    """A crash in the middle of a write tears one slot of the record; the other one still tells of all that was used."""
    pool, leader = settled(1, timeout_seconds=0.5)
    for first in (True, False):
        before = leader.running().epoch
        leader.kill_host()
        (record,) = leader.folder.glob("had/**/record")
        data = bytearray(record.read_bytes())
        start = 0 if first else len(data) // 2
        data[start + 60 : start + 76] = b"\xff" * 16
        record.write_bytes(data)
        leader.start()
        pool.wait_settled()
        # The torn slot may have held the newer write; the number before it is what survives then.
        assert leader.running().epoch >= before
        assert not leader.logged("record_damaged")


def test_wrecked_record(settled):
    """A record of which nothing is valid is said aloud, and the others' epochs are taken from then on."""
    pool, leader = settled(2, timeout_seconds=1)
    leader.kill_host()
    second = pool.wait_settled()
    (record,) = leader.folder.glob("had/**/record")
    record.write_bytes(b"\xff" * len(record.read_bytes()))
    leader.start()
    pool.wait_settled(leader)
    (line,) = leader.logged("record_damaged")
    assert str(record) in line
    assert leader.running().epoch > second.lives()[-1].epoch


def test_restart_at_once(settled):
    """A daemon restarted right after its crash waits for the guard of the one before, which still has the folder."""
    pool, leader = settled(2, timeout_seconds=2)
    before = leader.running()
    leader.kill()
    leader.start()
    pool.wait_settled(leader)
    assert not is_alive(before.pid)
    assert "Traceback" not in leader.errors()
    assert pool.overlap_seconds() == 0
    assert len({life.epoch for life in pool.lives()}) == len(pool.lives())


def test_guard_killed(settled):
    """When the guard is killed its controllee dies with it, and both are back on the same node."""
    pool, leader = settled(2, timeout_seconds=2)
    before, guard = leader.running(), leader.guard_pid()
    os.kill(guard, signal.SIGKILL)
    after = pool.wait_new_life(before.began, 5)
    assert after.node == leader.index
    assert 0 <= gap_seconds(leader.lives()[0], after) <= 0.5
    pool.wait_settled(leader)
    assert leader.guard_pid() not in {None, guard}
    assert pool.overlap_seconds() == 0


def test_guard_frozen(settled):
    """A frozen guard is replaced within T or so; its controllee is killed first, so there are never two."""
    pool, leader = settled(2, timeout_seconds=2)
    before, guard = leader.running(), leader.guard_pid()
    os.kill(guard, signal.SIGSTOP)
    at = before.ended
    after = pool.wait_new_life(before.began, 6)
    assert after.node == leader.index
    assert after.began - at <= 3
    pool.wait_dead(before.pid, 0.1)
    pool.wait_dead(guard, 1)
    pool.wait_settled(leader)
    assert pool.overlap_seconds() == 0


def test_had_and_guard_killed(settled):
    """When daemon and guard are killed together the controllee dies with its parent, and another node leads."""
    pool, leader = settled(2, timeout_seconds=2)
    before, guard = leader.running(), leader.guard_pid()
    os.kill(guard, signal.SIGKILL)
    os.kill(leader.pid, signal.SIGKILL)
    leader.process.wait(10)
    pool.wait_dead(before.pid, 0.5)
    assert pool.wait_new_life(before.began, 6).node == 1
    assert pool.overlap_seconds() == 0


def test_follower_killed(settled):
    """A follower that crashes and comes back bothers nobody: the controllee keeps its process."""
    pool, leader = settled(3, timeout_seconds=1)
    for node in pool.nodes[1:]:
        node.kill()
        pool.wait_settled(leader)
        node.start()
        pool.wait_settled(leader)
    assert len(pool.lives()) == 1


def test_everybody_killed_but_the_last(settled):
    """P1 and P4: leaders fall one after another, and each time the next member in the list takes over."""
    pool, _ = settled(4, timeout_seconds=1)
    for index in range(3):
        at = pool[index].kill_host()
        assert pool.wait_new_life(at, 1.5 * 1 + 0.5 + 1).node == index + 1
        pool.wait_settled(pool[index + 1])
    epochs = [life.epoch for life in pool.lives()]
    assert epochs == sorted(set(epochs))
    assert pool.overlap_seconds() == 0
