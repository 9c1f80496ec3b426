"""Snapshots of files that are being written: which kinds of change are told apart, and what is read for it."""

import hashlib
import os
import threading
import time
from pathlib import Path

import pytest

from daemoncore import classad_log
from replication.manifest import FileRecord
from replication.snapshot import Missing, Snapshot, Tracker
from replication.staging import RefusedError
from replication.tracked_file import Change, Changing, TrackedFile

pytestmark = pytest.mark.timed

HEAD = b"107 1 CreationTimestamp 1700000000\n101 Customer.a@x * *\n"


def transaction(number):
    """One whole transaction."""
    return b"105 \n103 Customer.a@x Priority %d.500000\n106 \n" % number


def settled(tracker, now):
    """Look, once more when everything was quiet if need be; close and return what was found."""
    found = tracker.look(now)
    if isinstance(found, Changing):
        found = tracker.look(now + 1)
    assert isinstance(found, Snapshot)
    found.close()
    return found


def settled_first(tracker, now):
    """Look once; close and return what was found."""
    found = tracker.look(now)
    assert isinstance(found, Snapshot), found
    found.close()
    return found


def sha256(data):
    """The digest as a record holds it."""
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def path(tmp_path):
    """Where the state of a test is."""
    return tmp_path / "state"


def append(path, data):
    """Append as a writer does."""
    with path.open("ab") as file:
        file.write(data)


def test_a_classad_log_counts_up_to_its_last_whole_transaction(path):
    """At once, while somebody is in the middle of the next transaction."""
    path.write_bytes(HEAD + transaction(1) + transaction(2)[:20])
    found = Tracker((path,)).look(0.0)
    assert found.files[0].change is Change.FIRST
    assert found.records[0].sha256 == sha256(HEAD + transaction(1))
    assert os.pread(found.files[0].descriptor, 10**6, 0)[: found.records[0].size_bytes] == HEAD + transaction(
        1
    )
    found.close()


def test_half_a_transaction_more_is_no_change(path):
    """The bytes that count are the same, and are said to be."""
    path.write_bytes(HEAD + transaction(1))
    tracker = Tracker((path,))
    assert not settled(tracker, 0).is_same
    append(path, transaction(2)[:-2])
    assert settled(tracker, 10).is_same
    append(path, transaction(2)[-2:])
    found = settled_first(tracker, 20)
    assert found.files[0].change is Change.APPENDED
    assert found.files[0].same_bytes == len(HEAD + transaction(1))
    assert found.records[0].sha256 == sha256(HEAD + transaction(1) + transaction(2))


def test_a_compacted_log_is_noticed_though_it_is_larger(path, tmp_path):
    """A new inode has the name: everything is read anew."""
    path.write_bytes(HEAD + transaction(1))
    tracker = Tracker((path,))
    settled(tracker, 0)
    (tmp_path / "new").write_bytes(HEAD + transaction(1) + transaction(2))
    (tmp_path / "new").rename(path)
    found = settled_first(tracker, 10)
    assert (found.files[0].change, found.files[0].same_bytes) == (Change.REPLACED, 0)


def test_the_descriptor_of_a_snapshot_outlives_a_compaction(path, tmp_path):
    """What was announced can still be sent when another file has the name."""
    path.write_bytes(HEAD)
    found = Tracker((path,)).look(0.0)
    (tmp_path / "new").write_bytes(b"")
    (tmp_path / "new").rename(path)
    assert os.pread(found.files[0].descriptor, 1000, 0) == HEAD
    found.close()


def test_any_other_file_counts_when_it_was_quiet(path):
    """Until then it is still changing, and it is said when to look again."""
    path.write_bytes(b"one")
    tracker = Tracker((path,))
    assert tracker.look(5.0) == Changing(path, 0.2)
    found = tracker.look(5.05)
    assert found.retry_seconds == pytest.approx(0.15)
    append(path, b" two")
    assert tracker.look(5.21) == Changing(path, 0.2)
    found = settled_first(tracker, 5.42)
    assert found.records[0].sha256 == sha256(b"one two")


def test_a_file_that_never_rests_is_never_taken(path):
    """However often it is looked at: better no copy than a torn one."""
    tracker = Tracker((path,))
    for tick in range(50):
        path.write_bytes(b"%d" % tick)
        assert isinstance(tracker.look(tick * 0.1), Changing)


def rewrite(path):
    """Other bytes, same length, same inode, and the old time of modification."""
    before = path.stat()
    with path.open("r+b") as file:
        file.write(b"X")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def truncate(path):
    """Cut it short."""
    os.truncate(path, 4)


def restore(path):
    """Put an older file in its place, with its older time."""
    backup = path.with_name("backup")
    backup.write_bytes(b"what it was once")
    os.utime(backup, (1_600_000_000, 1_600_000_000))
    backup.rename(path)


