"""Which snapshot is the version that can be sent, and when the descriptors of the others are closed."""

import os
from pathlib import Path

import pytest

from replication.holdings import WAITING_LIMIT, Holdings
from replication.manifest import Held
from replication.places import Places
from replication.snapshot import Snapshot
from replication.tracked_file import Change, FileSnapshot
from tests.replication.storing import record, sent, version

HELD = Held(version(128, 3), (record("0", b"a"),))


@pytest.fixture
def holdings(tmp_path):
    """The holdings of a node whose state is one file."""
    return Holdings(Places((tmp_path / "log",), False, tmp_path / "Version", tmp_path / "had"))


def snapshot(folder, data, stem=1):
    """A snapshot of a file that is open and has no name."""
    path = folder / "file"
    path.write_bytes(data)
    descriptor = os.open(path, os.O_RDONLY)
    path.unlink()
    return Snapshot((FileSnapshot(record("0", data), path, descriptor, Change.FIRST, 0, False, stem),))


def is_open(found):
    """Whether a snapshot can still be read."""
    return Path(f"/proc/self/fd/{found.files[0].descriptor}").exists()


def test_a_snapshot_that_was_told_becomes_the_version_when_it_is_held(holdings, tmp_path):
    """What was held before is closed, and so is what was told before it; what was told after it waits."""
    told = {name: snapshot(tmp_path, name.encode()) for name in "abcd"}
    for name, found in told.items():
        holdings.put(found, name)
    assert holdings.sendable is None
    holdings.hold(HELD, "a")
    assert sent(holdings.sendable) == {"0": b"a"}
    holdings.hold(Held(version(128, 4), (record("0", b"c"),)), "c")
    assert (holdings.sendable.version, sent(holdings.sendable)) == (version(128, 4), {"0": b"c"})
    assert {name: is_open(found) for name, found in told.items()} == {
        "a": False,
        "b": False,
        "c": True,
        "d": True,
    }
    holdings.close()
    assert not any(is_open(found) for found in told.values())
    assert holdings.sendable is None


def test_a_new_version_of_the_same_bytes_needs_no_other_snapshot(holdings, tmp_path):
    """A leadership begins with its parent's bytes; nothing of them need be hashed again."""
    found = snapshot(tmp_path, b"a")
    holdings.put(found, "a")
    holdings.hold(HELD, "a")
    first = holdings.sendable
    holdings.hold(Held(HELD.version, HELD.files, is_leading=True), "a")
    assert holdings.sendable is first
    holdings.hold(Held(version(256, 0, HELD.version), HELD.files), "a")
    assert (holdings.sendable.version.gid, holdings.sendable.files[0].is_append) == (256, True)
    assert is_open(found)


def test_what_is_held_is_sendable_as_soon_as_its_bytes_are_here(holdings, tmp_path):
    """At a start the version is known before the state was looked at."""
    holdings.hold(HELD, "a")
    assert holdings.sendable is None
    assert holdings.lacks("a")
    assert not holdings.lacks("b")
    holdings.put(snapshot(tmp_path, b"a"), "a")
    assert sent(holdings.sendable) == {"0": b"a"}
    assert not holdings.lacks("a")


def test_a_version_whose_bytes_are_not_here_cannot_be_sent(holdings, tmp_path):
    """Better nothing than other bytes; how the next one continues the last that could be sent is still known."""
    holdings.put(snapshot(tmp_path, b"a"), "a")
    holdings.hold(HELD, "a")
    assert holdings.sources() == {"0": holdings.sendable.files[0].descriptor}
    holdings.hold(Held(version(128, 4), (record("0", b"?"),)), "?")
    assert (holdings.sendable, holdings.sources()) == (None, {})
    holdings.put(snapshot(tmp_path, b"abc"), "c")
    holdings.hold(Held(version(128, 5), (record("0", b"abc"),)), "c")
    assert holdings.sendable.files[0].is_append


@pytest.mark.parametrize(
    ("data", "stem", "is_append"), [(b"ab", 1, True), (b"ab", 2, False), (b"", 1, False)]
)
def test_a_file_continues_the_version_before_if_it_has_its_stem(holdings, tmp_path, data, stem, is_append):
    """And is not shorter."""
    for number, found in enumerate((snapshot(tmp_path, b"a"), snapshot(tmp_path, data, stem))):
        holdings.put(found, str(number))
        holdings.hold(Held(version(128, number), found.records), str(number))
    assert holdings.sendable.files[0].is_append is is_append


def test_the_state_that_stands_again_replaces_the_same_one_that_waited(holdings, tmp_path):
    """Told twice, with another in between: the last one is held, and nothing of both stays open for nothing."""
    told = [snapshot(tmp_path, data) for data in (b"a", b"b", b"a")]
    for found, name in zip(told, "aba", strict=True):
        holdings.put(found, name)
    holdings.hold(HELD, "a")
    assert [is_open(found) for found in told] == [False, False, True]


def test_only_the_last_ones_wait(holdings, tmp_path):
    """Where the disk takes no version, a file that is replaced all the time does not use up the descriptors."""
    told = [snapshot(tmp_path, b"%d" % number) for number in range(WAITING_LIMIT + 3)]
    for number, found in enumerate(told):
        holdings.put(found, str(number))
    assert [is_open(found) for found in told] == [False] * 3 + [True] * WAITING_LIMIT
    holdings.close()
