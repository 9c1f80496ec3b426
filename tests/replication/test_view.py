"""What a replica looks like from outside: a reading of the real machine, story by story."""

from pathlib import Path

import attrs
import pytest

from replication import effects, events, view
from replication.lag import Lag
from replication.manifest import FileRecord
from replication.places import Places
from replication.status import Change, Pending, Point
from replication.transfer_figures import Figure
from replication.transfer_terms import Direction
from replication.version import Point as Point_
from tests.replication.documents import CONFLICT
from tests.replication.tellers import A, B, C, Story, T, held, one

ENDED = events.LeadershipEnded(is_stopped=True)
PLACES = Places(
    (Path("/state/Accountantnew.log"),), False, Path("/state/Version"), Path("/had/replication"), None
)
AROUND = view.Surroundings(
    places=PLACES,
    transfers=(),
    sent={},
    conflicts=(),
    pending={},
    failed={},
    watching=None,
    changed=1795324300.1234,
    history=(Change(1795324310.0, "backup", "leader", "had leads"),),
    program="0.1.0",
    shared_hash=0xC0FFEE,
    time=1795324400.12345,
)
NAMES = {A: "one", B: "two", C: "three"}


class Watched(Story):
    """A story that is observed as the daemon observes it."""

    def __init__(self, *arguments, **keywords):
        self.lag = Lag()
        super().__init__(*arguments, **keywords)

    def tell(self, event, at=None):
        """Hand in an event, then look."""
        found = super().tell(event, at)
        word = view.leaders_word(self.machine, self.now)
        if word is not None and word.version is not None:
            self.lag.heard(word.version, word.said_at, word.good_until)
        return found

    def status(self, **around):
        """Make the document."""
        around = attrs.evolve(AROUND, **around)
        return view.status_of(self.machine, self.lag, self.now, names=NAMES.__getitem__, around=around)

    def replica(self, entry):
        """One other replica of the document."""
        return next(replica for replica in self.status().replicas if replica.address == entry)

    def fresh(self):
        """How fresh this node is."""
        return view.freshness(self.machine, self.lag, self.now)


def leading():
    """This node leads with 10.1, and A has it; C holds what was before."""
    story = Watched(held("x", "5.2"))
    story.link(A, C)
    story.follow()
    story.hear(A, "x", "5.2")
    story.hear(C, "x", "5.2")
    story.tell(events.LeadershipBegan(10))
    story.tell(events.StateChanged(held("xy", "10.1").files))
    story.hear(A, "xy", "10.1", "5.2")
    return story


def following(clock=3):
    """A leads with its third change, and this node holds the change with that number."""
    story = Watched(held("xyz", "10.3", "5.2") if clock == 3 else held("xy", f"10.{clock}", "5.2"))
    story.link(A, C)
    story.follow()
    story.hear(A, "xyz", "10.3", "5.2", leads=True)
    return story


# --- the document ---------------------------------------------------------------------------------------------


def test_a_leader_shows_itself_and_what_the_others_hold():
    """Its epoch, its version with its lineage, and of each replica whether it is in sync."""
    story = leading()
    story.now += 0.5
    status = story.status()
    assert (status.node, status.state, status.leader, status.epoch) == ("two", "leader", "two", 10)
    assert (status.version.gid, status.version.clock, status.version.lineage) == (10, 1, ((5, 2),))
    assert (status.version.bytes, status.version.rooted, status.version.changed) == (2, True, 1795324300.123)
    assert status.version.sha256 == story.machine.ledger.own.fingerprint
    one_, three = story.replica("one"), story.replica("three")
    assert (one_.version, one_.in_sync, one_.lag_seconds) == (Point(10, 1), True, 0.0)
    assert (three.version, three.in_sync, three.lag_seconds) == (Point(5, 2), False, 0.5)
    assert {one_.implementation, three.implementation} == {"ours"}


