"""What people are told of the replica machine and of the parts around it: lines, numbers, history."""

import ast
import logging
from pathlib import Path

import prometheus_client.parser
import pytest

from daemoncore.daemon_events import COMMAND_EVENTS, LIFE_EVENTS, PEER_EVENTS
from daemoncore.metrics import DaemonMetrics
from replication import effects, events
from replication.archive import Copy
from replication.conflicts import Keeping
from replication.events import State
from replication.log_events import EVENTS
from replication.metrics import ReplicationMetrics
from replication.places import Places
from replication.store_terms import StandingFile
from replication.telling import Telling
from replication.transfer_terms import REMARKS, Direction
from replication.version import Point
from tests.replication.documents import CONFLICT, EXPORTED, MERGED
from tests.replication.tellers import A, B, C, Story, T, held

ROOT = Path(__file__).parents[2]
ENDED = events.LeadershipEnded(is_stopped=True)
NAMES = {A: "one", B: "two", C: "three"}


class Lines(logging.Handler):
    """Collects what is logged: the event and its fields."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        """Take one line."""
        self.lines.append((record.getMessage(), record.daemon_log_fields))


class Told(Story):
    """A story that is told: each effect and each turn reaches the observer, as the daemon does it."""

    def __init__(self, *arguments, **keywords):
        self.handler = Lines()
        logger = logging.getLogger("tests.replication.told")
        logger.setLevel(logging.DEBUG)
        logger.propagate, logger.handlers = False, [self.handler]
        self.common = DaemonMetrics("replication", version="", revision="", start_time=0.0, routes=[])
        self.metrics = ReplicationMetrics(
            self.common, me="two", members=NAMES.values(), files=["/state", "/more"]
        )
        self.wall = 1000.0
        self.telling = Telling(logger, self.metrics, NAMES, wall_clock=lambda: self.wall)
        super().__init__(*arguments, **keywords)

    def tell(self, event, at=None):
        """Hand in an event, and let the observer see what came of it."""
        self.now = self.now if at is None else at
        found = self.machine.handle(event, self.now)
        self.done += found
        for effect in found:
            if isinstance(effect, effects.Transition):
                self.telling.transition(effect)
            elif isinstance(effect, effects.Remark):
                self.telling.remark(effect)
        self.telling.turned(self.machine, event, self.now)
        for effect in found:
            if isinstance(effect, effects.Note):
                found = found + self.tell(events.Noted(effect.held))
        return found

    def lines(self, name):
        """The fields of each line of one event."""
        return [fields for event, fields in self.handler.lines if event == name]

    def names(self):
        """The events that were told, in order."""
        return [event for event, _ in self.handler.lines]

    def forget(self):
        """Begin to listen anew."""
        self.handler.lines.clear()

    def value(self, name, **labels):
        """One sample of a scrape."""
        self.telling.measure(self.machine, self.now)
        text = self.common.render().decode()
        families = prometheus_client.parser.text_string_to_metric_families(text)
        samples = [sample for family in families for sample in family.samples]
        (found,) = [one.value for one in samples if (one.name, one.labels) == (name, labels)]
        return found


def following():
    """A node that follows A and holds what it holds."""
    story = Told(held("x", "5.2"))
    story.link(A, C)
    story.follow()
    story.hear(A, "x", "5.2", leads=True)
    return story


def leading():
    """A node that leads."""
    story = Told(held("x", "5.2"))
    story.link(A, C)
    story.follow()
    story.forget()
    story.tell(events.LeadershipBegan(10))
    return story


# --- the table ------------------------------------------------------------------------------------------------


def told_by(*attributes):
    """The names that stand in calls of these methods, all over the daemon."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "replication").glob("*.py")]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    named = [c for c in calls if isinstance(c.func, ast.Attribute) and c.func.attr in attributes and c.args]
    return {call.args[0].value for call in named if isinstance(call.args[0], ast.Constant)}


def test_every_remark_has_its_line():
    """What the machine and the transfers remark is in the table, or the observer would fail on it."""
    assert len(told_by("_remark")) > 10
    assert told_by("_remark", "remark") - set(EVENTS) == set()
    assert set(REMARKS) - set(EVENTS) == set()


def test_every_line_has_its_event():
    """So is whatever else any part of the daemon logs."""
    assert len(told_by("_tell", "log")) > 20
    assert told_by("_tell", "log") - set(EVENTS) == set()


def test_the_daemons_events_mean_the_same_here():
    """A line of the daemon's life, of peers and of the command port reads alike whoever wrote it."""
    assert EVENTS.items() >= (LIFE_EVENTS | PEER_EVENTS | COMMAND_EVENTS).items()


