"""Everyday operation with real daemons: new configurations (P10), hooks, commands, witnesses, exit statuses."""

import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.lives import is_alive
from tests.end_to_end.node import WITNESS_CONTROLLEE


def reconfigure(pool, nodes, **knobs):
    """Give these nodes other settings, and wait until each has read them."""
    for node in nodes:
        before = len(_answers(node))
        node.configure(**knobs)
        node.send(signal.SIGHUP)
        pool.wait(lambda n=node, b=before: len(_answers(n)) > b, 5, f"{node} to read its configuration again")


def _answers(node):
    lines = node.log().splitlines()
    return [line for line in lines if "configuration_" in line and "configuration_warning" not in line]


def test_soft_change(settled):
    """P10: another T and another member are taken up on SIGHUP, and the controllee keeps its process."""
    pool, leader = settled(2, timeout_seconds=1, witnesses=1, knobs={"HAD_WITNESS_LIST": None})
    third = pool[2]
    before = leader.running()
    third.configure(HAD_LIST=", ".join(node.entry for node in pool.nodes))
    reconfigure(pool, pool.nodes[:2], HAD_LIST=third.knobs["HAD_LIST"], HAD_CONNECTION_TIMEOUT=2)
    assert leader.logged("configuration_changed", "change=soft")
    third.configure(HAD_CONNECTION_TIMEOUT=2)
    third.start()
    pool.wait_settled(leader)
    assert leader.running().pid == before.pid
    assert leader.metric("had_config_connection_timeout_seconds") == 2
    assert [peer["address"] for peer in third.status()["peers"]] == [pool[0].entry, pool[1].entry]
    assert len(pool.lives()) == 1


def test_bad_configuration_is_refused(settled):
    """A new configuration with problems changes nothing: the old one stays in force, and log and metric say so."""
    pool, leader = settled(2, timeout_seconds=1)
    before = leader.running()
    labels = {"daemon": "had"}
    assert leader.metric("had_config_last_reload_successful", **labels) == 1
    reconfigure(pool, [leader], HAD_CONNECTION_TIMEOUT=-3)
    (line,) = leader.logged("configuration_refused")
    assert "HAD_CONNECTION_TIMEOUT" in line and "-3" in line and "had.conf" in line
    assert leader.metric("had_config_last_reload_successful", **labels) == 0
    reconfigure(pool, [leader], HAD_CONNECTION_TIMEOUT=None, HAD_LIST="no such entry")
    reconfigure(pool, [leader], HAD_LIST=f"{pool[0].entry}, {pool[1].entry}", HAD_CONNECTION_TIMEOUT=1)
    assert leader.logged("configuration_unchanged")
    assert leader.metric("had_config_last_reload_successful", **labels) == 1
    assert pool.wait_settled() is leader
    assert leader.running().pid == before.pid


def test_list_without_us_is_refused(settled):
    """A running member whose new HAD_LIST lacks its own entry refuses that configuration and goes on."""
    pool, leader = settled(3, timeout_seconds=1)
    reconfigure(pool, [leader], HAD_LIST=f"{pool[1].entry}, {pool[2].entry}")
    assert leader.logged("configuration_refused", "HAD_SELF")
    assert pool.wait_settled() is leader
    assert len(pool.lives()) == 1


def test_hard_change(settled):
    """Another HAD_USE_PRIMARY is a hard change: the controllee is restarted, once, with no overlap."""
    pool, leader = settled(2, timeout_seconds=1)
    before = leader.running()
    reconfigure(pool, pool.nodes, HAD_USE_PRIMARY=False)
    assert leader.logged("configuration_changed", "change=hard")
    after = pool.wait_new_life(before.began, 3)
    assert after.node == leader.index
    pool.wait_settled(leader)
    assert len(pool.lives()) == 2
    assert pool.overlap_seconds() == 0


def test_program_changes_with_the_next_start(settled):
    """Another program behind the controllee's name is taken up when the controllee is started next, not before."""
    pool, leader = settled(1, timeout_seconds=1)
    before = leader.running()
    arguments = f"-I -S {WITNESS_CONTROLLEE} {leader.lives_file} another"
    reconfigure(pool, [leader], KEEPER_ARGS=arguments)
    assert leader.running().pid == before.pid
    subprocess.run(["kill", "-9", str(before.pid)], check=True)
    after = pool.wait_new_life(before.began, 5)
    assert "another" in Path(f"/proc/{after.pid}/cmdline").read_text().split("\0")


