"""hadctl against a pool of real daemons, run as an operator runs it: words in, words and an exit status out."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.end_to_end.node import ROOT


@pytest.fixture
def hadctl(settled):
    """A pool of three in which the first leads, and a function that runs hadctl there."""
    pool, leader = settled(3, timeout_seconds=1)
    assert leader is pool[0]

    def run(*words, node=1, **options):
        # No HAD_SELF, no local name: the tool runs on a machine that need not be a member.
        argv = [sys.executable, "-m", "had.ctl", *words, "-c", str(pool[node].configuration)]
        return subprocess.run(
            argv,
            cwd=ROOT,
            env=pool.environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            **options,
        )

    run.pool = pool
    return run


def test_a_pool_in_order(hadctl):
    """Every reading verb finds the pool in order, and says who leads."""
    leader = hadctl.pool[0].entry
    seen = hadctl("status")
    assert (seen.returncode, seen.stderr.startswith(f"The pool is in order: {leader} leads")) == (0, True), (
        seen
    )
    assert len(seen.stdout.splitlines()) == 4
    assert hadctl("leader").stdout == f"{leader}\n"
    document = json.loads(hadctl("status", "--json").stdout)
    assert document["in_order"] is True
    assert document["members"][leader]["controllee"]["pid"] == hadctl.pool[0].running().pid
    history = hadctl("history")
    assert history.returncode == 0
    assert f"{leader}  election -> leader: " in history.stdout
    explained = hadctl("explain", hadctl.pool[2].host)
    assert "If the leader failed" in explained.stdout
    monitored = hadctl("check", "--monitoring")
    assert (monitored.returncode, monitored.stdout[:6]) == (0, "HAD OK"), monitored.stdout


def test_a_pool_that_is_not_in_order(hadctl):
    """With the leader's daemon gone the exit statuses say so, and so do the words."""
    pool = hadctl.pool
    pool[0].kill_host()
    new = pool.wait_settled(pool[1])
    seen = hadctl("status")
    assert seen.returncode == 1
    assert f"{pool[0].entry} could not be asked: nobody listens there" in seen.stderr
    assert f"{pool[0].entry}  refused" in seen.stdout
    assert hadctl("leader").stdout == f"{new.entry}\n"
    assert hadctl("check", "--monitoring").returncode == 1
    assert hadctl("history").returncode == 1
    pool[1].kill_host()
    pool[2].kill_host()
    assert hadctl("leader").returncode == 1
    monitored = hadctl("check", "--monitoring")
    assert (monitored.returncode, monitored.stdout.split(" - ")[0]) == (2, "HAD CRITICAL")


def test_switchover_and_resume(hadctl):
    """Leadership goes where it is told, the primary is held until resume, and no two controllees ever run."""
    pool = hadctl.pool
    planned = hadctl("switchover", "--to", pool[2].host, "--dry-run")
    assert (planned.returncode, "Nothing was done" in planned.stderr) == (0, True)
    refused = hadctl("switchover", "--to", pool[2].host, stdin=subprocess.DEVNULL)
    assert (refused.returncode, "--yes" in refused.stderr) == (2, True)
    assert pool.wait_settled() is pool[0]
    moved = hadctl("switchover", "--to", pool[2].host, "--reason", "new kernel", "--yes")
    assert moved.returncode == 0, moved.stderr
    assert f"{pool[2].entry} leads and its keeper runs" in moved.stderr
    assert pool[2].running()
    held = hadctl("status")
    assert (held.returncode, "new kernel" in held.stderr) == (1, True)
    resumed = hadctl("resume", "--yes")
    assert resumed.returncode == 0, resumed.stderr
    assert pool.wait_settled() is pool[0]
    assert pool.overlap_seconds() == 0


def test_switchover_to_the_leader_or_to_a_stranger(hadctl):
    """The leader has it already, which is good; a name of nobody is wrong usage."""
    pool = hadctl.pool
    assert hadctl("switchover", "--to", pool[0].entry, "--yes").returncode == 0
    wrong = hadctl("switchover", "--to", "10.9.8.7", "--yes")
    assert (wrong.returncode, "is no member" in wrong.stderr) == (2, True)


