"""Hostile replicas against real replication daemons: what they send, and what they claim to hold.

Nothing is lost, nothing torn, every refusal is counted and said, and the daemon goes on.
"""

import queue
import signal

import pytest

from daemoncore.cedar.classad import ClassAd
from daemoncore.cedar.commands import Command
from replication.version import CLOCK_LIMIT, INTEGER_LIMIT, Version
from tests.end_to_end.replica_stage import Counted
from transferer.versions import Entry, Kind, Result

CONTENT = b"a state of nobody's making\n" * 1000
NOTHING = bytes(32)


# --- whoever sends the state -----------------------------------------------------------------------------------------


def test_wrong_digest(stage, impostor):
    """Bytes that are not what their digest says are dropped, counted as a checksum's, and the state stays what it was."""
    counted, before = Counted(stage.follower), stage.follower.state_file.read_bytes()
    version = impostor.lead(stage.pool[1], gid=stage.claim(), contents=[CONTENT])
    with impostor.next_fetch() as fetch:
        fetch.offer(version, CONTENT)
        assert fetch.is_wanted()
        fetch.begin()
        fetch.content(CONTENT)
        fetch.digest(NOTHING)
        assert fetch.receipt().result is Result.FAILED
        assert fetch.is_hung_up()
    name = "had_replication_checksum_failures_total"
    stage.wait(lambda: counted(name, peer=impostor.entry) == 1, "the checksum to be counted")
    assert counted.failed(impostor.entry) == 1
    assert stage.follower.logged("checksum_failed", impostor.entry)
    assert stage.follower.logged("download_failed", impostor.entry)
    assert stage.follower.state_file.read_bytes() == before
    impostor.fall_silent(stage.pool[1])
    stage.assert_goes_on()


@pytest.mark.parametrize("cut", ["in the content", "before the digest", "before the content", "at once"])
def test_short_file(stage, impostor, cut):
    """A sender that vanishes at any point of a copy leaves nothing behind, and what stood there."""
    counted, before = Counted(stage.follower), stage.follower.state_file.read_bytes()
    version = impostor.lead(stage.pool[1], gid=stage.claim(), contents=[CONTENT])
    with impostor.next_fetch() as fetch:
        if cut != "at once":
            fetch.offer(version, CONTENT)
            assert fetch.is_wanted()
        if cut in {"in the content", "before the digest"}:
            fetch.begin()
            fetch.content(CONTENT if cut == "before the digest" else CONTENT[:1000])
    stage.wait(lambda: counted.failed(impostor.entry), "the failure to be counted")
    assert stage.follower.logged("transfer_failed", impostor.entry)
    assert stage.follower.state_file.read_bytes() == before
    impostor.fall_silent(stage.pool[1])
    stage.assert_goes_on()


def test_more_than_announced(stage, impostor):
    """A sender that sends more than it announced is hung up on at the first byte too many."""
    counted, before = Counted(stage.follower), stage.follower.state_file.read_bytes()
    version = impostor.lead(stage.pool[1], gid=stage.claim(), contents=[CONTENT])
    with impostor.next_fetch() as fetch:
        fetch.offer(version, CONTENT, sizes=[len(CONTENT) - 1])
        assert fetch.is_wanted()
        fetch.begin()
        fetch.pour(CONTENT)
    stage.wait(lambda: counted.failed(impostor.entry), "the failure to be counted")
    assert stage.follower.state_file.read_bytes() == before
    impostor.fall_silent(stage.pool[1])
    stage.assert_goes_on()


def test_larger_than_the_disk(stage, impostor):
    """A file that no disk holds is refused before its first byte."""
    counted = Counted(stage.follower)
    version = impostor.lead(stage.pool[1], gid=stage.claim(), contents=[CONTENT])
    with impostor.next_fetch() as fetch:
        fetch.offer(version, CONTENT, sizes=[1 << 49])
        assert fetch.is_wanted()
        fetch.begin()
        receipt = fetch.receipt()
    assert receipt.result is Result.FAILED
    assert "no space" in receipt.reason
    stage.wait(lambda: counted.failed(impostor.entry), "the failure to be counted")
    assert stage.follower.logged("transfer_failed", "no space left")
    impostor.fall_silent(stage.pool[1])
    stage.assert_goes_on()


