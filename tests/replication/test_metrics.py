"""The replication daemon's numbers: zeros first, then what was told, and promtool's opinion."""

import shutil
import subprocess

import prometheus_client.parser
import pytest

from daemoncore.metrics import DaemonMetrics
from replication.families import FAMILIES, STATES, TRANSFER_RESULTS, VERSION_REASONS
from replication.metrics import ReplicationMetrics

ME, OTHER, THIRD = "127.0.0.1:41450", "127.0.0.2:41450", "127.0.0.3:41450"
FILE = "/var/lib/condor/spool/Accountantnew.log"


class Told:
    """Metrics and an easy way to read them."""

    def __init__(self):
        self.common = DaemonMetrics(
            "replication", version="0.1.0", revision="", start_time=1000.0, routes=["/", "/metrics"]
        )
        self.replication = ReplicationMetrics(self.common, me=ME, members=[ME, OTHER, THIRD], files=[FILE])

    def samples(self):
        """Every sample of a scrape."""
        text = self.common.render().decode()
        return [
            sample
            for family in prometheus_client.parser.text_string_to_metric_families(text)
            for sample in family.samples
        ]

    def value(self, name, **labels):
        """One sample's value."""
        (found,) = [one.value for one in self.samples() if (one.name, one.labels) == (name, labels)]
        return found


@pytest.fixture
def told():
    """Metrics of a node of three."""
    return Told()


def test_every_family_is_there_from_the_start_at_zero(told):
    """Before anything happened each family has its samples, and each counter is 0."""
    found = told.samples()
    for family in FAMILIES:
        mine = [one for one in found if one.name in {family.name, f"{family.name}_count"}]
        assert mine, family.name
        if family.kind.value in {"counter", "histogram"}:
            assert all(one.value == 0 for one in mine), family.name


def test_a_node_is_no_peer_of_its_own(told):
    """The rows of peers are those of the others."""
    peers = {one.labels["peer"] for one in told.samples() if "peer" in one.labels}
    assert peers == {OTHER, THIRD}


def test_state_is_exactly_one(told):
    """The state set has every state, and one of them is 1; it begins with the state that a daemon begins with."""

    def shown():
        return {
            one.labels["had_replication_state"]: one.value
            for one in told.samples()
            if one.name == "had_replication_state"
        }

    assert shown() == {state: float(state == "version_requesting") for state in STATES}
    for state in STATES:
        told.replication.state(state)
        assert shown() == {other: float(other == state) for other in STATES}


def test_versions_are_shown_by_peer(told):
    """Each peer has its version, its lag, and whether it is in sync."""
    told.replication.version(17)
    told.replication.peer(OTHER, clock=17, is_in_sync=True, lag_seconds=0.0)
    told.replication.peer(THIRD, clock=11, is_in_sync=False, lag_seconds=4.5)
    assert told.value("had_replication_version") == 17
    assert told.value("had_replication_peer_version", peer=THIRD) == 11
    assert told.value("had_replication_peer_in_sync", peer=OTHER) == 1
    assert told.value("had_replication_peer_in_sync", peer=THIRD) == 0
    assert told.value("had_replication_peer_lag_seconds", peer=THIRD) == 4.5


def test_a_version_that_moved_is_a_transfer(told):
    """It counts once, as a success with its duration and its moment."""
    told.replication.transfers_running("upload", 2)
    told.replication.bytes_moved("upload", 4096)
    told.replication.transfer_succeeded("upload", OTHER, 0.25, 1234.5)
    row = {"direction": "upload", "peer": OTHER}
    assert told.value("had_replication_transfers_total", result="ok", **row) == 1
    assert told.value("had_replication_last_success_timestamp_seconds", **row) == 1234.5
    assert told.value("had_replication_transfer_bytes_total", direction="upload") == 4096
    assert told.value("had_replication_transfer_duration_seconds_sum", direction="upload") == 0.25
    assert told.value("had_replication_transfers_in_progress", direction="upload") == 2
    assert told.value("had_replication_transfers_in_progress", direction="download") == 0