def touch(path):
    """Write nothing."""
    os.utime(path, (1_600_000_000, 1_600_000_000))


@pytest.mark.parametrize(
    ("act", "change", "is_older"),
    [
        (rewrite, Change.REWRITTEN, False),
        (truncate, Change.TRUNCATED, False),
        (restore, Change.REPLACED, True),
        (touch, Change.SAME, True),
    ],
)
@pytest.mark.parametrize("content", [b"some content", HEAD + transaction(3)], ids=["file", "log"])
def test_every_kind_of_change_is_noticed_and_named(path, content, act, change, is_older):
    """Whatever the clock and the times of the file say."""
    path.write_bytes(content)
    tracker = Tracker((path,))
    settled(tracker, 0)
    act(path)
    found = settled(tracker, 10)
    assert (found.files[0].change, found.files[0].is_older) == (change, is_older)
    assert found.is_same is (change is Change.SAME)


def test_a_rewritten_head_behind_which_it_grew_is_found_by_its_samples(path):
    """The digest is that of what is there now, not of the old head and the new tail."""
    path.write_bytes(bytes(1 << 20))
    tracker = Tracker((path,))
    settled(tracker, 0)
    with path.open("r+b") as file:
        file.write(b"X")
    append(path, b"tail")
    found = settled(tracker, 10)
    assert found.files[0].change is Change.REWRITTEN
    assert found.records[0].sha256 == sha256(path.read_bytes())


def test_a_thorough_look_reads_the_head_again(path):
    """A byte between the samples is only found by reading everything."""
    path.write_bytes(bytes(1 << 20))
    tracker = Tracker((path,))
    settled(tracker, 0)
    with path.open("r+b") as file:
        file.seek(70_000)
        file.write(b"X")
    append(path, b"tail")
    assert settled(tracker, 10).records[0].sha256 != sha256(path.read_bytes())
    found = tracker.look(20, is_thorough=True)
    found = tracker.look(21, is_thorough=True) if isinstance(found, Changing) else found
    found.close()
    assert found.files[0].change is Change.REWRITTEN
    assert found.records[0].sha256 == sha256(path.read_bytes())


@pytest.mark.parametrize(
    "head",
    [bytes(256 << 20), HEAD + (b"103 Customer.a@x B %s\n" % (b"x" * 1000)) * (256 << 10)],
    ids=["file", "log"],
)
def test_a_kilobyte_behind_a_large_file_costs_a_kilobyte(path, head):
    """Less than 50 ms of CPU, when hashing all of it takes a good part of a second (hard case 22)."""
    path.write_bytes(head)
    tracker = Tracker((path,))
    settled(tracker, 0)
    append(path, transaction(1) * 20)
    began = time.process_time()
    found = settled(tracker, 10)
    used_seconds = time.process_time() - began
    assert found.records[0].size_bytes == path.stat().st_size
    assert found.records[0].sha256 == sha256(path.read_bytes())
    assert used_seconds < 0.05


def test_a_thorough_look_at_what_grew_proves_that_it_only_grew(path):
    """The head is read again, and the file is not taken for rewritten: nothing of it need be sent twice."""
    path.write_bytes(bytes(1 << 20))
    tracker = Tracker((path,))
    stem = settled(tracker, 0).files[0].stem
    append(path, b"tail")
    found = tracker.look(10, is_thorough=True, is_quiet=True)
    found.close()
    assert (found.files[0].change, found.files[0].same_bytes) == (Change.APPENDED, 1 << 20)
    assert (found.files[0].stem, tracker.is_append_only) == (stem, True)


def test_a_stem_tells_which_snapshots_continue_each_other(path):
    """Over as many looks as there were; another inode or other bytes begin a new one."""
    path.write_bytes(HEAD)
    tracker = Tracker((path,))
    stems = [settled(tracker, 0).files[0].stem]
    for number in range(2):
        append(path, transaction(number))
        stems.append(settled(tracker, 10).files[0].stem)
    touch(path)
    stems.append(settled(tracker, 20).files[0].stem)
    truncate(path)
    stems.append(settled(tracker, 30).files[0].stem)
    assert len(set(stems[:4])) == 1
    assert stems[4] not in stems[:4]
    assert not tracker.is_append_only


def test_who_knows_that_nobody_writes_need_not_wait_for_quiet(path):
    """The controllee is gone; a file that changes all the same while it is read is not taken."""
    path.write_bytes(b"just written")
    tracker = Tracker((path,))
    found = tracker.look(0, is_quiet=True)
    found.close()
    assert found.records[0].sha256 == sha256(b"just written")