def test_endless_file(stage, impostor):
    """A file without an end is ended by MAX_TRANSFER_LIFETIME, which a reload puts in force for the next transfer."""
    counted, node = Counted(stage.follower), stage.pool[1]
    node.configure(MAX_TRANSFER_LIFETIME=2)
    loaded = len(stage.follower.logged("configuration_changed"))
    stage.follower.send(signal.SIGHUP)
    stage.wait(lambda: len(stage.follower.logged("configuration_changed")) > loaded, "the reload")
    version = impostor.lead(node, gid=stage.claim(), contents=[CONTENT])
    with impostor.next_fetch() as fetch:
        fetch.offer(version, CONTENT, sizes=[1 << 30])
        assert fetch.is_wanted()
        fetch.begin()
        fetch.pour(b"and so on ", pause_seconds=0.02)
    stage.wait(lambda: stage.follower.logged("MAX_TRANSFER_LIFETIME is over"), "the end to be said")
    name = "had_replication_transfers_total"
    ended = lambda result: counted(name, direction="download", peer=impostor.entry, result=result)  # noqa: E731
    stage.wait(lambda: ended("failed") + ended("cancelled"), "the end to be counted")
    impostor.fall_silent(node)
    node.configure(MAX_TRANSFER_LIFETIME=None)
    stage.follower.send(signal.SIGHUP)
    stage.assert_goes_on()


NAMED = {
    "climbing": (["../x"], False),
    "absolute": (["/etc/passwd"], False),
    "wrong place": (["1"], False),
    "one too many": (["0", "1"], False),
    "a folder": (["0"], True),
}


def test_named_paths(stage):
    """A peer that names paths, or more files than we replicate, is refused, and nothing is created."""
    before = stage.follower.state_file.read_bytes()
    for what, (names, is_folder) in NAMED.items():
        with stage.impostor() as impostor:
            refuses_offer(stage, impostor, names, is_folder=is_folder)
        assert stage.follower.state_file.read_bytes() == before, what
    stage.assert_goes_on()


def refuses_offer(stage, impostor, names, *, is_folder=False):
    """The follower refuses an offer of these entries, and the other end hears why."""
    counted = Counted(stage.follower)
    version = impostor.lead(stage.pool[1], gid=stage.claim(), contents=[CONTENT])
    with impostor.next_fetch() as fetch:
        fetch.offer_entries(version, tuple(Entry(name, size=1) for name in names), is_folder=is_folder)
        receipt = fetch.receipt()
    assert receipt.result is Result.FAILED
    assert receipt.reason
    stage.wait(lambda: counted.failed(impostor.entry) == 1, "the refusal to be counted")
    assert stage.follower.logged("transfer_failed", impostor.entry)
    impostor.fall_silent(stage.pool[1])


def test_too_many_entries(stage, impostor):
    """A hundred thousand entries are refused by their number; the other end hears why."""
    counted = Counted(stage.follower)
    impostor.lead(stage.pool[1], gid=stage.claim(), contents=[CONTENT])
    with impostor.next_fetch() as fetch:
        writer = fetch.stream.writer().put_int(Kind.OFFER).put_string("{}").put_int(1).put_int(100_000)
        for number in range(100_000):
            writer.put_int(0).put_string(str(number)).put_int(0o600).put_int(1)
        fetch.send(fetch.stream.encode(writer))
        assert "100000" in fetch.receipt().reason
    stage.wait(lambda: counted.failed(impostor.entry), "the refusal to be counted")
    assert stage.follower.logged("transfer_failed", impostor.entry, "100000")
    impostor.fall_silent(stage.pool[1])
    stage.assert_goes_on()