@pytest.mark.parametrize("result", [result for result in TRANSFER_RESULTS if result != "ok"])
def test_a_transfer_that_came_to_nothing_has_no_duration(told, result):
    """It counts by its result only."""
    told.replication.transfer_unsuccessful("download", OTHER, result)
    row = {"direction": "download", "peer": OTHER}
    assert told.value("had_replication_transfers_total", result=result, **row) == 1
    assert told.value("had_replication_transfers_total", result="ok", **row) == 0
    assert told.value("had_replication_transfer_duration_seconds_count", direction="download") == 0
    assert told.value("had_replication_last_success_timestamp_seconds", **row) == 0


def test_refusals_are_counted_by_reason(told):
    """A reason that is not known is `other`."""
    for reason in VERSION_REASONS:
        told.replication.version_rejected(reason)
    told.replication.version_rejected("never seen before")
    told.replication.message_rejected("replayed")
    told.replication.message_rejected("never seen before")
    told.replication.send_failed(OTHER, "denied")
    told.replication.checksum_failed(THIRD)
    assert told.value("had_replication_versions_rejected_total", reason="diverged") == 1
    assert told.value("had_replication_versions_rejected_total", reason="other") == 2
    assert told.value("had_peer_messages_rejected_total", reason="replayed") == 1
    assert told.value("had_peer_messages_rejected_total", reason="other") == 1
    assert told.value("had_peer_send_failures_total", peer=OTHER, reason="denied") == 1
    assert told.value("had_replication_checksum_failures_total", peer=THIRD) == 1


def test_what_is_kept_is_shown(told):
    """Conflicts and files have their numbers."""
    told.replication.conflicts(2)
    told.replication.file(FILE, 65536, 1234.5)
    assert told.value("had_replication_conflicts") == 2
    assert told.value("had_replication_file_size_bytes", file=FILE) == 65536
    assert told.value("had_replication_file_modified_timestamp_seconds", file=FILE) == 1234.5


def test_strangers_make_no_time_series(told):
    """An entry, file, direction or reason outside the configuration changes nothing and raises nothing."""
    before = told.samples()
    told.replication.peer("10.0.0.1:1", clock=1, is_in_sync=True, lag_seconds=1.0)
    told.replication.peer(ME, clock=1, is_in_sync=True, lag_seconds=1.0)
    told.replication.transfers_running("sideways", 1)
    told.replication.bytes_moved("sideways", 1)
    told.replication.transfer_succeeded("sideways", OTHER, 1.0, 1.0)
    told.replication.transfer_unsuccessful("upload", "10.0.0.1:1", "failed")
    told.replication.transfer_unsuccessful("upload", OTHER, "unheard of")
    told.replication.checksum_failed("10.0.0.1:1")
    told.replication.send_failed(OTHER, "bad luck")
    told.replication.file("/etc/passwd", 1, 1.0)
    assert told.samples() == before


def test_changed_list_drops_the_rows_of_those_that_left(told):
    """After a reconfiguration the departed have no rows, newcomers stand at 0, the rest is kept."""
    fourth = "127.0.0.4:41450"
    told.replication.transfer_succeeded("upload", OTHER, 0.25, 1.0)
    told.replication.transfer_succeeded("upload", THIRD, 0.25, 1.0)
    told.replication.members_changed([ME, OTHER, fourth])
    assert {one.labels["peer"] for one in told.samples() if "peer" in one.labels} == {OTHER, fourth}
    row = {"direction": "upload", "result": "ok"}
    assert told.value("had_replication_transfers_total", peer=OTHER, **row) == 1
    assert told.value("had_replication_transfers_total", peer=fourth, **row) == 0


def test_promtool_has_no_complaint(told):
    """`promtool check metrics` is clean on a scrape."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian package prometheus)")
    told.replication.transfer_succeeded("upload", OTHER, 0.25, 1.0)
    check = subprocess.run(
        [promtool, "check", "metrics"], input=told.common.render(), capture_output=True, check=False
    )
    assert (check.returncode, check.stdout + check.stderr) == (0, b"")