def test_switchover_to_a_dead_member_is_refused(hadctl):
    """The leader refuses to hand over to a member that it does not hear, and goes on."""
    pool = hadctl.pool
    pool[2].kill_host()
    pool.wait(lambda: pool[0].status()["peers"][1]["state"] != "alive", 5, "the leader to miss the member")
    refused = hadctl("switchover", "--to", pool[2].entry, "--yes")
    assert (refused.returncode, "cannot take over" in refused.stderr) == (1, True), refused.stderr
    assert pool[0].running()


def test_pause_and_resume(hadctl):
    """A pause reaches every member, keeps anybody from being elected, and ends with resume."""
    pool = hadctl.pool
    paused = hadctl("pause", "--reason", "upgrade", "--for", "1h", "--yes")
    assert (paused.returncode, "on 3 of 3 members" in paused.stderr) == (0, True), paused.stderr
    assert all(node.status()["paused"]["reason"] == "upgrade" for node in pool.nodes)
    shown = hadctl("status")
    assert (shown.returncode, "automatic failover is paused" in shown.stderr) == (1, True)
    pool[0].kill_host()
    time.sleep(2.5)
    assert not any(node.running() for node in pool.nodes)
    pool[0].start()
    pool.wait_settled(pool[0])
    resumed = hadctl("resume", "--yes")
    assert resumed.returncode == 0, resumed.stderr
    assert all(node.status()["paused"] is None for node in pool.nodes)


def test_events_tell_a_takeover_until_interrupted(hadctl):
    """The stream tells of the takeover as it happens, and Ctrl-C is its normal end."""
    pool = hadctl.pool
    argv = [
        sys.executable,
        "-m",
        "had.ctl",
        "events",
        "--json",
        "--interval",
        "0.1",
        "-c",
        str(pool[1].configuration),
    ]
    with subprocess.Popen(
        argv, cwd=ROOT, env=pool.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as stream:
        assert "waiting for events" in stream.stderr.readline()
        pool[0].kill_host()
        pool.wait_settled(pool[1])
        seen = []
        while not any(one["kind"] == "controllee" and one.get("state") == "running" for one in seen):
            seen.append(json.loads(stream.stdout.readline()))
        os.kill(stream.pid, signal.SIGINT)
        assert stream.wait(10) == 0
        assert stream.stderr.read() == ""
    said = [(one["node"], one["kind"], one["text"]) for one in seen]
    assert any(node == pool[0].entry and text.startswith("does not answer") for node, _, text in said)
    assert any(node == pool[1].entry and "-> leader" in text for node, _, text in said)


def test_watching_ends_quietly(hadctl):
    """--watch prints one object a line with --json, and ends with 0 on Ctrl-C."""
    pool = hadctl.pool
    argv = [
        sys.executable,
        "-m",
        "had.ctl",
        "status",
        "--watch",
        "0.2",
        "--json",
        "-c",
        str(pool[1].configuration),
    ]
    with subprocess.Popen(
        argv, cwd=ROOT, env=pool.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as watch:
        for _ in range(3):
            assert json.loads(watch.stdout.readline())["in_order"] is True
        os.kill(watch.pid, signal.SIGINT)
        watch.stdout.read()
        assert (watch.wait(10), watch.stderr.read()) == (0, "")


def test_a_reader_that_has_seen_enough(hadctl):
    """A closed pipe ends the stream without a word of complaint."""
    pool = hadctl.pool
    argv = [
        sys.executable,
        "-m",
        "had.ctl",
        "status",
        "--watch",
        "0.05",
        "--json",
        "-c",
        str(pool[1].configuration),
    ]
    with subprocess.Popen(
        argv, cwd=ROOT, env=pool.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as watch:
        watch.stdout.readline()
        watch.stdout.close()
        assert (watch.wait(10), watch.stderr.read()) == (0, "")


def test_no_configuration(hadctl, tmp_path):
    """A configuration that is not there, or names no members, is exit status 2, or 3 for monitoring."""
    empty = tmp_path / "empty.conf"
    empty.write_text("HAD_CONTROLLEE = keeper\n")
    for words, status in (
        (["status"], 2),
        (["leader"], 2),
        (["pause", "--yes"], 2),
        (["check", "--monitoring"], 3),
    ):
        argv = [sys.executable, "-m", "had.ctl", *words, "-c", str(empty)]
        run = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
        assert (run.returncode, "HAD_LIST must name the members" in run.stdout + run.stderr) == (
            status,
            True,
        ), words