DOCUMENTS = {
    "gid": {"gid": INTEGER_LIMIT + 1, "clock": 1, "lineage": [], "rooted": True},
    "clock": {"gid": 7, "clock": -1, "lineage": [], "rooted": True},
    "its own ancestor": {"gid": 7, "clock": 1, "lineage": [[7, 1]], "rooted": True},
    "boolean": {"gid": True, "clock": 1, "lineage": [], "rooted": True},
    "none": [],
}


def test_versions_that_make_no_sense(stage):
    """An offered version that is none ends the copy before a byte is asked for."""
    for document in DOCUMENTS.values():
        with stage.impostor() as impostor:
            counted = Counted(stage.follower)
            impostor.lead(stage.pool[1], gid=stage.claim(), contents=[CONTENT])
            with impostor.next_fetch() as fetch:
                fetch.offer(_Document(document), CONTENT)
                assert "makes no sense" in fetch.receipt().reason
            stage.wait(lambda c=counted, i=impostor: c.failed(i.entry) == 1, "the refusal to be counted")
            assert stage.follower.logged("transfer_failed", impostor.entry, "makes no sense")
            impostor.fall_silent(stage.pool[1])
    stage.assert_goes_on()


class _Document:
    """A version that says of itself whatever it likes."""

    def __init__(self, document):
        self._document = document

    def to_document(self):
        """Say it."""
        return self._document


def test_another_version_than_reported(stage, impostor):
    """A peer that reports one leadership and offers another one is refused; the refusal is counted by its reason."""
    counted = Counted(stage.follower)
    impostor.lead(stage.pool[1], gid=stage.claim(), contents=[CONTENT])
    with impostor.next_fetch() as fetch:
        fetch.offer(Version(77, 5, (), is_rooted=True), CONTENT)
        assert not fetch.is_wanted()
    name = "had_replication_versions_rejected_total"
    stage.wait(lambda: counted(name, reason="diverged") == 1, "the refusal to be counted")
    assert stage.follower.logged("version_rejected", impostor.entry, "diverged")
    impostor.fall_silent(stage.pool[1])
    stage.assert_goes_on()


# --- whoever reports a version ---------------------------------------------------------------------------------------


def test_reports_out_of_order(stage, impostor):
    """A report that is older than the last one, or the same once more, changes nothing and is counted."""
    counted, node = Counted(stage.follower), stage.pool[1]
    newest = Version(1, 9, (), is_rooted=True)
    impostor.report(node, version=newest, sequence=20)
    entry_of = lambda: next(r for r in stage.follower.status()["replicas"] if r["address"] == impostor.entry)  # noqa: E731
    stage.wait(lambda: entry_of()["version"] == {"gid": 1, "clock": 9}, "the report to be believed")
    for sequence in (20, 19, 1):
        impostor.lead(node, gid=stage.claim(), sequence=sequence)
    stage.wait(lambda: counted.rejected("replayed") == 3, "the old reports to be counted")
    assert len(stage.follower.logged("report_rejected", impostor.entry, "replayed")) == 3
    assert entry_of()["version"] == {"gid": 1, "clock": 9}
    assert stage.follower.status()["leader"] == stage.leader.entry
    impostor.report(node, version=newest, sequence=21, seconds=0.0)
    stage.assert_goes_on()


def test_an_earlier_life_of_a_replica(stage, impostor):
    """A report of an earlier start of a replica is an old one, however high its number."""
    counted, node = Counted(stage.follower), stage.pool[1]
    impostor.report(node, instance=5, sequence=1)
    impostor.lead(node, gid=stage.claim(), instance=4, sequence=1000)
    stage.wait(lambda: counted.rejected("replayed") == 1, "the old report to be counted")
    impostor.report(node, instance=6, sequence=1, seconds=0.0)
    stage.assert_goes_on()


