"""The replication daemon's ad for collectors: what it says, and that it has what a real condor_replication's has."""

import re
from pathlib import Path

import pytest

from daemoncore.cedar.classad import parse
from daemoncore.collector_ads import REPLICATION_AD, Moments, invalidation
from daemoncore.config import load
from daemoncore.membership import Network
from replication.advertisement import advertisement, essence
from replication.events import State
from replication.replica import Replica
from replication.settings import settings_from
from replication.status import Status, Version
from replication.view import Freshness
from tests.vector_files import load as load_vector

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "wire.md").read_text(encoding="utf-8")
MOMENTS = Moments(100, 200, 300)
LEFT_OUT = {"AddressV1", "PrivateNetworkName", "_condor_PrivRemoteAdminCapability"}

FULLEST = Status(
    node="10.0.0.1:41450",
    state="leader",
    leader="10.0.0.1:41450",
    version=Version(386, 7, 4096, "00" * 32, 250.75, ((257, 1203),), rooted=True),
    conflicts=({"id": "a"}, {"id": "b", "exported_to": "/tmp/b"}),
)


@pytest.fixture
def settings(tmp_path):
    """The settings of the host 10.0.0.1."""
    path = tmp_path / "had.conf"
    path.write_text(f"""
HAD_LIST = 10.0.0.1:51450, 10.0.0.2:51450
REPLICATION_LIST = 10.0.0.1:41450, 10.0.0.2:41450
REPLICATION_UPDATE_INTERVAL = 60
COLLECTOR_HOST = cm1, cm2
STATE_FILE = {tmp_path}/state
ALLOW_DAEMON = condor@password
""")
    network = Network(lambda name: (name,), lambda name: name == "10.0.0.1", lambda _name: ())
    return settings_from(load(str(path), subsystem="REPLICATION", environment={}), network)


def test_the_settings(settings):
    """The collectors are had's; the interval is the daemon's own."""
    assert settings.advertising.interval_seconds == 60
    assert [one.entry for one in settings.advertising.collectors] == ["cm1", "cm2"]
    assert settings.advertising.name == f"replication@{settings.advertising.machine} -p 41450"


def test_a_leader(settings):
    """The ad says what is held, from whom, and how far it may lag."""
    ad = advertisement(settings, FULLEST, Freshness(0.0, "this node leads"), MOMENTS)
    assert ad["MyType"] == "Replication"
    assert ad["MyAddress"] == "<10.0.0.1:41450>"
    assert ad["ReplicationList"] == "10.0.0.1:41450,10.0.0.2:41450"
    assert {name.removeprefix("Replication"): ad[name] for name in ad if name.startswith("Replication")} == {
        "List": "10.0.0.1:41450,10.0.0.2:41450",
        "Node": "10.0.0.1:41450",
        "State": "leader",
        "Leader": "10.0.0.1:41450",
        "Gid": 386,
        "Clock": 7,
        "Bytes": 4096,
        "Changed": 250,
        "LagSeconds": 0.0,
        "Conflicts": 1,
    }


def test_one_that_knows_nothing(settings):
    """What is not known is left out, so that it is UNDEFINED in the collector."""
    ad = advertisement(
        settings, Status("10.0.0.1:41450", "version_requesting"), Freshness(None, "nobody knows"), MOMENTS
    )
    own = {name for name in ad if name.startswith("Replication")}
    assert own == {"ReplicationList", "ReplicationNode", "ReplicationState", "ReplicationConflicts"}


def recorded(number):
    """The ads of one command that a real condor_replication sent."""
    [connection] = load_vector("08-replication-collector-ads")["connections"]
    entries = [entry for entry in connection["stream"] if entry.get("encrypted") and entry["dir"] == "c2s"]
    command, ads = connection["command"], []
    for entry in entries:
        fields = {field["name"]: field["value"] for field in entry["fields"]}
        command = fields.get("command", command)
        if command == number:
            ads.append(fields["ad"])
    return ads


def test_it_has_what_a_real_one_has(settings):
    """Each attribute of the recorded ad is in ours, with a value of its type, but what the manual says is not."""
    ours = advertisement(settings, FULLEST, Freshness(0.0, ""), MOMENTS).with_values(
        {"UpdateSequenceNumber": 1}
    )
    [real] = recorded(58)
    assert set(real) - set(ours) == LEFT_OUT
    for name, text in real.items():
        if name not in LEFT_OUT:
            assert type(ours[name]) is type(parse(text)), name
    host = parse(real["Machine"])
    assert parse(real["Name"]) == f"replication@{host} -p 41450"


def test_it_is_taken_back_as_a_real_one_is(settings):
    """The recorded invalidation has the attributes of ours."""
    real = recorded(59)[-1]
    ours = invalidation(REPLICATION_AD, advertisement(settings, FULLEST, Freshness(0.0, ""), MOMENTS))
    assert set(ours) == set(real) - LEFT_OUT
    assert parse(real["TargetType"]) == ours["TargetType"]


def test_every_attribute_is_in_the_manual(settings):
    """The tables of docs/reference/wire.md have the attributes of the fullest ad, and no other."""
    section = PAGE.split("\n## Ads for collectors\n")[1].split("\n### ")[0]
    common, rest = section.split("\nThe ad of `had`:\n")
    own = rest.split("\nThe ad of `had-replication`:\n")[1]
    documented = re.findall(r"^\| (?:\*\*)?`(\w+)`(?:\*\*)? \|", common + own, re.MULTILINE)
    sent = {*advertisement(settings, FULLEST, Freshness(0.0, ""), MOMENTS), "UpdateSequenceNumber"}
    assert sorted(documented) == sorted(sent)


def test_what_is_told_at_once(settings):
    """A change of state is; a machine that only waits has nothing to tell."""
    replica = Replica(settings.replica(), None, 1, 0.0)
    before = essence(replica)
    assert essence(replica) == before
    replica.state = State.BACKUP
    assert essence(replica) != before