def test_some_files_of_a_list_may_be_asked_for(tmp_path):
    """What is left of a state, of which the rest is gone."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(HEAD)
    tracker = Tracker((one, two))
    assert tracker.look(0) == Missing(two)
    found = tracker.look(0, is_partial=True)
    found.close()
    assert [file.record.name for file in found.files] == ["0"]


def adopting(path, data):
    """A tracker that was told what was installed."""
    path.write_bytes(data)
    tracker = Tracker((path,))
    tracker.adopt((FileRecord("0", len(data), sha256(data)),), (0,))
    return tracker


def test_what_was_installed_is_known_without_being_read(path):
    """Its digest was verified while it came; the next look finds nothing new, and needs no quiet."""
    path.write_bytes(b"other bytes")
    tracker = Tracker((path,))
    tracker.adopt((FileRecord("0", 11, "of no bytes at all"),), (0,))
    found = settled_first(tracker, 0)
    assert (found.is_same, found.records[0].sha256) == (True, "of no bytes at all")


def test_reading_what_was_installed_finds_out_that_it_is_something_else(path):
    """Then it is forgotten, so that the next look tells what stands there."""
    path.write_bytes(b"other bytes")
    tracker = Tracker((path,))
    tracker.adopt((FileRecord("0", 11, "of no bytes at all"),), (0,))
    while tracker.warm(4):
        pass
    found = settled(tracker, 0)
    assert (found.files[0].change, found.records[0].sha256) == (Change.REWRITTEN, sha256(b"other bytes"))


@pytest.mark.parametrize("warm_bytes", [0, 3, 10**6])
def test_what_was_installed_goes_on_as_any_other_file(path, warm_bytes):
    """Read before or not, wholly or half: an append is an append, and its digest is that of everything."""
    tracker = adopting(path, HEAD)
    if warm_bytes:
        tracker.warm(warm_bytes)
    append(path, transaction(1))
    found = settled_first(tracker, 0)
    assert (found.files[0].change, found.files[0].same_bytes) == (Change.APPENDED, len(HEAD))
    assert found.records[0].sha256 == sha256(HEAD + transaction(1))


def test_an_installed_tail_continues_what_was_read(path):
    """Only the tail is read, and the stem is that of the head."""
    tracker = adopting(path, HEAD)
    while tracker.warm(10**6):
        pass
    stem = settled_first(tracker, 0).files[0].stem
    new = HEAD + transaction(1)
    append(path, transaction(1))
    tracker.adopt((FileRecord("0", len(new), sha256(new)),), (len(HEAD),))
    found = settled_first(tracker, 0)
    assert (found.is_same, found.files[0].stem) == (True, stem)
    assert tracker.warm(10) is True
    while tracker.warm(10**6):
        pass
    append(path, transaction(2))
    assert settled_first(tracker, 0).records[0].sha256 == sha256(new + transaction(2))


def test_the_digest_with_a_tail_is_told_before_it_is_appended(path, tmp_path):
    """From what stands there, read as far as it has not been."""
    tail = tmp_path / "tail"
    tail.write_bytes(transaction(1))
    tracker = adopting(path, HEAD)
    assert tracker.digest_with("0", tail) == sha256(HEAD + transaction(1))
    assert tracker.digest_with("1", tail) is None
    assert Tracker((path,)).digest_with("0", tail) is None


def test_a_link_a_pipe_or_a_folder_is_refused(path, tmp_path):
    """The state is plain files, and looking never waits for somebody to write into a pipe."""
    (tmp_path / "secret").write_bytes(b"secret")
    path.symlink_to(tmp_path / "secret")
    with pytest.raises(RefusedError, match="plain files"):
        Tracker((path,)).look(0.0)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(RefusedError):
        Tracker((path,)).look(0.0)
    path.unlink()
    path.mkdir()
    with pytest.raises(RefusedError):
        Tracker((path,)).look(0.0)
    with pytest.raises(RefusedError, match="a file stands there"):
        Tracker((tmp_path / "secret",), is_folder=True).look(0.0)
    (path / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(RefusedError, match="neither"):
        Tracker((path,), is_folder=True).look(0.0)


def test_no_state_is_no_error(path):
    """Before the controllee ran for the first time there is nothing."""
    assert Tracker((path,)).look(0.0) == Missing(path)
    assert Tracker((path,), is_folder=True).look(0.0) == Missing(path)


def test_several_files_are_taken_when_all_are_quiet(tmp_path):
    """One version covers all of them; the logs among them need no quiet of their own."""
    one, two, log = (tmp_path / name for name in ("one", "two", "log"))
    for path in (one, two):
        path.write_bytes(b"x")
    log.write_bytes(HEAD)
    tracker = Tracker((one, two, log))
    assert isinstance(tracker.look(0.0), Changing)
    append(two, b"y")
    assert isinstance(tracker.look(0.25), Changing)
    append(log, transaction(1)[:7])
    found = settled_first(tracker, 0.5)
    assert [(file.record.name, file.record.size_bytes) for file in found.files] == [
        ("0", 1),
        ("1", 2),
        ("2", len(HEAD)),
    ]


def test_a_change_that_was_seen_while_another_file_was_busy_is_not_lost(tmp_path):
    """It is named when all of them can be taken, though the look that first read it gave no snapshot."""
    one, log = tmp_path / "one", tmp_path / "log"
    one.write_bytes(b"x")
    log.write_bytes(HEAD)
    tracker = Tracker((one, log))
    settled(tracker, 0)
    for number, now in ((1, 10), (2, 10.1)):
        append(log, transaction(number))
        os.utime(one)
        assert isinstance(tracker.look(now), Changing)
    found = settled_first(tracker, 11)
    assert [file.change for file in found.files] == [Change.SAME, Change.APPENDED]
    assert found.files[1].same_bytes == len(HEAD)


def looked_at_while(tracker, act):
    """Look while somebody writes, beginning a moment after the look."""
    writer = threading.Timer(0.02, act)
    writer.start()
    found = tracker.look(10)
    writer.join()
    if isinstance(found, Snapshot):
        found.close()
    return found


def test_a_file_that_is_written_while_it_is_read_is_not_taken(path):
    """It was quiet before, and half of it is the old one."""
    path.write_bytes(b"")
    os.truncate(path, 256 << 20)
    tracker = Tracker((path,))
    assert isinstance(tracker.look(0), Changing)
    assert looked_at_while(tracker, lambda: rewrite(path)) == Changing(path, 0.2)


def test_a_file_that_is_written_while_another_is_read_spoils_the_snapshot(tmp_path):
    """The two would not be of one moment."""
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(b"x")
    large.write_bytes(b"")
    os.truncate(large, 256 << 20)
    tracker = Tracker((small, large))
    assert isinstance(tracker.look(0), Changing)
    assert looked_at_while(tracker, lambda: rewrite(small)) == Changing(small, 0.2)


def test_a_folder_is_one_state(tmp_path):
    """Files deep inside are named by their path; what came and what went is told; no descriptor is held."""
    folder = tmp_path / "jobs"
    (folder / "deep").mkdir(parents=True)
    for name in ("a", "deep/b"):
        (folder / name).write_bytes(name.encode())
    tracker = Tracker((folder,), is_folder=True)
    found = settled(tracker, 0)
    assert [record.name for record in found.records] == ["a", "deep/b"]
    assert [file.descriptor for file in found.files] == [-1, -1]
    (folder / "a").unlink()
    assert not settled_first(tracker, 10).is_same
    (folder / "c").write_bytes(b"c")
    found = tracker.look(20)
    assert isinstance(found, Changing)
    found = settled_first(tracker, 21)
    assert [(file.record.name, file.change) for file in found.files] == [
        ("c", Change.FIRST),
        ("deep/b", Change.SAME),
    ]


def test_an_empty_folder_is_a_state(tmp_path):
    """It has no files, which is something else than no state."""
    assert Tracker((tmp_path,), is_folder=True).look(0.0) == Snapshot(())


def test_no_descriptor_is_left_open(tmp_path):
    """Neither by snapshots that are closed nor by looks that gave none."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(HEAD)
    two.write_bytes(b"x")
    tracker = Tracker((one, two))
    before = len(list(Path("/proc/self/fd").iterdir()))
    for tick in range(10):
        append(two, b"x")
        assert isinstance(tracker.look(float(tick)), Changing)
    settled(tracker, 20)
    two.unlink()
    assert tracker.look(30) == Missing(two)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_every_snapshot_of_a_log_under_writing_is_a_whole_state(path):
    """A real writer appends in small pieces and compacts, and no snapshot holds half of anything."""
    stop = threading.Event()

    def write():
        number = 0
        while not stop.is_set():
            temporary = path.with_name("log.tmp")
            temporary.write_bytes(HEAD + b"103 Customer.a@x Priority %d.500000\n" % number)
            temporary.rename(path)
            for _ in range(20):
                number += 1
                data = transaction(number)
                for start in range(0, len(data), 7):
                    append(path, data[start : start + 7])

    path.write_bytes(HEAD)
    writer = threading.Thread(target=write)
    writer.start()
    changes = set()
    try:
        file = TrackedFile("0", path)
        ends = time.monotonic() + 1.0
        while time.monotonic() < ends:
            found = file.look(time.monotonic())
            if isinstance(found, Changing):
                continue
            data = os.pread(found.descriptor, found.record.size_bytes, 0)
            found.close()
            file.accept()
            assert sha256(data) == found.record.sha256
            assert data.count(b"105 \n") == data.count(b"106 \n")
            assert classad_log.parse(data).ads
            changes.add(found.change)
    finally:
        stop.set()
        writer.join()
    assert changes >= {Change.FIRST, Change.APPENDED, Change.REPLACED}