# --- the machine ----------------------------------------------------------------------------------------------


def test_a_transition_is_a_line_a_state_and_history():
    """With its sentence."""
    story = leading()
    assert story.lines("state_changed") == [{"from": "backup", "to": "leader", "reason": "had leads"}]
    assert story.value("had_replication_state", had_replication_state="leader") == 1
    last = story.telling.history[-1]
    assert (last.time, last.source, last.target, last.reason) == (1000.0, "backup", "leader", "had leads")


def test_the_leader_that_is_followed_is_told_once():
    """And that there is none."""
    story = following()
    story.hear(A, "x", "5.2", leads=True)
    story.wait(story.now + 2 * T)
    assert [fields["leader"] for fields in story.lines("following")] == ["one", "none"]


def test_a_replica_that_comes_and_goes_is_told_once():
    """Heard, silent, heard again, gone; who was never heard is no news."""
    story = Told(held("x", "5.2"))
    story.tell(ENDED)
    story.hear(A, "x", "5.2")
    story.hear(A, "x", "5.2")
    story.wait(2 * T)
    story.hear(A, "x", "5.2")
    story.tell(events.Gone(A))
    peers = ["peer_up", "peer_silent", "peer_up", "peer_gone"]
    assert [name for name in story.names() if name.startswith("peer_")] == peers
    assert story.lines("peer_gone") == [{"peer": "one"}]


def test_a_leadership_is_told_with_its_parent_and_then_each_version():
    """Only the first of a leadership is a line for everybody."""
    story = leading()
    story.tell(events.StateChanged(held("xy", "10.1").files))
    assert story.lines("leadership_recorded") == [{"version": Point(10, 0), "parent": Point(5, 2)}]
    assert story.lines("version_published") == [{"version": Point(10, 1)}]
    assert story.value("had_replication_version") == 1


def test_a_version_from_elsewhere_is_told_when_it_is_installed():
    """One of another leadership is a line for everybody, those after it are not."""
    story = following()
    story.hear(A, "xy", "10.1", "5.2", leads=True)
    story.install(story.fetch("xy", "10.1", "5.2"))
    story.hear(A, "xyz", "10.2", "5.2", leads=True)
    story.install(story.fetch("xyz", "10.2", "5.2"))
    assert story.lines("state_joined") == [{"version": Point(10, 1)}]
    assert story.lines("version_installed") == [{"version": Point(10, 2)}]


def test_a_state_without_a_number_is_told():
    """HTCondor calls it 0; it is nobody's leadership."""
    story = Told()
    story.tell(ENDED)
    story.tell(events.StateChanged(held("x", "0.0").files))
    assert story.lines("state_numbered") == [{"version": Point(0, 0)}]
    assert story.lines("leadership_recorded") == []


def test_what_was_held_at_the_start_is_no_news():
    """A restart changes nothing."""
    story = Told(held("x", "5.2"))
    story.tell(ENDED)
    assert not {"state_joined", "version_installed", "version_published"} & set(story.names())


def test_a_rejected_report_is_counted_by_its_reason():
    """Whoever sent it."""
    story = Told(held("x", "5.2"))
    story.tell(events.Gone("10.0.0.1:1"))
    assert story.lines("report_rejected") == [{"peer": "10.0.0.1:1", "reason": "not_a_member"}]
    assert story.value("had_peer_messages_rejected_total", reason="not_a_member") == 1


@pytest.mark.parametrize(
    ("points", "leads", "label"), [(("5.1",), False, "older"), (("7.9",), False, "diverged")]
)
def test_a_rejected_version_is_counted_by_what_it_is(points, leads, label):
    """A label for the metric, a sentence for people."""
    story = following()
    story.hear(A, "xy", "10.1", "5.2", leads=True)
    number = story.machine.download.number
    story.hear(A, "x", "5.2", leads=leads)
    story.fetch("other", *points, number=number)
    (fields,) = story.lines("version_rejected")
    assert (fields["peer"], fields["why"]) == ("one", label)
    assert fields["reason"].startswith(f"{points[0]} is {label}")
    assert story.value("had_replication_versions_rejected_total", reason=label) == 1


def test_a_refused_upload_is_counted():
    """A stranger, one too many, or one who asks too early: a label for the metric, a sentence for people."""
    story = Told(None)
    story.tell(events.UploadAsked(1, "10.0.0.1:1", is_ours=True))
    story.tell(events.UploadAsked(2, A, is_ours=True))
    assert [fields["why"] for fields in story.lines("upload_refused")] == ["not_a_member", "other"]
    assert story.value("had_peer_messages_rejected_total", reason="not_a_member") == 1
    assert story.value("had_peer_messages_rejected_total", reason="other") == 1