def test_members_of_different_minds(settled):
    """Members with different HAD_LISTs elect one leader, and the metric says with whom the settings differ."""
    pool, leader = settled(3, timeout_seconds=1)
    reconfigure(pool, [pool[2]], HAD_LIST=", ".join(pool[index].entry for index in (1, 0, 2)))
    mismatch = lambda: leader.metric("had_peer_config_mismatch", peer=pool[2].entry) == 1  # noqa: E731
    pool.wait(mismatch, 5, "the mismatch to be counted", 0.05)
    assert leader.metric("had_peer_config_mismatch", peer=pool[1].entry) == 0
    assert pool.wait_settled() is leader
    at = leader.kill_host()
    pool.wait_new_life(at, 5)
    leader = pool.wait_settled()
    assert len(pool.lives()) == 2


def test_on_change(make_pool, tmp_path):
    """HAD_ON_CHANGE is run for every transition, in order, with where from, where to, why and the epoch."""
    told = tmp_path / "told"
    hook = tmp_path / "hook"
    hook.write_text(f'#!/bin/sh\necho "$HAD_NODE $HAD_FROM $HAD_TO $HAD_REASON $HAD_EPOCH" >> {told}\n')
    hook.chmod(0o755)
    pool = make_pool(1, timeout_seconds=1, knobs={"HAD_ON_CHANGE": hook})
    pool.start()
    pool.wait_settled()
    pool.wait(lambda: told.exists() and len(told.read_text().splitlines()) == 3, 5, "three transitions told")
    lines = [line.split() for line in told.read_text().splitlines()]
    assert [line[1:4] for line in lines] == [
        ["pre", "passive", "start_wait_over"],
        ["passive", "election", "no_leader"],
        ["election", "leader", "won_by_waiting"],
    ]
    assert {line[0] for line in lines} == {pool[0].entry}
    assert int(lines[2][4]) == pool[0].running().epoch


def test_control_by_commands(make_pool, tmp_path):
    """With HAD_CONTROL = command three commands govern the controllee, also when the daemon is killed."""
    pool = make_pool(2, timeout_seconds=1)
    for node in pool.nodes:
        pid_file = node.folder / "pid"
        program = shlex.join([sys.executable, "-I", "-S", str(WITNESS_CONTROLLEE), str(node.lives_file)])
        scripts = {
            "start": f"setsid {program} </dev/null >/dev/null 2>&1 & echo $! > {pid_file}",
            "stop": f'[ -f {pid_file} ] || exit 0; kill "$(cat {pid_file})" 2>/dev/null; rm {pid_file}',
            "check": f'kill -0 "$(cat {pid_file})"',
        }
        for name, text in scripts.items():
            script = node.folder / name
            script.write_text(f"#!/bin/sh\n{text}\n")
            script.chmod(0o755)
        commands = {f"HAD_{name.upper()}_COMMAND": node.folder / name for name in scripts}
        node.configure(HAD_CONTROL="command", **commands)
    pool.start()
    leader = pool.wait_settled()
    assert leader is pool[0]
    leader.kill()
    pool.wait_settled(pool[1])
    leader.start()
    pool.wait_settled(pool[0])
    assert pool.overlap_seconds() == 0
    assert all(life.has_stopped for life in pool.lives()[:-1])
    # A controllee that vanishes is missed by the check command.
    before = leader.running()
    subprocess.run(["kill", "-9", str(before.pid)], check=True)
    pool.wait_new_life(before.began, 8)


def test_witness(make_pool):
    """A witness hears and reports, follows, and never leads, even when it is the last one left."""
    pool = make_pool(2, timeout_seconds=1, witnesses=1)
    pool.start()
    leader = pool.wait_settled()
    assert leader is pool[0]
    status = pool[2].status()
    assert status["state"] == "witness"
    assert status["leader"] == leader.entry
    assert status["controllee"] == dict.fromkeys(("name", "state", "pid", "restarts", "since"))
    at = leader.kill_host()
    assert pool.wait_new_life(at, 5).node == 1
    pool[1].kill_host()
    pool.wait(lambda: pool[2].status()["leader"] is None, 5, "the witness to be alone", 0.05)
    with pytest.raises(AssertionError, match="not within"):
        pool.wait(pool[2].lives, 2, "what must not happen")
    assert pool[2].stop() == 0


