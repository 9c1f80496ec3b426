"""Every sample configuration loads, means what it says, and means the same to HTCondor."""

from pathlib import Path

import pytest

from daemoncore.config import load
from daemoncore.membership import Network
from had.control_settings import ControlKind
from had.settings import settings_from
from tests.daemoncore.config.oracle import Oracle

SAMPLES = Path(__file__).parents[2] / "sample-configs"
NAMES = {"cm1.example.org": "192.0.2.1", "cm2.example.org": "192.0.2.2"}

#: The members of each sample; other files of the folder are no configurations of ours.
MEMBERS = {
    "minimal.toml": ("127.0.0.1:51450", "127.0.0.2:51450"),
    "three-managers.toml": ("192.0.2.11:51450", "192.0.2.12:51450", "192.0.2.13:51450"),
    "three-managers.conf": ("192.0.2.11:51450", "192.0.2.12:51450", "192.0.2.13:51450"),
    "htcondor-drop-in.conf": ("192.0.2.1:51450", "192.0.2.2:51450"),
    "manual-7.8.conf": ("127.0.0.1:51450", "127.0.0.2:51450"),
    "annotated.conf": ("127.0.0.1:51450",),
}


def on_host(name, host, **environment):
    """The settings of a sample on the host with this one address."""
    configuration = load(str(SAMPLES / name), environment={"PWD": "/nowhere", **environment})
    network = Network(
        lambda asked: (NAMES.get(asked, asked),), lambda asked: asked == host, lambda _interface: ()
    )
    return settings_from(configuration, network, environment={})


def test_no_sample_is_forgotten():
    """Every configuration file of the folder is in a test of this file."""
    files = {path.name for pattern in ("*.toml", "*.conf") for path in SAMPLES.glob(pattern)}
    assert files == set(MEMBERS) | {"other-machines.conf"}


@pytest.mark.parametrize("name", MEMBERS)
def test_sample_serves_every_member(name):
    """The same file is right on each of its members."""
    for entry in MEMBERS[name]:
        environment = {"_CONDOR_HAD_SELF": entry} if name == "minimal.toml" else {}
        settings = on_host(name, entry.partition(":")[0], **environment)
        assert tuple(member.name for member in settings.members) == MEMBERS[name]
        assert settings.me.name == entry
        assert settings.control.kind is ControlKind.SPAWN


@pytest.mark.parametrize(
    "name", ["minimal.toml", "annotated.conf", "three-managers.toml", "three-managers.conf"]
)
def test_no_sample_is_warned_of(name):
    """Our own samples are free of remarks, but that their program is not on this host."""
    warnings = on_host(name, MEMBERS[name][0].partition(":")[0]).warnings
    assert [
        str(warning) for warning in warnings if "does not exist on this host" not in warning.message
    ] == []


def test_both_languages_agree():
    """The two samples for three managers mean the same election."""
    one, other = (on_host(name, "192.0.2.12") for name in ("three-managers.toml", "three-managers.conf"))
    assert one.shared_hash == other.shared_hash
    assert one.control == other.control
    assert one.had_dir == other.had_dir


def test_manuals_sample():
    """The manual's sample of 2012 works, with its primary, its timeout and its backoff; what is odd is said."""
    settings = on_host("manual-7.8.conf", "127.0.0.2")
    assert settings.use_primary
    assert settings.connection_timeout_seconds == 2.0
    assert settings.backoff_constant_seconds == 360.0
    assert settings.use_replication
    assert settings.log.limit.amount == 640000
    assert settings.control.argv == ("/usr/sbin/condor_negotiator",)
    assert settings.collectors == ("127.0.0.1", "127.0.0.2")
    messages = " ".join(warning.message for warning in settings.warnings)
    assert "MAX_TRANSFERER_LIFETIME is taken as MAX_TRANSFER_LIFETIME" in messages
    assert "add ALLOW_DAEMON = $(COLLECTOR_HOST)" in messages


def test_other_machines():
    """The file for machines without an election daemon loads and names no members."""
    configuration = load(str(SAMPLES / "other-machines.conf"), environment={})
    assert configuration.text("HAD_LIST") is None
    assert configuration.get("COLLECTOR_HOST") == ("cm1.example.org", "cm2.example.org")
    assert configuration.problems == configuration.warnings == ()


def test_the_demo():
    """The demo's file serves its three managers by their local names."""
    path = str(SAMPLES / "demo" / "had.conf")
    network = Network(lambda host: (host,), lambda _host: True, lambda _interface: ())
    for number in (1, 2, 3):
        configuration = load(path, local_name=f"manager{number}", environment={"PWD": "/demo"})
        settings = settings_from(configuration, network, environment={})
        assert settings.me.name == f"127.0.0.{number}:51450"
        assert settings.control.argv[0] == "/usr/bin/python3"


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    """One process of the official bindings."""
    pytest.importorskip("htcondor2", reason="the official bindings have no wheel for this machine")
    asked = Oracle(tmp_path_factory.mktemp("oracle"))
    yield asked
    asked.close()


@pytest.mark.parametrize(
    "name",
    [
        "manual-7.8.conf",
        "other-machines.conf",
        "three-managers.conf",
        "htcondor-drop-in.conf",
        "annotated.conf",
    ],
)
def test_htcondor_reads_the_same(name, oracle):
    """Every value that a sample sets is the same to HTCondor."""
    path = SAMPLES / name
    configuration = load(str(path), environment={})
    names = [entry.name for entry in configuration.entries() if "." not in entry.name]
    # Taken from the misspelt one by us alone.
    names = [entry for entry in names if (name, entry) != ("manual-7.8.conf", "MAX_TRANSFER_LIFETIME")]
    theirs = oracle.ask_file(path, names)
    assert theirs is not None
    for entry in names:
        found, value = configuration.get(entry), theirs[entry]
        if isinstance(value, bool | float | int):
            assert float(found) == float(value), entry
        else:
            assert (configuration.text(entry) or "") == (value or ""), entry