def test_peers_are_measured_at_the_scrape():
    """A lag grows while nothing happens; who was never heard lacks all that is known of."""
    story = leading()
    story.hear(A, "x", "10.0", "5.2")
    story.tell(events.StateChanged(held("xy", "10.1").files))
    story.now += 7.0
    assert story.value("had_replication_peer_version", peer="one") == 0
    assert story.value("had_replication_peer_in_sync", peer="one") == 0
    assert story.value("had_replication_peer_lag_seconds", peer="one") == 7
    story.now += 1.0
    assert story.value("had_replication_peer_lag_seconds", peer="one") == 8
    assert story.value("had_replication_peer_lag_seconds", peer="three") == 8
    story.hear(A, "xy", "10.1", "5.2")
    assert story.value("had_replication_peer_version", peer="one") == 1
    assert story.value("had_replication_peer_in_sync", peer="one") == 1
    assert story.value("had_replication_peer_lag_seconds", peer="one") == 0


def test_changed_labels_count_at_once():
    """After a reload members are named as the new configuration spells them."""
    story = leading()
    story.telling.labels = NAMES | {A: "uno"}
    assert story.telling.name(A) == "uno"
    assert story.telling.name("10.0.0.1:1") == "10.0.0.1:1"


# --- what is around it ----------------------------------------------------------------------------------------


def test_a_transfer_is_counted_by_versions_and_told_at_its_end():
    """One process may move many; its good end counts nothing more."""
    story = leading()
    transfers, row = story.telling.transfers, {"direction": "upload", "peer": "one"}
    transfers.transfer_started(Direction.UPLOAD, A)
    assert story.value("had_replication_transfers_in_progress", direction="upload") == 1
    transfers.version_sent(A, Point(10, 0), 4096, 0.5)
    transfers.version_sent(A, Point(10, 1), 1024, 0.25)
    transfers.transfer_ended(Direction.UPLOAD, A, "ok", 0, 30.0, "its time is over")
    assert story.value("had_replication_transfers_total", result="ok", **row) == 2
    assert story.value("had_replication_transfer_bytes_total", direction="upload") == 5120
    assert story.value("had_replication_transfer_duration_seconds_sum", direction="upload") == 0.75
    assert story.value("had_replication_last_success_timestamp_seconds", **row) == 1000
    assert story.value("had_replication_transfers_in_progress", direction="upload") == 0
    assert story.lines("transfer_failed") == []
    (ended,) = story.lines("transfer_ended")
    assert (ended["peer"], ended["reason"]) == ("one", "its time is over")


@pytest.mark.parametrize(
    ("result", "event"),
    [("failed", "transfer_failed"), ("cancelled", "transfer_ended"), ("stale", "transfer_ended")],
)
def test_a_transfer_that_came_to_nothing_is_counted_by_its_result(result, event):
    """What it moved in vain was moved all the same; only a failure is a warning."""
    story = leading()
    story.telling.transfers.transfer_started(Direction.DOWNLOAD, C)
    story.telling.transfers.transfer_ended(Direction.DOWNLOAD, C, result, 77, 1.5, "why")
    row = {"direction": "download", "peer": "three"}
    assert story.value("had_replication_transfers_total", result=result, **row) == 1
    assert story.value("had_replication_transfers_total", result="ok", **row) == 0
    assert story.value("had_replication_transfer_bytes_total", direction="download") == 77
    (fields,) = story.lines(event)
    assert fields == {**row, "result": result, "seconds": 1.5, "reason": "why"}


def test_a_process_that_only_waited_is_ended_without_being_counted():
    """It took nothing from anybody; one that was never given its version has failed, or was not wanted."""
    story = leading()
    row = {"direction": "upload", "peer": "one"}
    for result, count in (("cancelled", 0), ("failed", 1), ("stale", 1)):
        story.telling.transfers.transfer_started(Direction.UPLOAD, A)
        story.telling.transfers.transfer_ended(Direction.UPLOAD, A, result, 0, 1.5, "why")
        assert story.value("had_replication_transfers_total", result=result, **row) == count
    assert story.value("had_replication_transfers_in_progress", direction="upload") == 0


def test_what_arrived_and_what_was_damaged_is_told():
    """A version that arrived is a transfer; one with another checksum is an error."""
    story = leading()
    story.telling.transfers.version_received(C, Point(7, 1), 10, 0.1)
    story.telling.transfers.checksum_failed(C)
    story.telling.transfers.remark("transferer_killed", peer=C, reason="it was silent")
    assert story.lines("version_received") == [
        {"peer": "three", "version": Point(7, 1), "bytes": 10, "seconds": 0.1}
    ]
    assert story.lines("checksum_failed") == [{"peer": "three"}]
    assert story.lines("transferer_killed") == [{"peer": "three", "reason": "it was silent"}]
    assert story.value("had_replication_checksum_failures_total", peer="three") == 1


