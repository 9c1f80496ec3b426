"""The demo's configuration, read as its three daemons read it."""

from pathlib import Path

import pytest

from daemoncore.config.configuration import load

ROOT = Path(__file__).parents[2]
FILE = ROOT / "sample-configs" / "demo" / "had.conf"
MEMBERS = [f"127.0.0.{number}:21450" for number in (1, 2, 3)]
REPLICAS = [f"127.0.0.{number}:21440" for number in (1, 2, 3)]


def load_for(local_name=None, **environment):
    """Load the demo's file as a daemon started in the root of the sources does."""
    return load(str(FILE), local_name=local_name, environment={"PWD": str(ROOT), **environment})


@pytest.mark.parametrize("number", [1, 2, 3])
def test_each_local_name_is_one_member(number):
    """A local name gives the daemon its entry of HAD_LIST, its own address for HTTP, and its own files."""
    configuration = load_for(f"manager{number}")
    assert configuration.warnings == ()
    assert configuration.text("HAD_LIST").replace(",", " ").split() == MEMBERS
    assert configuration.text("HAD_SELF") == MEMBERS[number - 1]
    assert configuration.text("HAD_HTTP_ADDRESS") == f"127.0.0.{number}"
    assert configuration.text("REPLICATION_LIST").replace(",", " ").split() == REPLICAS
    assert configuration.get("HAD_USE_REPLICATION") is True
    assert configuration.text("STATE_FILE") == f"{ROOT}/demo/{MEMBERS[number - 1]}/spool/Accountantnew.log"


def test_the_environment_is_as_good_as_a_local_name():
    """HAD_SELF and DEMO_DIR from the environment choose the member and where its files are."""
    configuration = load_for(_CONDOR_HAD_SELF=MEMBERS[1], _CONDOR_DEMO_DIR="/tmp/had-demo")
    assert configuration.text("HAD_SELF") == MEMBERS[1]
    assert configuration.text("LOG") == f"/tmp/had-demo/{MEMBERS[1]}/log"


def test_the_controllee_is_the_demo_negotiator():
    """What the leader runs is the negotiator beside the file, under a timeout of one second, the first member first."""
    configuration = load_for("manager1")
    assert configuration.get("HAD_CONNECTION_TIMEOUT") == 1
    assert configuration.get("HAD_USE_PRIMARY") is True
    assert configuration.text("HAD_CONTROLLEE") == "negotiator"
    program = configuration.text("NEGOTIATOR_ARGS").split()[1]
    assert Path(program).samefile(FILE.parent / "negotiator.py")
