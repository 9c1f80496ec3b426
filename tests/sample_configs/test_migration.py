"""A real pool's configuration with our additions: what its daemons make of it, and the hook that moves a name."""

import os
import subprocess
from pathlib import Path

import pytest

from daemoncore.config import load
from daemoncore.membership import Network
from daemoncore.pool_security import security_of
from daemoncore.startup import Options
from had.control_settings import ControlKind
from had.settings import settings_from
from replication import loading
from replication.settings import settings_from as replication_settings_from

SAMPLES = Path(__file__).parents[2] / "sample-configs"
ADDRESSES = {"cm1.example.org": "192.0.2.1", "cm2.example.org": "192.0.2.2"}
POOLS = ("htcondor-fixed-port.conf", "htcondor-shared-port.conf", "htcondor-metaknobs.conf")
PROGRAMS = "/opt/condor-had/bin"

METAKNOBS_FIXED = """
LOCAL_DIR = /var
LOG = /var/log/condor
SPOOL = /var/lib/condor/spool
use SECURITY : recommended
use ROLE : CentralManager
use EXPERIMENTAL : HAD
use EXPERIMENTAL : HADFixedPort(NEGOTIATOR, cm1.example.org, 51450, 41450)
use EXPERIMENTAL : HADFixedPort(NEGOTIATOR, cm2.example.org, 51450, 41450)
"""
METAKNOBS_REPLICATION = """
LOCAL_DIR = /var
LOG = /var/log/condor
SPOOL = /var/lib/condor/spool
use SECURITY : recommended
use ROLE : CentralManager
use EXPERIMENTAL : HAD
HAD_ARGS = -p 51450
REPLICATION_ARGS = -p 41450
use EXPERIMENTAL : HADReplication(NEGOTIATOR, cm1.example.org, 51450, 41450)
use EXPERIMENTAL : HADReplication(NEGOTIATOR, cm2.example.org, 51450, 41450)
"""


@pytest.fixture
def spool(tmp_path):
    """An empty SPOOL and a program that copies, and the environment that names them: the samples' are not on this host."""
    folder, program = tmp_path / "spool", tmp_path / "had-transferer"
    folder.mkdir()
    program.touch(mode=0o755)
    return {"PWD": "/nowhere", "_CONDOR_SPOOL": str(folder), "_CONDOR_TRANSFERER": str(program)}


def network(host):
    """The network of the manager with this one address."""
    return Network(lambda asked: (ADDRESSES.get(asked, asked),), host.__eq__, lambda _interface: ())


def pool_file(folder, *names):
    """Write a file that reads samples one after the other, as a folder of configuration files does."""
    path = folder / "condor_config"
    path.write_text("".join(f"include : {SAMPLES / name}\n" for name in names), encoding="utf-8")
    return path


def elected(path, host, environment, port=None):
    """The settings of `had` on a host, and the whole configuration."""
    configuration = load(str(path), environment=environment)
    security_of(configuration, is_tool=False)
    return settings_from(configuration, network(host), port=port, environment=environment), configuration


def replicated(path, host, environment, port=None):
    """The settings of `had-replication` on a host."""
    configuration = load(str(path), subsystem="REPLICATION", environment=environment)
    security_of(configuration, is_tool=False, subsystem="REPLICATION")
    return replication_settings_from(configuration, network(host), port=port, environment={})


def the_two_are_members(path, environment, had, replica, **ports):
    """Assert that both daemons find themselves on each host, and agree on the pool."""
    for host in ADDRESSES.values():
        settings, _ = elected(path, host, environment, ports.get("had_port"))
        copied = replicated(path, host, environment, ports.get("replication_port"))
        assert [member.name for member in settings.members] == [
            f"{each}:{had}" for each in ADDRESSES.values()
        ]
        assert settings.me.name == f"{host}:{had}"
        assert copied.me.name == f"{host}:{replica}"
        assert settings.shared_hash == copied.shared_hash
        assert settings.state.use_replication
        assert settings.control.kind is ControlKind.MASTER
        assert settings.control.controllee.lower() == "negotiator"
        assert settings.backoff_constant_seconds == 360


@pytest.mark.parametrize("name", POOLS)
def test_three_lines_change_nothing_but_the_programs(name, tmp_path, spool):
    """The drop-in's lines leave a pool's settings alone: members, controllee and state are what they were."""
    before, _ = elected(SAMPLES / name, "192.0.2.2", spool)
    path = pool_file(tmp_path, name, "htcondor-drop-in.conf")
    after, configuration = elected(path, "192.0.2.2", spool)
    assert after == before
    assert configuration.text("HAD") == f"{PROGRAMS}/had"
    assert configuration.text("REPLICATION") == f"{PROGRAMS}/had-replication"
    without = {"PWD": "/nowhere"}
    assert load(str(path), environment=without).text("TRANSFERER") == f"{PROGRAMS}/had-transferer"
    port = after.me.numeric.port
    the_two_are_members(path, spool, port, 41450 if port == 51450 else port)