def test_another_leader_of_an_earlier_epoch(stage, impostor):
    """Of two that claim to lead the later epoch counts: a confused leader of an earlier one is not asked for anything."""
    node = stage.pool[1]
    impostor.lead(stage.pool[0], node, gid=5, clock=CLOCK_LIMIT, contents=[CONTENT])
    stage.assert_goes_on()
    assert stage.follower.status()["leader"] == stage.leader.entry
    with pytest.raises(queue.Empty):
        impostor.next_fetch(0.01)
    impostor.fall_silent(stage.pool[0], node)


def test_a_leader_takes_nothing(stage, impostor):
    """A leader fetches nothing from another one that claims a later epoch: had decides who stays."""
    before = stage.leader.state_file.read_bytes()
    impostor.lead(stage.pool[0], gid=stage.claim(), contents=[CONTENT])
    in_sight = lambda: next(r for r in stage.leader.status()["replicas"] if r["address"] == impostor.entry)  # noqa: E731
    stage.wait(lambda: in_sight()["state"] == "alive", "the other leader to be heard")
    with pytest.raises(queue.Empty):
        impostor.next_fetch(0.5)
    assert stage.leader.state_file.read_bytes() == before
    assert stage.leader.status()["state"] == "leader"
    impostor.fall_silent(stage.pool[0])
    stage.assert_goes_on()


def test_a_claim_to_a_later_version_of_ours(stage, impostor):
    """Somebody who reports later changes of the leader's own leadership, up to the last number, does not stop it: it goes on above them, under a new gid."""
    gid, clock = stage.leader.point()
    impostor.report(stage.pool[0], version=Version(gid, CLOCK_LIMIT, (), is_rooted=True), contents=[CONTENT])
    stage.wait(lambda: stage.leader.logged("clock_behind", impostor.entry), "the leader to say so")
    stage.wait(lambda: stage.leader.point()[0] != gid, "another gid")
    impostor.fall_silent(stage.pool[0])
    stage.assert_goes_on()
    version = stage.follower.status()["version"]
    assert version["gid"] > gid
    assert version["gid"] % 128 == gid % 128
    assert version["lineage"][0][0] == gid
    assert version["lineage"][0][1] >= clock


# --- whoever keeps a conflict ----------------------------------------------------------------------------------------


def plan_merge(stage, impostor, act):
    """Ask the leader, as an operator, to plan the merge of a conflict that an impostor keeps; return its answer.

    Args:
        stage: the pool.
        impostor: whose conflict it is.
        act: what the impostor does when it is asked for it.
    """
    with impostor.call(stage.pool[0], Command.REPLICATION_CONFLICT, source=stage.leader.node.host) as call:
        wanted = {"Act": "plan", "Kind": "merge", "Holder": impostor.entry, "Identifier": "5.1-00000000"}
        call.say_ad(ClassAd({"HadProtocol": 1, "By": "operator", **wanted}))
        with impostor.next_fetch() as fetch:
            act(fetch)
            return call.hear().get_ad()


def test_a_conflict_that_is_none(stage, impostor):
    """A replica that sends nonsense, other names, or another state as its conflict gets nothing merged and nothing written elsewhere."""
    version = Version(5, 1, (), is_rooted=True)

    def send_names(*names):
        entries = tuple(Entry(name, size=1) for name in names)
        return lambda fetch: fetch.give_entries(version, entries, [b"x"] * len(names))

    acts = (
        send_names("../0"),
        send_names("/tmp/0"),
        send_names("0", "0"),
        send_names("0"),
        lambda fetch: fetch.offer(_Document([]), CONTENT, is_folder=True),
        lambda fetch: fetch.close(),
    )
    answers = [plan_merge(stage, impostor, act) for act in acts]
    assert not any(answer.get_bool("Accepted") for answer in answers)
    assert all(answer.get_string("Text") for answer in answers)
    folder = stage.leader.node.folder
    assert not list(folder.glob("**/*.down"))
    assert not (folder / "had" / "0").exists()
    stage.assert_goes_on()
