"""Every sample configuration loads, means what it says, and means the same to HTCondor."""

from pathlib import Path

import pytest

from daemoncore.config import ConfigurationError, load
from daemoncore.membership import Network
from daemoncore.pool_security import security_of
from daemoncore.startup import Options
from had.control_settings import ControlKind
from had.settings import settings_from
from replication import loading
from replication.settings import settings_from as replication_settings_from
from tests.daemoncore.config.oracle import Oracle

SAMPLES = Path(__file__).parents[2] / "sample-configs"
NAMES = {"cm1.example.org": "192.0.2.1", "cm2.example.org": "192.0.2.2"}

#: The members of each sample; other files of the folder are no configurations of ours.
MEMBERS = {
    "minimal.toml": ("127.0.0.1:51450", "127.0.0.2:51450"),
    "three-managers.toml": ("192.0.2.11:51450", "192.0.2.12:51450", "192.0.2.13:51450"),
    "three-managers.conf": ("192.0.2.11:51450", "192.0.2.12:51450", "192.0.2.13:51450"),
    "htcondor-fixed-port.conf": ("192.0.2.1:51450", "192.0.2.2:51450"),
    "htcondor-shared-port.conf": ("192.0.2.1:9618", "192.0.2.2:9618"),
    "htcondor-metaknobs.conf": ("192.0.2.1:9618", "192.0.2.2:9618"),
    "manual-7.8.conf": ("127.0.0.1:51450", "127.0.0.2:51450"),
    "annotated.conf": ("127.0.0.1:51450",),
}

#: Those of a real pool, where condor_master starts the daemons and the negotiator.
MASTERS = {
    "htcondor-fixed-port.conf",
    "htcondor-shared-port.conf",
    "htcondor-metaknobs.conf",
    "manual-7.8.conf",
}
#: What is added to one of those.
ADDITIONS = ("htcondor-drop-in.conf", "htcondor-spawn.conf")
#: For machines without our daemons.
NO_MEMBERS = ("other-machines.conf", "htcondor-other-machines.conf")


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
    assert files == set(MEMBERS) | set(ADDITIONS) | set(NO_MEMBERS)


@pytest.mark.parametrize("name", MEMBERS)
def test_sample_serves_every_member(name):
    """The same file is right on each of its members."""
    for entry in MEMBERS[name]:
        environment = {"_CONDOR_HAD_SELF": entry} if name == "minimal.toml" else {}
        settings = on_host(name, entry.partition(":")[0], **environment)
        assert tuple(member.name for member in settings.members) == MEMBERS[name]
        assert settings.me.name == entry
        assert settings.control.kind is (ControlKind.MASTER if name in MASTERS else ControlKind.SPAWN)


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
    assert settings.state.use_replication
    assert settings.log.limit.amount == 640000
    assert settings.control.argv == ("/usr/sbin/condor_negotiator",)
    assert [one.entry for one in settings.advertising.collectors] == ["127.0.0.1", "127.0.0.2"]
    messages = " ".join(warning.message for warning in settings.warnings)
    assert "MAX_TRANSFERER_LIFETIME is taken as MAX_TRANSFER_LIFETIME" in messages
    assert "add ALLOW_DAEMON = $(COLLECTOR_HOST)" in messages


#: The replicas of each sample that replicates, and its state.
REPLICAS = {
    "three-managers.toml": ("192.0.2.11:41450", "192.0.2.12:41450", "192.0.2.13:41450"),
    "three-managers.conf": ("192.0.2.11:41450", "192.0.2.12:41450", "192.0.2.13:41450"),
    "htcondor-fixed-port.conf": ("192.0.2.1:41450", "192.0.2.2:41450"),
    "htcondor-shared-port.conf": ("192.0.2.1:9618", "192.0.2.2:9618"),
    "htcondor-metaknobs.conf": ("192.0.2.1:9618", "192.0.2.2:9618"),
    "manual-7.8.conf": ("127.0.0.1:41450", "127.0.0.2:41450"),
}