@pytest.mark.parametrize("name", POOLS)
def test_the_programs_are_named_by_nothing_else(name, tmp_path, spool):
    """The state and the names behind a shared port stay HTCondor's; the program that copies is the one that is named."""
    path = pool_file(tmp_path, name, "htcondor-drop-in.conf")
    settings = replicated(path, "192.0.2.1", spool)
    assert settings.transferer == (spool["_CONDOR_TRANSFERER"],)
    assert settings.paths == (settings.spool / "Accountantnew.log",)
    assert settings.me.numeric.sock == (None if name == "htcondor-fixed-port.conf" else "replication")
    assert elected(path, "192.0.2.1", spool)[0].me.numeric.sock == (
        None if name == "htcondor-fixed-port.conf" else "had"
    )


@pytest.mark.parametrize("name", POOLS)
def test_spawn_takes_the_negotiator_from_condor_master(name, tmp_path, spool):
    """Three more lines, and had runs the negotiator itself; HTCondor's list names it no more."""
    path = pool_file(tmp_path, name, "htcondor-drop-in.conf", "htcondor-spawn.conf")
    settings, configuration = elected(path, "192.0.2.1", spool)
    assert settings.control.kind is ControlKind.SPAWN
    assert settings.control.argv == ("/usr/sbin/condor_negotiator",)
    assert "NEGOTIATOR" not in configuration.get("DAEMON_LIST")
    assert not configuration.text("MASTER_NEGOTIATOR_CONTROLLER")


@pytest.mark.parametrize("text", [METAKNOBS_FIXED, METAKNOBS_REPLICATION], ids=["fixed", "replication"])
def test_metaknobs_with_ports_of_their_own(text, tmp_path, spool):
    """HADFixedPort, and HADReplication with the arguments said by hand, give both daemons all that they need."""
    path = tmp_path / "condor_config"
    path.write_text(text, encoding="utf-8")
    the_two_are_members(path, spool, 51450, 41450)
    the_two_are_members(path, spool, 51450, 41450, had_port=51450, replication_port=41450)


def test_no_replication(tmp_path, spool):
    """The manual's two steps to do without replication: had asks nobody, and starts the controllee with what is there."""
    path = pool_file(tmp_path, "htcondor-fixed-port.conf", "htcondor-drop-in.conf")
    with path.open("a", encoding="utf-8") as file:
        file.write("HAD_USE_REPLICATION = False\nDAEMON_LIST = MASTER, COLLECTOR, NEGOTIATOR, HAD\n")
    settings, _ = elected(path, "192.0.2.1", spool)
    assert not settings.state.use_replication
    assert settings.control.kind is ControlKind.MASTER


def test_the_replication_daemon_of_a_real_pool_loads_as_it_starts(tmp_path, spool):
    """The whole way of loading, with the arguments that condor_master gives it, takes the pool's configuration."""
    text = (SAMPLES / "htcondor-fixed-port.conf").read_text(encoding="utf-8")
    text = text.replace("cm1.example.org", "127.0.0.1").replace("cm2.example.org", "127.0.0.2")
    path = tmp_path / "condor_config"
    path.write_text(f"{text}\nHAD_SELF = 127.0.0.2:51450\n", encoding="utf-8")
    loaded = loading.load(Options(config=str(path), port=41450), spool)
    assert loaded.entry == "127.0.0.2:41450"


class NameServer:
    """A folder with a program `nsupdate` that writes down how it was called."""

    def __init__(self, folder):
        self._folder = folder
        program = folder / "nsupdate"
        program.write_text(f'#!/bin/sh\necho "$*" > {folder}/words\ncat > {folder}/text\n', encoding="utf-8")
        program.chmod(0o755)

    def run(self, node, became):
        """Run the hook for a transition of this member, and return what the name server was told; None is nothing."""
        subprocess.run(
            [str(SAMPLES / "leader-name"), "cm.example.org", "/key"],
            env={
                "PATH": f"{self._folder}:{os.environ['PATH']}",
                "HAD_NODE": node,
                "HAD_FROM": "election",
                "HAD_TO": became,
            },
            check=True,
            timeout=30,
        )
        if not (self._folder / "text").exists():
            return None
        assert (self._folder / "words").read_text() == "-k /key\n"
        return (self._folder / "text").read_text().splitlines()


@pytest.mark.parametrize(
    ("node", "record"),
    [
        ("192.0.2.12:51450", "A 192.0.2.12"),
        ("[2001:db8::12]:51450", "AAAA 2001:db8::12"),
        ("cm2.example.org:9618", "CNAME cm2.example.org."),
    ],
)
def test_the_name_follows_the_leader(node, record, tmp_path):
    """Who becomes the leader replaces what the name said, by an address or by its own name."""
    told = NameServer(tmp_path).run(node, "leader")
    assert told[-2:] == [f"update add cm.example.org. 5 {record}", "send"]
    assert told[:-2] == [f"update delete cm.example.org. {kind}" for kind in ("A", "AAAA", "CNAME")]


@pytest.mark.parametrize("state", ["pre", "passive", "election"])
def test_only_a_leader_moves_the_name(state, tmp_path):
    """A member that leads no more says nothing: the next leader has said it, or will."""
    assert NameServer(tmp_path).run("192.0.2.12:51450", state) is None
