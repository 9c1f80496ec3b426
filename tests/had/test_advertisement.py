"""had's ad for collectors: what it says, what of it is told at once, and that it has what a real condor_had's has."""

import re
from pathlib import Path

import attrs
import pytest

from daemoncore.cedar.classad import parse
from daemoncore.collector_ads import HAD_AD, ConfiguredSince, Moments, invalidation
from daemoncore.config import load
from daemoncore.membership import Network
from had.advertisement import advertisement, essence
from had.election import Election
from had.events import Record, Tick
from had.settings import settings_from
from had.status import Controllee, Paused, Replica, Status
from had.transitions import Run, State
from tests.had.speakers import SETTINGS
from tests.vector_files import load as load_vector

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "wire.md").read_text(encoding="utf-8")
MOMENTS = Moments(100, 200, 300)
TEXT = """
HAD_LIST = 10.0.0.1:51450, 10.0.0.2:51450
HAD_WITNESS_LIST = 10.0.0.3:51450
HAD_CONTROLLEE = worker
WORKER = /bin/sleep
ALLOW_DAEMON = condor@password
"""
#: Attributes of the original's that are of no use in ours: docs/reference/wire.md says why.
LEFT_OUT = {"AddressV1", "PrivateNetworkName", "_condor_PrivRemoteAdminCapability"}


@pytest.fixture
def settings(tmp_path):
    """The settings of the host 10.0.0.1."""
    return settings_of(tmp_path, "10.0.0.1")


def settings_of(tmp_path, host):
    """The settings of a host."""
    path = tmp_path / "had.conf"
    path.write_text(TEXT)
    network = Network(lambda name: (name,), lambda name: name == host, lambda _name: ())
    return settings_from(load(str(path), environment={}), network)


LEADER = Status(
    node="10.0.0.1:51450",
    state="leader",
    leader="10.0.0.1:51450",
    epoch=386,
    primary=True,
    controllee=Controllee("worker", "running", 4711),
    replica=Replica("ours", is_ready=True),
    paused=Paused("root (secret@place)", "a reason of the operator's", 1.0),
)


def test_a_leader(settings):
    """A leader's ad says that it leads, with a boolean, and where."""
    ad = advertisement(settings, LEADER, MOMENTS)
    assert ad.text("HadIsActive") == "true"
    assert {name: ad[name] for name in ("MyType", "HadNode", "HadLeader", "HadState", "HadEpoch")} == {
        "MyType": "HAD",
        "HadNode": "10.0.0.1:51450",
        "HadLeader": "10.0.0.1:51450",
        "HadState": "leader",
        "HadEpoch": 386,
    }
    assert [ad[name] for name in ("HadControlleeRuns", "HadPaused", "HadIsReady", "HadIsPrimary")] == [
        True
    ] * 4
    assert (ad["HadSelfID"], ad["HadIndex"]) == (1, 0)
    assert ad["HadList"] == "<10.0.0.1:51450>,<10.0.0.2:51450>"
    assert ad["MyAddress"] == "<10.0.0.1:51450>"
    assert (ad["DaemonStartTime"], ad["DaemonLastReconfigTime"], ad["MyCurrentTime"]) == (100, 200, 300)


def test_a_follower_without_a_leader(tmp_path):
    """What is not known is left out, so that it is UNDEFINED in the collector."""
    status = Status("10.0.0.2:51450", "passive", controllee=Controllee("worker", "stopped"))
    ad = advertisement(settings_of(tmp_path, "10.0.0.2"), status, MOMENTS)
    assert ad.text("HadIsActive") == "false"
    assert (ad["HadSelfID"], ad["HadIndex"]) == (0, 1)
    assert "HadLeader" not in ad
    assert "HadIsReady" not in ad


def test_a_witness(tmp_path):
    """A witness is in no place of HAD_LIST."""
    status = Status("10.0.0.3:51450", "witness", leader="10.0.0.1:51450")
    ad = advertisement(settings_of(tmp_path, "10.0.0.3"), status, MOMENTS)
    assert (ad["HadSelfID"], ad["HadState"], ad["HadIsActive"]) == (-1, "witness", False)


def test_nothing_of_an_operators_words_is_in_it(settings):
    """Anybody may read a collector: who paused the pool, and why, is for those who may ask for the status."""
    lines = "\n".join(advertisement(settings, LEADER, MOMENTS).to_lines())
    assert "secret" not in lines
    assert "reason" not in lines


def recorded(number):
    """The ads of one command that a real condor_had sent."""
    [connection] = load_vector("07-had-collector-ads")["connections"]
    entries = [entry for entry in connection["stream"] if entry.get("encrypted") and entry["dir"] == "c2s"]
    command, ads = 55, []
    for entry in entries:
        fields = {field["name"]: field["value"] for field in entry["fields"]}
        command = fields.get("command", command)
        if command == number:
            ads.append(fields["ad"])
    return ads


def test_it_has_what_a_real_one_has(settings):
    """Each attribute of the recorded ads is in ours, with a value of its type, but what the manual says is not."""
    ours = advertisement(settings, LEADER, MOMENTS).with_values({"UpdateSequenceNumber": 1})
    real = recorded(55)
    assert len(real) == 5
    assert set(real[0]) - set(ours) == LEFT_OUT
    for name, text in real[0].items():
        if name not in LEFT_OUT:
            assert type(ours[name]) is type(parse(text)), name


def test_it_is_taken_back_as_a_real_one_is(settings):
    """The recorded invalidation has the attributes of ours."""
    [real] = recorded(57)
    ours = invalidation(HAD_AD, advertisement(settings, LEADER, MOMENTS))
    assert set(ours) == set(real) - LEFT_OUT
    name = parse(real["Name"])
    assert real["Requirements"].replace(name, ours["Name"]) == ours.text("Requirements")


def test_every_attribute_is_in_the_manual(settings):
    """The tables of docs/reference/wire.md have the attributes of the fullest ad, and no other."""
    section = PAGE.split("\n## Ads for collectors\n")[1].split("\nThe ad of `had-replication`:\n")[0]
    documented = re.findall(r"^\| (?:\*\*)?`(\w+)`(?:\*\*)? \|", section, re.MULTILINE)
    assert sorted(documented) == sorted({*advertisement(settings, LEADER, MOMENTS), "UpdateSequenceNumber"})


def test_what_is_told_at_once():
    """Leadership, the controllee, the leader and the lists count; what the clock does does not."""
    election = Election(SETTINGS, Record(), 1, 0.0)
    seen = [essence(election)]
    election.state = State.LEADER
    seen.append(essence(election))
    election.run = Run.RUNNING
    seen.append(essence(election))
    election.settings = attrs.evolve(SETTINGS, controllee="another")
    seen.append(essence(election))
    assert len(set(seen)) == 4
    election.handle(Tick(), 0.001)
    assert essence(election) == seen[-1]


def test_the_time_of_the_last_reload():
    """It is the start's until the configuration is read again, be it the same."""
    clock = iter([100.5, 101, 200, 300])
    since = ConfiguredSince(lambda: next(clock))
    first, second = object(), object()
    assert since.moments(first) == Moments(100, 100, 101)
    assert since.moments(second) == Moments(100, 200, 200)
    assert since.moments(second) == Moments(100, 200, 300)