def test_a_follower_shows_the_leader_and_no_epoch():
    """The leader is in sync with itself; another one that reported the same is too."""
    story = following()
    story.hear(C, "xyz", "10.3", "5.2")
    status = story.status()
    assert (status.state, status.leader, status.epoch) == ("backup", "one", None)
    assert story.replica("one").in_sync
    assert story.replica("three").in_sync


def test_two_states_under_one_name_are_not_in_sync():
    """The bytes count where they are told; a real condor_replication tells none, and is taken at its word."""
    story = following()
    story.hear(C, "other", "10.3", "5.2")
    assert not story.replica("three").in_sync
    story.tell(events.Linked(C, is_ours=False))
    story.tell(events.CondorSaid(C, events.CondorCommand.SOLICIT_VERSION_REPLY, Point_(10, 3), state=2))
    assert story.replica("three").in_sync
    assert story.replica("three").implementation == "condor"


def test_a_real_replica_holds_what_it_was_sent():
    """A condor_replication fetches and does not say so; one of ours is believed only what it says."""
    story = leading()
    story.tell(events.Linked(C, is_ours=False))
    story.now += 2.0
    sent = {C: Point_(10, 1), A: Point_(10, 9)}
    one_, three = story.status(sent=sent).replicas
    assert (one_.version, three.version) == (Point(10, 1), Point(10, 1))
    assert (three.in_sync, three.lag_seconds) == (True, 0.0)
    assert story.replica("three").lag_seconds == 2.0
    (_, three) = story.status(sent={C: Point_(5, 1)}).replicas
    assert three.version == Point(5, 2)


def test_nobody_is_in_sync_without_a_leader():
    """There is no version to be in sync with; how old they are is still known."""
    story = following(2)
    story.hear(C, "xy", "10.2", "5.2", validity_seconds=1000.0)
    story.wait(story.now + 2 * T)
    status = story.status()
    assert status.leader is None
    assert not any(replica.in_sync for replica in status.replicas)
    assert story.replica("three").lag_seconds == pytest.approx(2 * T)


def test_a_replica_is_alive_then_silent_or_gone():
    """And unknown before it was ever heard."""
    story = Watched(held("x", "5.2"))
    assert story.replica("one").state == "unknown"
    assert story.replica("one").lag_seconds is None
    assert story.replica("one").implementation == "unknown"
    story.hear(A, "x", "5.2")
    assert story.replica("one").state == "alive"
    story.wait(T + 0.1)
    assert story.replica("one").state == "silent"
    story.tell(events.Gone(A))
    assert story.replica("one").state == "gone"
    story.tell(events.Linked(A, is_ours=True))
    assert story.replica("one").state == "silent"


def test_a_node_without_a_state_shows_no_version():
    """Its files are named all the same."""
    story = Watched()
    status = story.status()
    assert status.version is None
    assert [(file.name, file.path, file.bytes) for file in status.files] == [
        ("0", "/state/Accountantnew.log", 0)
    ]


def test_a_folder_shows_its_files_up_to_a_limit():
    """Each where it is; a state of thousands does not make a document of megabytes."""
    records = tuple(FileRecord(f"jobs/{number:05}", 7, "a" * 64) for number in range(view.FILES_LIMIT + 5))
    story = Watched(attrs.evolve(held("x", "5.2"), files=records))
    places = attrs.evolve(PLACES, paths=(Path("/state/all"),), is_folder=True)
    status = story.status(places=places)
    assert status.is_folder
    assert len(status.files) == view.FILES_LIMIT
    assert (status.files[3].path, status.files[3].bytes) == ("/state/all/jobs/00003", 7)
    assert status.version.bytes == 7 * len(records)