# --- exit status ----------------------------------------------------------------------------------------------


def run(node, *arguments):
    """Run a daemon that is expected to end; return its exit status and what it said."""
    node.start(*arguments)
    status = node.process.wait(20)
    return status, node.errors() + node.log()


@pytest.mark.parametrize("arguments", [["--check"], ["--version"], ["--help"]])
def test_exit_status_of_questions(make_pool, arguments):
    """What --check, --version and --help say leaves status 0."""
    pool = make_pool(1)
    status, text = run(pool[0], *arguments)
    assert status == 0, text


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"HAD_CONNECTION_TIMEOUT": 0}, ["HAD_CONNECTION_TIMEOUT", "0.05", "had.conf:", "line 3"]),
        ({"HAD_LIST": "127.0.0.1:9, 127.0.0.1:9"}, ["HAD_LIST", "each member once", "127.0.0.1:9 twice"]),
        (
            {"HAD_LIST": "127.0.0.1:9", "HAD_SELF": "127.0.0.2:9"},
            ["HAD_SELF", "must be an entry", "127.0.0.2:9"],
        ),
        ({"HAD_LIST": "192.0.2.1:9", "HAD_SELF": None}, ["HAD_LIST", "192.0.2.1:9"]),
        ({"HAD_LIST": None}, ["HAD_LIST", "not set"]),
        ({"HAD_LIST": "127.0.0.1:port"}, ["HAD_LIST", "127.0.0.1:port"]),
        ({"KEEPER": None}, ["KEEPER"]),
        ({"HAD_UPDATE_INTERVAL": "5m"}, ["HAD_UPDATE_INTERVAL", "5m"]),
    ],
)
@pytest.mark.parametrize("arguments", [[], ["--check"]])
def test_exit_status_of_refused_configurations(make_pool, knobs, words, arguments):
    """A configuration that cannot be is status 2, with or without --check, and a sentence with the knob and the value."""
    pool = make_pool(1)
    pool[0].configure(**knobs)
    status, text = run(pool[0], *arguments)
    assert status == 2, text
    assert all(word in text for word in words), text
    assert "Traceback" not in text


def test_exit_status_of_bad_arguments(make_pool):
    """A command line that cannot be is status 2, as is a configuration file that does not exist."""
    pool = make_pool(1)
    assert run(pool[0], "--no-such-option")[0] == 2
    pool[0].configuration.unlink()
    status, text = run(pool[0])
    assert status == 2
    assert str(pool[0].configuration) in text and "Traceback" not in text


def test_exit_status_of_a_second_daemon(make_pool, tmp_path):
    """A port or a folder that another daemon has is status 1, with a sentence that names it."""
    pool = make_pool(1, timeout_seconds=1)
    pool.start()
    pool.wait_settled()
    first, lives = pool[0].process, len(pool.lives())
    pool[0].start()
    assert pool[0].process.wait(20) == 1
    assert "HAD_DIR" in pool[0].errors() or str(pool[0].folder / "had") in pool[0].errors()
    pool[0].configure(HAD_DIR=tmp_path / "elsewhere")
    pool[0].start()
    assert pool[0].process.wait(20) == 1
    assert pool[0].entry in pool[0].errors() or str(pool.network.port) in pool[0].errors()
    assert "Traceback" not in pool[0].errors()
    pool[0].process = first
    assert pool.wait_settled() is pool[0]
    assert len(pool.lives()) == lives


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
def test_exit_status_of_a_stop(make_pool, number):
    """A daemon that is asked to stop ends with status 0 in any state, and leaves nothing running."""
    pool = make_pool(2, timeout_seconds=5)
    pool.start(0)
    pool.wait(pool[0].status, 5, "the daemon to be up", 0.03)
    assert pool[0].status()["state"] == "pre"
    pids = pool[0].host_pids()
    assert pool[0].stop(number) == 0
    pool.wait(lambda: not any(map(is_alive, pids)), 1, "everything to end")
    assert pool.lives() == []