def test_what_the_disk_side_keeps_is_told():
    """A conflict, what had to make room for it, and that too many are kept."""
    story = leading()
    kept = Copy("5.2-0badcafe", held("x", "5.2").version, held("xyz", "5.2").files, {"reason": "it diverged"})
    story.telling.store.conflict_kept(Keeping(kept, ("4.1-0badcafe",), is_over_limit=True))
    assert story.lines("conflict_kept") == [
        {"id": "5.2-0badcafe", "version": Point(5, 2), "bytes": 3, "reason": "it diverged"}
    ]
    assert story.lines("conflict_made_room") == [{"id": "4.1-0badcafe"}]
    assert len(story.lines("conflicts_over_limit")) == 1
    story.forget()
    story.telling.store.conflict_kept(Keeping(kept, (), is_over_limit=False))
    assert story.names() == ["conflict_kept"]


def test_what_the_disk_side_cannot_do_is_told():
    """Each with its sentence; that a fault is over too."""
    story = leading()
    story.forget()
    store = story.telling.store
    store.fault_changed("/state: there is no state")
    store.fault_changed(None)
    store.conflict_not_kept("the disk is full")
    store.ancestor_not_kept("the disk is full")
    store.conflict_not_usable("5.2-0badcafe", "it is no log")
    store.background_failed("the disk is full")
    assert story.names() == [
        *("state_not_watched", "state_watched", "conflict_not_kept", "ancestor_not_kept"),
        *("conflict_not_usable", "background_failed"),
    ]
    assert story.lines("state_not_watched") == [{"text": "/state: there is no state"}]


def test_the_files_of_a_list_are_measured_each():
    """One that is not there has no size."""
    story = Told()
    places = Places((Path("/state"), Path("/more")), False, Path("/Version"), Path("/had"), None)
    story.telling.store.measure(places, [StandingFile("0", Path("/state"), 77, 1234.5)], [CONFLICT, MERGED])
    assert story.value("had_replication_file_size_bytes", file="/state") == 77
    assert story.value("had_replication_file_modified_timestamp_seconds", file="/state") == 1234.5
    assert story.value("had_replication_file_size_bytes", file="/more") == 0
    assert story.value("had_replication_conflicts") == 1
    story.telling.store.measure(places, [], [EXPORTED])
    assert story.value("had_replication_file_size_bytes", file="/state") == 0
    assert story.value("had_replication_conflicts") == 0


def test_a_folder_is_measured_as_one():
    """The sum of its files, and the time of the newest."""
    story = Told()
    places = Places((Path("/state"),), True, Path("/Version"), Path("/had"), None)
    files = [
        StandingFile("a", Path("/state/a"), 70, 1234.5),
        StandingFile("b/c", Path("/state/b/c"), 7, 1000.0),
    ]
    story.telling.store.measure(places, files, [])
    assert story.value("had_replication_file_size_bytes", file="/state") == 77
    assert story.value("had_replication_file_modified_timestamp_seconds", file="/state") == 1234.5


def test_refusals_of_the_command_port_and_of_the_links_are_counted_and_told():
    """By their reasons."""
    story = leading()
    story.telling.rejected(A, "wrong_address", "it does not speak from there")
    story.telling.commands.connection_refused("denied", "10.0.0.1", "not allowed", is_repeated=False)
    story.telling.links.send_failed(C, "refused", "nobody listens")
    story.telling.links.send_failed(C, "refused", "nobody listens")
    story.telling.links.message_sent(C, "report")
    story.telling.links.round_trip(C, 0.1)
    story.telling.commanded("REPLICATION_CONFLICT", "root@one", "exported", is_accepted=True)
    assert story.lines("message_rejected")[0]["peer"] == "one"
    assert story.lines("connection_refused")[0]["reason"] == "denied"
    assert len(story.lines("peer_unreachable")) == 1
    assert story.lines("command_received")[0]["by"] == "root@one"
    assert story.value("had_peer_messages_rejected_total", reason="wrong_address") == 1
    assert story.value("had_peer_messages_rejected_total", reason="denied") == 1
    assert story.value("had_peer_send_failures_total", peer="three", reason="refused") == 2


def test_every_state_is_one_of_the_metric():
    """The machine's states are those of the state set."""
    story = leading()
    for state in State:
        story.telling.transition(effects.Transition(State.BACKUP, state, "a reason"))
        assert story.value("had_replication_state", had_replication_state=state.value) == 1