def laid_out(name, folder, **environment):
    """Make the folders and the program that a sample names, below a folder, and return the environment that says so."""
    environment = {"PWD": "/nowhere", **environment}
    configuration = load(str(SAMPLES / name), subsystem="REPLICATION", environment=environment)
    for knob in ("STATE_FILE", "SPOOL", "TRANSFERER"):
        path = Path(configuration.text(knob) or "/")
        if configuration.is_set(knob):
            (folder / path.parent.relative_to("/")).mkdir(parents=True, exist_ok=True)
            environment[f"_CONDOR_{knob}"] = str(folder / path.relative_to("/"))
    if configuration.is_set("SPOOL"):
        Path(environment["_CONDOR_SPOOL"]).mkdir(parents=True, exist_ok=True)
    if configuration.is_set("TRANSFERER"):
        Path(environment["_CONDOR_TRANSFERER"]).touch(mode=0o755)
    return environment


def replica_on_host(name, host, folder, **environment):
    """The settings of a sample's replication daemon on the host with this one address, and what is its transferer's."""
    environment = laid_out(name, folder, **environment)
    configuration = load(str(SAMPLES / name), subsystem="REPLICATION", environment=environment)
    network = Network(
        lambda asked: (NAMES.get(asked, asked),), lambda asked: asked == host, lambda _interface: ()
    )
    security_of(configuration, is_tool=False, subsystem="REPLICATION")
    return replication_settings_from(configuration, network, environment={})


@pytest.mark.parametrize("name", REPLICAS)
def test_sample_serves_every_replica(name, tmp_path):
    """The same file is right for the replication daemon of each member, beside its had."""
    for entry, member in zip(REPLICAS[name], MEMBERS[name], strict=True):
        host = entry.partition(":")[0]
        settings = replica_on_host(name, host, tmp_path)
        assert tuple(replica.name for replica in settings.members) == REPLICAS[name]
        assert settings.me.name == entry
        assert not settings.is_folder
        elected = on_host(name, host)
        assert elected.me.name == member
        assert elected.state.use_replication
        assert elected.shared_hash == settings.shared_hash


def test_both_languages_replicate_the_same(tmp_path):
    """The two samples for three managers mean the same replication."""
    one, other = (
        replica_on_host(name, "192.0.2.12", tmp_path)
        for name in ("three-managers.toml", "three-managers.conf")
    )
    assert (one.members, one.paths, one.had_dir) == (other.members, other.paths, other.had_dir)
    assert (one.http_port, one.interval_seconds) == (other.http_port, other.interval_seconds) == (51481, 300)


def test_manuals_sample_replicates(tmp_path):
    """The settings of 2012 load in the replication daemon by its own way of loading, and it takes its own transferer."""
    name, entry = "manual-7.8.conf", "127.0.0.2:51450"
    spool = tmp_path / "spool"
    spool.mkdir()
    environment = {"PWD": "/nowhere", "_CONDOR_SPOOL": str(spool), "_CONDOR_HAD_SELF": entry}
    loaded = loading.load(Options(config=str(SAMPLES / name), port=41450), environment)
    settings = loaded.settings
    assert settings.me.name == "127.0.0.2:41450"
    assert settings.paths == (spool / "Accountantnew.log",)
    assert (settings.interval_seconds, settings.lifetime_seconds) == (300, 300)
    messages = " ".join(warning.message for warning in settings.warnings)
    assert "MAX_TRANSFERER_LIFETIME is taken as MAX_TRANSFER_LIFETIME" in messages
    assert "condor_transferer, which this daemon cannot use; it takes its own" in messages


@pytest.mark.parametrize("name", sorted(MEMBERS.keys() - REPLICAS.keys()))
def test_a_sample_without_replication_needs_no_replication_daemon(name):
    """The smallest samples name no replicas; a replication daemon that is started with one says that, and ends."""
    environment = {"PWD": "/nowhere", "_CONDOR_HAD_SELF": MEMBERS[name][0]}
    with pytest.raises(ConfigurationError, match="REPLICATION_LIST must name the members"):
        loading.load(Options(config=str(SAMPLES / name)), environment)
    assert not on_host(name, "127.0.0.1", _CONDOR_HAD_SELF=MEMBERS[name][0]).state.use_replication


@pytest.mark.parametrize("name", NO_MEMBERS)
def test_other_machines(name):
    """The files for machines without an election daemon load and name no members."""
    configuration = load(str(SAMPLES / name), environment={})
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
        assert settings.me.name == f"127.0.0.{number}:21450"
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
        *NO_MEMBERS,
        "three-managers.conf",
        "htcondor-fixed-port.conf",
        "htcondor-shared-port.conf",
        "htcondor-metaknobs.conf",
        *ADDITIONS,
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
