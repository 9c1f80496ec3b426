"""Diverged histories become one: usage that either side charged is charged once, by hadctl and by REPLICATION_MERGE."""

import json
import subprocess
import sys

import pytest

from daemoncore import boottime
from daemoncore.cedar.commands import Command
from tests.end_to_end.node import ROOT
from tests.end_to_end.replica import value_in

pytestmark = pytest.mark.root


def hadctl(pool, node, *words):
    """Run hadctl on a host; return its exit status and what it printed."""
    argv = [sys.executable, "-m", "had.ctl", words[0], *words[1:], "-c", str(node.configuration)]
    done = subprocess.run(
        pool.network.command(node.index, argv),
        cwd=ROOT,
        env=pool.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout.decode()


@pytest.fixture
def diverged(apart):
    """Make a pool of two whose partition has healed: both counted, the second one's count is kept as a conflict.

    Returns it with its leader, what both had in common, and the last value of the second.
    """

    def make(**knobs):
        pool = apart(2, timeout_seconds=1, has_replication=True, knobs=knobs)
        pool.start()
        leader = pool.wait_settled(pool[0], 30)
        pool.wait(lambda: pool[1].replica.value() > 50, 10, "a value on the second")
        pool.unplug(leader)
        second = pool.wait(pool[1].running, 10, "the second leader", 0.01)
        pool.wait(lambda: pool.run_of(second).last > pool.run_of(second).found + 50, 10, "its values")
        pool.plug(leader)
        pool.wait_settled(leader, 20)
        pool.wait(lambda: pool[1].replica.status()["conflicts"], 10, "the conflict", 0.1)
        lost = pool.run_of(second)
        return pool, leader, lost.found, lost.last

    return make


def test_hadctl_merges(diverged):
    """A dry run shows what would come of it and changes nothing; the merge restarts the controllee on both sides' usage."""
    pool, leader, common, lost = diverged()
    before = leader.running()
    status, text = hadctl(pool, leader, "conflicts", "merge", "--dry-run")
    assert status == 0, f"{text}\n{pool.story()}"
    assert "counter@test" in text
    assert leader.running().pid == before.pid
    status, text = hadctl(pool, leader, "conflicts", "merge", "--yes")
    assert status == 0, f"{text}\n{pool.story()}"
    after = pool.wait(lambda: leader.running() != before and leader.running(), 10, "the restarted controllee")
    mine = pool.run_of(before).last
    assert pool.run_of(after).found == mine + lost - common
    assert after.epoch == leader.status()["epoch"]
    (conflict,) = pool[1].replica.status()["conflicts"]
    assert conflict["merged_into"]
    pool.wait(lambda: pool[1].replica.value() > mine + lost - common, 10, "the merged state at the follower")
    status, text = hadctl(pool, leader, "conflicts", "merge", "--yes")
    assert pool.run_of(leader.running()).found == mine + lost - common, "it is merged once"


def test_replication_merge_at_the_next_stop(diverged):
    """REPLICATION_MERGE = accountant: at the next handover the successor begins with both sides' usage, unasked."""
    pool, leader, common, lost = diverged(REPLICATION_MERGE="accountant")
    pool.wait(
        lambda: leader.replica.status()["pending"], 20, "the conflict to be scheduled at the leader", 0.1
    )
    before, at = leader.running(), boottime.now()
    pool.wait(
        lambda: pool.command(leader, Command.HAD_SWITCHOVER, To=pool[1].entry)[0], 10, "a switchover", 0.1
    )
    after = pool.wait_new_life(at, 15, where=pool[1])
    run = pool.run_of(after)
    assert (run.found, run.state) == (pool.run_of(before).last + lost - common, "current")
    pool.wait(
        lambda: [one["merged_into"] for one in pool[1].replica.status()["conflicts"]] != [None],
        10,
        "the owner to know that its conflict was merged",
        0.1,
    )


def test_hadctl_restores(diverged):
    """A restored conflict is the state, and what stood there is kept in turn."""
    pool, leader, _, lost = diverged()
    before = leader.running()
    status, text = hadctl(pool, leader, "conflicts", "list", "--json")
    assert status in {0, 1}, text
    identifier = pool[1].replica.status()["conflicts"][0]["id"]
    assert identifier in text
    status, text = hadctl(pool, leader, "conflicts", "restore", identifier, "--yes")
    assert status == 0, f"{text}\n{pool.story()}"
    after = pool.wait(lambda: leader.running() != before and leader.running(), 10, "the restarted controllee")
    assert pool.run_of(after).found == lost
    kept = json.loads(leader.replica.http("/status")[1])["conflicts"]
    assert kept
    copy = next(leader.folder.glob("had/**/conflicts/*/0")).read_bytes()
    assert value_in(copy) == pool.run_of(before).last


def test_hadctl_exports(diverged, tmp_path):
    """An exported conflict is a folder of files, and settled by that."""
    pool, leader, _, lost = diverged()
    identifier = pool[1].replica.status()["conflicts"][0]["id"]
    status, text = hadctl(pool, leader, "conflicts", "export", identifier, str(tmp_path / "out"))
    assert status == 0, f"{text}\n{pool.story()}"
    assert value_in((tmp_path / "out" / "0").read_bytes()) == lost
    status, text = hadctl(pool, leader, "replication", "status")
    assert status == 0, f"{text}\n{pool.story()}"