def test_what_is_around_the_machine_is_passed_on():
    """Transfers, conflicts, what waits, and why the state is not watched."""
    figure = Figure(Direction.UPLOAD, C, "moving", Point_(10, 1), 4096, 65536, 20480.44, 3.02, 1795324300.0)
    status = leading().status(
        transfers=(figure,),
        conflicts=(CONFLICT,),
        pending={CONFLICT["id"]: "merge"},
        failed={"385.7-00000000": "no log"},
        watching="inotify: no watches are left",
    )
    (transfer,) = status.transfers
    assert (transfer.direction, transfer.peer, transfer.version) == ("upload", "three", Point(10, 1))
    assert (transfer.bytes_per_second, transfer.seconds_left) == (20480.4, 3.0)
    assert status.conflicts == (CONFLICT,)
    failed = Pending("385.7-00000000", None, "no log")
    assert status.pending == (Pending(CONFLICT["id"], "merge"), failed)
    assert status.watching == "inotify: no watches are left"
    assert (status.program, status.time, status.configuration) == ("0.1.0", 1795324400.123, "000000c0ffee")
    assert status.history == AROUND.history


# --- how fresh ------------------------------------------------------------------------------------------------


def test_a_leader_is_fresh():
    """It lags behind nobody."""
    assert leading().fresh() == view.Freshness(0.0, "this node leads")


def test_a_follower_that_holds_what_the_leader_holds_is_fresh():
    """While the leader is heard, however long nothing was changed."""
    story = following()
    for _ in range(20):
        story.wait(story.now + T / 2)
        story.hear(A, "xyz", "10.3", "5.2", leads=True)
    assert story.fresh() == view.Freshness(0.0, "it holds what the leader holds")


def test_a_follower_lags_since_the_version_that_it_lacks():
    """Until it is installed."""
    story = following()
    story.hear(A, "new", "10.4", "5.2", leads=True)
    number = one(story.done, effects.StartDownload).download
    story.now += 0.75
    assert story.fresh().lag_seconds == pytest.approx(0.75)
    assert story.fresh().reason == "it lacks a version of the leader's"
    story.install(story.fetch("new", "10.4", "5.2", number=number))
    assert story.fresh().lag_seconds == 0.0


def test_a_follower_of_a_silent_leader_counts_from_its_last_word():
    """So a failover of seconds leaves it fresh, and a partition of hours does not."""
    story = following()
    began = story.now
    story.wait(began + T)
    assert story.fresh().lag_seconds == 0.0
    story.wait(began + 10 * T)
    assert story.fresh().lag_seconds == pytest.approx(10 * T)
    assert story.fresh().reason == "the leader is not heard any more"


def test_a_follower_that_has_just_started_is_fresh_when_it_has_what_the_leader_has():
    """Not before: how long it has lacked that is not known."""
    story = following(2)
    fresh = story.fresh()
    assert fresh.lag_seconds is None
    assert fresh.reason == "it lacks a version that is older than this daemon's knowledge"
    story.install(story.fetch("xyz", "10.3", "5.2"))
    assert story.fresh() == view.Freshness(0.0, "it holds what the leader holds")


def test_without_a_leader_since_the_start_nobody_knows():
    """A state may be of last year."""
    story = Watched(held("x", "5.2")).follow()
    assert story.fresh() == view.Freshness(None, "no leader was heard of since this daemon started")


def test_without_a_state_nothing_is_fresh():
    """Nor is what somebody changed who must not."""
    assert Watched().fresh() == view.Freshness(None, "there is no state here")
    story = following()
    story.tell(events.StateChanged(held("tampered", "10.3").files))
    reason = "what stands here was changed by somebody who must not"
    assert story.fresh() == view.Freshness(None, reason)


def test_the_leader_that_ends_counts_until_another_is_heard():
    """Its last bytes are being written down; who leads next says so itself."""
    story = leading()
    story.tell(events.LeadershipEnded(is_stopped=False))
    assert story.machine.state is events.State.LEADER
    assert story.status().leader == "two"
    story.hear(A, "xyq", "20.0", "10.1", "5.2", leads=True)
    assert story.status().leader == "one"
