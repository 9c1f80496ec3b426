"""The election daemon's numbers: zeros first, then what was told, and promtool's opinion."""

import shutil
import subprocess

import prometheus_client.parser
import pytest

from daemoncore.metrics import DaemonMetrics
from had.families import FAMILIES, STATES
from had.metrics import HadMetrics
from had.transitions import LEADERSHIP_LOST, LEGAL

ME, OTHER, THIRD, WITNESS = "127.0.0.1:9620", "127.0.0.2:9620", "127.0.0.3:9620", "127.0.0.9:9620"


class Told:
    """Metrics with a clock and an easy way to read them."""

    def __init__(self):
        self.boottime = 100.0
        self.common = DaemonMetrics(
            "had", version="0.1.0", revision="", start_time=1000.0, routes=["/", "/metrics"]
        )
        self.had = HadMetrics(
            self.common,
            me=ME,
            members=[ME, OTHER, THIRD],
            witnesses=[WITNESS],
            controllee="negotiator",
            now=1000.0,
            boottime=lambda: self.boottime,
        )

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

    def total(self, name):
        """The sum over all label combinations."""
        return sum(one.value for one in self.samples() if one.name == name)


@pytest.fixture
def told():
    """Metrics of a node of three with a witness."""
    return Told()


def test_every_family_is_there_from_the_start_at_zero(told):
    """Before anything happened each family has its samples, and each counter is 0."""
    found = told.samples()
    for family in FAMILIES:
        mine = [one for one in found if one.name in {family.name, f"{family.name}_count"}]
        assert mine, family.name
        if family.kind.value in {"counter", "histogram"}:
            assert all(one.value == 0 for one in mine), family.name


def test_legal_transitions_stand_at_zero_and_no_others(told):
    """The transition counter has exactly the rows of the machine's table."""
    found = {
        (one.labels["from_state"], one.labels["to_state"], one.labels["reason"])
        for one in told.samples()
        if one.name == "had_state_transitions_total"
    }
    assert found == {
        (source.value, target.value, reason.slug)
        for (source, target), reasons in LEGAL.items()
        for reason in reasons
    }


def test_state_is_exactly_one(told):
    """The state set has every state, and one of them is 1."""
    for state in STATES:
        told.had.state(state)
        shown = {one.labels["had_state"]: one.value for one in told.samples() if one.name == "had_state"}
        assert shown == {other: float(other == state) for other in STATES}
        assert told.value("had_is_leader") == (state == "leader")


def test_a_witness_begins_as_one():
    """A node of HAD_WITNESS_LIST shows its state from the start."""
    common = DaemonMetrics("had", version="", revision="", start_time=0, routes=[])
    HadMetrics(common, me=WITNESS, members=[ME], witnesses=[WITNESS], controllee="n", now=0, boottime=float)
    text = common.render().decode()
    assert 'had_state{had_state="witness"} 1.0' in text
    assert "had_peers_up 0.0" in text


def test_every_legal_transition_is_counted_once(told):
    """A transition counts in its row, and in leadership and elections where it belongs."""
    for (source, target), reasons in LEGAL.items():
        for reason in reasons:
            before = told.total("had_state_transitions_total")
            told.had.transition(source.value, target.value, reason.slug)
            row = {"from_state": source.value, "to_state": target.value, "reason": reason.slug}
            assert told.value("had_state_transitions_total", **row) == 1
            assert told.total("had_state_transitions_total") == before + 1
    assert told.total("had_leadership_lost_total") == len(LEADERSHIP_LOST)
    assert told.value("had_leadership_acquired_total") == 3
    assert told.value("had_elections_total", result="won") == 2
    assert told.value("had_elections_total", result="lost") == 2
    assert told.value("had_elections_total", result="aborted") == 5


def test_observed_leader_moves(told):
    """The leader's row is 1, others 0; changes and the time without a leader are counted."""
    told.had.leader_observed(OTHER, 1000.3)
    assert told.value("had_observed_leader", peer=OTHER) == 1
    assert told.value("had_has_leader") == 1
    assert told.value("had_leader_since_timestamp_seconds") == 1000.3
    told.had.leader_observed(OTHER, 1001)
    told.had.leader_observed(None, 1010)
    assert told.value("had_observed_leader", peer=OTHER) == 0
    assert told.value("had_has_leader") == 0
    assert told.value("had_leader_since_timestamp_seconds") == 0
    told.had.leader_observed(ME, 1012)
    told.had.leader_observed(THIRD, 1020)
    assert told.value("had_observed_leader", peer=ME) == 0
    assert told.value("had_observed_leader", peer=THIRD) == 1
    assert told.value("had_leader_changes_seen_total") == 3
    assert told.value("had_leaderless_duration_seconds_count") == 3
    assert told.value("had_leaderless_duration_seconds_sum") == pytest.approx(2.3)


def test_clocks_run_on_between_scrapes(told):
    """Lease and backoff show what is left at the time of the scrape."""
    told.had.lease(102.5)
    told.had.backoff(160.0)
    assert told.value("had_lease_remaining_seconds") == 2.5
    assert told.value("had_controllee_backoff_seconds", controllee="negotiator") == 60
    told.boottime = 110.0
    assert told.value("had_lease_remaining_seconds") == 0
    assert told.value("had_controllee_backoff_seconds", controllee="negotiator") == 50


