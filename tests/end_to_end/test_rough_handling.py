"""Daemons treated roughly: signals at the wrong moment, standard files taken away, configurations full of nonsense."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from daemoncore.cedar.commands import Command
from tests.end_to_end.node import ROOT

COMMAND = """#!/bin/sh
echo >> {0}/begun
while [ -e {0}/hangs ]; do sleep 0.02; done
echo A_KNOB_OF_OTHERS = 1
"""


@pytest.fixture
def slow(make_pool, tmp_path):
    """A pool of one whose configuration includes a command, which hangs as long as a file `hangs` is there."""
    pool = make_pool(1, timeout_seconds=1)
    script = tmp_path / "included"
    script.write_text(COMMAND.format(tmp_path))
    script.chmod(0o755)
    with pool[0].configuration.open("a") as file:
        file.write(f"include command : {script}\n")
    return pool, tmp_path / "begun", tmp_path / "hangs"


def test_reload_at_the_start(slow):
    """SIGHUP while the first configuration is being read ends nothing: it is read again as soon as there is a daemon."""
    pool, begun, hangs = slow
    hangs.touch()
    pool.start()
    pool.wait(begun.exists, 20, "the configuration to be read")
    pool[0].send(signal.SIGHUP)
    hangs.unlink()
    pool.wait_settled(pool[0])
    pool.wait(lambda: pool[0].logged("configuration_unchanged"), 5, "the second reading")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_stop_at_the_start(slow, number):
    """A daemon that is asked to stop while it reads its configuration stops, with the exit status of one that was asked."""
    pool, begun, hangs = slow
    hangs.touch()
    pool.start()
    pool.wait(begun.exists, 20, "the configuration to be read")
    assert pool[0].stop(number) == 0
    hangs.unlink()


def test_stop_during_a_reload_that_hangs(slow):
    """A command that hangs in a reload holds up neither the election nor the daemon's end."""
    pool, begun, hangs = slow
    pool.start()
    pool.wait_settled(pool[0])
    hangs.touch()
    before = begun.stat().st_size
    pool[0].send(signal.SIGHUP)
    pool.wait(lambda: begun.stat().st_size > before, 5, "the configuration to be read again")
    began = time.monotonic()
    assert pool[0].stop() == 0
    assert time.monotonic() - began < 3
    hangs.unlink()


@pytest.mark.parametrize("line", ["HAD_LOG = a\0b", "KEEPER_ARGS = \0", "ALLOW_DAEMON = a..b, " + "x" * 300])
def test_nonsense_does_not_end_a_leader(settled, line):
    """Whatever a new configuration says, the leader goes on; what could be no file's name is refused with its line."""
    pool, leader = settled(1, timeout_seconds=1)
    pid = leader.running().pid
    good = leader.configuration.read_text()
    leader.configuration.write_text(f"{good}{line}\n")
    before = len(leader.logged("configuration_"))
    leader.send(signal.SIGHUP)
    pool.wait(lambda: len(leader.logged("configuration_")) > before, 5, "an answer to SIGHUP")
    if "\0" in line:
        number = len(good.splitlines()) + 1
        assert leader.logged("configuration_refused", "had.conf", f"{number}", "NUL byte")
    leader.configuration.write_text(good)
    leader.send(signal.SIGHUP)
    pool.wait(lambda: leader.logged("configuration_unchanged"), 5, "the good configuration to be taken")
    assert leader.running().pid == pid


def test_a_flood_of_reloads(settled):
    """Thirty SIGHUPs in a row are a few readings, and the controllee keeps its process."""
    pool, leader = settled(2, timeout_seconds=1)
    pid = leader.running().pid
    for _ in range(30):
        leader.send(signal.SIGHUP)
        time.sleep(0.01)
    pool.wait(lambda: leader.logged("configuration_unchanged"), 5, "the last reading")
    assert pool.wait_settled(leader).running().pid == pid


def test_without_standard_files(make_pool):
    """A daemon started without its standard files opens /dev/null in their place, and no socket gets their numbers."""
    pool = make_pool(1, timeout_seconds=1)
    node = pool[0]
    argv = [sys.executable, "-m", "had", "-c", str(node.configuration)]
    command = f"exec {shlex.join(argv)} <&- >&- 2>&-"
    node.log_file.parent.mkdir()
    node.process = subprocess.Popen(["/bin/sh", "-c", command], cwd=ROOT, env=pool.environment)
    pool.wait_settled(node)
    assert [str(Path(f"/proc/{node.pid}/fd/{number}").readlink()) for number in range(3)] == [os.devnull] * 3
    assert node.stop() == 0


def test_two_signals_to_stop(settled):
    """A second SIGTERM changes nothing, and SIGQUIT afterwards only makes it faster."""
    pool, leader = settled(2, timeout_seconds=1)
    leader.send(signal.SIGTERM)
    leader.send(signal.SIGTERM)
    assert leader.stop(signal.SIGQUIT) == 0
    other = next(node for node in pool.nodes if node is not leader)
    pool.wait_settled(other)
    assert pool.overlap_seconds() == 0


def test_a_member_that_speaks_for_another(settled):
    """Who may speak as a member may not speak for another: not under our marker, nor as if a real condor_had ran there."""
    pool, leader = settled(3, timeout_seconds=1)
    victim, liar = (node for node in pool.nodes if node is not leader)
    pid = leader.running().pid
    lie = {
        "HadSelfID": 2 - leader.index,
        "HadControlleeName": "keeper",
        "HadList": ",".join(f"<{node.entry}>" for node in pool.nodes),
    }
    marked = {"HadProtocol": 1, "HadSender": leader.entry, "HadState": "leader", "HadEpoch": 12800}
    for attributes in (lie, lie | marked):
        pool.tell(victim, Command.HAD_ALIVE_CMD, source=liar.host, **attributes)
    pool.wait(lambda: len(victim.logged("message_rejected", leader.entry)) == 2, 5, "both to be rejected")
    assert victim.metric("had_peer_messages_rejected_total", reason="wrong_address") == 2
    seen = next(peer for peer in victim.status()["peers"] if peer["address"] == leader.entry)
    assert seen["implementation"] == "ours"
    assert victim.status()["epoch"] < 12800
    assert pool.wait_settled(leader).running().pid == pid