def test_peers_up_counts_the_list_and_this_node(told):
    """Heard members of HAD_LIST and this node are counted; a witness has its own row only."""
    assert (told.value("had_peers"), told.value("had_peers_up")) == (3, 1)
    told.had.peer_up(OTHER, True)
    told.had.peer_up(WITNESS, True)
    assert told.value("had_peers_up") == 2
    assert told.value("had_peer_up", peer=WITNESS) == 1
    told.had.peer_up(OTHER, False)
    assert told.value("had_peers_up") == 1


def test_messages_and_failures_are_counted_by_peer(told):
    """Each message, failure and rejection has its row."""
    told.had.message_received(OTHER, "heartbeat", 1234.5)
    told.had.message_sent(OTHER, "alive")
    told.had.send_failed(OTHER, "denied")
    told.had.round_trip(OTHER, 0.004)
    told.had.message_rejected("epoch_jump")
    told.had.message_rejected("never seen before")
    told.had.leader_conflict(OTHER)
    told.had.configuration_mismatch(OTHER, True)
    told.had.clock_skew(OTHER, -0.25)
    assert told.value("had_peer_last_contact_timestamp_seconds", peer=OTHER) == 1234.5
    assert told.value("had_peer_messages_received_total", peer=OTHER, type="heartbeat") == 1
    assert told.value("had_peer_messages_sent_total", peer=OTHER, type="alive") == 1
    assert told.value("had_peer_send_failures_total", peer=OTHER, reason="denied") == 1
    assert told.value("had_peer_round_trip_seconds_count", peer=OTHER) == 1
    assert told.value("had_peer_messages_rejected_total", reason="epoch_jump") == 1
    assert told.value("had_peer_messages_rejected_total", reason="other") == 1
    assert told.value("had_leader_conflicts_total", peer=OTHER) == 1
    assert told.value("had_peer_config_mismatch", peer=OTHER) == 1
    assert told.value("had_peer_clock_skew_seconds", peer=OTHER) == -0.25


def test_strangers_make_no_time_series(told):
    """An entry or reason outside the configuration changes nothing and raises nothing."""
    before = told.samples()
    told.had.message_received("10.0.0.1:1", "heartbeat", 1)
    told.had.message_sent(OTHER, "unheard of")
    told.had.send_failed(OTHER, "bad luck")
    told.had.leader_conflict("10.0.0.1:1")
    told.had.round_trip("10.0.0.1:1", 1)
    told.had.transition("pre", "leader", "magic")
    told.had.switchover("maybe")
    told.had.controllee_exited("vanished")
    after = told.samples()
    assert {(one.name, tuple(one.labels.items())) for one in after} == {
        (one.name, tuple(one.labels.items())) for one in before
    }


def test_changed_list_drops_the_rows_of_those_that_left(told):
    """After a reconfiguration the departed have no rows, newcomers stand at 0, the rest is kept."""
    told.had.message_sent(OTHER, "alive")
    told.had.peer_up(THIRD, True)
    told.had.members_changed([ME, OTHER, "127.0.0.4:9620"])
    peers = {one.labels["peer"] for one in told.samples() if "peer" in one.labels}
    assert peers == {ME, OTHER, "127.0.0.4:9620"}
    assert told.value("had_peer_messages_sent_total", peer=OTHER, type="alive") == 1
    assert told.value("had_peer_up", peer="127.0.0.4:9620") == 0
    assert told.value("had_peers_up") == 1


def test_controllee_is_counted_from_start_to_exit(told):
    """Starts, exits and their durations have their rows, and a renamed controllee begins anew."""
    told.had.controllee_wanted(True)
    told.had.controllee_started(1500.0, 0.02)
    assert told.value("had_controllee_up", controllee="negotiator") == 1
    assert told.value("had_controllee_wanted", controllee="negotiator") == 1
    assert told.value("had_controllee_start_timestamp_seconds", controllee="negotiator") == 1500
    told.had.controllee_exited("requested", 0.3)
    assert told.value("had_controllee_up", controllee="negotiator") == 0
    assert told.value("had_controllee_starts_total", controllee="negotiator") == 1
    assert told.value("had_controllee_exits_total", controllee="negotiator", reason="requested") == 1
    stop = {"action": "stop", "controllee": "negotiator"}
    assert told.value("had_controllee_transition_seconds_sum", **stop) == 0.3
    told.had.controllee_named("collector")
    assert {one.labels["controllee"] for one in told.samples() if "controllee" in one.labels} == {"collector"}
    assert told.value("had_controllee_starts_total", controllee="collector") == 0


def test_settings_operations_and_votes_are_gauges(told):
    """The remaining setters each set their one family."""
    told.had.settings(0.2)
    told.had.epoch(385)
    told.had.paused(True)
    told.had.votes(2)
    told.had.switchover("done")
    told.had.loop_lag(-0.001)
    assert told.value("had_config_connection_timeout_seconds") == 0.2
    assert told.value("had_config_stabilization_seconds") == 0.8
    assert told.value("had_epoch") == 385
    assert told.value("had_paused") == 1
    assert told.value("had_votes_granted") == 2
    assert told.value("had_switchovers_total", result="done") == 1
    assert told.value("had_loop_lag_seconds_sum") == 0


def test_promtool_has_no_complaint(told):
    """`promtool check metrics` is clean on a scrape."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian package prometheus)")
    told.had.leader_observed(OTHER, 1000.3)
    told.had.round_trip(OTHER, 0.004)
    check = subprocess.run(
        [promtool, "check", "metrics"], input=told.common.render(), capture_output=True, check=False
    )
    assert (check.returncode, check.stdout + check.stderr) == (0, b"")
